"""The images of the search: few pixels, and a common field of view and scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from ..fourier.ctf import ctf_values
from ..fourier.points import FourierPoints
from ..fourier.slices import SliceSampler, ctf_weighted
from ..particles.batches import batches
from ..particles.images import ResampledImages
from ..refinement.observations import observe
from ..types import CtfTable

_READ_AT_ONCE = 1024


@dataclass(frozen=True)
class WorkingImages:
    """N images (N, D, D) float32 with their CTFs, if any, and the state of each (see
    `types.IMAGE_STATES`).
    """

    images: np.ndarray
    ctf: Optional[CtfTable]
    states: np.ndarray
    pixel_size_angstrom: float

    def __len__(self) -> int:
        return len(self.images)

    @property
    def box_size_px(self) -> int:
        return self.images.shape[1]

    def take(self, rows: np.ndarray) -> WorkingImages:
        ctf = None if self.ctf is None else self.ctf.take(rows)
        return WorkingImages(self.images[rows], ctf, self.states[rows], self.pixel_size_angstrom)

    def observations(self, points: FourierPoints, number: int) -> Tuple[np.ndarray, np.ndarray]:
        """Coefficients and modulation (see `refinement.observations`) at the first `number` points,
        each (N, P).
        """
        y = np.empty((len(self), number), np.complex64)
        c = np.empty((len(self), number), np.float32)
        for state, rows in self._by_state():
            ctf = None if self.ctf is None else self.ctf.take(rows)
            seen = observe(points, self.images[rows], ctf, state, self.pixel_size_angstrom)
            y[rows], c[rows] = seen.coefficients[:, :number], seen.modulation[:, :number]
        return y, c

    def samples(self, sampler: SliceSampler) -> Tuple[np.ndarray, np.ndarray]:
        """Contribution of each image to a reconstruction (see `fourier.slices.ctf_weighted`),
        without its shift.
        """
        numerator = np.empty((len(self), len(sampler)), np.complex64)
        weight = np.empty((len(self), len(sampler)), np.float32)
        for state, rows in self._by_state():
            ctf = None
            if self.ctf is not None:
                columns = {
                    name: values.astype(np.float32)
                    for name, values in vars(self.ctf.take(rows)).items()
                }
                ctf = ctf_values(*sampler.frequencies(self.pixel_size_angstrom), columns)
            plain = sampler.transform(self.images[rows], np.zeros((len(rows), 2)))
            numerator[rows], weight[rows] = ctf_weighted(plain, ctf, state)
        return numerator, weight

    def _by_state(self):
        for state in np.unique(self.states):
            yield str(state), np.flatnonzero(self.states == state)


def read_images(source: ResampledImages, rows: np.ndarray, scales: np.ndarray) -> WorkingImages:
    """Images of these rows of a table, each divided by its optics group's scale."""
    table = source.table.take(rows)
    images = np.empty((len(rows), source.box_size_px, source.box_size_px), np.float32)
    for part in batches(table, _READ_AT_ONCE):
        images[part] = source.read(rows[part]) / scales[table.optics_index[part[0]]]
    states = np.array([optics.image_state for optics in table.optics])[table.optics_index]
    return WorkingImages(images, table.ctf, states, source.pixel_size_angstrom)


def group_scales(source: ResampledImages, seed: int, sample: int = 256) -> np.ndarray:
    """Standard deviation of the images of each optics group, (groups,), since groups differ in
    scale.
    """
    table = source.table
    scales = np.ones(len(table.optics))
    for group in np.unique(table.optics_index):
        rows = np.random.default_rng([seed, int(group)]).permutation(
            np.flatnonzero(table.optics_index == group)
        )
        deviation = source.read(np.sort(rows[:sample])).std(axis=(1, 2))
        scales[group] = max(
            float(deviation[deviation > 0].mean()) if deviation.any() else 0.0, 1e-12
        )
    return scales
