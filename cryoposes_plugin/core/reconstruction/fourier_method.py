"""Half maps and full map by direct Fourier inversion.

Images are streamed once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from tempfile import TemporaryFile
from typing import List, NamedTuple, Optional

import numpy as np

from ..errors import InputError
from ..fourier.ctf import ctf_values
from ..fourier.slices import SliceSampler, ctf_weighted
from ..needs import LARGEST_BATCH_PX, waits_in_file
from ..parallel import in_order, number_of_cores
from ..progress import Progress
from ..types import AnyPath
from .fourier_inversion import Inversion
from .half_set_sums import HalfSetSums
from .particles import ReconstructionParticles


class Maps(NamedTuple):
    """The map of all particles and those of the half sets, each (D, D, D) float32."""

    full: np.ndarray
    half1: np.ndarray
    half2: np.ndarray


class _Batch(NamedTuple):
    """Rows of one optics group, the group, and its sampler."""

    rows: np.ndarray
    group: int
    sampler: SliceSampler


class _Slices(NamedTuple):
    """The slices of images that have contrast: their rows, and what they add at the samples."""

    rows: np.ndarray
    numerator: np.ndarray
    weight: np.ndarray
    sampler: SliceSampler


def fourier_maps(
    particles: ReconstructionParticles,
    symmetry: str = "C1",
    *,
    padding: int = 2,
    batch_size: int = 256,
    threads: int = 0,
    scratch: Optional[AnyPath] = None,
) -> Maps:
    """Full map and half maps.

    Where the sums of both half sets take much memory, they are made one after the other, and those
    of the first are kept in a temporary file.

    Parameters
    ----------
    particles, symmetry, padding, batch_size, threads : see `fourier_sums`.
    scratch : folder for the temporary file; default: that of the system.

    Raises
    ------
    InputError : if no image of a half set has any contrast.
    """

    def sums(rows: Optional[np.ndarray] = None) -> HalfSetSums:
        return fourier_sums(
            particles, symmetry, rows, padding=padding, batch_size=batch_size, threads=threads
        )

    if not waits_in_file(particles.box_size_px, padding):
        return maps_of(sums(), threads)

    def inversion(half: int) -> Inversion:
        # The sums of the other half set are not touched, and take no memory.
        return _inversion(sums(np.flatnonzero(particles.half == half)), half)

    threads = threads or number_of_cores()
    with TemporaryFile(dir=scratch) as handle:
        first = inversion(1)
        half1 = first.volume(threads)
        first.save(handle)
        del first
        second = inversion(2)
        half2 = second.volume(threads)
        handle.seek(0)
        second.add_saved(handle)
    return Maps(second.volume(threads), half1, half2)


def fourier_sums(
    particles: ReconstructionParticles,
    symmetry: str = "C1",
    rows: Optional[np.ndarray] = None,
    *,
    padding: int = 2,
    batch_size: int = 256,
    threads: int = 0,
) -> HalfSetSums:
    """The Fourier sums of both half sets.

    The result does not depend on the number of threads: one thread sums a half set, in the order of
    its particles, while others prepare the next images.

    Parameters
    ----------
    particles : poses, images and half sets.
    symmetry : point group to impose; "C2 in D7": with the axes that it has in the other.
    rows : of the particles that are summed; default: all.
    padding : how much finer than the images the Fourier volume is sampled.
    batch_size : number of images per batch.
    threads : number of threads; 0: one per core.
    """
    rows = np.arange(len(particles)) if rows is None else rows
    progress = Progress(len(rows), "images", "reconstruct")
    sums = HalfSetSums(len(particles), particles.box_size_px, padding, symmetry)
    batches = _batches(particles, rows, batch_size)
    # Measured by one thread, before several read.
    particles.images.grey.check()

    with ThreadPoolExecutor(max_workers=2) as pool:
        for batch, slices in in_order(partial(_slices, particles), batches, threads):
            list(pool.map(partial(_insert, sums, particles, slices), (1, 2)))
            progress.advance(len(batch.rows))
    sums.found[rows] = particles.images.grey.found[rows]
    return sums


def maps_of(sums: HalfSetSums, threads: int = 0) -> Maps:
    """Full map and half maps; the sums are used up.

    Raises
    ------
    InputError : if no image of a half set has any contrast.
    """
    threads = threads or number_of_cores()
    first, second = (_inversion(sums, half) for half in (1, 2))
    half1, half2 = first.volume(threads), second.volume(threads)
    first.add(second)
    return Maps(first.volume(threads), half1, half2)


def _inversion(sums: HalfSetSums, half: int) -> Inversion:
    if not sums.of_half(half).sums[:, 2].any():
        raise InputError(
            f"No image of half set {half} has any contrast; give images that show particles."
        )
    return Inversion(sums.of_half(half))


def _images_at_once(box_size_px: int, batch_size: int) -> int:
    return max(1, min(batch_size, LARGEST_BATCH_PX // box_size_px**2))


def _batches(particles: ReconstructionParticles, rows: np.ndarray, batch_size: int) -> List[_Batch]:
    step = _images_at_once(particles.box_size_px, batch_size)
    groups = particles.table.optics_index[rows]
    found = []
    for group in np.unique(groups):
        mine = rows[groups == group]
        sampler = SliceSampler(particles.box_size_px, particles.nyquist_radius(group))
        for start in range(0, len(mine), step):
            found.append(_Batch(mine[start : start + step], int(group), sampler))
    return found


def _slices(particles: ReconstructionParticles, batch: _Batch) -> _Slices:
    """What the images of a batch add."""
    table, rows, sampler = particles.table, batch.rows, batch.sampler
    images = particles.images.read(rows)
    informative = particles.images.grey.informative(rows)
    images, rows = images[informative], rows[informative]
    if not len(rows):
        nothing = np.empty((0, len(sampler)), np.float32)
        return _Slices(rows, nothing.astype(np.complex64), nothing, sampler)

    samples = sampler.transform(images, particles.shifts_px[rows])

    ctf = None
    if table.ctf is not None:
        columns = {
            name: values.astype(np.float32) for name, values in vars(table.ctf.take(rows)).items()
        }
        ctf = ctf_values(*sampler.frequencies(particles.pixel_size_angstrom), columns)
    numerator, weight = ctf_weighted(samples, ctf, table.optics[batch.group].image_state)
    if particles.weights is not None:
        attenuation = particles.weights.relative_attenuation(
            rows, *sampler.frequencies(particles.pixel_size_angstrom)
        )
        numerator, weight = attenuation * numerator, attenuation**2 * weight
    return _Slices(rows, numerator, weight, sampler)


def _insert(
    sums: HalfSetSums, particles: ReconstructionParticles, slices: _Slices, half: int
) -> None:
    mine = particles.half[slices.rows] == half
    rotations = particles.rotations[slices.rows[mine]]
    sums.of_half(half).insert(
        slices.numerator[mine], slices.weight[mine], rotations, slices.sampler
    )
