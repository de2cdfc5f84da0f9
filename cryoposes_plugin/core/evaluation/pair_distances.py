"""Angular distances within pairs of particles, in two sets of poses."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ..errors import InputError
from ..geometry.symmetry import symmetric_distance_rad, symmetry_rotations
from ..io.ids import join
from ..types import ParticleTable


def pair_distances_deg(
    truth: ParticleTable, estimate: ParticleTable, symmetry: str, pairs: int, join_by: str = "auto"
) -> Tuple[np.ndarray, np.ndarray]:
    """(M,) true and estimated angular distances in degrees, modulo the symmetry, of pairs drawn
    with seed 0.

    Parameters
    ----------
    truth, estimate : particles with poses; those in both sets are joined as `io.ids` says.
    symmetry : point group.
    pairs : number M of pairs; no particle is paired with itself.
    join_by : what identifies a particle in both sets.

    Raises
    ------
    InputError : if a set has no poses, or if the two sets have fewer than two particles in common.
    """
    if truth.rotations is None or estimate.rotations is None:
        raise InputError("Distances need poses in both sets; give particles with poses.")
    joined = join(truth, estimate, join_by)
    rows, other = joined.rows_a, joined.rows_b
    if len(rows) < 2:
        raise InputError(f"The two sets have {len(rows)} particles in common; distances need two.")

    rng = np.random.default_rng(0)
    first = rng.integers(0, len(rows), pairs)
    second = (first + rng.integers(1, len(rows), pairs)) % len(rows)

    group = symmetry_rotations(symmetry)
    true_rad, estimated_rad = (
        symmetric_distance_rad(rotations[chosen[first]], rotations[chosen[second]], group)
        for rotations, chosen in ((truth.rotations, rows), (estimate.rotations, other))
    )
    return np.rad2deg(true_rad), np.rad2deg(estimated_rad)
