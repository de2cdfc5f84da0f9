"""The same particle picked twice: two boxes of one micrograph, a few pixels apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..draws import DUPLICATES, Seed, stream
from ..junk import moved_by


class Duplicates(NamedTuple):
    """source : (N,) the image whose particle each image shows, itself unless it is a duplicate.
    step_px : (N, 2) whole pixels (x, y) by which all that is seen is displaced from the source.
    """

    source: np.ndarray
    step_px: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Images that are duplicates."""
        return np.flatnonzero(self.source != np.arange(len(self.source)))


def draw_duplicates(
    fraction: float, micrograph: np.ndarray, deviation_px: float, seed: Seed
) -> Duplicates:
    """Some images become duplicates of others on the same micrograph.

    Parameters
    ----------
    fraction : of duplicates among the images; fewer where a micrograph holds a single image.
    micrograph : (N,) number of the micrograph of each image.
    deviation_px : standard deviation of the steps, along x and y.
    seed : of the draw.
    """
    n, rng = len(micrograph), stream(seed, DUPLICATES)
    chosen = rng.permutation(n)[: round(fraction * n)]
    step = np.rint(rng.normal(0, deviation_px, (n, 2))).astype(np.int64)
    is_source = np.ones(n, dtype=bool)
    is_source[chosen] = False

    sources = np.flatnonzero(is_source)
    sources = sources[np.argsort(micrograph[sources], kind="stable")]
    own = micrograph[sources]
    first, last = (np.searchsorted(own, micrograph[chosen], side) for side in ("left", "right"))
    place = first + np.floor(rng.random(len(chosen)) * (last - first)).astype(np.int64)
    found = last > first
    source = np.arange(n)
    source[chosen[found]] = sources[place[found]]
    step[source == np.arange(n)] = 0
    return Duplicates(source, step)


def noise_of_duplicates(own: np.ndarray, of_source: np.ndarray, step_px: np.ndarray) -> np.ndarray:
    """(B, D, D) the noise of the source, moved, and noise of the image where the source has none.

    Parameters
    ----------
    own, of_source : (B, D, D) noise.
    step_px : (B, 2) of the images.
    """
    pairs = zip(of_source, own, step_px)
    return np.stack([moved_by(noise, int(x), int(y), new) for noise, new, (x, y) in pairs])
