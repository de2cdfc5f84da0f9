"""Learning from particles with poses, some of which are wrong, and from models that exist.

    python benchmarks/labelled.py labels --map 80S.mrc --snr 0.4 --steps 1000 --folder OUT
    python benchmarks/labelled.py junk --map 80S.mrc --snr 0.1 --steps 280 --model net80S/model --folder OUT
    python benchmarks/labelled.py transfer --map 80S.mrc --relative 70S.mrc --steps 1000 --folder OUT

`labels`: images whose poses carry noise about each axis, and some of which are random. One network
learns from these labels, one from images of the map that are simulated on the fly, one from both;
their poses of the same images, and these refined against the map, are compared with the truth. With
`--preset realistic --noise-like REAL.star` the images have the faults of real ones; the junk among
them is not counted.

`transfer`: networks for other noise, for another conformation (a third of the map turned about its
long axis), and for a relative, trained from the start, and from the network that exists in a fifth
of the steps.

`junk`: a network that is trained with and without examples of junk, and how well the spread of its
distribution tells junk that it has not seen.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from poses import errors_deg
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation
from sklearn.metrics import roc_auc_score

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.simulate.presets import NONE, PRESETS
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.image_kinds import PARTICLE, true_kinds
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.scores import TRACE, TRUE_KIND, WRONG_LABEL

C1 = symmetry_rotations("C1")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("labels", "transfer", "junk"))
    parser.add_argument("--map", required=True, help="Volume (MRC).")
    parser.add_argument("--relative", help="Volume (MRC) of a relative, for transfer.")
    parser.add_argument("--model", help="Network to train further, for junk.")
    parser.add_argument("--snr", type=float, default=0.4)
    parser.add_argument("--number", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--noise-deg", type=float, default=3.0, help="Of labels, about each axis.")
    parser.add_argument("--wrong", type=float, default=0.1, help="Share of random labels.")
    parser.add_argument("--preset", default=NONE, choices=list(PRESETS), help="Of the images.")
    parser.add_argument("--noise-like", help="Particles (STAR) with the noise to imitate.")
    parser.add_argument("--only", nargs="+", help="Rows of the table of labels.")
    parser.add_argument("--no-refinement", action="store_true")
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    {"labels": labels, "transfer": transfer, "junk": junk}[arguments.what](arguments)


def labels(arguments: argparse.Namespace) -> None:
    folder = arguments.folder
    run_command(
        SimulateConfig(
            volume=(arguments.map,),
            number=arguments.number,
            snr=arguments.snr,
            preset=arguments.preset,
            noise_like=arguments.noise_like,
            seed=11,
        ),
        folder / "sim",
    )
    truth = read_particles(folder / "sim/particles.star")
    counted = np.full(len(truth), True)
    if (kinds := true_kinds(truth)) is not None:
        counted = kinds == PARTICLE
    given, is_wrong = with_errors(truth, arguments.noise_deg, arguments.wrong)
    star = str(folder / "labels.star")
    write_particles(star, given)
    error = errors_deg(given, truth, C1)
    right = np.median(error[~is_wrong & counted])
    print(
        f"labels: median error {np.median(error[counted]):.2f}°, "
        f"{100 * (error[counted] < 5).mean():.1f} % within 5°; of those that are not wrong "
        f"{right:.2f}°; {(~counted).sum()} images of junk"
    )
    print(
        "| learned from | network alone | within 5° | refined | wrong labels found | their area |"
    )
    print("|---|---|---|---|---|---|")
    simulated = dict(volume=(arguments.map,), snr=arguments.snr)
    rows = {
        "labels": dict(particles=star),
        "labels, all trusted": dict(particles=star, label_errors="none"),
        "simulated": dict(like=star, **simulated),
        "both": dict(particles=star, like=star, **simulated),
        "both, 0.2 simulated": dict(particles=star, like=star, simulated_share=0.2, **simulated),
    }
    for name in arguments.only or rows:
        path = folder / name.replace(" ", "_")
        trained = run_command(TrainConfig(steps=arguments.steps, **rows[name]), path / "net")
        model = str(path / "net/model")
        run_command(InferConfig(model=model, particles=star), path / "network")
        alone = errors_deg(read_particles(path / "network/particles.star"), truth, C1)[counted]
        refined = ""
        if not arguments.no_refinement:
            run_command(
                InferConfig(model=model, particles=star, volume=arguments.map), path / "poses"
            )
            found = errors_deg(read_particles(path / "poses/particles.star"), truth, C1)[counted]
            refined = f"{np.median(found):.3f}°, {100 * (found < 5).mean():.2f} %"
        told = ["", ""]
        if "share_of_wrong_labels" in trained:
            probability = read_particles(path / "net/particles.star").scores[WRONG_LABEL]
            told = [
                f"{100 * trained['share_of_wrong_labels']:.1f} %",
                f"{roc_auc_score(is_wrong[counted], probability[counted]):.4f}; mean probability "
                f"of right ones {probability[~is_wrong & counted].mean():.3f}, of wrong ones "
                f"{probability[is_wrong & counted].mean():.3f}",
            ]
        within = f"{100 * (alone < 5).mean():.1f} %"
        cells = [name, f"{np.median(alone):.2f}°", within, refined, *told]
        print("| " + " | ".join(cells) + " |", flush=True)


def with_errors(truth, noise_deg: float, wrong: float, seed: int = 3) -> tuple:
    """The particles with wrong poses, and (N,) bool which of them are random."""
    rng = np.random.default_rng(seed)
    number = len(truth)
    turn = Rotation.from_rotvec(np.deg2rad(noise_deg) * rng.standard_normal((number, 3)))
    is_wrong = rng.permutation(number) < round(wrong * number)
    rotations = np.where(
        is_wrong[:, None, None],
        random_rotations(number, rng),
        turn.as_matrix() @ truth.rotations,
    )
    return truth.replace(rotations=rotations), is_wrong


def junk(arguments: argparse.Namespace) -> None:
    """How well the network alone tells junk that it has not seen from particles, by its spread."""
    folder, volume = arguments.folder, (arguments.map,)
    run_command(
        SimulateConfig(
            volume=volume, number=arguments.number, snr=arguments.snr, junk_fraction=0.4, seed=11
        ),
        folder / "sim",
    )
    table = read_particles(folder / "sim/particles.star")
    kinds = table.extra[TRUE_KIND].astype(str)
    is_junk, first = kinds != "particle", np.arange(len(table)) < len(table) // 2
    examples, others = str(folder / "junk.star"), str(folder / "others.star")
    write_particles(examples, table.take(is_junk & first))
    write_particles(others, table.take(~first))
    print("| | median error of particles | area | by kind |\n|---|---|---|---|")
    for name, given in (("without examples", {}), ("with examples", dict(junk=examples))):
        config = TrainConfig(
            volume=volume,
            snr=arguments.snr,
            steps=arguments.steps,
            from_model=arguments.model,
            **given,
        )
        path = folder / name.replace(" ", "_")
        run_command(config, path / "net")
        run_command(InferConfig(model=str(path / "net/model"), particles=others), path / "poses")
        found = read_particles(path / "poses/particles.star")
        kind, spread = kinds[~first], found.scores[TRACE]
        right = kind == "particle"
        error = errors_deg(found.take(right), table.take(~first).take(right), C1)
        areas = {
            k: roc_auc_score(kind[right | (kind == k)] == k, spread[right | (kind == k)])
            for k in np.unique(kind[~right])
        }
        by_kind = ", ".join(f"{k} {area:.3f}" for k, area in areas.items())
        area = roc_auc_score(~right, spread)
        print(f"| {name} | {np.median(error):.2f}° | {area:.3f} | {by_kind} |", flush=True)


def transfer(arguments: argparse.Namespace) -> None:
    folder, steps = arguments.folder, arguments.steps
    folder.mkdir(parents=True, exist_ok=True)
    moved = str(folder / "moved.mrc")
    write_moved(arguments.map, moved)
    low, high = 0.25 * arguments.snr, arguments.snr
    parents = {
        "less noise": TrainConfig(volume=(arguments.map,), snr=high, steps=steps),
        "a relative": TrainConfig(volume=(arguments.relative,), snr=low, steps=steps),
        "the map": TrainConfig(volume=(arguments.map,), snr=low, steps=steps),
    }
    targets = {
        "other noise": (arguments.map, "less noise"),
        "another conformation": (moved, "the map"),
        "from a relative": (arguments.map, "a relative"),
    }
    for name, config in parents.items():
        train(config, folder / name.replace(" ", "_"))
    print(
        "| | from the start | from the start, a fifth | from the model, a fifth | the model itself |"
    )
    print("|---|---|---|---|---|")
    for name, (volume, parent) in targets.items():
        path = folder / name.replace(" ", "_")
        whole = TrainConfig(volume=(volume,), snr=low, steps=steps)
        short = dataclasses.replace(whole, steps=steps // 5)
        model = str(folder / parent.replace(" ", "_") / "model")
        scratch = folder / "the_map" if volume == arguments.map else path / "scratch"
        found = [
            train(whole, scratch),
            train(short, (folder if volume == arguments.map else path) / "short"),
            train(dataclasses.replace(short, from_model=model), path / "tuned"),
            train(
                dataclasses.replace(short, from_model=model, steps=1, learning_rate=0.0),
                path / "as_is",
            ),
        ]
        print(f"| {name} | " + " | ".join(f"{error:.2f}°" for error in found) + " |", flush=True)


def train(config: TrainConfig, folder: Path) -> float:
    """Median error on held-out images."""
    config = dataclasses.replace(config, validation_number=1000)
    return run_command(config, folder)["validation"]["median_error_deg"]


def write_moved(path: str, output: str, angle_deg: float = 10.0, share: float = 0.35) -> None:
    """The map with the end of its longest axis, with this share of its mass, turned about it."""
    volume = read_volume(path)
    density, centre = volume.data.astype(np.float64), volume.box_size_px // 2
    places = (np.indices(density.shape) - centre).reshape(3, -1)
    weight = np.clip(density.ravel(), 0, None) / np.clip(density, 0, None).sum()
    mean = places @ weight
    offset = places - mean[:, None]
    axis = np.linalg.eigh((offset * weight) @ offset.T)[1][:, -1]
    along = axis @ offset
    order = np.argsort(along)
    cut = along[order][np.searchsorted(np.cumsum(weight[order]), 1.0 - share)]
    part = 1.0 / (1.0 + np.exp(cut - along)).reshape(density.shape)
    turn = Rotation.from_rotvec(np.deg2rad(angle_deg) * axis).as_matrix()
    fixed = centre + mean
    turned = affine_transform(density * part, turn, offset=fixed - turn @ fixed, order=3)
    moved = (density * (1.0 - part) + turned).astype(np.float32)
    write_volume(output, moved, volume.pixel_size_angstrom)


if __name__ == "__main__":
    main()
