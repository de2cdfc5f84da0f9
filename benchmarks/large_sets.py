"""Time and memory of `infer`, `filter` and `reconstruct` as the set grows.

    python benchmarks/large_sets.py --model NET/model --map MAP.mrc --number 10000 100000 --folder OUT

Simulates each number of images with CTF and shifts (16 kB an image of 64 px), estimates their poses
with the map, filters them and reconstructs, each command by itself; the images are deleted afterwards.
Prints images/s, start-up included; the steady rate that the command's metrics tell (`filter` tells
none); the rate of the images that this set has more than the one before it, which has no start-up, and
is to be the same however many there are; and the largest memory of the process (`RssAnon`, sampled ten
times a second).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
from simulation import run_measured

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.particle_files import read_particles

COMMANDS = ("simulate", "infer", "filter", "reconstruct")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("model", "map", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--number", type=int, nargs="+", default=[10_000, 100_000])
    arguments = parser.parse_args()
    print("| images | command | s | images/s | steady | of the further images | RssAnon [MiB] |")
    print("|---" * 7 + "|")
    before: Dict[str, Tuple[int, float]] = {}
    for number in sorted(arguments.number):
        folder = arguments.folder / f"{number}"
        error = of_one_set(arguments, number, folder, before)
        print(f"{number:,} images: median error {error}", flush=True)


def of_one_set(
    arguments: argparse.Namespace, number: int, folder: Path, before: Dict[str, Tuple[int, float]]
) -> str:
    """Print the rows of one set; `before` holds (number, seconds) of each command on the last one."""
    images, poses, kept, map_ = (folder / name for name in ("sim", "poses", "kept", "map"))
    model, volume = ("--model", arguments.model), ("--volume", arguments.map)
    simulated, found = images / "particles.star", poses / "particles.star"
    given = {
        "simulate": [*volume, "--number", number, "--snr", arguments.snr, "--output", images],
        "infer": [*model, *volume, "--particles", simulated, "--output", poses],
        "filter": ["--particles", found, "--output", kept],
        "reconstruct": ["--particles", kept / "accepted.star", "--output", map_],
    }
    for command in COMMANDS:
        seconds, peak = run_measured(command, *given[command])
        then = before.get(command)
        further = f"{(number - then[0]) / (seconds - then[1]):.0f}" if then else ""
        cells = f"{number:,} | {command} | {seconds:.0f} | {number / seconds:.0f}"
        steady = steady_rate(given[command][-1])
        print(f"| {cells} | {steady} | {further} | {peak:.0f} |", flush=True)
        before[command] = number, seconds
    truth = read_particles(simulated, require=("poses",)).rotations
    error = np.rad2deg(angular_distance_rad(read_particles(found).rotations, truth))
    shutil.rmtree(images)
    return f"{np.median(error):.3f}°, {100 * (error < 5).mean():.2f} % below 5°"


def steady_rate(output: Path) -> str:
    """Images/s of the loop over the images, as a run's metrics tell it; "" where they do not."""
    metrics = json.loads((output / "metrics.json").read_text())
    rates = [metrics.get(f"{unit}_per_second") for unit in ("images", "particles")]
    return next((f"{rate:.0f}" for rate in rates if rate), "")


if __name__ == "__main__":
    main()
