"""Noise with the spectrum of given images."""

from __future__ import annotations

import numpy as np

from ...errors import InputError
from ...fourier.shells import shell_index, shell_means, squared_frequencies
from ...particles.grids import Grid, common_grid
from ...particles.images import ResampledImages
from ...types import ParticleTable
from ..background import background_spectrum


def noise_amplitude_like(table: ParticleTable, grid: Grid, seed: int) -> np.ndarray:
    """(D, D // 2 + 1) amplitude that gives white noise on a grid the spectrum of a set's background.

    The spectrum is measured outside the circle in the box of the set, as a function of the
    frequency in 1/Å. Frequencies beyond those of the set have the power of its finest.

    Parameters
    ----------
    table : particles whose images are read.
    grid : of the noise.
    seed : of the sample of images.

    Raises
    ------
    InputError : images that were multiplied by their CTF, or show no noise.
    """
    if any(group.image_state == "ctf-premultiplied" for group in table.optics):
        raise InputError(
            "The images whose noise is imitated were multiplied by their CTF, and so was their "
            "noise; give the images as they were recorded."
        )
    given = common_grid(table)
    images = ResampledImages(table, *given)
    power = background_spectrum(images, given.field_of_view_angstrom, seed, option="another set")
    return amplitude_on(power, given, grid)


def amplitude_on(power: np.ndarray, given: Grid, grid: Grid) -> np.ndarray:
    """Isotropic power (D, D) in the order of `fftfreq` on a given grid -> amplitude of mean square 1
    on the half plane (D, D // 2 + 1) of another.
    """
    shells = given.box_size_px // 2 + 1
    profile = shell_means(power, shell_index(given.box_size_px, 2, half=False), shells)
    known = np.arange(shells) / given.field_of_view_angstrom
    wanted = np.sqrt(squared_frequencies(grid.box_size_px, 2, half=False))
    new = np.interp(wanted / grid.field_of_view_angstrom, known, profile)
    return np.sqrt(new / new.mean())[:, : grid.box_size_px // 2 + 1].astype(np.float32)
