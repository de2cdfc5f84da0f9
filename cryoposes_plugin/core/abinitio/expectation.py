"""The posterior of poses on a grid, and poses drawn from it.

With white noise of variance s_k^2 in a coefficient and reference slices x_r(k) at the rotations of
a grid, image i has at rotation r and shift t, up to a constant, the log likelihood

    L_i(r, t) = sum_k (2 Re(c_ik x_r(k) y_ik* exp(-2 pi i k.t / D)) - c_ik^2 |x_r(k)|^2) / s_k^2,

which takes a few matrix products for all images and rotations at once; rotations that differ by a
half turn about an axis of the image share them (`mates`). The prior is uniform over the rotations
and shifts of the grid. On a fine grid only the rotations around the best ones of a coarser grid are
compared (`Neighbourhoods`).

An image may also show something else, or nothing: then it is noise with the power spectrum of the
particle, times one of a few factors (`junk_evidence`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np
from scipy.special import logsumexp

from ..compiled import compiled, inlined
from .mates import MATES, HalfTurns

#: Number of likelihood values that are held in memory at once.
_VALUES_AT_ONCE = 2**18
#: Poses less likely than the best one by more than exp of this are as likely as that.
_NEGLIGIBLE = np.float32(-20.0)
_LOWEST = np.float32(-1e30)
#: Power of what is not the particle, in units of that of the particle: from an empty image to two
#: particles or an edge.
_JUNK_POWERS = (0.0, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Alternative:
    """What else an image may show.

    share : of the images, before they are seen. evidence : (N,) log likelihood of each, relative to
        noise alone (see `junk_evidence`).
    """

    share: float
    evidence: np.ndarray


@dataclass(frozen=True)
class Neighbourhoods:
    """For each rotation of a fine grid, quarter and mates (4, Q), the nearest one of a coarse grid,
    and for each image the coarse ones (N, K) around which it is compared.
    """

    parent: np.ndarray
    kept: np.ndarray

    def rotations(self, image: int) -> Tuple[np.ndarray, np.ndarray]:
        """(Q',) rows of the fine quarter grid, and which of their mates are compared, (4, Q')."""
        wanted = np.zeros(int(self.parent.max()) + 1, dtype=bool)
        wanted[self.kept[image]] = True
        compared = wanted[self.parent]
        rows = np.flatnonzero(compared.any(axis=0))
        return rows, compared[:, rows]


@dataclass(frozen=True)
class PoseDraws:
    """Poses drawn from the posterior, M for each of N images, and statistics of the posterior of
    each image.

    image : (N M,) row. rotation, shift : (N M,) indices into the grids. best_rotation, best_shift :
        (N,) the likeliest.
    certainty : (N,) posterior probability of the likeliest pose, among all poses and an image
        without a particle.
    log_likelihood : (N,) of the image, over its poses and what else it may show.
    junk : (N,) posterior probability that it shows something else.
    """

    image: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray
    best_rotation: np.ndarray
    best_shift: np.ndarray
    certainty: np.ndarray
    log_likelihood: np.ndarray
    junk: np.ndarray


class _Buffers:
    """Arrays that are used again: the first use of new memory may take longer than the sums."""

    def __init__(self) -> None:
        self._flat: Dict[str, np.ndarray] = {}

    def array(self, name: str, *shape: int) -> np.ndarray:
        """float32, not initialised."""
        size = math.prod(shape)
        if name not in self._flat or self._flat[name].size < size:
            self._flat[name] = np.empty(size, np.float32)
        return self._flat[name][:size].reshape(shape)


class Comparison:
    """Images and slices at the same P coefficients.

    Parameters
    ----------
    y, c : (N, P) complex64 coefficients and float32 modulation. slices : (Q, P) complex64 of a
        quarter grid; R = 4 Q rotations are compared (see `mates`).
    frequencies : (P, 2) cycles per box. shifts_px : (S, 2). noise_variance : (P,) E|n|^2.
    box_size_px : D of the images.
    """

    def __init__(
        self,
        y: np.ndarray,
        c: np.ndarray,
        slices: np.ndarray,
        frequencies: np.ndarray,
        shifts_px: np.ndarray,
        box_size_px: int,
        noise_variance: np.ndarray,
    ):
        self.y, self.c, self.noise_variance = y, c, noise_variance
        self.shifts, self.rotations = len(shifts_px), MATES * len(slices)
        self._turns = HalfTurns(frequencies)
        self._precision = (1.0 / noise_variance).astype(np.float32)
        power = self._turns.power_parts((np.abs(slices) ** 2).astype(np.float32))
        parts = [*self._turns.parts(slices), *power]
        # the rows of a few rotations lie together
        self._reference = np.concatenate(parts, axis=1)
        ends = np.cumsum([part.shape[1] for part in parts])
        self._columns = [slice(end - part.shape[1], end) for end, part in zip(ends, parts)]
        self._waves = np.exp((2j * np.pi / box_size_px) * (shifts_px @ frequencies.T)).astype(
            np.complex64
        )
        self._buffers = _Buffers()

    def __len__(self) -> int:
        return len(self.y)

    def log_likelihoods(
        self,
        part: slice,
        rows: Optional[np.ndarray] = None,
        compared: Optional[np.ndarray] = None,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """(B, S, R) float32 of some images, relative to noise alone, at the rotations of a quarter,
        or some rows of it (Q',), and then at those of its mates; and the largest of each rotation
        (B, R). They are as low as can be at mates (4, Q') that are not compared. The next call
        overwrites both.
        """
        c, buffers, reference = self.c[part], self._buffers, self._reference
        if rows is not None:
            some = buffers.array("reference", len(rows), reference.shape[1])
            reference = np.take(reference, rows, axis=0, out=some, mode="clip")
        prior = np.zeros((MATES, len(reference)), np.float32)
        if compared is not None:
            prior[~compared] = _LOWEST
        weighted = (2 * self._precision * c * self.y[part])[:, None] * self._waves
        images = [p.reshape(len(c) * self.shifts, -1) for p in self._turns.parts(weighted)]
        images += self._turns.power_parts(self._precision * c**2)

        products = []
        for number, (image, column) in enumerate(zip(images, self._columns)):
            out = buffers.array(f"product {number}", len(image), len(reference))
            products.append(np.matmul(image, reference[:, column].T, out=out))
        values = buffers.array("values", len(c), self.shifts, MATES, len(reference))
        best = buffers.array("best", len(c), MATES, len(reference))
        signed = (p.reshape(len(c), self.shifts, -1) for p in products[:-2])
        _of_mates(*signed, *products[-2:], prior, values, best)
        return values.reshape(len(c), self.shifts, -1), best.reshape(len(c), -1)

    def constant(self) -> np.ndarray:
        """(N,) minus the log likelihood of noise alone."""
        return (self._precision * np.abs(self.y) ** 2 + np.log(self.noise_variance)).sum(axis=1)

    def parts(self, rotations: int) -> List[slice]:
        """Images that are compared together with so many rotations."""
        step = max(1, _VALUES_AT_ONCE // (self.shifts * rotations))
        return [slice(at, min(at + step, len(self))) for at in range(0, len(self), step)]


def junk_evidence(
    y: np.ndarray, c: np.ndarray, noise_variance: np.ndarray, signal_power: np.ndarray
) -> np.ndarray:
    """(N,) log likelihood of images of anything, relative to noise alone.

    A coefficient of such an image is Gaussian, of variance s_k^2 + a c_k^2 p_k; the factor a is one
    of `_JUNK_POWERS`, all equally likely.

    Parameters
    ----------
    y, c : (N, P) coefficients and modulation.
    noise_variance : (P,) s_k^2.
    signal_power : (P,) p_k, mean |x_k|^2 of the particle's slices.
    """
    relative = c**2 * (signal_power / noise_variance)
    observed = np.abs(y) ** 2 / noise_variance
    logs = [
        (observed * (a * relative / (1 + a * relative)) - np.log1p(a * relative)).sum(axis=1)
        for a in _JUNK_POWERS
    ]
    return logsumexp(logs, axis=0) - np.log(len(logs))


def sample_poses(
    comparison: Comparison,
    draws: int,
    rng: np.random.Generator,
    alternative: Optional[Alternative] = None,
    near: Optional[Neighbourhoods] = None,
) -> PoseDraws:
    """Draw `draws` poses for each image from its posterior by systematic sampling.

    Parameters
    ----------
    comparison : images and slices.
    draws : how many poses to draw for each image.
    rng : source of the random numbers.
    alternative : what else the images may show; None: nothing else.
    near : the rotations that each image is compared with; None: all.
    """
    levels = (
        (np.arange(draws) + rng.random((len(comparison), draws))) / draws,
        rng.random((len(comparison), draws)),
    )

    def work(part: slice) -> Tuple[np.ndarray, ...]:
        rows, compared = (None, None) if near is None else near.rotations(part.start)
        found = _draw(
            *comparison.log_likelihoods(part, rows, compared), *(level[part] for level in levels)
        )
        if rows is not None:
            quarter = np.arange(comparison.rotations).reshape(MATES, -1)
            rows = quarter[:, rows].ravel()
            found = (rows[found[0]], found[1], rows[found[2]], *found[3:])
        return found

    each = [slice(image, image + 1) for image in range(len(comparison))]
    parts = comparison.parts(comparison.rotations) if near is None else each
    found = zip(*(work(part) for part in parts))
    rotation, shift, best_rotation, best_shift, highest, total = map(np.concatenate, found)
    poses = highest + np.log(total / (comparison.shifts * comparison.rotations))
    log_likelihood, junk = poses, np.zeros(len(comparison))
    if alternative is not None:
        particle = np.log1p(-alternative.share) + poses
        other = np.log(alternative.share) + alternative.evidence
        log_likelihood = np.logaddexp(particle, other)
        junk = np.exp(other - log_likelihood)
    return PoseDraws(
        np.repeat(np.arange(len(comparison)), draws),
        rotation,
        shift,
        best_rotation,
        best_shift,
        # An image without a particle, at log likelihood 0, is one more alternative.
        np.exp(-np.logaddexp(np.log(total), -highest)),
        log_likelihood - comparison.constant(),
        junk,
    )


def best_rotations(comparison: Comparison, number: int) -> np.ndarray:
    """(N, K) the rotations of the grid at which each image is likeliest, at its best shift."""

    def work(part: slice) -> np.ndarray:
        _, best = comparison.log_likelihoods(part)
        return np.argpartition(best, -number, axis=1)[:, -number:]

    return np.concatenate([work(part) for part in comparison.parts(comparison.rotations)])


@compiled
def _of_mates(
    even_real: np.ndarray,
    odd_real: np.ndarray,
    even_imaginary: np.ndarray,
    odd_imaginary: np.ndarray,
    even_power: np.ndarray,
    odd_power: np.ndarray,
    prior: np.ndarray,
    out: np.ndarray,
    best: np.ndarray,
) -> None:
    """Fill the log likelihoods (B, S, 4, Q) of rotations and their mates, and the largest (B, 4, Q)
    of each.

    Parameters
    ----------
    even_real, odd_real, even_imaginary, odd_imaginary : (B, S, Q) products of the parts of images
        and slices (see `mates.Parts`).
    even_power, odd_power : (B, Q) of modulation and power.
    prior : (4, Q) is added.
    out, best : are filled, in the order of `mates.HALF_TURNS`.
    """
    best[:] = _LOWEST
    for b in range(out.shape[0]):
        for s in range(out.shape[1]):
            for q in range(out.shape[3]):
                even, odd = even_real[b, s, q] - even_power[b, q], odd_real[b, s, q]
                even_i, odd_i = even_imaginary[b, s, q], odd_imaginary[b, s, q]
                plus, minus = even - odd_power[b, q] + odd, even + odd_power[b, q] - odd
                first = plus + (even_i + odd_i) + prior[0, q]
                second = minus + (even_i - odd_i) + prior[1, q]
                third = minus - (even_i - odd_i) + prior[2, q]
                fourth = plus - (even_i + odd_i) + prior[3, q]

                out[b, s, 0, q], out[b, s, 1, q] = first, second
                out[b, s, 2, q], out[b, s, 3, q] = third, fourth
                best[b, 0, q] = max(best[b, 0, q], first)
                best[b, 1, q] = max(best[b, 1, q], second)
                best[b, 2, q] = max(best[b, 2, q], third)
                best[b, 3, q] = max(best[b, 3, q], fourth)


def _draw(
    values: np.ndarray, best: np.ndarray, at: np.ndarray, level: np.ndarray
) -> Tuple[np.ndarray, ...]:
    """Rotation and shift of the draws (B M,), and (B,) best rotation, best shift, highest value, and
    sum of the likelihoods relative to it.

    Parameters
    ----------
    values : (B, S, R) log likelihoods. best : (B, R) the largest of each rotation.
    at, level : (B, M) random numbers, in ascending order and in any order.
    """
    images = np.arange(len(values))
    likeliest = best.argmax(axis=1)
    highest = best[images, likeliest]
    best_shift = values[images, :, likeliest].argmax(axis=1)
    rotation, shift = np.empty((2, *at.shape), np.intp)
    total = np.empty(len(values))
    _draw_from(values, best, highest, at, level, rotation, shift, total)
    return rotation.ravel(), shift.ravel(), likeliest, best_shift, highest, total


@inlined
def _exponential(x: np.float32) -> np.float32:
    """exp(x) of x <= 0 to 2e-4, by arithmetic that runs on whole vectors: a series at x / 32."""
    one, x = np.float32(1.0), max(x, _NEGLIGIBLE) * np.float32(1 / 32)
    series = one + x * np.float32(1 / 6)
    series = one + x * np.float32(1 / 5) * series
    series = one + x * np.float32(1 / 4) * series
    series = one + x * np.float32(1 / 3) * series
    series = one + x * np.float32(1 / 2) * series
    series = one + x * series
    for _ in range(5):
        series *= series
    return series


@compiled
def _draw_from(
    values: np.ndarray,
    best: np.ndarray,
    highest: np.ndarray,
    at: np.ndarray,
    level: np.ndarray,
    rotation: np.ndarray,
    shift: np.ndarray,
    total: np.ndarray,
) -> None:
    """Fill rotation and shift (B, M) of the draws, and the sum of the likelihoods (B,).

    Parameters
    ----------
    values, best, at, level : see `_draw`.
    highest : (B,) largest of the values of each image.
    rotation, shift, total : are filled.
    """
    shifts, rotations = values.shape[1:]
    sums = np.empty(rotations, np.float32)
    for b in range(len(values)):
        top = highest[b]
        sums[:] = 0.0
        for s in range(shifts):
            for r in range(rotations):
                sums[r] += _exponential(values[b, s, r] - top)
        total[b] = 0.0
        for r in range(rotations):
            total[b] += sums[r]

        r, reached = 0, float(sums[0])
        for m in range(at.shape[1]):
            while reached < at[b, m] * total[b] and r < rotations - 1:
                r += 1
                reached += sums[r]
            left, s = level[b, m] * sums[r], -1
            while left >= 0 and s < shifts - 1:
                s += 1
                left -= _exponential(values[b, s, r] - top)
            rotation[b, m], shift[b, m] = r, s
