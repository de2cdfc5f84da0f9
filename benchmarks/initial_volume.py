"""Initial volumes of proteins never seen, from images alone: errors of the poses, resolution
against the true map, and the verdict.

    python benchmarks/initial_volume.py --models FILE.pdb ... [--sets full noisy junk views]
    [--number 1000] [--folder DIR]

For each atomic model and each set: images of its density (64 px, particle two thirds of the box),
`cryoposes initial-volume`; then the volume is brought into the frame of the density by rotation,
displacement and hand alone, and compared by FSC. Poses are compared after one rotation and hand; of
a symmetric particle without the symmetry's equivalents, so that only C1 particles have meaningful
errors there. Junk counts in neither, nor do particles that were called junk; how many of both there
are is told. Beside it a search that is started at the truth: the volume of the images at their true
poses, continued by the last stages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from cryoposes_plugin.commands.initial_volume.run import SEARCH_BOX_PX
from cryoposes_plugin.core.abinitio.search import (
    DETAIL,
    BackProjection,
    Search,
    SearchState,
    likeliest_poses,
)
from cryoposes_plugin.core.abinitio.working_images import group_scales, read_images
from cryoposes_plugin.core.evaluation.registration import HANDS, register
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.image_kinds import PARTICLE, true_kinds
from cryoposes_plugin.core.io.ids import join_tables
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.maps.alignment import align_maps
from cryoposes_plugin.core.maps.atomic_model import AtomicModel
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation, resolution_angstrom
from cryoposes_plugin.core.particles.images import ResampledImages
from cryoposes_plugin.core.types import ParticleTable, Volume

BOX = 64
SETS = {
    "noise-free": ("--no-ctf",),
    "noise": ("--no-ctf", "--snr", "0.1"),
    "full": ("--snr", "0.1"),
    "noisy": ("--snr", "0.03"),
    "junk": ("--snr", "0.1", "--junk-fraction", "0.3"),
    "views": ("--snr", "0.1", "--orientations", "preferred", "--preferred-concentration", "10"),
}
#: As many times the images.
TIMES = {"noisy": 2, "junk": 1.5}
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
    folder.mkdir(parents=True, exist_ok=True)
    truth = density_of(model_path)
    pixel = truth.pixel_size_angstrom
    write_volume(folder / "map.mrc", truth.data, pixel)
    number = int(arguments.number * TIMES.get(name, 1))
    numbers = ["--number", number, "--seed", arguments.seed, *SETS[name]]
    run("simulate", "--volume", folder / "map.mrc", "--output", folder / "sim", *numbers)
    star = folder / "sim/particles.star"
    search = ["--starts", arguments.starts, "--rounds", arguments.rounds, "--seed", arguments.seed]
    run("initial-volume", "--particles", star, "--output", folder / "run", *search)
    found = read_volume(folder / "run/volume.mrc")
    true, poses = (
        read_particles(f, require=("poses",)) for f in (star, folder / "run/particles.star")
    )
    found_rows, rows = join_tables(poses, true)
    poses, kinds = poses.take(found_rows), true_kinds(true)
    shown = np.ones(len(true), dtype=bool) if kinds is None else kinds == PARTICLE
    errors = pose_errors(poses.rotations, true.take(rows).rotations, shown[rows])
    at_best = pose_errors(started_at_truth(true, shown, arguments.seed), true.rotations, shown)
    metrics = json.loads((folder / "run/metrics.json").read_text())
    return {
        "pixel": pixel,
        "median_deg": float(np.median(errors)),
        "below_10": float((errors < 10).mean()),
        "resolution": resolution_of(found, truth),
        "at_best": float((at_best < 10).mean()),
        "kept": float(shown[rows].sum() / shown.sum()),
        "junk_kept": int((~shown[rows]).sum()),
        "junk": int((~shown).sum()),
        "verdict": metrics["verdict"],
        "seconds": metrics["seconds"],
    }


def density_of(model_path: Path) -> Volume:
    """The density of an atomic model, the particle two thirds of the box."""
    model = AtomicModel(model_path)
    pixel = 2 * model.radius_angstrom * 1.5 / BOX
    return model.density(_RESOLUTION_PX * pixel, BOX, pixel)


def resolution_of(found: Volume, truth: Volume) -> float:
    """Å, where the FSC falls below 0.5, after rotation, displacement and hand."""
    pixel = truth.pixel_size_angstrom
    shell = min(max(4, int(BOX * pixel / 30)), BOX // 2 - 2)
    placed = align_maps(found, truth, shell).apply(found)
    curve = fourier_shell_correlation(placed.data, truth.data)
    return resolution_angstrom(curve, 0.5, BOX, pixel)


def pose_errors(rotations: np.ndarray, true: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Degrees, of the particles that are shown, after one rotation and hand."""
    rotations, true = rotations[shown], true[shown]
    registration = register(rotations, true, np.eye(3)[None], hands=HANDS)
    return np.rad2deg(angular_distance_rad(registration.apply(rotations), true))


def started_at_truth(table: ParticleTable, shown: np.ndarray, seed: int) -> np.ndarray:
    """(N, 3, 3) rotations that the last stages find from the volume of the true poses."""
    view = BOX * float(table.pixel_size_angstrom[0])
    source = ResampledImages(table, SEARCH_BOX_PX, view / SEARCH_BOX_PX)
    rows = np.arange(len(table))
    images = read_images(source, rows, group_scales(source, seed))
    reach = 6.0 * SEARCH_BOX_PX / BOX
    search, rng = Search(images, reach, 8), np.random.default_rng(seed)
    shifts = table.shifts_px * (SEARCH_BOX_PX / BOX)
    back = BackProjection(images, DETAIL[-1].last_shell)
    volume = back.volume(rows[shown], table.rotations[shown], shifts[shown], np.ones(shown.sum()))
    state = SearchState(volume, search.power, shifts)
    for stage in DETAIL:
        state = search.run(stage, state, rng).state
    return likeliest_poses(images, state, reach, rng)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", type=Path, required=True, help="PDB or mmCIF files")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["full"])
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    print(
        "| images | model | Å/px | poses: median, < 10° | from the truth | kept; junk kept | "
        "FSC 0.5, Å | verdict | min |\n" + "|---" * 9 + "|"
    )
    for name in arguments.sets:
        for path in arguments.models:
            label = path.name.split(".")[0]
            row = measure(path, name, folder / f"{label}_{name}", arguments)
            print(
                f"| {name} | {label} | {row['pixel']:.2f} | {row['median_deg']:.2f}°, "
                f"{100 * row['below_10']:.0f} % | {100 * row['at_best']:.0f} % | "
                f"{100 * row['kept']:.0f} %; {row['junk_kept']} of {row['junk']} | "
                f"{row['resolution']:.1f} | {row['verdict']} | {row['seconds'] / 60:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
