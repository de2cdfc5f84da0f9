"""Whether protein is white, as images and maps tell by themselves: the numbers that
`core.io.contrast` goes by.

    python benchmarks/contrast.py --data FOLDER [--number 300]

FOLDER holds `images/` and `maps/` (see the developer documentation). Prints the table of
`docs/benchmarks.md`: simulated images of every map at several SNRs, the real sets as they are, and
the maps themselves.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cryoposes_plugin.core.fourier.ctf import pack_ctf
from cryoposes_plugin.core.fourier.resampling import resample_volume
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.forward_model import ForwardModel
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.particles.contrast import image_contrast, map_contrast
from cryoposes_plugin.core.particles.grey_values import GreyValues
from cryoposes_plugin.core.particles.images import ParticleImages
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable, Volume

SNRS = (3.0, 0.1, 0.02)
LARGEST_BOX = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--number", type=int, default=300, help="Simulated images of a map.")
    arguments = parser.parse_args()
    print(
        "| images | SNR | number | brightness over scatter | standard errors | inverted |\n"
        + "|---|"
        + "---|" * 5
    )
    maps = cubic_maps(arguments.data / "maps")
    for name, volume in maps.items():
        clean, table = simulated(volume, arguments.number)
        for snr in SNRS:
            noise = np.random.default_rng(1).normal(0, clean.std() / np.sqrt(snr), clean.shape)
            images = (clean + noise).astype(np.float32)
            row(
                name,
                f"{snr:g}",
                table,
                GreyValues(table, lambda rows, images=images: images[rows].copy()),
            )
    for star in sorted((arguments.data / "images").glob("*.star")):
        table = read_particles(star)
        row(star.stem, "real", table, GreyValues(table, ParticleImages(table).read))
    print("\n| map | inside less border, in standard deviations | skewness |\n|---|---|---|")
    for name, volume in maps.items():
        difference, skewness = map_contrast(volume.data)
        print(f"| {name} | {difference:.2f} | {skewness:.2f} |")


def cubic_maps(folder: Path):
    found = {
        path.name: read_volume(path)
        for path in sorted(folder.iterdir())
        if not path.name.startswith("5")
    }
    found["a hollow shell"] = shell()
    return {name: volume for name, volume in found.items() if "_128_" not in name}


def shell(box: int = 64, pixel_size_angstrom: float = 6.0) -> Volume:
    """As a virus that fills its box."""
    axis = np.arange(box) - box // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return Volume(
        np.exp(-(((radius - 0.42 * box) / 2) ** 2)).astype(np.float32), pixel_size_angstrom
    )


def simulated(volume: Volume, number: int):
    """(N, D, D) images without noise at random poses, shifts of 1.5 px, and their table."""
    rng = np.random.default_rng(0)
    box = min(LARGEST_BOX, volume.box_size_px // 2 * 2)
    pixel = volume.pixel_size_angstrom * volume.box_size_px / box
    defocus, one = rng.uniform(8000, 25000, number), np.ones(number)
    ctf = CtfTable(
        defocus + 200, defocus - 200, 30 * one, 0 * one, 300 * one, 2.7 * one, 0.1 * one, 0 * one
    )
    data = resample_volume(volume.data, volume.pixel_size_angstrom, box, pixel)
    model = ForwardModel([Volume(data, pixel)], box, pixel)
    rotations, shifts = random_rotations(number, rng), rng.normal(0, 1.5, (number, 2))
    packed = pack_ctf(ctf)
    images = model.images(
        np.zeros(number, np.int32), rotations.astype("f4"), shifts.astype("f4"), packed
    ).numpy()
    zero = np.zeros(number, int)
    optics = (OpticsGroup("simulated", pixel, box, 300.0, 2.7, 0.1),)
    return images, ParticleTable(
        np.arange(number) + 1, (Path("none"),), zero, np.arange(number), optics, zero, ctf=ctf
    )


def row(name: str, snr: str, table: ParticleTable, grey: GreyValues) -> None:
    found = image_contrast(table, grey, 0)
    verdict = "yes" if found.inverted else "no"
    print(
        f"| {name} | {snr} | {found.number} | {found.effect:.2f} | {found.significance:.1f} | "
        f"{verdict} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
