"""Whether what the program says of its errors is right: calibration against known errors, and
agreement of two independent estimates with their covariances.

Everything here takes numbers of N particles, and knows no files. Bins hold nearly equal numbers of
particles; equal values are in one bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
from scipy import integrate, stats
from scipy.spatial.transform import Rotation

from ..geometry.symmetry import nearest_equivalent

#: Numbers of bins of a reliability diagram.
DECILES = 10
#: Fewer particles than this make no bin.
_FEWEST_IN_BIN = 25
#: Standard deviations that are off by a smaller factor are called right.
_LARGEST_INFLATION = 1.2
#: Points of a sparsification curve, and the largest share that it removes.
_CURVE_POINTS, _LARGEST_REMOVED = 50, 0.95


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram of B bins, from the most to the least certain.

    Attributes
    ----------
    predicted, observed : (B,) what was said and what was found.
    standard_error : (B,) of `observed`.
    number : (B,) particles.
    """

    predicted: np.ndarray
    observed: np.ndarray
    standard_error: np.ndarray
    number: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """(B,) observed over predicted; NaN where nothing is predicted."""
        predicted = np.where(self.predicted > 0, self.predicted, np.nan)
        return self.observed / predicted

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance between observed and predicted, weighted by the number of particles."""
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.number))

    def wrong_bins(self, minimum_effect: float, sigmas: float = 3.0) -> np.ndarray:
        """(B,) bool: bins that are off by more than a share of the prediction, beyond what chance
        explains.
        """
        off = np.abs(self.observed - self.predicted)
        return (off > minimum_effect * self.predicted) & (off > sigmas * self.standard_error)


@dataclass(frozen=True)
class Coverage:
    """Share of errors below their bound, with the 95 % interval of its sampling (Wilson)."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Sparsification:
    """Root mean square error of the particles that are kept.

    Attributes
    ----------
    removed : (P,) share removed, the least certain first.
    kept : (P,) root mean square error of the rest.
    oracle : (P,) the same, had the largest errors been removed first.
    area : between `kept` and `oracle`, divided by the root mean square error of all (AUSE, Ilg et
        al. 2018): 0 is best.
    """

    removed: np.ndarray
    kept: np.ndarray
    oracle: np.ndarray
    area: float


@dataclass(frozen=True)
class ChiSquare:
    """Squared differences in units of their covariance, against the chi-square distribution.

    Attributes
    ----------
    values : (N,) chi-squares.
    degrees : of freedom.
    inflation : factor by which the standard deviations are too small, from the median.
    tail_inflation : the same from the 90 % quantile.
    far_share : share beyond the 99.9 % quantile.
    """

    values: np.ndarray
    degrees: int
    inflation: float
    tail_inflation: float
    far_share: float


def probability_reliability(
    probability: np.ndarray, event: np.ndarray, bins: int = DECILES
) -> Reliability:
    """Predicted probabilities (N,) against the shares of particles for which the event (N,) bool
    happened.
    """
    probability, event = np.asarray(probability, dtype=np.float64), np.asarray(event, dtype=float)
    members = _bins(probability, bins)
    predicted = np.array([probability[m].mean() for m in members])
    number = np.array([len(m) for m in members])
    return Reliability(
        predicted,
        np.array([event[m].mean() for m in members]),
        np.sqrt(np.maximum(predicted * (1.0 - predicted), 0.0) / number),
        number,
    )


def error_reliability(
    expected_deg: np.ndarray, errors_deg: np.ndarray, bins: int = DECILES
) -> Reliability:
    """Root mean squares of expected errors (N,) against those of the errors (N,)."""
    expected, squares = (
        np.asarray(values, dtype=np.float64) ** 2 for values in (expected_deg, errors_deg)
    )
    members = _bins(np.asarray(expected_deg, dtype=np.float64), bins)
    number = np.array([len(m) for m in members])
    observed = np.sqrt([squares[m].mean() for m in members])
    predicted = np.sqrt([expected[m].mean() for m in members])
    # The error of a root is that of the mean square over twice the root; at least that of three
    # normal components, since few particles do not show the tail of their law.
    spread = np.array([squares[m].std(ddof=min(1, len(m) - 1)) for m in members])
    error = spread / np.sqrt(number) / np.maximum(2.0 * observed, np.finfo(float).tiny)
    error = np.maximum(error, predicted / np.sqrt(6.0 * number))
    return Reliability(predicted, observed, error, number)


def ranking_areas(cost: np.ndarray, good: np.ndarray) -> Tuple[float, float]:
    """Areas under the ROC curve and the precision-recall curve of "good", if particles of low cost
    (N,) are taken first.

    `good` is (N,) bool. NaN for both if all particles are of one kind.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    good = np.asarray(good, dtype=bool)
    if good.all() or not good.any():
        return float("nan"), float("nan")
    certainty = -np.asarray(cost, dtype=np.float64)
    return float(roc_auc_score(good, certainty)), float(average_precision_score(good, certainty))


def brier_score(probability: np.ndarray, event: np.ndarray) -> float:
    """Mean squared difference between probabilities (N,) and events (N,) bool."""
    difference = np.asarray(probability, dtype=np.float64) - np.asarray(event, dtype=np.float64)
    return float(np.mean(difference**2))


def wrong_pose_of_particle(wrong: np.ndarray, junk: np.ndarray) -> np.ndarray:
    """(N,) probability that a pose is wrong, if the image shows the particle.

    `wrong` (N,) is that of a wrong pose, which contains that of `junk` (N,): an image without the
    particle has no right pose.
    """
    wrong, junk = np.asarray(wrong, dtype=np.float64), np.asarray(junk, dtype=np.float64)
    particle = 1.0 - junk
    right = np.divide(1.0 - wrong, particle, out=np.zeros_like(particle), where=particle > 0)
    return 1.0 - np.clip(right, 0.0, 1.0)


def coverage(errors: np.ndarray, bounds: np.ndarray) -> Coverage:
    """Share of errors (N,) that do not exceed their bounds (N,)."""
    inside = np.asarray(errors) <= np.asarray(bounds)
    interval = stats.binomtest(int(inside.sum()), len(inside)).proportion_ci(method="wilson")
    return Coverage(float(inside.mean()), float(interval.low), float(interval.high))


def sparsification(cost: np.ndarray, errors: np.ndarray) -> Sparsification:
    """Error of the kept particles as those of highest cost (N,) are removed; errors are (N,)."""
    squares = np.asarray(errors, dtype=np.float64) ** 2
    removed = np.linspace(0.0, _LARGEST_REMOVED, _CURVE_POINTS)
    left = np.maximum(np.round((1.0 - removed) * len(squares)).astype(int), 1)
    kept, oracle = (
        np.sqrt(np.cumsum(squares[order])[left - 1] / left)
        for order in (np.argsort(cost, kind="stable"), np.argsort(squares, kind="stable"))
    )
    area = float(integrate.trapezoid(kept - oracle, removed))
    return Sparsification(removed, kept, oracle, area / kept[0] if kept[0] else 0.0)


def chi_square(differences: np.ndarray, covariance: np.ndarray) -> ChiSquare:
    """Differences (N, d) in units of their covariance (N, d, d)."""
    differences = np.asarray(differences, dtype=np.float64)
    solved = np.linalg.solve(covariance, differences[:, :, None])[:, :, 0]
    values = np.einsum("nd,nd->n", differences, solved)
    law = stats.chi2(differences.shape[1])
    median, tail = np.quantile(values, [0.5, 0.9])
    return ChiSquare(
        values,
        differences.shape[1],
        float(np.sqrt(median / law.ppf(0.5))),
        float(np.sqrt(tail / law.ppf(0.9))),
        float(np.mean(values > law.ppf(0.999))),
    )


def inflation_verdict(inflation: float, what: str) -> str:
    """What the factor says by which standard deviations are too small.

    `what` names what was measured: errors or differences.
    """
    if 1 / _LARGEST_INFLATION <= inflation <= _LARGEST_INFLATION:
        return f"The {what} of the rotations fit their covariance (factor {inflation:.2f})."
    size = "small" if inflation > 1 else "large"
    return (
        f"The covariance of the rotations is too {size}: the {what} are {inflation:.2f} times "
        "what it says."
    )


def rotation_differences_rad(
    first: np.ndarray, second: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """(N, 3) w in the image's frame with A_second = exp([w]x) A_first, of rotations (N, 3, 3); of
    the equivalents under the symmetry operations (G, 3, 3) the nearest.
    """
    nearest = nearest_equivalent(np.asarray(first, dtype=np.float64), second, group)
    return Rotation.from_matrix(second @ np.swapaxes(nearest, 1, 2)).as_rotvec()


def _bins(values: np.ndarray, bins: int) -> Tuple[np.ndarray, ...]:
    """Rows of each bin, by increasing value; equal values are in one bin."""
    bins = max(1, min(bins, len(values) // _FEWEST_IN_BIN))
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    number = np.searchsorted(edges, values)
    return tuple(np.flatnonzero(number == b) for b in np.unique(number))
