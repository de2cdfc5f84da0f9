"""How far each image is from the bulk of its set: a robust Mahalanobis distance (the concentration
steps of Rousseeuw and Van Driessen 1999), relative to defocus.
"""

from __future__ import annotations

import numpy as np

#: Share of the set that the bulk is made of, and concentration steps.
_SHARE, _STEPS = 0.5, 10
#: Where the steps begin: squared deviations in median absolute deviations, up to this many.
_FURTHEST = 10.0
_TINY = 1e-9


class Bulk:
    """Location and shape of the half of a set that lies closest together.

    Parameters
    ----------
    values : (N, F) of the set.
    defocus : (N,) the location is a parabola in it.
    """

    def __init__(self, values: np.ndarray, defocus: np.ndarray):
        from sklearn.covariance import LedoitWolf

        self._middle, self._width = defocus.mean(), defocus.std() + _TINY
        deviation = np.abs(values - np.median(values, axis=0))
        scaled = deviation / (np.median(deviation, axis=0) + _TINY)
        cost = (np.minimum(scaled, _FURTHEST) ** 2).mean(axis=1)

        design = self._design(defocus)
        for _ in range(_STEPS):
            near = np.argsort(cost, kind="stable")[: max(2, int(_SHARE * len(values)))]
            self._location = np.linalg.lstsq(design[near], values[near], rcond=None)[0]
            residual = values - design @ self._location
            self._shape = LedoitWolf().fit(residual[near])
            cost = self._shape.mahalanobis(residual)

    def log_distance(self, values: np.ndarray, defocus: np.ndarray) -> np.ndarray:
        """(M,) logarithm of the squared distance of each of M images."""
        residual = values - self._design(defocus) @ self._location
        return np.log(self._shape.mahalanobis(residual) + _TINY)

    def _design(self, defocus: np.ndarray) -> np.ndarray:
        scaled = (defocus - self._middle) / self._width
        return np.stack([np.ones(len(scaled)), scaled, scaled**2], axis=1)
