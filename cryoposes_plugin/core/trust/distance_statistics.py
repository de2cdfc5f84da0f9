"""What the distances of a network say of an image: how well they fit any rotation."""

from __future__ import annotations

from typing import Callable

import numpy as np

from ..recovery.references import rotations_from_references

#: Images of each half of the set to which distances are measured.
_LANDMARKS = 100


class DistanceStatistics:
    """Distances to images of the set whose rotations were recovered.

    An image is placed by images of the half of the set that it does not belong to, so that images of
    the set and decoys made of them stand alike.

    Parameters
    ----------
    features : (N, F) of the set.
    rotations : (N, 3, 3) recovered.
    distances : of (B, F) and (K, F) features, (B, K) in radians.
    seed : of halves and landmarks.
    """

    def __init__(
        self,
        features: np.ndarray,
        rotations: np.ndarray,
        distances: Callable[[np.ndarray, np.ndarray], np.ndarray],
        seed: int,
    ):
        order = np.random.default_rng([seed, 31]).permutation(len(features))
        self._half = np.zeros(len(features), np.int64)
        self._half[order[1::2]] = 1
        self._landmarks = [order[1::2][:_LANDMARKS], order[::2][:_LANDMARKS]]
        self._features, self._rotations, self._distances = features, rotations, distances

    def __call__(self, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(B, 4) residual of the placement, smallest and mean distance, and their spread, of images
        (B, F) that are, or are made of, the rows (B,) of the set.
        """
        found = np.zeros((len(features), 4))
        for half, landmarks in enumerate(self._landmarks):
            own = np.flatnonzero(self._half[rows] == half)
            if not len(own):
                continue

            d = self._distances(features[own], self._features[landmarks])
            _, residual = rotations_from_references(d, self._rotations[landmarks])
            found[own] = np.stack([residual, d.min(axis=1), d.mean(axis=1), d.std(axis=1)], axis=1)
        return found
