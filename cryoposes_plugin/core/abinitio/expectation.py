"""The posterior of poses on a grid, and poses drawn from it.

With white noise of variance s_k^2 in a coefficient and reference slices x_r(k) at the rotations of
a grid, image i has at rotation r and shift t, up to a constant, the log likelihood

    L_i(r, t) = sum_k (2 Re(c_ik x_r(k) y_ik* exp(-2 pi i k.t / D)) - c_ik^2 |x_r(k)|^2) / s_k^2,

which takes two matrix products for all images and rotations at once. The prior is uniform over the
rotations and shifts of the grid. On a fine grid only the rotations around the best ones of a
coarser grid are compared (`Neighbourhoods`).

An image may also show something else, or nothing: then it is noise with the power spectrum of the
particle, times one of a few factors (`junk_evidence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
from scipy.special import logsumexp

#: Number of likelihood values that are held in memory at once.
_VALUES_AT_ONCE = 2**20
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
    """For each rotation of a fine grid the nearest one of a coarse grid, (R,), and for each image
    the coarse ones (N, K) around which it is compared.
    """

    parent: np.ndarray
    kept: np.ndarray

    def rotations(self, image: int) -> np.ndarray:
        """(R',) rows of the fine grid."""
        wanted = np.zeros(int(self.parent.max()) + 1, dtype=bool)
        wanted[self.kept[image]] = True
        return np.flatnonzero(wanted[self.parent])


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


class Comparison:
    """Images and slices at the same P coefficients.

    Parameters
    ----------
    y, c : (N, P) complex64 coefficients and float32 modulation. slices : (R, P) complex64.
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
        self.shifts, self.rotations = len(shifts_px), len(slices)
        self._precision = (1.0 / noise_variance).astype(np.float32)
        # (R, 2 P) and (R, P): the rows of a few rotations lie together
        self._reference = np.concatenate([slices.real, slices.imag], axis=1).astype(np.float32)
        self._power = (np.abs(slices) ** 2).astype(np.float32)
        self._waves = np.exp((2j * np.pi / box_size_px) * (shifts_px @ frequencies.T)).astype(
            np.complex64
        )

    def __len__(self) -> int:
        return len(self.y)

    def log_likelihoods(self, part: slice, rows: Optional[np.ndarray] = None) -> np.ndarray:
        """(B, S, R) float32 of some images, relative to noise alone, at some rotations."""
        reference = self._reference if rows is None else self._reference[rows]
        power = self._power if rows is None else self._power[rows]
        c = self.c[part]
        weighted = (2 * self._precision * c * self.y[part])[:, None] * self._waves
        left = np.concatenate([weighted.real, weighted.imag], axis=2)
        values = left.reshape(-1, left.shape[2]) @ reference.T
        values = values.reshape(-1, self.shifts, len(reference))
        values -= ((self._precision * c**2) @ power.T)[:, None]
        return values

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
        rows = None if near is None else near.rotations(part.start)
        values = comparison.log_likelihoods(part, rows)
        found = _draw(values, *(level[part] for level in levels))
        if rows is not None:
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
        values = comparison.log_likelihoods(part).max(axis=1)
        return np.argpartition(values, -number, axis=1)[:, -number:]

    return np.concatenate([work(part) for part in comparison.parts(comparison.rotations)])


def _draw(values: np.ndarray, at: np.ndarray, level: np.ndarray) -> Tuple[np.ndarray, ...]:
    """From log likelihoods (B, S, R), overwritten, and random numbers (B, M) in ascending order and
    in any order: rotation and shift of the draws (B M,), and (B,) best rotation, best shift, highest
    value, and sum of the likelihoods relative to it.
    """
    number, shifts, rotations = values.shape
    flat = values.reshape(number, -1)
    best = flat.argmax(axis=1)
    highest = flat[np.arange(number), best]
    values -= highest[:, None, None]
    np.exp(values, out=values)
    by_rotation = np.cumsum(values.sum(axis=1), axis=1, dtype=np.float64)
    total = by_rotation[:, -1]
    owner = np.repeat(np.arange(number), at.shape[1])
    # One search for all images: the sums of image b lie between b and b + 1.
    ladder = (by_rotation / total[:, None] + np.arange(number)[:, None]).ravel()
    rotation = np.searchsorted(ladder, at.ravel() + owner) - owner * rotations
    rotation = np.clip(rotation, 0, rotations - 1)

    by_shift = np.cumsum(values[owner, :, rotation], axis=1, dtype=np.float64)
    below = by_shift < (level.ravel() * by_shift[:, -1])[:, None]
    shift = np.minimum(below.sum(axis=1), shifts - 1)
    return rotation, shift, best % rotations, best // rotations, highest, total
