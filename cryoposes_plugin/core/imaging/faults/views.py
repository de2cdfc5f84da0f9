"""Particles that lie on the interface in preferred views."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ...geometry.sampling import preferred
from ..draws import VIEWS, Seed, preferred_directions, stream
from ..settings import PoseDistribution


def with_preferred_views(
    rotations: np.ndarray, share: float, distribution: PoseDistribution, seed: Seed
) -> Tuple[np.ndarray, np.ndarray]:
    """(N, 3, 3) rotations, of which those of a share are replaced by preferred views, and (N,) which
    they are.

    Parameters
    ----------
    rotations : (N, 3, 3).
    share : of preferred views, each particle's by chance.
    distribution : with directions and concentration of the views.
    seed : of the draw.
    """
    rng = stream(seed, VIEWS)
    lies = rng.random(len(rotations)) < share
    directions = preferred_directions(distribution)
    views = preferred(len(rotations), rng, directions, distribution.preferred_concentration)
    return np.where(lies[:, None, None], views, rotations), lies
