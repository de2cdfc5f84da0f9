"""Poses a second and their error, against one iteration of relion_refine's global search on the same images and cores.

    python benchmarks/against_relion.py --map MAP.mrc --particles sim/particles.star --model net/model --folder OUT

RELION starts from the same map, in the images' grey values, with no knowledge of the poses; its one iteration samples
36,864 orientations (HEALPix order 3, 7.5°) on a grid of shifts. Ours is `cryoposes infer` with the map, start-up and
calibration included; training is not (it is paid once for a map and a data set).
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import time
from pathlib import Path

import numpy as np

from cryoposes_plugin.cli.main import run_command
from cryoposes_plugin.core.config import InferConfig
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particles import ParticleImages
from cryoposes_plugin.core.io.star import read_particles, write_particles
from cryoposes_plugin.core.refinement.calibration import measure_spectra
from cryoposes_plugin.core.refinement.fourier_points import FourierPoints
from cryoposes_plugin.core.refinement.likelihood import PoseLikelihood
from cryoposes_plugin.core.refinement.observations import observe
from cryoposes_plugin.core.refinement.working_grid import WorkingGrid

RELION = (
    "relion_refine --i particles.star --ref reference.mrc --o relion/run --iter 1 --K 1 --tau2_fudge 4 --ctf --sym C1 "
    "--healpix_order 3 --oversampling 0 --offset_range 5 --offset_step 2 --norm --scale --flatten_solvent --zero_mask "
    "--firstiter_cc --particle_diameter {diameter:.0f} --ini_high {resolution:g} --pad 2 --j {threads} "
    "--dont_check_norm"
)


def main() -> None:
    arguments = parse()
    folder = arguments.folder
    (folder / "relion").mkdir(parents=True, exist_ok=True)
    truth = read_particles(arguments.particles, require=("poses",)).take(np.arange(arguments.number))
    write_volume(folder / "reference.mrc", *in_grey_values_of(truth, arguments.map))
    write_particles(folder / "particles.star", truth.replace(rotations=None, shifts_px=None))
    print("| | images/s | seconds | median error | below 5° |\n|---|---|---|---|---|")
    seconds = time_relion(arguments, folder, truth)
    show("RELION, one iteration", seconds, read_particles(folder / "relion/run_it001_data.star"), truth)
    start = time.monotonic()
    config = InferConfig(
        model=str(arguments.model), particles=str(folder / "particles.star"), volume=str(arguments.map)
    )
    metrics = run_command(config, folder / "ours")
    ours = read_particles(folder / "ours/particles.star")
    show("ours, start-up and calibration included", time.monotonic() - start, ours, truth)
    print(f"ours without them: {metrics['particles_per_second']:.0f} images/s")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("map", "particles", "model"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--number", type=int, default=1000)
    help_resolution = "RELION's low-pass of the map, Å: it limits the frequencies that are compared."
    parser.add_argument("--resolution", type=float, default=30.0, help=help_resolution)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    for name in ("map", "particles", "model", "folder"):
        setattr(arguments, name, getattr(arguments, name).resolve())
    return arguments


def in_grey_values_of(truth, path: Path):
    """(density, pixel size) of the map in the units of the images, which RELION asks for."""
    volume, grid = read_volume(path), WorkingGrid.of(truth)
    points = FourierPoints(grid.box_size_px)
    likelihood = PoseLikelihood(volume, points, grid.pixel_size_angstrom)
    images = ParticleImages(truth).read(np.arange(len(truth)))
    observed = observe(points, images, truth.ctf, "raw", grid.pixel_size_angstrom)
    spectra = measure_spectra(likelihood, points, observed, truth.rotations, truth.shifts_px)
    return volume.data * np.float32(np.median(spectra.amplitude[1:10])), volume.pixel_size_angstrom


def time_relion(arguments: argparse.Namespace, folder: Path, truth) -> float:
    optics = truth.optics[0]
    command = RELION.format(
        diameter=0.9 * optics.box_size_px * optics.pixel_size_angstrom,
        resolution=arguments.resolution,
        threads=len(os.sched_getaffinity(0)),
    )
    print(f"\n{command}\n")
    start = time.monotonic()
    with open(folder / "relion.log", "w") as log:
        subprocess.run(shlex.split(command), cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True)
    return time.monotonic() - start


def show(name: str, seconds: float, found, truth) -> None:
    """RELION may change the order of the particles: they are matched by their slice."""
    place = {int(s): row for row, s in enumerate(found.slice_index)}
    rows = [place[int(s)] for s in truth.slice_index]
    error = np.rad2deg(angular_distance_rad(found.rotations[rows], truth.rotations))
    cells = (
        f"{len(truth) / seconds:.1f}",
        f"{seconds:.0f}",
        f"{np.median(error):.2f}°",
        f"{100 * (error < 5).mean():.1f} %",
    )
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
