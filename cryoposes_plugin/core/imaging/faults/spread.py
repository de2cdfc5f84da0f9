"""What differs from particle to particle, and errors of what is stated of each."""

from __future__ import annotations

import numpy as np

from ..draws import BFACTORS, DEFOCUS_ERRORS, SCALES, Seed, stream


def draw_scales(spread: float, n: int, seed: Seed) -> np.ndarray:
    """(n,) contrast of the particles, log-normal of mean 1; `spread` is the standard deviation of
    the logarithm.
    """
    return np.exp(spread * stream(seed, SCALES).standard_normal(n) - 0.5 * spread**2)


def draw_bfactors(spread_angstrom2: float, n: int, seed: Seed) -> np.ndarray:
    """(n,) B-factors above the stated one: the absolute value of a normal number."""
    return spread_angstrom2 * np.abs(stream(seed, BFACTORS).standard_normal(n))


def draw_defocus_errors(deviation_angstrom: float, n: int, seed: Seed) -> np.ndarray:
    """(n,) true less stated defocus, normal."""
    return deviation_angstrom * stream(seed, DEFOCUS_ERRORS).standard_normal(n)
