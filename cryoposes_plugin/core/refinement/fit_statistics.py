"""What the fit of a map to an image leaves and explains: the numbers from which junk is told.

With whitened coefficients y and the model m at the refined pose (see `pose_likelihood`), the scale of
the signal in a band b of frequencies is s_b = <m, y>_b / <m, m>_b. Where the expected power of the
signal is lambda times that of the noise, w = lambda / (1 + lambda) weights the power of the residual
r = y - s m so that a second signal of the same spectrum is detected best.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ..conventions import centre
from ..fourier.points import FourierPoints
from ..likelihood.pose_likelihood import PoseLikelihood
from .multi_start import Refined
from .observations import Observations
from .spectra import Spectra

#: Bands that hold equal parts of the information that the images are expected to have.
_BANDS = 3
#: Limits of the inside, ring and outside of the particle, in radii of gyration.
_RINGS = (0.0, 1.2, 2.0, np.inf)
#: Octaves of low frequencies, in cycles per box, which show gradients, neighbours and ice.
OCTAVES: Tuple[Tuple[int, int], ...] = ((1, 2), (2, 4), (4, 8), (8, 16))
_LEAST_SCALE, _LEAST_POWER = 0.02, 1e-3

NAMES: Tuple[str, ...] = (
    "log_scale",
    "scale_deviation",
    "log_information",
    *(f"{name}_{band}" for band in range(_BANDS) for name in ("scale", "signal_to_noise")),
    "residual_excess",
    "power_excess",
    "residual",
    *(f"log_residual_power_{low}" for low, _ in OCTAVES),
    "inside",
    "ring",
    "outside",
    "correlation",
)


def fit_statistics(
    likelihood: PoseLikelihood,
    points: FourierPoints,
    spectra: Spectra,
    observed: Observations,
    refined: Refined,
    radius_px: float,
) -> np.ndarray:
    """(B, len(NAMES)) float64 statistics of the fits; excesses are in standard deviations.

    Parameters
    ----------
    likelihood : of the map.
    points : of images and map.
    spectra : of the images' optics group.
    observed : B images.
    refined : their poses.
    radius_px : of gyration of the density, in pixels of the images.
    """
    y, c = observed.whitened(points, spectra)
    x = likelihood.slices(refined.rotations, len(points))
    phase = points.phases(refined.shifts_px)
    m = c * x * phase
    information, overlap = np.abs(m) ** 2, (m.conj() * y).real
    total = np.maximum(information.sum(axis=1), 1e-9)
    scale = overlap.sum(axis=1) / total
    columns = [
        np.log(np.maximum(scale, _LEAST_SCALE)),
        (scale - 1.0) * np.sqrt(total),
        np.log1p(total),
    ]
    for band in map(_as_slice, _bands(points, information)):
        within = np.maximum(information[:, band].sum(axis=1), 1e-9)
        own = overlap[:, band].sum(axis=1) / within
        columns += [own, own * np.sqrt(within)]

    left = y - scale[:, None] * m
    signal = 0.5 * c**2 * points.shell_means((np.abs(x) ** 2).mean(axis=0))[points.shell]
    weight = signal / (1.0 + signal)
    spread = np.sqrt(np.maximum((4 * weight**2).sum(axis=1), 1e-9))
    columns += [(weight * (np.abs(v) ** 2 - 2)).sum(axis=1) / spread for v in (left, y)]

    power = 0.5 * np.abs(left) ** 2
    used = (c != 0).any(axis=0)
    columns.append((power[:, used].mean(axis=1) - 1) * np.sqrt(np.count_nonzero(used)))
    columns += [
        np.log(np.maximum(power[:, within].mean(axis=1), _LEAST_POWER))
        for within in map(_as_slice, octaves(points))
    ]
    columns += _by_ring(points, left * np.sqrt(weight) * phase.conj(), radius_px)
    whole = np.sqrt(total * np.maximum((np.abs(y) ** 2).sum(axis=1), 1e-9))
    return np.stack([*columns, overlap.sum(axis=1) / whole], axis=1).astype(np.float64)


def _as_slice(within: np.ndarray) -> slice:
    """Points of a range of frequencies, (P,) bool, which stand together."""
    first = int(np.argmax(within))
    return slice(first, first + int(np.count_nonzero(within)))


def octaves(points: FourierPoints) -> np.ndarray:
    """(len(OCTAVES), P) bool: the points of each octave."""
    return np.array([(points.radius >= low) & (points.radius < high) for low, high in OCTAVES])


def _bands(points: FourierPoints, information: np.ndarray) -> np.ndarray:
    """(_BANDS, P) bool: whole shells with equal parts of the information (B, P)."""
    by_shell = points.shell_means(information.mean(axis=0)) * points.shell_counts()
    share = np.cumsum(by_shell) / max(by_shell.sum(), 1e-9)
    band = np.clip((share * _BANDS).astype(int), 0, _BANDS - 1)[points.shell]
    return band == np.arange(_BANDS)[:, None]


def _by_ring(points: FourierPoints, coefficients: np.ndarray, radius_px: float) -> list:
    """Mean power of images (B, P) in rings about the centre, (B,) each, over that of white noise."""
    box = points.box_size_px
    images = points.images(coefficients.astype(np.complex64)) ** 2
    y, x = np.indices((box, box)) - centre(box)
    distance = np.hypot(x, y) / max(radius_px, 1.0)
    unit = 4.0 * len(points) / box**4
    rings = [(distance >= low) & (distance < high) for low, high in zip(_RINGS, _RINGS[1:])]
    return [images[:, ring if ring.any() else rings[0]].mean(axis=1) / unit for ring in rings]
