"""What `refine` costs as the box grows: the same particles in smaller and smaller pixels.

    python benchmarks/large_boxes.py --map MAP.mrc --box 64 128 256 --number 2000 500 250 --folder OUT

The map is resampled to each box of the same width, images are simulated from it with CTF and shifts,
and `refine` starts from their poses turned and shifted at random, and works in the whole box. Prints
images/s of the refinement (start-up and calibration apart), wall time, the largest memory of the
process (`RssAnon`, sampled ten times a second), and the error. Images that are there are taken.
With `--tree` (another checkout of the repository, for instance an older one) `refine` runs there
too, on the same images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from simulation import run_measured

from cryoposes_plugin.core.fourier.resampling import resample_volume
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("map", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--box", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--number", type=int, nargs="+", default=[2000, 500, 250])
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--tree", type=Path, help="Another checkout.")
    parser.add_argument("--turned-deg", type=float, default=2.0, help="Of the starts, each axis.")
    arguments = parser.parse_args()
    volume = read_volume(arguments.map)
    width = volume.box_size_px * volume.pixel_size_angstrom
    print(
        "| box | images | images/s | s | RssAnon [MiB] | start | median error |\n"
        + "|---" * 7
        + "|"
    )
    for box, number in zip(arguments.box, arguments.number):
        folder, pixel = arguments.folder / f"box{box}", width / box
        folder.mkdir(parents=True, exist_ok=True)
        data = resample_volume(volume.data, volume.pixel_size_angstrom, box, pixel)
        write_volume(folder / "map.mrc", data, pixel)
        images = folder / "sim"
        if not (images / "metrics.json").exists():
            given = ["--volume", folder / "map.mrc", "--number", number, "--snr", arguments.snr]
            shifts = ["--shift-px", 0.02 * box]
            run_measured("simulate", *given, *shifts, "--output", images)
        truth = read_particles(images / "particles.star", require=("poses",))
        write_particles(folder / "starts.star", near(truth, arguments.turned_deg))
        refine(folder, truth, box, folder / "refined")
        if arguments.tree:
            name = arguments.tree.name
            refine(folder, truth, box, folder / f"refined_{name}", arguments.tree, f" ({name})")


def refine(folder: Path, truth, box: int, poses: Path, tree=None, name: str = "") -> None:
    """Refine and print a row."""
    given = ["--volume", folder / "map.mrc", "--particles", folder / "starts.star"]
    box_used = ["--working-box-px", box]
    seconds, peak = run_measured("refine", *given, *box_used, "--output", poses, tree=tree)
    rate = json.loads((poses / "metrics.json").read_text())["particles_per_second"]
    start, found = (
        np.rad2deg(angular_distance_rad(read_particles(path).rotations, truth.rotations))
        for path in (folder / "starts.star", poses / "particles.star")
    )
    errors = f"{np.median(start):.2f}° | {np.median(found):.4f}°"
    print(
        f"| {box} px{name} | {len(truth):,} | {rate:.1f} | {seconds:.0f} | {peak:.0f} | {errors} |",
        flush=True,
    )


def near(truth, turned_deg: float):
    """The particles turned at random, and moved by as many hundredths of their box."""
    rng = np.random.default_rng(0)
    turns = Rotation.from_rotvec(np.deg2rad(turned_deg) * rng.normal(size=(len(truth), 3)))
    moves = 0.005 * truth.box_size_px[:, None] * rng.normal(size=(len(truth), 2))
    return truth.replace(
        rotations=turns.as_matrix() @ truth.rotations, shifts_px=truth.shifts_px + moves
    )


if __name__ == "__main__":
    main()
