"""Images that do not flatter: what the STAR file says of them, and the map they are refined
against, is not quite true.

    python benchmarks/harder_images.py --map ribosome70S_C1_128_2.82A.mrc --box 64 --pixel 5.64
    --snr 0.1 --output OUT

The images are exact slices (finufft) of a map on a finer grid than the reference; noise is
coloured; pixel size and defocus are not those that the file states, and the signal's scale differs
from particle to particle. Then

    python benchmarks/poses.py --map ribosome70S_C1_64_5.64A.mrc --particles OUT/particles.star
    --snr 0.1 --folder OUT
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import finufft
import numpy as np
import scipy.fft

from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.simulate.faults import draw
from cryoposes_plugin.commands.simulate.inputs import (
    SimulationInputs,
    particle_diameter_angstrom,
)
from cryoposes_plugin.commands.simulate.table import particle_table
from cryoposes_plugin.core.fourier.ctf import ctf_values, frequency_grid
from cryoposes_plugin.core.fourier.masks import circular_mask
from cryoposes_plugin.core.imaging.noise import normalise_background, simulate_noise
from cryoposes_plugin.core.io.mrc import read_volume, write_stack
from cryoposes_plugin.core.io.particle_files import write_particles
from cryoposes_plugin.core.types import Volume

#: Width of the Gaussian that half of the noise's power is blurred with.
NOISE_CORRELATION_PX = 1.0


def main() -> None:
    arguments = parse()
    config = SimulateConfig(
        volume=(arguments.map,), number=arguments.number, snr=arguments.snr, seed=arguments.seed
    )
    volume = read_volume(arguments.map)
    inputs = SimulationInputs((volume,), arguments.box, arguments.pixel, None, None)
    drawn = draw(config, inputs)
    signal = true_signal(arguments, volume, drawn)
    variance = signal.reshape(len(signal), -1).var(axis=1).mean() / arguments.snr
    rng = np.random.default_rng([7, arguments.seed])
    scale = rng.lognormal(
        -0.5 * arguments.scale_spread**2, arguments.scale_spread, (len(signal), 1, 1)
    )
    noise = simulate_noise(
        arguments.seed, np.arange(len(signal)), arguments.box, NOISE_CORRELATION_PX
    )
    mask = circular_mask(
        arguments.box,
        particle_diameter_angstrom(config, arguments.box, arguments.pixel) / 2 / arguments.pixel,
    )
    images = normalise_background(scale * signal + np.sqrt(variance) * noise, mask)
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_stack(arguments.output / "particles.mrcs", images, arguments.pixel)
    write_particles(
        arguments.output / "particles.star",
        particle_table(arguments.output / "particles.mrcs", inputs, drawn),
    )
    print(f"SNR in the mask: {signal[:, mask].var(axis=1).mean() / variance:.3f}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True, help="Map on the finer grid.")
    parser.add_argument("--box", type=int, required=True, help="Box of the images, px.")
    parser.add_argument(
        "--pixel", type=float, required=True, help="Pixel size that the STAR file states, Å."
    )
    parser.add_argument("--number", type=int, default=5000)
    parser.add_argument("--snr", type=float, required=True)
    parser.add_argument(
        "--pixel-error", type=float, default=0.01, help="The true pixel is larger by this share."
    )
    parser.add_argument("--defocus-error", type=float, default=300.0, help="Standard deviation, Å.")
    parser.add_argument(
        "--scale-spread", type=float, default=0.2, help="Of the logarithm of the signal's scale."
    )
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def true_signal(arguments: argparse.Namespace, volume: Volume, drawn) -> np.ndarray:
    """(N, D, D) float32: slices with shift and CTF at the true pixel size and defocus."""
    box, pixel = arguments.box, arguments.pixel * (1 + arguments.pixel_error)
    rng = np.random.default_rng([8, arguments.seed])
    defocus_error = rng.normal(0, arguments.defocus_error, len(drawn.rotations))
    ctf = dataclasses.replace(
        drawn.ctf,
        defocus_u_angstrom=drawn.ctf.defocus_u_angstrom + defocus_error,
        defocus_v_angstrom=drawn.ctf.defocus_v_angstrom + defocus_error,
    )
    x, y = frequency_grid(box, pixel)
    inside = np.hypot(x, y) < 0.5 / pixel
    spectra = np.zeros((len(drawn.rotations), *x.shape), np.complex64)
    for start in range(0, len(spectra), 250):
        rows = slice(start, start + 250)
        slices = exact_slices(volume, drawn.rotations[rows], x[inside], y[inside])
        # the displacement of the particle and the centre D // 2
        origin = (drawn.shifts_px[rows] * arguments.pixel / pixel + box // 2) * pixel
        slices *= np.exp(-2j * np.pi * (origin[:, :1] * x[inside] + origin[:, 1:] * y[inside]))
        spectra[rows, inside] = slices * ctf_values(x[inside], y[inside], ctf.take(rows))
    return scipy.fft.irfft2(spectra, s=(box, box), workers=-1).astype(np.float32)


def exact_slices(volume: Volume, rotations: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(B, P) complex: the volume's transform about its centre at A^T (x, y, 0); frequencies in 1/Å."""
    points = (
        np.einsum("nij,ik->njk", rotations[:, :2], np.stack([x, y]))
        * 2
        * np.pi
        * volume.pixel_size_angstrom
    )
    flat = [np.ascontiguousarray(points[:, axis].ravel()) for axis in range(3)]
    data = np.ascontiguousarray(volume.data.transpose(2, 1, 0), dtype=np.complex128)
    return finufft.nufft3d2(*flat, data, isign=-1, eps=1e-6).reshape(len(rotations), -1)


if __name__ == "__main__":
    main()
