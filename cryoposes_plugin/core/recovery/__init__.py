"""Rotations of particles from the distances between them, and the direction of the beam that
distances leave open.
"""

from .gauge import Beam, choose_beam_axis
from .minibatch import minibatch_rotations
from .pairs import PairDistances, landmark_pairs, pairs_from_arrays, read_pairs
from .references import rotations_from_references
from .solve import Recovery, as_recovery, outliers, recover_rotations

__all__ = (
    "Beam",
    "PairDistances",
    "Recovery",
    "as_recovery",
    "choose_beam_axis",
    "landmark_pairs",
    "minibatch_rotations",
    "outliers",
    "pairs_from_arrays",
    "read_pairs",
    "recover_rotations",
    "rotations_from_references",
)
