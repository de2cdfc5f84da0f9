"""Centres that a picker missed: a few, further off than the others."""

from __future__ import annotations

import numpy as np

from ..draws import PICKS, Seed, stream


def draw_misplacements(share: float, mean_px: float, n: int, seed: Seed) -> np.ndarray:
    """(n, 2) displacements to be added to those of the Gaussian core: zero but for a share of the
    particles, which are off by an exponentially distributed distance in any direction.

    Parameters
    ----------
    share : of misplaced particles.
    mean_px : their mean distance.
    n : number of images.
    seed : of the draw.
    """
    rng = stream(seed, PICKS)
    missed = rng.random(n) < share
    angle = rng.uniform(0, 2 * np.pi, n)
    distance = missed * rng.exponential(mean_px, n)
    return distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
