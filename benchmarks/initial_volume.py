"""Initial volumes of proteins never seen, from images alone: errors of the poses, and resolution
against the true map.

    python benchmarks/initial_volume.py --models FILE.pdb ... [--sets noise-free full] [--number
    300] [--folder DIR]

For each atomic model: images of its density (64 px, particle two thirds of the box), `cryoposes
initial-volume`; then the volume is brought into the frame of the density by rotation, displacement
and hand alone, and compared by FSC. Poses are compared after one rotation and hand; of a symmetric
particle without the symmetry's equivalents, so that only C1 particles have meaningful errors there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from cryoposes_plugin.core.evaluation.registration import HANDS, register
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.maps.alignment import align_maps
from cryoposes_plugin.core.maps.atomic_model import AtomicModel
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation, resolution_angstrom

BOX = 64
SETS = {
    "noise-free": ("--no-ctf",),
    "noise": ("--no-ctf", "--snr", "0.1"),
    "full": ("--snr", "0.1"),
}
_PROGRAM = (sys.executable, "-m", "cryoposes_plugin")
#: The density is as fine as the grid holds well.
_RESOLUTION_PX = 2.5


def run(*command) -> None:
    done = subprocess.run(
        [*_PROGRAM, *map(str, command)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")


def measure(model_path: Path, name: str, folder: Path, arguments) -> dict:
    """Simulate, find, compare; every step is left out where its result is there already."""
    model = AtomicModel(model_path)
    pixel = 2 * model.radius_angstrom * 1.5 / BOX
    folder.mkdir(parents=True, exist_ok=True)
    truth = model.density(_RESOLUTION_PX * pixel, BOX, pixel)
    write_volume(folder / "map.mrc", truth.data, pixel)
    numbers = ["--number", arguments.number, "--seed", arguments.seed, *SETS[name]]
    run("simulate", "--volume", folder / "map.mrc", "--output", folder / "sim", *numbers)
    star = folder / "sim/particles.star"
    search = ["--starts", arguments.starts, "--rounds", arguments.rounds, "--seed", arguments.seed]
    run("initial-volume", "--particles", star, "--output", folder / "run", *search)
    found = read_volume(folder / "run/volume.mrc")
    shell = max(4, int(BOX * pixel / 30))
    alignment = align_maps(found, truth, min(shell, BOX // 2 - 2))
    curve = fourier_shell_correlation(alignment.apply(found).data, truth.data)
    true, poses = (
        read_particles(f, require=("poses",)) for f in (star, folder / "run/particles.star")
    )
    registration = register(poses.rotations, true.rotations, np.eye(3)[None], hands=HANDS)
    errors = np.rad2deg(angular_distance_rad(registration.apply(poses.rotations), true.rotations))
    metrics = json.loads((folder / "run/metrics.json").read_text())
    return {
        "pixel": pixel,
        "median_deg": float(np.median(errors)),
        "below_10": float((errors < 10).mean()),
        "resolution": resolution_angstrom(curve, 0.5, BOX, pixel),
        "explained": metrics["search_explained_power"],
        "seconds": metrics["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", type=Path, required=True, help="PDB or mmCIF files")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["noise-free", "full"])
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    print(
        "| images | model | Å/px | poses: median, < 10° | FSC 0.5, Å | power explained | s |\n"
        + "|---" * 7
        + "|"
    )
    for name in arguments.sets:
        for path in arguments.models:
            label = path.name.split(".")[0]
            row = measure(path, name, folder / f"{label}_{name}", arguments)
            print(
                f"| {name} | {label} | {row['pixel']:.2f} | {row['median_deg']:.2f}°, "
                f"{100 * row['below_10']:.0f} % | {row['resolution']:.1f} | "
                f"{100 * row['explained']:.0f} % | {row['seconds']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
