"""Memory of `cryoposes infer` with a map, for many images.

    python benchmarks/refinement_memory.py --model NET/model --map MAP.mrc --snr 0.4 --number 5000
    100000 --folder OUT

Simulates the images with CTF and shifts and estimates their poses; prints images/s, start-up and
calibration included, and the largest anonymous memory of the process (the memory-mapped stack is
not counted), as sampled ten times a second.
"""

import argparse
from pathlib import Path

import numpy as np
from simulation import run_measured

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.particle_files import read_particles


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("model", "map", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--snr", type=float, default=0.4)
    parser.add_argument("--number", type=int, nargs="+", default=[5000, 100_000])
    arguments = parser.parse_args()
    print("| images | images/s | RssAnon [MiB] | median error | below 5° |\n|---|---|---|---|---|")
    for number in arguments.number:
        folder = arguments.folder / f"{number}"
        images, poses = folder / "sim", folder / "poses"
        run_measured(
            "simulate",
            "--volume",
            arguments.map,
            "--number",
            number,
            "--snr",
            arguments.snr,
            "--output",
            images,
        )
        star = images / "particles.star"
        given = ["--model", arguments.model, "--volume", arguments.map, "--particles", star]
        seconds, peak = run_measured("infer", *given, "--output", poses)
        found, truth = (read_particles(path).rotations for path in (poses / "particles.star", star))
        error = np.rad2deg(angular_distance_rad(found, truth))
        right = f"{np.median(error):.3f}° | {100 * (error < 5).mean():.2f} %"
        print(f"| {number:,} | {number / seconds:.0f} | {peak:.0f} | {right} |", flush=True)


if __name__ == "__main__":
    main()
