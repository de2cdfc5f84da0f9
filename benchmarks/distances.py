"""Distances between images, and the poses recovered from them: markdown tables, one sub-command
each.

    python benchmarks/distances.py losses --map 70S.mrc --folder OUT # what distances are learned
    from python benchmarks/distances.py gauge --map 70S.mrc --folder OUT # no reference: is the beam
    found? python benchmarks/distances.py landmarks --map 70S.mrc --folder OUT # distances to
    projections of the volume python benchmarks/distances.py published --map 5j0n.mrc --folder OUT #
    Banjac et al. 2021, Figs. 10 and 11 python benchmarks/distances.py sensitivity --map 5j0n.mrc
    --folder OUT # Fig. 9: shifts, noise python benchmarks/distances.py orientations --map 70S.mrc
    --folder OUT # Fig. 13: other than uniform python benchmarks/distances.py features --map 70S.mrc
    --folder OUT # Fig. 17: distance, number of features python benchmarks/distances.py stages
    --known A.pdb B.pdb ... --unseen C.pdb ... --folder OUT # proteins never seen

Runs are left in the folder and resumed there. Errors are means over the particles: "O(4)" after the
registration that the paper uses, which moves the beam as well, "physical" after a rotation of the
volume and its hand alone. `--model` takes a model that is there already.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import mrcfile
import numpy as np
from prepare_map import centred

from cryoposes_plugin.commands.reconstruct.config import ReconstructConfig
from cryoposes_plugin.commands.recover.config import RecoverConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.evaluation.registration import HANDS, register
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.atomic_model import AtomicModel
from cryoposes_plugin.core.models.model_card import ModelCard

#: Images of the paper and its number of test images.
PUBLISHED_BOX, PUBLISHED_TEST = 116, 1650
#: Projections and nothing else, but for what a benchmark adds.
_PLAIN = {"ctf": False, "shift_distribution": "none"}


def table(*columns: str) -> None:
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)


def row(*cells: Any) -> None:
    print(
        "| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |",
        flush=True,
    )


def simulated(arguments, name: str, **options: Any) -> str:
    values = {"volume": (arguments.map,), "number": arguments.number, "seed": 11, **options}
    run_command(SimulateConfig(**values), arguments.folder / name)
    return str(arguments.folder / name / "particles.star")


def trained(arguments, name: str, **options: Any) -> str:
    """The model that the user names, or one trained for as many steps or minutes as told."""
    if arguments.model:
        return arguments.model
    length = (
        {"steps": arguments.steps, "minutes": None}
        if arguments.steps
        else {"minutes": arguments.minutes}
    )
    values = {"volume": (arguments.map,), "preset": arguments.preset, **length, **options}
    run_command(TrainConfig(**values), arguments.folder / name)
    return str(arguments.folder / name / "model")


def recovered(arguments, name: str, model: str, star: str, **options: Any) -> Dict[str, Any]:
    config = RecoverConfig(model=model, particles=star, truth=star, **options)
    return run_command(config, arguments.folder / name)


def what_the_model_is(model: str) -> tuple:
    card = ModelCard.read(model)
    return (
        card.preset,
        f"{card.training.get('images_seen', 0):,}",
        card.validation.get("bias_of_far_pairs_deg", ""),
    )


def losses(arguments) -> None:
    """Poses, landmarks or pairs alone as what a network learns from, after the same number of
    steps.
    """
    star = simulated(arguments, "sim", snr=arguments.snr)
    table(
        "preset",
        "trained on",
        "images",
        "distance error [°]",
        "bias beyond 150° [°]",
        "O(4) [°]",
        "physical [°]",
    )
    for preset, style in (
        ("default", None),
        ("distance", "landmarks"),
        ("distance", "siamese"),
        ("banjac2021", None),
    ):
        options = {"preset": preset, "like": star, "snr": arguments.snr}
        if style:
            options["training_style"] = style
        name = f"{preset}-{style}" if style else preset
        model = trained(arguments, f"net-{name}", **options)
        errors = recovered(arguments, f"poses-{name}", model, star)["errors"]
        _, images, bias = what_the_model_is(model)
        row(preset, style or "", images, errors["mean_distance_error_deg"], bias, *of_poses(errors))


def of_poses(errors: Dict[str, float]) -> tuple:
    return errors["mean_orthogonal4_error_deg"], errors["mean_angular_error_deg"]


def gauge(arguments) -> None:
    star = simulated(arguments, "sim", snr=arguments.snr)
    model = trained(arguments, "net", like=star, snr=arguments.snr)
    table(
        "preset",
        "images",
        "distance error [°]",
        "O(4) [°]",
        "physical [°]",
        "ratio",
        "copies off [°]",
        "whole [s]",
    )
    found = recovered(arguments, "poses", model, star)
    best, physical = of_poses(found["errors"])
    preset, images, _ = what_the_model_is(model)
    error, beam = found["errors"]["mean_distance_error_deg"], found["beam_residual_deg"]
    row(preset, images, error, best, physical, physical / best, beam, found["seconds"])


def landmarks(arguments) -> None:
    star = simulated(arguments, "sim", snr=arguments.snr)
    model = trained(arguments, "net", like=star, snr=arguments.snr)
    table(
        "preset", "images", "median [°]", "90 % [°]", "within 5°", "images/s, network", "whole [s]"
    )
    found = recovered(arguments, "poses-of-volume", model, star, volume=arguments.map)
    errors, rate = found["errors"], found["images_embedded_per_second"]
    preset, images, _ = what_the_model_is(model)
    share = f"{100 * errors['share_below_5_deg']:.1f} %"
    numbers = errors["median_angular_error_deg"], errors["p90_angular_error_deg"]
    row(preset, images, *numbers, share, float(rate or 0), found["seconds"])


def published(arguments) -> None:
    """1,650 projections of 116 px without CTF and shifts, noise of variance 0 and 16.

    The paper shows a particle of symmetry D2 from a quarter of the sphere only: give
    `--orientations quarter-sphere`.
    """
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.map, arguments.number = padded_map(arguments.map, arguments.folder), PUBLISHED_TEST
    table(
        "variance",
        "images",
        "distance error [°]",
        "O(4) [rad]",
        "physical [rad]",
        "FSC 0.5 [Å]",
        "true poses [Å]",
    )
    for variance in arguments.variance:
        name = f"variance{variance:g}"
        options = {**_PLAIN, "noise_variance": variance, "orientations": arguments.orientations}
        star = simulated(arguments, f"{name}/sim", **options)
        model = trained(arguments, f"{name}/net", mask_diameter_angstrom=arguments.mask, **options)
        errors = recovered(arguments, f"{name}/poses", model, star)["errors"]
        found = resolution(
            arguments, f"{name}/map", star, arguments.folder / name / "poses/particles.star"
        )
        best = resolution(arguments, f"{name}/map-true", star, Path(star))
        _, images, _ = what_the_model_is(model)
        radians = [float(np.deg2rad(e)) for e in of_poses(errors)]
        row(f"{variance:g}", images, errors["mean_distance_error_deg"], *radians, found, best)


def sensitivity(arguments) -> None:
    """Shifts of a triangular distribution, or white noise; a network for each, on projections as in
    `published`.
    """
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.map = padded_map(arguments.map, arguments.folder)
    table(
        "shifts up to [px]",
        "variance",
        "images",
        "L_DE [rad^2]",
        "distance error [°]",
        "L_OR [rad]",
        "O(4) [rad]",
    )
    for limit, variance in ((0, 0.0), (6, 0.0), (12, 0.0), (0, 1.0), (0, 4.0), (0, 16.0)):
        shifts = {"shift_distribution": "triangular", "shift_px": limit} if limit else {}
        name, options = (
            f"shift{limit}-variance{variance:g}",
            {**_PLAIN, "noise_variance": variance, **shifts},
        )
        star = simulated(arguments, f"{name}/sim", **options)
        model = trained(arguments, f"{name}/net", mask_diameter_angstrom=arguments.mask, **options)
        found, (_, images, _) = (
            recovered(arguments, f"{name}/poses", model, star),
            what_the_model_is(model),
        )
        loss, error = (
            ModelCard.read(model).validation["distance_loss_rad2"],
            of_poses(found["errors"])[0],
        )
        distance = found["errors"]["mean_distance_error_deg"]
        row(
            limit,
            f"{variance:g}",
            images,
            loss,
            distance,
            found["recovery_loss_rad"],
            float(np.deg2rad(error)),
        )


def padded_map(path: str, folder: Path) -> str:
    """The published map on a cubic grid of the images' box, its centre of mass at the centre."""
    with mrcfile.open(path, permissive=True) as source:
        data, pixel = np.array(source.data, dtype=np.float64), float(source.voxel_size.x)
    target = folder / "padded.mrc"
    write_volume(target, centred(data, PUBLISHED_BOX).astype(np.float32), pixel)
    return str(target)


def resolution(arguments, name: str, star: str, poses: Path) -> float:
    """Å where the FSC of the reconstruction with the map falls below 0.5; poses in the map's frame,
    by a rotation.
    """
    truth, estimate = read_particles(star), read_particles(poses)
    frame = register(estimate.rotations, truth.rotations, np.eye(3)[None], hands=HANDS)
    placed = arguments.folder / f"{name}.star"
    write_particles(
        placed,
        estimate.replace(rotations=frame.apply(estimate.rotations), shifts_px=truth.shifts_px),
    )
    config = ReconstructConfig(particles=str(placed), reference=arguments.map)
    return float(run_command(config, arguments.folder / name)["resolution_reference_05_angstrom"])


def orientations(arguments) -> None:
    table("orientations", "distance error [°]", "O(4) [°]", "physical [°]", "recovery loss [rad]")
    model: Optional[str] = None
    for kind in ("uniform", "euler", "half-sphere", "quarter-sphere"):
        star = simulated(arguments, f"sim-{kind}", snr=arguments.snr, orientations=kind)
        model = model or trained(arguments, "net", like=star, snr=arguments.snr)
        found = recovered(arguments, f"poses-{kind}", model, star)
        errors = found["errors"]
        row(kind, errors["mean_distance_error_deg"], *of_poses(errors), found["recovery_loss_rad"])


def features(arguments) -> None:
    table(
        "distance", "features", "images", "L_DE [rad^2]", "median error [°]", "bias beyond 150° [°]"
    )
    for kind, number in (
        ("cosine", 512),
        ("euclidean", 512),
        ("cosine", 4),
        ("cosine", 16),
        ("cosine", 64),
    ):
        options = {
            "preset": "banjac2021",
            "feature_distance": kind,
            "features": number,
            "noise_variance": 0.0,
            **_PLAIN,
        }
        model = trained(
            arguments, f"net-{kind}-{number}", model_box_size_px=arguments.model_box, **options
        )
        card = ModelCard.read(model).validation
        columns = ("distance_loss_rad2", "median_distance_error_deg", "bias_of_far_pairs_deg")
        row(kind, number, what_the_model_is(model)[1], *(card[name] for name in columns))


def stages(arguments) -> None:
    """Banjac 2020: the proteins learned from without and with noise, others without; then both with
    the full model.
    """
    known, unseen = (
        densities(files, arguments.folder) for files in (arguments.known, arguments.unseen)
    )
    parts = "distance error [°]", "below 60°", "60° to 120°", "beyond 120°"
    table(
        "images", "protein", *parts, "O(4) [rad]", "physical [rad]", "FSC 0.5 [Å]", "true poses [Å]"
    )
    for images, options, proteins in (
        ("noise-free", {"noise_variance": 0.0, **_PLAIN}, {**known, **unseen}),
        ("noise", {"snr": arguments.snr, **_PLAIN}, known),
        ("full", {"snr": arguments.snr}, {**known, **unseen}),
    ):
        model = trained(arguments, f"{images}/net", volume=tuple(known.values()), **options)
        for name, path in proteins.items():
            arguments.map, run = path, f"{images}/{name}"
            star = simulated(arguments, f"{run}/sim", **options)
            errors = recovered(arguments, f"{run}/poses", model, star)["errors"]
            found = resolution(
                arguments, f"{run}/map", star, arguments.folder / run / "poses/particles.star"
            )
            best = resolution(arguments, f"{run}/map-true", star, Path(star))
            radians = [float(np.deg2rad(e)) for e in of_poses(errors)]
            label = name if path in known.values() else f"{name}, never seen"
            off = [
                errors[f"mean_distance_error_{part}deg"]
                for part in ("", "0_to_60_", "60_to_120_", "120_to_180_")
            ]
            row(images, label, *off, *radians, found, best)


def densities(models: Sequence[str], folder: Path) -> Dict[str, str]:
    """Name and map (64 voxels of 5 Å, at 11 Å) of each atomic model."""
    found = {}
    for file in map(Path, models):
        name = file.name.split(".")[0]
        path = folder / f"{name}.mrc"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_volume(path, AtomicModel(file).density(11.0, 64, 5.0).data, 5.0)
        found[name] = str(path)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = {
        f.__name__: f
        for f in (losses, gauge, landmarks, published, sensitivity, orientations, features, stages)
    }
    parser.add_argument("what", choices=commands)
    parser.add_argument("--map", help="Volume (MRC) that the images are made of.")
    parser.add_argument(
        "--known", nargs="+", default=[], help="Atomic models to learn from (stages)."
    )
    parser.add_argument(
        "--unseen", nargs="+", default=[], help="Atomic models never seen (stages)."
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="Runs are left and resumed here."
    )
    parser.add_argument("--preset", default="distance")
    parser.add_argument("--model", help="A model that is there already, instead of training one.")
    parser.add_argument("--snr", type=float, default=0.4)
    parser.add_argument(
        "--variance", type=float, nargs="+", default=[0.0, 16.0], help="of the noise (published)"
    )
    parser.add_argument(
        "--mask",
        type=float,
        default=300.0,
        help="width that the molecule needs, Å (published, sensitivity)",
    )
    parser.add_argument("--orientations", default="uniform", help="of the views (published)")
    parser.add_argument("--number", type=int, default=5000, help="particles")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, help="Training steps instead of minutes.")
    parser.add_argument("--model-box", type=int, default=32, help="Box of the network (features).")
    arguments = parser.parse_args()
    if not arguments.map and arguments.what != "stages":
        parser.error("--map is needed")
    commands[arguments.what](arguments)


if __name__ == "__main__":
    main()
