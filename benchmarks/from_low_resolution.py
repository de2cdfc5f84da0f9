"""From a map cut at 40 Å to the resolution of true poses: a network that has seen only the cut map,
then `iterate`.

    python benchmarks/from_low_resolution.py --map ribosome70S_C1_64_5.64A.mrc --snr 0.4 --minutes 8
    --folder OUT

Prints the rounds, and the FSC with the true map, shell by shell, beside that of a reconstruction
from the true poses: unmasked both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cryoposes_plugin.commands.iterate.config import IterateConfig
from cryoposes_plugin.commands.reconstruct.config import ReconstructConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.fourier.filters import low_pass
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation


def main() -> None:
    arguments = parse()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    volume = read_volume(arguments.map)
    cut = str(folder / "cut.mrc")
    write_volume(
        cut,
        low_pass(volume.data, volume.pixel_size_angstrom, arguments.low_pass),
        volume.pixel_size_angstrom,
    )
    run_command(
        SimulateConfig(
            volume=(arguments.map,), number=arguments.number, snr=arguments.snr, seed=11
        ),
        folder / "sim",
    )
    star = str(folder / "sim/particles.star")
    # the noise is measured on the images: against the cut map an SNR would mean something else
    trained = run_command(
        TrainConfig(volume=(cut,), like=star, minutes=arguments.minutes), folder / "net"
    )
    iterated = run_command(
        IterateConfig(
            volume=cut,
            particles=star,
            model=str(folder / "net/model"),
            low_pass_angstrom=arguments.low_pass,
        ),
        folder / "iterate",
    )
    run_command(ReconstructConfig(particles=star), folder / "true")
    truth, found = read_particles(star), read_particles(folder / "iterate/particles.star")
    errors = np.rad2deg(angular_distance_rad(found.rotations, truth.rotations))
    print(
        f"training {trained['images_seen']:,} images, {trained['seconds']:.0f} s; "
        f"iterate {iterated['seconds']:.0f} s; poses {np.median(errors):.3f}° (median), "
        f"{100 * (errors < 5).mean():.1f} % within 5°"
    )
    for name, value in iterated.items():
        print(f"{name}: {value}")
    curves = [
        fourier_shell_correlation(read_volume(folder / path / "volume.mrc").data, volume.data)
        for path in ("iterate", "true")
    ]
    print("| Å | iterated | true poses | difference |\n|---|---|---|---|")
    for shell in range(1, volume.box_size_px // 2):
        angstrom = volume.box_size_px * volume.pixel_size_angstrom / shell
        a, b = (curve[shell] for curve in curves)
        print(f"| {angstrom:.1f} | {a:.4f} | {b:.4f} | {a - b:+.4f} |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True)
    parser.add_argument("--number", type=int, default=5000)
    parser.add_argument("--snr", type=float, default=0.4)
    parser.add_argument("--low-pass", type=float, default=40.0, help="Å")
    parser.add_argument("--minutes", type=float, default=8.0, help="Of training.")
    parser.add_argument("--folder", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
