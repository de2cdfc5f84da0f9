"""The posterior of poses on a grid, and poses drawn from it.

With white noise of variance s_k^2 in a coefficient and reference slices x_r(k) at the rotations of
a grid, image i has at rotation r and shift t, up to a constant, the log likelihood

    L_i(r, t) = sum_k (2 Re(c_ik x_r(k) y_ik* exp(-2 pi i k.t / D)) - c_ik^2 |x_r(k)|^2) / s_k^2,

which takes two matrix products for all images and rotations at once. The prior is uniform over the
rotations and shifts of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Number of likelihood values that are held in memory at once.
_VALUES_AT_ONCE = 2**24


@dataclass(frozen=True)
class PoseDraws:
    """Poses drawn from the posterior, M for each of N images, and statistics of the posterior of
    each image.

    image : (N M,) row. rotation, shift : (N M,) indices into the grids. best_rotation, best_shift :
        (N,) the likeliest.
    certainty : (N,) posterior probability of the likeliest pose, among all poses and an image
        without a particle.
    log_likelihood : (N,) of the image, summed over its poses.
    """

    image: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray
    best_rotation: np.ndarray
    best_shift: np.ndarray
    certainty: np.ndarray
    log_likelihood: np.ndarray


def sample_poses(
    y: np.ndarray,
    c: np.ndarray,
    slices: np.ndarray,
    frequencies: np.ndarray,
    shifts_px: np.ndarray,
    box_size_px: int,
    noise_variance: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> PoseDraws:
    """Draw `draws` poses for each image from its posterior by systematic sampling.

    Parameters
    ----------
    y, c : (N, P) complex64 coefficients and float32 modulation. slices : (R, P) complex64.
    frequencies : (P, 2) cycles per box. shifts_px : (S, 2). noise_variance : (P,) E|n|^2.
    box_size_px : D of the images.
    draws : how many poses to draw for each image.
    rng : source of the random numbers.
    """
    precision = (1.0 / noise_variance).astype(np.float32)
    reference = np.concatenate([slices.real, slices.imag], axis=1).T.astype(np.float32)
    power = (np.abs(slices) ** 2).T.astype(np.float32)
    waves = np.exp((2j * np.pi / box_size_px) * (shifts_px @ frequencies.T)).astype(np.complex64)
    step = max(1, _VALUES_AT_ONCE // (len(shifts_px) * len(slices)))
    parts = []

    for at in range(0, len(y), step):
        part = slice(at, at + step)
        weighted = (2 * precision * c[part] * y[part])[:, None] * waves
        rows = np.concatenate([weighted.real, weighted.imag], axis=2).reshape(
            -1, reference.shape[0]
        )
        values = (rows @ reference).reshape(-1, len(shifts_px), len(slices))
        values -= ((precision * c[part] ** 2) @ power)[:, None]
        constant = (precision * np.abs(y[part]) ** 2 + np.log(noise_variance)).sum(axis=1)
        parts.append(_draw(values, constant, at, draws, rng))

    return PoseDraws(*(np.concatenate(arrays) for arrays in zip(*parts)))


def _draw(
    values: np.ndarray, constant: np.ndarray, first: int, draws: int, rng: np.random.Generator
):
    """From log likelihoods (B, S, R), overwritten, to the fields of `PoseDraws` of these B images."""
    number, shifts, rotations = values.shape
    flat = values.reshape(number, -1)
    best = flat.argmax(axis=1)
    highest = flat[np.arange(number), best]
    values -= highest[:, None, None]
    np.exp(values, out=values)
    by_rotation = np.cumsum(values.sum(axis=1), axis=1, dtype=np.float64)
    total = by_rotation[:, -1]
    owner = np.repeat(np.arange(number), draws)
    at = ((np.arange(draws) + rng.random((number, draws))) / draws).ravel()
    # One search for all images: the sums of image b lie between b and b + 1.
    ladder = (by_rotation / total[:, None] + np.arange(number)[:, None]).ravel()
    rotation = np.minimum(np.searchsorted(ladder, at + owner) - owner * rotations, rotations - 1)

    by_shift = np.cumsum(values[owner, :, rotation], axis=1, dtype=np.float64)
    level = rng.random(len(owner)) * by_shift[:, -1]
    shift = np.minimum((by_shift < level[:, None]).sum(axis=1), shifts - 1)
    log_likelihood = highest + np.log(total) - constant
    # An image without a particle, at log likelihood 0, is one more alternative.
    certainty = np.exp(-np.logaddexp(np.log(total), -highest))
    return (
        first + owner,
        rotation,
        shift,
        best % rotations,
        best // rotations,
        certainty,
        log_likelihood,
    )
