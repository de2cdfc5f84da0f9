"""What beam tilt and anisotropic magnification cost, and whether modelling them brings it back.

    python benchmarks/optics.py --map MAP.mrc --snr 0.05 --number 500 --folder OUT

Simulates the same images without either, with a beam tilt, and with anisotropic magnification;
refines them from the true poses with what their optics groups say, and with these columns left out;
and reconstructs. Prints the angular and shift errors, and where the FSC with the map, in a sphere of
80 % of the box, falls below 0.5 and below 0.143.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from cryoposes_plugin.cli.main import main as cryoposes
from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.fourier.resampling import resample_volume
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.io.star_optics import shifts_as_recorded
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--snr", type=float, default=0.05)
    parser.add_argument("--box-size-px", type=int)
    parser.add_argument("--beam-tilt-mrad", type=float, nargs=2, default=(0.5, 0.0))
    parser.add_argument("--anisotropy", type=float, default=0.02)
    arguments = parser.parse_args()

    tilt = ("--beam-tilt-mrad", *arguments.beam_tilt_mrad)
    stretch = ("--magnification-anisotropy", arguments.anisotropy)
    for name, effect in (("neither", ()), ("tilt", tilt), ("anisotropy", stretch)):
        images = arguments.folder / name
        box = () if arguments.box_size_px is None else ("--box-size-px", arguments.box_size_px)
        run(
            "simulate", images, "--volume", arguments.map, "--number", arguments.number, "--snr",
            arguments.snr, "--seed", 1, *box, *effect,
        )  # fmt: skip
        measure(arguments.map, images / "particles.star", f"{name}, modelled")
        if effect:
            measure(arguments.map, without_columns(images), f"{name}, ignored")


def without_columns(images: Path) -> Path:
    """The particles without the columns of the optics groups that are not those of the CTF."""
    table = read_particles(images / "particles.star")
    optics = tuple(dataclasses.replace(group, extra={}) for group in table.optics)
    shifts = shifts_as_recorded(table)
    write_particles(images / "ignored.star", table.replace(optics=optics, shifts_px=shifts))
    return images / "ignored.star"


def measure(map_path: Path, star: Path, name: str) -> None:
    """Refine from the true poses, reconstruct, and print one line."""
    truth = read_particles(star)
    folder = star.parent / star.stem
    box = int(truth.box_size_px.max())
    whole = ("--working-box-px", box)
    run("refine", folder / "refined", "--particles", star, "--volume", map_path, *whole)
    refined = folder / "refined" / "particles.star"
    run("reconstruct", folder / "map", "--particles", refined)
    run("reconstruct", folder / "true", "--particles", star)

    found = read_particles(refined)
    error = np.rad2deg(angular_distance_rad(found.rotations, truth.rotations))
    moved = np.linalg.norm(found.shifts_px - truth.shifts_px, axis=1) * truth.pixel_size_angstrom
    fsc = " / ".join(
        "{:.2f} {:.2f}".format(*resolutions(folder / kind / "volume.mrc", map_path))
        for kind in ("map", "true")
    )
    print(
        f"{name}: median {np.median(error):.3f} deg, 90 % {np.quantile(error, 0.9):.3f} deg; shift "
        f"{np.median(moved):.3f} Å; FSC 0.5 and 0.143 at (refined / true poses) {fsc} Å",
        flush=True,
    )


def resolutions(volume_path: Path, map_path: Path) -> list:
    """Å at which the FSC with the map falls below 0.5 and below 0.143."""
    volume, truth = read_volume(volume_path), read_volume(map_path)
    box, pixel = volume.box_size_px, volume.pixel_size_angstrom
    data = resample_volume(truth.data, truth.pixel_size_angstrom, box, pixel)
    mask = soft_sphere(box, 0.4 * box)
    curve = fourier_shell_correlation(volume.data * mask, data * mask)[: box // 2]
    at = []
    for threshold in (0.5, 0.143):
        below = np.flatnonzero(curve[1:] < threshold)
        shell = box / 2 if not len(below) else below[0] + 1
        if len(below) and shell > 1:
            high, low = curve[shell - 1], curve[shell]
            shell = shell - 1 + (high - threshold) / (high - low)
        at.append(box * pixel / shell)
    return at


def run(command: str, output: Path, *options) -> None:
    if not (output / "metrics.json").exists():
        status = cryoposes([str(a) for a in (command, "--output", output, *options)])
        if status:
            raise SystemExit(status)


if __name__ == "__main__":
    main()
