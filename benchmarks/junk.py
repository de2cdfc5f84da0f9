"""Junk: how well it is told, what the automatic filter keeps, and what it costs.

    python benchmarks/junk.py --map MAP.mrc --other OTHER.mrc --model MODEL --snr 0.4 0.1 0.05
    --folder OUT

A set of images of the map (70 %) and junk of four kinds in equal parts: noise, projections of another
map, particles with a neighbour, and particles far off centre. Its poses are estimated with a network
that was trained on the map, and those of the particles alone as well. Prints one row a set.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import List, Tuple

import numpy as np
from sklearn.metrics import roc_auc_score

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.core.evaluation.selection import accept_at_rate
from cryoposes_plugin.core.fourier.resampling import projected_density
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import read_stack, read_volume, write_stack, write_volume
from cryoposes_plugin.core.io.star import read_particles, write_particles
from cryoposes_plugin.core.maps.size import radius_of_gyration_px
from cryoposes_plugin.core.types import ParticleTable

KINDS = ("noise", "other", "overlap", "off centre")
#: Distances in radii of gyration.
NEIGHBOUR, OFF_CENTRE = (1.2, 2.4), (0.9, 1.8)
NOISELESS_SNR = 1e6
COLUMNS = (
    "SNR",
    "area, all",
    *KINDS,
    "kept of the particles",
    "junk among the kept",
    "told",
    "within 5°",
    "expected / observed, deciles",
    "bound covers",
    "seconds, with junk / particles alone",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True)
    parser.add_argument("--other", required=True, help="Map of another molecule.")
    parser.add_argument("--model", required=True, help="Network that was trained on the map.")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.4, 0.1, 0.05])
    parser.add_argument("--number", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True, help="A new folder.")
    arguments = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for snr in arguments.snr:
        print("| " + " | ".join(row(arguments, snr)) + " |", flush=True)


def row(arguments: argparse.Namespace, snr: float) -> List[str]:
    folder = arguments.folder / f"snr{snr:g}"
    table, kind = mixed_set(arguments, snr, folder)
    junk = kind != "particle"
    write_particles(folder / "mixed.star", table)
    write_particles(folder / "particles.star", table.take(~junk))
    seconds = {}
    for name in ("mixed", "particles"):
        start = time.monotonic()
        run_command(
            InferConfig(
                model=arguments.model,
                particles=str(folder / f"{name}.star"),
                volume=arguments.map,
            ),
            folder / f"poses_{name}",
        )
        seconds[name] = time.monotonic() - start

    found = read_particles(folder / "poses_mixed/particles.star")
    probability = found.scores["cryoposesJunkProbability"]
    kept = accept_at_rate(probability, 0.01)
    error = np.rad2deg(angular_distance_rad(found.rotations, table.rotations))[~junk]
    expected = found.scores["cryoposesExpectedErrorDeg"][~junk]
    deciles = np.array_split(np.argsort(expected, kind="stable"), 10)
    ratios = [root_mean_square(expected[d]) / root_mean_square(error[d]) for d in deciles]
    areas = [
        roc_auc_score(junk[~junk | (kind == k)], probability[~junk | (kind == k)]) for k in KINDS
    ]
    bound = found.scores["cryoposesErrorBound90Deg"][~junk]
    return [
        f"{snr:g}",
        f"{roc_auc_score(junk, probability):.4f}",
        *(f"{area:.4f}" for area in areas),
        f"{100 * kept[~junk].mean():.1f} %",
        f"{100 * junk[kept].mean():.2f} %",
        f"{100 * probability[kept].mean():.2f} %",
        f"{100 * (error < 5).mean():.2f} %",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        f"{100 * (error <= bound).mean():.1f} %",
        f"{seconds['mixed']:.0f} / {seconds['particles']:.0f}",
    ]


def root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def mixed_set(
    arguments: argparse.Namespace, snr: float, folder: Path
) -> Tuple[ParticleTable, np.ndarray]:
    """Particles and junk in random order, with their kinds; the stack is written to the folder."""
    rng = np.random.default_rng([arguments.seed, int(1000 * snr)])
    each = round(0.3 * arguments.number / len(KINDS))
    numbers = {"particle": arguments.number - len(KINDS) * each, **dict.fromkeys(KINDS, each)}
    volume = read_volume(arguments.map)
    box, pixel = volume.box_size_px, volume.pixel_size_angstrom
    radius = radius_of_gyration_px(volume.data)
    folder.mkdir(parents=True)
    other = projected_density(read_volume(arguments.other), box, pixel)
    write_volume(folder / "other.mrc", other, pixel)

    tables, images = {}, {}
    for place, (kind, number) in enumerate(numbers.items()):
        shown = folder / "other.mrc" if kind == "other" else arguments.map
        seed = 10 * arguments.seed + place
        tables[kind], images[kind] = clean(shown, number, folder / kind, seed)
    power = images["particle"].var(axis=(1, 2)).mean()
    images["noise"] *= 0
    images["other"] *= np.sqrt(power / images["other"].var(axis=(1, 2)).mean())
    _, neighbours = clean(arguments.map, each, folder / "neighbour", 10 * arguments.seed + 9)
    images["overlap"] += moved(neighbours, *(f * radius for f in NEIGHBOUR), rng)
    images["off centre"] = moved(images["off centre"], *(f * radius for f in OFF_CENTRE), rng)

    order = rng.permutation(arguments.number)
    signal = np.concatenate(list(images.values()))[order]
    noise = np.sqrt(power / snr) * rng.standard_normal(signal.shape).astype(np.float32)
    write_stack(folder / "mixed.mrcs", signal + noise, pixel)
    parts = list(tables.values())
    first = parts[0]
    ctf = type(first.ctf)(
        *(np.concatenate([getattr(t.ctf, f) for t in parts])[order] for f in vars(first.ctf))
    )
    table = ParticleTable(
        ids=np.arange(1, arguments.number + 1),
        stack_paths=(folder / "mixed.mrcs",),
        stack_index=np.zeros(arguments.number, np.int64),
        slice_index=np.arange(arguments.number),
        optics=first.optics,
        optics_index=np.zeros(arguments.number, np.int64),
        rotations=np.concatenate([t.rotations for t in parts])[order],
        shifts_px=np.concatenate([t.shifts_px for t in parts])[order],
        ctf=ctf,
    )
    return table, np.repeat(list(numbers), list(numbers.values()))[order]


def clean(volume, number: int, folder: Path, seed: int) -> Tuple[ParticleTable, np.ndarray]:
    """Images without noise, in the volume's grey values."""
    config = SimulateConfig(
        volume=(str(volume),), number=number, snr=NOISELESS_SNR, normalise=False, seed=seed
    )
    run_command(config, folder)
    images = read_stack(folder / "particles.mrcs").astype(np.float32)
    return read_particles(folder / "particles.star"), images


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
