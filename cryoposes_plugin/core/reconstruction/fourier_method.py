"""Half maps and full map by direct Fourier inversion.

Images are streamed once, and each half set has its own thread.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Iterator, NamedTuple, Tuple

import numpy as np

from ..errors import InputError
from ..fourier.ctf import ctf_values
from ..fourier.slices import SliceSampler, ctf_weighted
from ..parallel import number_of_cores
from ..progress import Progress
from .fourier_inversion import FourierGrid, Inversion
from .particles import ReconstructionParticles


class Maps(NamedTuple):
    """The map of all particles and those of the half sets, each (D, D, D) float32."""

    full: np.ndarray
    half1: np.ndarray
    half2: np.ndarray


def fourier_maps(
    particles: ReconstructionParticles,
    symmetry: str = "C1",
    *,
    padding: int = 2,
    batch_size: int = 256,
    threads: int = 0,
) -> Maps:
    """Full map and half maps.

    The result does not depend on the number of threads: one thread sums a half set, in the order of
    its particles.

    Parameters
    ----------
    particles : poses, images and half sets.
    symmetry : point group to impose.
    padding : how much finer than the images the Fourier volume is sampled.
    batch_size : number of images per batch.
    threads : number of threads; 0: one per core.

    Raises
    ------
    InputError : if no image of a half set has any contrast.
    """
    progress, lock = Progress(len(particles), "images", "reconstruct"), Lock()

    def add(half: int) -> FourierGrid:
        grid = FourierGrid(particles.box_size_px, padding, symmetry)
        for rows, group in _batches(particles, half, batch_size):
            _insert(grid, particles, rows, group)
            with lock:
                progress.advance(len(rows))
        if not grid.sums[2].any():
            raise InputError(
                f"No image of half set {half} has any contrast; give images that show particles."
            )
        return grid

    threads = threads or number_of_cores()
    # Measured by one thread, before two read.
    particles.images.grey.check()
    with ThreadPoolExecutor(max_workers=min(threads, 2)) as pool:
        first, second = (Inversion(grid) for grid in pool.map(add, (1, 2)))

    return Maps(first.merged(second).volume(threads), first.volume(threads), second.volume(threads))


def _batches(
    particles: ReconstructionParticles, half: int, batch_size: int
) -> Iterator[Tuple[np.ndarray, int]]:
    """Rows of one half set and one optics group, and the group."""
    groups = particles.table.optics_index
    for group in np.unique(groups):
        rows = np.flatnonzero((particles.half == half) & (groups == group))
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size], int(group)


def _insert(
    grid: FourierGrid, particles: ReconstructionParticles, rows: np.ndarray, group: int
) -> None:
    table = particles.table
    sampler = SliceSampler(particles.box_size_px, particles.nyquist_radius(group))
    images = particles.images.read(rows)
    informative = particles.images.grey.informative(rows)
    images, rows = images[informative], rows[informative]
    if not len(rows):
        return

    samples = sampler.transform(images, particles.shifts_px[rows])
    ctf = None
    if table.ctf is not None:
        columns = {
            name: values.astype(np.float32) for name, values in vars(table.ctf.take(rows)).items()
        }
        ctf = ctf_values(*sampler.frequencies(particles.pixel_size_angstrom), columns)
    numerator, weight = ctf_weighted(samples, ctf, table.optics[group].image_state)
    if particles.weights is not None:
        attenuation = particles.weights.relative_attenuation(
            rows, *sampler.frequencies(particles.pixel_size_angstrom)
        )
        numerator, weight = attenuation * numerator, attenuation**2 * weight
    grid.insert(numerator, weight, particles.rotations[rows], sampler)
