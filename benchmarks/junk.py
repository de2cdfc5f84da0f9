"""Junk and calibration: how well junk is told, what the automatic filter keeps, whether expected
errors are right, and what junk costs.

    python benchmarks/junk.py --map MAP.mrc --other OTHER.mrc --model MODEL --snr 0.4 0.1 0.05
    --folder OUT

A set of images of the map (70 %) and junk of four kinds in equal parts: noise, projections of another
map, particles with a neighbour, and particles far off centre. Its poses are estimated with a network
that was trained on the map, and those of the particles alone as well. With `--correlation-px 1`,
`--defocus-error 300` and `--pixel-error 0.01` noise and images are those of `harder_images.py`, of
which the STAR file knows nothing. With `--no-volume` the network works alone, and the areas of the
trace, which it gives without decoys, follow. Prints one row a set; sets of several seeds are counted
together.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Callable, List, NamedTuple, Sequence, Tuple

import numpy as np
from harder_images import true_signal
from sklearn.metrics import roc_auc_score

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.simulate.faults import draw
from cryoposes_plugin.commands.simulate.inputs import SimulationInputs
from cryoposes_plugin.commands.simulate.table import particle_table
from cryoposes_plugin.core.evaluation.calibration import (
    coverage,
    error_reliability,
    wrong_pose_of_particle,
)
from cryoposes_plugin.core.evaluation.errors import FOUND_BELOW_DEG
from cryoposes_plugin.core.evaluation.selection import accept_at_rate
from cryoposes_plugin.core.fourier.resampling import projected_density
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.imaging.noise import simulate_noise
from cryoposes_plugin.core.io.mrc import read_volume, write_stack
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.size import radius_of_gyration_px
from cryoposes_plugin.core.types import ParticleTable, Volume

PARTICLE = "particle"
KINDS = ("noise", "other", "overlap", "off centre")
#: Distances in radii of gyration.
NEIGHBOUR, OFF_CENTRE = (1.2, 2.4), (0.9, 1.8)
#: The filter's false discovery rate.
RATE = 0.01
COLUMNS = (
    "SNR",
    "set",
    "area, all",
    *KINDS,
    "kept of the particles",
    "junk among the kept: told",
    "true",
    "within 5°",
    "wrong pose of a particle: told",
    "expected / observed, deciles",
    "of poses within 5°",
    "bound covers",
    "CPU seconds",
)


class Outcome(NamedTuple):
    """Of N images: kind, probability of junk, whether the filter keeps it, and what has a meaning for
    particles: error, expected error, that in the right basin, bound, all in degrees, and probability
    of a wrong pose.
    """

    kind: np.ndarray
    junk: np.ndarray
    kept: np.ndarray
    error: np.ndarray
    expected: np.ndarray
    basin: np.ndarray
    bound: np.ndarray
    wrong: np.ndarray
    trace: np.ndarray


def main() -> None:
    arguments = parse()
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for snr in arguments.snr:
        made = [mixed_set(arguments, snr, seed) for seed in arguments.seed]
        for name in arguments.sets:
            start = time.process_time()
            outcomes = [outcome(arguments, *one, name) for one in made]
            seconds = (time.process_time() - start) / len(made)
            print("| " + " | ".join(row(snr, name, outcomes, seconds)) + " |", flush=True)
            if arguments.no_volume and name == "mixed":
                areas = areas_of(outcomes, lambda one: one.trace)
                print("| " + " | ".join([f"{snr:g}", "trace alone", *areas]) + " |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True)
    parser.add_argument("--other", required=True, help="Map of another molecule.")
    parser.add_argument("--model", required=True, help="Network that was trained on the map.")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.4, 0.1, 0.05])
    parser.add_argument("--number", type=int, default=2000)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--junk-share", type=float, default=0.3)
    parser.add_argument(
        "--sets", nargs="+", choices=("mixed", "particles"), default=["mixed", "particles"]
    )
    parser.add_argument(
        "--correlation-px", type=float, default=0.0, help="Of the noise; 0: white noise."
    )
    parser.add_argument(
        "--pixel-error", type=float, default=0.0, help="The true pixel is larger by this share."
    )
    parser.add_argument("--defocus-error", type=float, default=0.0, help="Standard deviation, Å.")
    parser.add_argument("--no-volume", action="store_true", help="Poses of the network alone.")
    parser.add_argument("--folder", type=Path, required=True, help="A new folder.")
    return parser.parse_args()


def outcome(
    arguments: argparse.Namespace, folder: Path, table: ParticleTable, kind: np.ndarray, name: str
) -> Outcome:
    """Estimate the poses of the images of a folder: all ("mixed"), or the particles alone."""
    if name == "particles":
        table, kind = table.take(kind == PARTICLE), kind[kind == PARTICLE]
    write_particles(folder / f"{name}.star", table)
    config = InferConfig(
        model=arguments.model,
        particles=str(folder / f"{name}.star"),
        volume=None if arguments.no_volume else arguments.map,
    )
    run_command(config, folder / f"poses_{name}")

    found = read_particles(folder / f"poses_{name}/particles.star")
    junk, trace = found.scores["cryoposesJunkProbability"], found.scores["cryoposesTrace"]
    kept = accept_at_rate(junk, RATE)
    error = np.rad2deg(angular_distance_rad(found.rotations, table.rotations))
    if arguments.no_volume:
        unknown = np.full(len(junk), np.nan)
        return Outcome(kind, junk, kept, error, *[unknown] * 4, trace)
    return Outcome(
        kind,
        junk,
        kept,
        error,
        found.scores["cryoposesExpectedErrorDeg"],
        found.scores["cryoposesBasinErrorDeg"],
        found.scores["cryoposesErrorBound90Deg"],
        wrong_pose_of_particle(found.scores["cryoposesWrongBasin"], junk),
        trace,
    )


def row(snr: float, name: str, outcomes: Sequence[Outcome], seconds: float) -> List[str]:
    one = Outcome(*(np.concatenate(parts) for parts in zip(*outcomes)))
    junk = one.kind != PARTICLE
    error, expected, bound = one.error[~junk], one.expected[~junk], one.bound[~junk]
    areas, found = areas_of(outcomes, lambda one: one.junk), error < FOUND_BELOW_DEG
    expectations = ["-"] * 4
    if not np.isnan(expected).any():
        ratios = [
            1 / error_reliability(expected, error).ratio,
            1 / error_reliability(one.basin[~junk][found], error[found]).ratio,
        ]
        expectations = [
            percent(one.wrong[~junk], 2),
            *(f"{ratio.min():.2f} to {ratio.max():.2f}" for ratio in ratios),
            f"{100 * coverage(error, bound).share:.1f} %",
        ]
    return [
        f"{snr:g}",
        name,
        *areas,
        percent(one.kept[~junk], 1),
        percent(one.junk[one.kept], 2),
        f"{percent(junk[one.kept], 2)} ({np.count_nonzero(junk & one.kept)})",
        percent(found, 2),
        *expectations,
        f"{seconds:.0f}",
    ]


def areas_of(outcomes: Sequence[Outcome], score_of: Callable[[Outcome], np.ndarray]) -> List[str]:
    """Areas under the ROC curve, junk of all kinds and of each against particles."""
    kind = np.concatenate([one.kind for one in outcomes])
    score = np.concatenate([score_of(one) for one in outcomes])
    junk = kind != PARTICLE
    if not junk.any():
        return ["-"] * (1 + len(KINDS))
    among = [np.ones(len(junk), dtype=bool), *(~junk | (kind == k) for k in KINDS)]
    return [f"{roc_auc_score(junk[rows], score[rows]):.4f}" for rows in among]


def percent(values: np.ndarray, digits: int) -> str:
    return f"{100 * values.mean():.{digits}f} %"


def mixed_set(
    arguments: argparse.Namespace, snr: float, seed: int
) -> Tuple[Path, ParticleTable, np.ndarray]:
    """A folder with a stack of particles and junk in random order; their table and kinds."""
    folder = arguments.folder / f"snr{snr:g}_seed{seed}"
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, int(1000 * snr)])
    each = round(arguments.junk_share * arguments.number / len(KINDS))
    kind = np.repeat(
        [PARTICLE, *KINDS], [arguments.number - len(KINDS) * each, *[each] * len(KINDS)]
    )
    volume = read_volume(arguments.map)
    box, pixel = volume.box_size_px, volume.pixel_size_angstrom
    radius = radius_of_gyration_px(volume.data)
    inputs = SimulationInputs((volume,), box, pixel, None, None)
    drawn = draw(
        SimulateConfig(volume=(arguments.map,), number=len(kind), snr=snr, seed=seed), inputs
    )
    signal = images_of(arguments, volume, drawn, seed)
    power = signal[kind == PARTICLE].var(axis=(1, 2)).mean()

    if each:
        signal[kind == "noise"] = 0
        molecule = projected_density(read_volume(arguments.other), box, pixel)
        other = images_of(arguments, Volume(molecule, pixel), drawn, seed)[kind == "other"]
        signal[kind == "other"] = other * np.sqrt(power / other.var(axis=(1, 2)).mean())
        others = dataclasses.replace(drawn, rotations=drawn.rotations[::-1])
        neighbours = images_of(arguments, volume, others, seed)[kind == "overlap"]
        signal[kind == "overlap"] += moved(neighbours, *(f * radius for f in NEIGHBOUR), rng)
        off = signal[kind == "off centre"]
        signal[kind == "off centre"] = moved(off, *(f * radius for f in OFF_CENTRE), rng)

    ids = np.arange(len(kind))
    noise = simulate_noise(seed, ids, box, arguments.correlation_px)
    order = rng.permutation(len(kind))
    path = folder / "mixed.mrcs"
    write_stack(path, (signal + np.sqrt(power / snr) * noise)[order], pixel)
    table = particle_table(path, inputs, drawn).take(order)
    table = table.replace(ids=ids + 1, slice_index=ids)
    return folder, table, kind[order]


def images_of(arguments: argparse.Namespace, volume: Volume, drawn, seed: int) -> np.ndarray:
    """Noise-free images, with the faults that the STAR file does not tell."""
    settings = argparse.Namespace(
        box=volume.box_size_px,
        pixel=volume.pixel_size_angstrom,
        pixel_error=arguments.pixel_error,
        defocus_error=arguments.defocus_error,
        seed=seed,
    )
    return true_signal(settings, volume, drawn)


def moved(
    images: np.ndarray, nearest_px: float, furthest_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Images moved in random directions by whole pixels; what leaves the box is lost."""
    box = images.shape[-1]
    out = np.empty_like(images)
    for image, target in zip(images, out):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(nearest_px, furthest_px)
        steps = (round(distance * np.sin(angle)), round(distance * np.cos(angle)))
        target[:] = np.roll(np.pad(image, box // 2), steps, axis=(0, 1))[
            box // 2 : -(box // 2), box // 2 : -(box // 2)
        ]
    return out


if __name__ == "__main__":
    main()
