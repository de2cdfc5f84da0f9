"""Every real stack through `refine`, or the sentence with which it stops; and whether the poses of
real particles hold beyond the resolution that they were refined at.

    python benchmarks/real_stacks.py --data FOLDER --folder OUT

FOLDER holds `images/` and `maps/` (see the developer documentation). The 100 particles of
beta-galactosidase are refined with detail down to --limit alone. Then the correlation of images and
reprojections is measured shell by shell, at these poses and, for chance, at those of the next
particles in the set. Errors are standard errors over the particles. Beyond the limit, the images had
no part in the poses.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
from pathlib import Path

import numpy as np

from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.core.errors import CryoposesError
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.likelihood.pose_likelihood import PoseLikelihood
from cryoposes_plugin.core.particles.batches import ParticleBatches
from cryoposes_plugin.core.particles.grids import working_grid
from cryoposes_plugin.core.particles.images import ResampledImages
from cryoposes_plugin.core.refinement.calibration import reprojections
from cryoposes_plugin.core.refinement.observations import observe

#: Particle file, map and point group.
STACKS = (
    ("betagal_exp_100_APPROX_poses.star", "betagal_D2_exp_100_3.54A.mrc.gz", "D2"),
    ("trpv1_exp_10_poses_ctf.star", "trpv1_C4_exp_48_4.88A.mrc", "C4"),
    ("ribosome50S_exp_7_ctf.star", "ribosome70S_C1_64_5.64A.mrc", "C1"),
    ("aspire_sample_17_relion.star", "ribosome70S_C1_64_5.64A.mrc", "C1"),
    ("betagal_exp_background_100_96_2.548A.mrcs", "betagal_D2_exp_100_3.54A.mrc.gz", "D2"),
    ("spider_nat_part_5_130.mrcs", "ribosome70S_C1_64_5.64A.mrc", "C1"),
    ("spider_data_5_130.mrcs", "ribosome70S_C1_64_5.64A.mrc", "C1"),
)
BANDS = ((60, 25), (25, 17), (17, 13.5), (13.4, 11), (11, 9), (9, 7.5))


def main() -> None:
    arguments = parse()
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    print("| particles | outcome |\n|---|---|")
    for star, volume, symmetry in STACKS:
        config = RefineConfig(
            particles=str(Path(arguments.data) / "images" / star),
            volume=str(plain(Path(arguments.data) / "maps" / volume, folder)),
            symmetry=symmetry,
            resolution_angstrom=arguments.limit if star.startswith("betagal_exp_100") else None,
            search_deg=arguments.search_deg if star.startswith("betagal_exp_100") else 0.0,
            threads=1,
        )
        print(f"| {star} | {outcome(config, folder / Path(star).stem)} |", flush=True)

    star, volume, _ = STACKS[0]
    print("\n| band [Å] | at the refined poses | at those of other particles |\n|---|---|---|")
    table = read_particles(folder / Path(star).stem / "particles.star", ("poses",))
    rows = correlations(table, plain(Path(arguments.data) / "maps" / volume, folder))
    for (coarse, fine), (own, other) in zip(BANDS, rows):
        print(f"| {coarse} to {fine} | {own} | {other} |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--limit", type=float, default=13.5, help="Å")
    parser.add_argument("--search-deg", type=float, default=8.0)
    return parser.parse_args()


def plain(path: Path, folder: Path) -> Path:
    """The map without compression."""
    if path.suffix != ".gz":
        return path
    out = folder / path.stem
    if not out.exists():
        with gzip.open(path, "rb") as source, open(out, "wb") as target:
            shutil.copyfileobj(source, target)
    return out


def outcome(config: RefineConfig, folder: Path) -> str:
    try:
        metrics = run_command(config, str(folder))
    except CryoposesError as error:
        return f"stops: {error}"
    return (
        f"{metrics['particles']} poses, median expected error "
        f"{metrics['median_expected_error_deg']:.1f}°; {metrics['notes'][0]}"
    )


def correlations(table, volume_path: Path) -> list:
    """For each band the correlation at the own poses and at other particles', as texts."""
    grid = working_grid(table)
    points = FourierPoints(grid.box_size_px)
    likelihood = PoseLikelihood(read_volume(volume_path), points, grid.pixel_size_angstrom)
    images = ResampledImages(table, grid.box_size_px, grid.pixel_size_angstrom)
    batch = ParticleBatches(table, images).read_batch(np.arange(len(table)))
    observed = observe(points, *batch, grid.pixel_size_angstrom)
    rotations = np.asarray(table.rotations)
    shifts = np.asarray(table.shifts_px) * images.scale[:, None]
    resolution = grid.field_of_view_angstrom / points.radius

    def correlation(turn: int) -> list:
        model = reprojections(
            likelihood, points, observed.modulation, np.roll(rotations, turn, axis=0), shifts
        )
        found = []
        for coarse, fine in BANDS:
            band = (resolution <= coarse) & (resolution > fine)
            a, b = model[:, band], observed.coefficients[:, band]
            product = (a.conj() * b).real.sum(axis=1)
            power = (np.abs(a) ** 2).sum(axis=1) * (np.abs(b) ** 2).sum(axis=1)
            values = product / np.sqrt(power)
            error = values.std() / np.sqrt(len(values))
            found.append(f"{values.mean():.4f} ± {error:.4f}")
        return found

    return list(zip(correlation(0), correlation(7)))


if __name__ == "__main__":
    main()
