"""Refinement with each cubic point group: from poses 4° off at a random mate, and from the truth.

    python benchmarks/point_groups.py --groups T O I1 I2 I3 I4 --snr 0.1 --number 300 --folder OUT

The map is the synthetic molecule, off the centre, averaged over the group. Errors are modulo the
group.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.core.geometry.symmetry import symmetric_distance_rad, symmetry_rotations
from cryoposes_plugin.core.io.folder import Folder
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.particles.grids import working_grid
from cryoposes_plugin.core.pseudosymmetry.split_maps import group_average
from cryoposes_plugin.core.refinement.multi_start import Settings
from cryoposes_plugin.core.refinement.refinement import Refinement, refine_all
from cryoposes_plugin.core.refinement.starts import GivenStarts

BOX, PIXEL, SMALLER, ALONG = 64, 5.0, 0.45, (0.35, 0.2, 0.9)


def main() -> None:
    arguments = parse()
    print("| group | from 4° off | from the truth | ratio | within 5° |\n|---|---|---|---|---|")
    for group in arguments.groups:
        print("| " + " | ".join(row(arguments, group)) + " |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--groups", nargs="+", default=["T", "O", "I1", "I2", "I3", "I4"])
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--off-deg", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", required=True)
    return parser.parse_args()


def row(arguments: argparse.Namespace, name: str) -> list:
    folder, group = Path(arguments.folder) / name, symmetry_rotations(name)
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / "map.mrc", symmetric_map(group), PIXEL)
    config = SimulateConfig(
        volume=(str(folder / "map.mrc"),), number=arguments.number, snr=arguments.snr, seed=3
    )
    run_command(config, folder / "images")
    true = read_particles(folder / "images/particles.star", ("poses",))

    rng, rotations = np.random.default_rng(5), np.asarray(true.rotations)
    axes = rng.standard_normal(rotations.shape[:2])
    axes *= np.deg2rad(arguments.off_deg) / np.linalg.norm(axes, axis=1, keepdims=True)
    mate = group[rng.integers(len(group), size=len(true))]
    starts = {"off": Rotation.from_rotvec(axes).as_matrix() @ rotations @ mate, "true": rotations}
    errors = {}
    for what, start in starts.items():
        (folder / what).mkdir(exist_ok=True)
        refinement = Refinement(
            true,
            read_volume(folder / "map.mrc"),
            working_grid(true),
            GivenStarts(start, np.asarray(true.shifts_px)),
            group,
            Settings(search_shift_px=0.0),
            threads=arguments.threads,
        )
        refined = refine_all(refinement, Folder(folder / what), 256, 0).refined
        errors[what] = np.rad2deg(symmetric_distance_rad(refined.rotations, rotations, group))
    off, truth = (float(np.median(errors[what])) for what in ("off", "true"))
    within = float((errors["off"] < 5).mean())
    return [name, f"{off:.3f}°", f"{truth:.3f}°", f"{off / truth:.3f}", f"{100 * within:.1f} %"]


def symmetric_map(group: np.ndarray) -> np.ndarray:
    """The molecule, made smaller and moved off the axes, at all mates."""
    centre = np.full(3, BOX // 2)
    away = np.array(ALONG) / np.linalg.norm(ALONG) * 0.24 * BOX
    small = ndimage.affine_transform(
        make_phantom(BOX, PIXEL, seed=3).data,
        np.eye(3) / SMALLER,
        offset=centre - (centre + away) / SMALLER,
        order=3,
    )
    data = group_average(small, group)
    return (data / data.std()).astype(np.float32)


if __name__ == "__main__":
    main()
