"""Which symmetry mate a particle has, when one subunit carries a ligand: share of right mates and
their predicted probability.

    python benchmarks/pseudo_symmetry.py --map trpv1_C4_exp_48_4.88A.mrc --group C4 --ligand 0.05
    --snr 0.1 --number 2000 --folder OUT

The map is averaged over the group, and a ball with the given share of its mass is placed beside one
subunit. Poses are the true ones at a random mate, 1° off. Rows: `relax-symmetry` with the map that
the images are made of; with one whose asymmetric part is mostly noise; with a symmetric map
(probabilities are to be 1 / n); and from the images. Calibration: particles in four classes of the
predicted probability, share of right mates in each. From the images, mates are counted up to one
operation for all particles.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from cryoposes_plugin.commands.relax_symmetry.config import RelaxSymmetryConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.core.fourier.filters import low_pass
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.subgroups import Cosets, cosets
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.pseudosymmetry.split_maps import group_average
from cryoposes_plugin.core.scores import MATE_PROBABILITY
from cryoposes_plugin.core.types import ParticleTable

CLASSES = (0.0, 0.5, 0.75, 0.95, 1.001)


def main() -> None:
    arguments = parse()
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    mates = cosets(arguments.group, arguments.subgroup)
    make_maps(arguments, mates, folder)
    true = make_images(arguments, folder)
    write_start(true, mates, folder, arguments.seed)
    print("| map | right | predicted | amplitude | bits | agreement of halves | by class |")
    print("|---|---|---|---|---|---|---|")
    for name, volume, source in (
        ("true", "broken.mrc", "volume"),
        ("noisy", "noisy.mrc", "volume"),
        ("wrong", "wrong.mrc", "volume"),
        ("from the images", "symmetric.mrc", "images"),
    ):
        if name in arguments.skip:
            continue
        config = RelaxSymmetryConfig(
            particles=str(folder / "modulo.star"),
            volume=str(folder / volume),
            pseudo_symmetry=arguments.group,
            symmetry=arguments.subgroup,
            asymmetry_from=source,
            search_resolution_angstrom=arguments.search_resolution,
            threads=arguments.threads,
        )
        out = folder / name.replace(" ", "_")
        metrics = run_command(config, out)
        print("| " + " | ".join([name, *row(out, true, mates, metrics)]) + " |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True)
    parser.add_argument("--group", default="C4")
    parser.add_argument("--subgroup", default="C1")
    parser.add_argument("--ligand", type=float, default=0.05, help="share of the mass")
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--number", type=int, default=2000)
    parser.add_argument("--search-resolution", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--skip", nargs="*", default=[])
    parser.add_argument("--folder", required=True)
    return parser.parse_args()


def make_maps(arguments: argparse.Namespace, mates: Cosets, folder: Path) -> None:
    """symmetric.mrc, broken.mrc with the ligand, noisy.mrc with as much noise as ligand in its
    asymmetric part, wrong.mrc with noise alone.
    """
    volume = read_volume(arguments.map)
    pixel = volume.pixel_size_angstrom
    data = group_average(low_pass(volume.data, pixel, max(10.0, 2.05 * pixel)), mates.group)
    data /= data.std()
    ball = group_average(ligand(data, pixel, arguments.ligand), mates.subgroup)
    noise = np.random.default_rng(1).standard_normal(data.shape).astype(np.float32)
    noise = low_pass(noise, pixel, 15.0)
    noise *= ball.std() / noise.std()
    for name, part in (
        ("symmetric", 0 * ball),
        ("broken", ball),
        ("noisy", ball + noise),
        ("wrong", noise),
    ):
        write_volume(folder / f"{name}.mrc", data + part, pixel)


def ligand(data: np.ndarray, pixel: float, share: float) -> np.ndarray:
    """A ball at the rim of the particle in the plane where it is widest, 20° from x."""
    box = data.shape[0]
    z, y, x = np.indices(data.shape) - box // 2
    smooth = ndimage.gaussian_filter(data, 1)
    inside = smooth > 0.25 * np.percentile(smooth, 99.5)
    radius = np.hypot(x, y)
    height = int(np.argmax([np.where(inside[k], radius[k], 0).max() for k in range(box)]))
    along = np.array([np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))])
    ahead, aside = x * along[0] + y * along[1], np.abs(-x * along[1] + y * along[0])
    rim = ahead[inside & (np.abs(z - height + box // 2) <= 1) & (aside <= 1.5)].max()
    centre = (*((rim + 1) * along), height - box // 2)
    apart = np.sqrt(sum((a - c) ** 2 for a, c in zip((x, y, z), centre)))
    ball = ndimage.gaussian_filter((apart <= 15.0 / pixel).astype(np.float32), 1.0)
    return ball * (share * np.where(inside, data, 0).sum() / ball.sum())


def make_images(arguments: argparse.Namespace, folder: Path) -> ParticleTable:
    config = SimulateConfig(
        volume=(str(folder / "broken.mrc"),),
        number=arguments.number,
        snr=arguments.snr,
        seed=arguments.seed,
    )
    run_command(config, folder / "images")
    return read_particles(folder / "images/particles.star", ("poses",))


def write_start(true: ParticleTable, mates: Cosets, folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mate = rng.integers(len(mates), size=len(true))
    off = Rotation.from_rotvec(np.deg2rad(1.0) * rng.standard_normal((len(true), 3))).as_matrix()
    start = off @ np.asarray(true.rotations) @ mates.representatives[mate]
    write_particles(folder / "modulo.star", true.replace(rotations=start))


def row(folder: Path, true: ParticleTable, mates: Cosets, metrics: dict) -> list:
    found = read_particles(folder / "particles.star", ("poses",))
    rights = []
    for g in mates.representatives:
        equivalent = np.asarray(found.rotations)[:, None] @ (g @ mates.subgroup)
        apart = angular_distance_rad(equivalent, np.asarray(true.rotations)[:, None]).min(axis=1)
        every = np.asarray(found.rotations)[:, None] @ mates.group
        nearest = angular_distance_rad(every, np.asarray(true.rotations)[:, None]).min(axis=1)
        rights.append(apart < nearest + 1e-6)
    right = rights[0] if metrics["rounds"] == 0 else max(rights, key=np.mean)
    predicted = found.scores[MATE_PROBABILITY]
    classes = []
    for low, high in zip(CLASSES, CLASSES[1:]):
        some = (predicted >= low) & (predicted < high)
        if some.any():
            classes.append(f"{predicted[some].mean():.2f}: {right[some].mean():.2f} ({some.sum()})")
    return [
        f"{right.mean():.3f}",
        f"{predicted.mean():.3f}",
        f"{metrics['asymmetry_amplitude']:.2f} ({metrics['asymmetry_significance']:.1f} sigma)",
        f"{metrics['information_bits']:.2f}",
        f"{metrics['half_set_correlation']:.2f} in {metrics['rounds']} rounds",
        "; ".join(classes),
    ]


if __name__ == "__main__":
    main()
