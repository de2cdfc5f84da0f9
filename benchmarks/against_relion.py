"""Poses a second and their error, against relion_refine on the same images and cores.

    python benchmarks/against_relion.py --map MAP.mrc --particles sim/particles.star --model
    net/model --folder OUT

RELION starts from the same map, in the grey values of the images, and no poses. Its first iteration
is a global search of 36,864 orientations (HEALPix order 3, 7.5°) and a grid of shifts; two more,
always on that map, search 1.8° and 0.46° apart around the poses found: the whole run. Ours is
`cryoposes infer` with the map, start-up and calibration included, on --ours of the images; RELION
takes the first --number of them. Training is apart: it is paid once for a map and a data set, and
`--training-seconds` tells after how many images.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import time
from pathlib import Path
from typing import Dict

import numpy as np

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.likelihood.pose_likelihood import PoseLikelihood
from cryoposes_plugin.core.parallel import number_of_cores
from cryoposes_plugin.core.particles.grids import working_grid
from cryoposes_plugin.core.particles.images import ParticleImages
from cryoposes_plugin.core.refinement.calibration import measure_spectra
from cryoposes_plugin.core.refinement.observations import observe

RELION = (
    "relion_refine --i {input} --ref reference.mrc --o {output}/run --iter 1 --K 1 --tau2_fudge 4 "
    "--ctf --sym C1 {search} --norm --scale --flatten_solvent --zero_mask --firstiter_cc "
    "--particle_diameter {diameter:.0f} --pad 2 --j {threads} --dont_check_norm"
)
#: Folder of each iteration, its search, and how fine it looks at the map.
SEARCHES = {
    "global": "--healpix_order 3 --oversampling 0 --offset_range 5 --offset_step 2 --ini_high 30",
    "local": "--healpix_order 5 --oversampling 0 --sigma_ang 2.5 --offset_range 3 --offset_step 1 --ini_high 15",
    "fine": "--healpix_order 7 --oversampling 0 --sigma_ang 0.6 --offset_range 1 --offset_step 0.5 --ini_high 11.3",
}


def main() -> None:
    arguments = parse()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    truth = read_particles(arguments.particles, require=("poses",)).take(np.arange(arguments.ours))
    some = truth.take(np.arange(arguments.number))
    write_volume(folder / "reference.mrc", *in_grey_values_of(some, arguments.map))
    unposed = truth.replace(rotations=None, shifts_px=None)
    write_particles(folder / "all.star", unposed)
    write_particles(folder / "some.star", unposed.take(np.arange(arguments.number)))
    print("| | images | images/s | seconds | median error | below 5° |\n|---|---|---|---|---|---|")
    spent = run_relion(folder, some, SEARCHES, "some.star")
    start = time.monotonic()
    config = InferConfig(
        model=str(arguments.model), particles=str(folder / "all.star"), volume=str(arguments.map)
    )
    metrics = run_command(config, folder / "ours")
    seconds = time.monotonic() - start
    show(
        "ours, start-up and calibration included",
        seconds,
        read_particles(folder / "ours/particles.star"),
        truth,
    )
    print(f"ours without them: {metrics['particles_per_second']:.0f} images/s")
    saved = spent / len(some) - seconds / len(truth)
    if arguments.training_seconds:
        paid = arguments.training_seconds / saved
        print(
            f"{arguments.training_seconds:.0f} s of training are paid for after {paid:.0f} images"
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("map", "particles", "model"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--number", type=int, default=250, help="Images for RELION.")
    parser.add_argument("--ours", type=int, default=5000, help="Images for ours.")
    parser.add_argument("--training-seconds", type=float, help="What the model's training took.")
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    for name in ("map", "particles", "model", "folder"):
        setattr(arguments, name, getattr(arguments, name).resolve())
    return arguments


def in_grey_values_of(truth, path: Path):
    """(density, pixel size) of the map in the units of the images, which RELION asks for."""
    volume, grid = read_volume(path), working_grid(truth)
    points = FourierPoints(grid.box_size_px)
    likelihood = PoseLikelihood(volume, points, grid.pixel_size_angstrom)
    images = ParticleImages(truth).read(np.arange(len(truth)))
    observed = observe(points, images, truth.ctf, "raw", grid.pixel_size_angstrom)
    spectra = measure_spectra(likelihood, points, observed, truth.rotations, truth.shifts_px)
    return volume.data * np.float32(np.median(spectra.amplitude[1:10])), volume.pixel_size_angstrom


def run_relion(folder: Path, truth, searches: Dict[str, str], particles: str) -> float:
    """Seconds of the searches, one after the other; the first starts from a STAR file."""
    optics = truth.optics[0]
    total = 0.0
    for name, search in searches.items():
        command = RELION.format(
            input=particles,
            output=name,
            search=search,
            diameter=0.9 * optics.box_size_px * optics.pixel_size_angstrom,
            threads=number_of_cores(),
        )
        print(f"\n{command}\n")
        (folder / name).mkdir(exist_ok=True)
        start = time.monotonic()
        with open(folder / f"{name}.log", "w") as log:
            subprocess.run(
                shlex.split(command), cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True
            )
        seconds = time.monotonic() - start
        total += seconds
        particles = f"{name}/run_it001_data.star"
        show(f"RELION, {name} search", seconds, read_particles(folder / particles), truth)
    print(f"RELION, all {len(searches)}: {len(truth) / total:.2f} images/s")
    return total


def show(name: str, seconds: float, found, truth) -> None:
    """RELION may change the order of the particles: they are matched by their slice."""
    place = {int(s): row for row, s in enumerate(found.slice_index)}
    rows = [place[int(s)] for s in truth.slice_index]
    error = np.rad2deg(angular_distance_rad(found.rotations[rows], truth.rotations))
    cells = (
        f"{len(truth):,}",
        f"{len(truth) / seconds:.2f}",
        f"{seconds:.0f}",
        f"{np.median(error):.2f}°",
        f"{100 * (error < 5).mean():.1f} %",
    )
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
