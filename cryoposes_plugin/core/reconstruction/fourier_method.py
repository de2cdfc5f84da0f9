"""Half maps and full map by direct Fourier inversion: images are streamed once, each half in a thread of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Iterator, Tuple

import numpy as np

from ...commands.reconstruct.inputs import Inputs
from ..errors import InputError
from ..fourier.ctf import ctf_values
from ..fourier.slices import SliceSampler, ctf_weighted
from ..parallel import number_of_cores
from ..progress import Progress
from .fourier_inversion import FourierGrid, Inversion


def fourier_maps(
    inputs: Inputs, *, symmetry: str, padding: int = 2, batch_size: int = 256, threads: int = 0
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(full map, half map 1, half map 2), each (D, D, D) float32.

    The result does not depend on the number of threads: a half is summed by one thread, in the order of its particles.

    Parameters
    ----------
    inputs : particles on one grid, with poses and half sets.
    symmetry : point group to impose.
    padding : how much finer than the images the Fourier volume is sampled.
    batch_size : number of images worked on at once.
    threads : 0 takes all cores.
    """
    progress, lock = Progress(len(inputs.table), "images", "reconstruct"), Lock()

    def add(half: int) -> FourierGrid:
        grid = FourierGrid(inputs.box_size_px, padding, symmetry)
        for rows, group in _batches(inputs, half, batch_size):
            _insert(grid, inputs, rows, group)
            with lock:
                progress.advance(len(rows))
        if not grid.sums[2].any():
            raise InputError(
                f"No image of half set {half} has any contrast; give images that hold particles."
            )
        return grid

    threads = threads or number_of_cores()
    inputs.images.grey.check()  # one thread measures what is usual, before two read
    with ThreadPoolExecutor(max_workers=min(threads, 2)) as pool:
        first, second = (Inversion(grid) for grid in pool.map(add, (1, 2)))
    full, half1, half2 = (
        sums.volume(workers=threads) for sums in (first.merged(second), first, second)
    )
    return full, half1, half2


def _batches(inputs: Inputs, half: int, batch_size: int) -> Iterator[Tuple[np.ndarray, int]]:
    """Rows of one half and one optics group."""
    for group in np.unique(inputs.table.optics_index):
        rows = np.flatnonzero((inputs.half == half) & (inputs.table.optics_index == group))
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size], int(group)


def _insert(grid: FourierGrid, inputs: Inputs, rows: np.ndarray, group: int) -> None:
    table = inputs.table
    sampler = SliceSampler(inputs.box_size_px, inputs.radius_px(group))
    images = inputs.images.read(rows)
    tells = inputs.images.grey.tells(rows)
    images, rows = images[tells], rows[tells]
    if not len(rows):
        return
    samples = sampler.transform(images, inputs.shifts_px[rows])
    ctf = None
    if table.ctf is not None:
        columns = {
            name: values.astype(np.float32) for name, values in vars(table.ctf.take(rows)).items()
        }
        ctf = ctf_values(*sampler.frequencies(inputs.pixel_size_angstrom), columns)
    numerator, weight = ctf_weighted(samples, ctf, table.optics[group].image_state)
    grid.insert(numerator, weight, inputs.rotations[rows], sampler)
