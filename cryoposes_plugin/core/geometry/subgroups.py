"""Subgroups of point groups, and their cosets: the symmetry mates of a particle that has only part of
a symmetry.

If a particle looks as if it had the group G but has only its subgroup H, a pose A that is right up
to G has |G| / |H| different mates A c, one for each left coset c H.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional

import numpy as np

from ..errors import ConfigError
from .rotations import angular_distance_rad, project_to_so3
from .symmetry import _generators, parse_symmetry, symmetry_rotations

#: Elements of a group differ by far more than this, and rounding by far less.
_SAME = 1e-6


class Cosets(NamedTuple):
    """The left cosets c H of a subgroup H of G.

    group : (|G|, 3, 3), the identity first. subgroup : (|H|, 3, 3), in the frame of the group.
    representatives : (n, 3, 3), one c of each coset, the identity first. turn : (3, 3), R with
    subgroup R h R^T, h an element of H as `symmetry_rotations` orients it.
    """

    group: np.ndarray
    subgroup: np.ndarray
    representatives: np.ndarray
    turn: np.ndarray

    def __len__(self) -> int:
        return len(self.representatives)

    def of(self, rotations: np.ndarray) -> np.ndarray:
        """(N,) which coset (N, 3, 3) elements of the group belong to; -1 for other rotations."""
        elements = self.representatives[:, None] @ self.subgroup
        apart = np.abs(rotations[:, None, None] - elements).max(axis=(3, 4)).min(axis=2)
        return np.where(apart.min(axis=1) < _SAME, apart.argmin(axis=1), -1)

    @property
    def angles_deg(self) -> np.ndarray:
        """(n, n) smallest angle between poses A c_j h and A c_k, in degrees."""
        turned = self.representatives[:, None] @ self.subgroup
        apart = angular_distance_rad(turned[:, None], self.representatives[:, None])
        return np.rad2deg(apart.min(axis=2)).T


def cosets(group: str, subgroup: str) -> Cosets:
    """The cosets of a named subgroup of a named point group.

    The subgroup is taken as its name orients it, if it then belongs to the group, else turned as
    little as brings it into the group (C2 in D7 becomes the 2-fold along x).

    Raises
    ------
    ConfigError : the group has no such subgroup.
    """
    whole = symmetry_rotations(group)
    turn = embedding(whole, subgroup)
    if turn is None:
        raise ConfigError(
            f"{subgroup} is not a subgroup of {group}: no orientation of its axes makes all "
            f"{len(symmetry_rotations(subgroup))} operations those of {group}; give a subgroup, "
            "such as C1."
        )
    part = turn @ symmetry_rotations(subgroup) @ turn.T
    return Cosets(whole, part, coset_representatives(whole, part), turn)


def operations(name: str) -> np.ndarray:
    """(G, 3, 3) operations of a point group, or, by a name such as "C2 in D7", of a subgroup of
    another with the axes that `cosets` gives it, the identity first.
    """
    subgroup, _, group = name.partition(" in ")
    return cosets(group, subgroup).subgroup if group else symmetry_rotations(subgroup)


def coset_representatives(group: np.ndarray, subgroup: np.ndarray) -> np.ndarray:
    """One c of each left coset c H (n, 3, 3) of H (|H|, 3, 3) in G (|G|, 3, 3), the identity first.

    Every element of G is c h for exactly one c and one h.
    """
    chosen: List[np.ndarray] = []
    for g in group:
        if not any(contains(c @ subgroup, g) for c in chosen):
            chosen.append(g)
    return np.array(chosen)


def contains(group: np.ndarray, rotations: np.ndarray) -> bool:
    """Whether all rotations (..., 3, 3) are elements of (|G|, 3, 3)."""
    every = np.reshape(rotations, (-1, 1, 3, 3))
    return bool((np.abs(every - group).max(axis=(2, 3)).min(axis=1) < _SAME).all())


def embedding(group: np.ndarray, subgroup: str) -> Optional[np.ndarray]:
    """The smallest rotation R (3, 3) with R h R^T in G (|G|, 3, 3) for all h of a named point group;
    None if there is none.
    """
    elements = symmetry_rotations(subgroup)
    if contains(group, elements):
        return np.eye(3)

    every = _generators(*parse_symmetry(subgroup))
    generators = [h for h in every if not _same_turn(h, np.eye(3))][:2]
    axes = [_axis(g) for g in generators]
    rivals = [[_axis(g) for g in group if _same_turn(g, h)] for h in generators]
    if len(generators) == 1:
        turns = [_smallest_turn(axes[0], axis) for axis in rivals[0]]
    else:
        turns = [
            project_to_so3(np.stack(to, axis=1) @ np.stack(_frame(*axes), axis=1).T)
            for first in rivals[0]
            for second in rivals[1]
            if abs(first @ second - axes[0] @ axes[1]) < _SAME
            for to in [_frame(first, second)]
        ]
    fitting = [turn for turn in turns if contains(group, turn @ elements @ turn.T)]
    return max(fitting, key=np.trace, default=None)


def _axis(turn: np.ndarray) -> np.ndarray:
    """The axis of a rotation other than the identity, along which it turns by at most 180 degrees."""
    along = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    if np.linalg.norm(along) < _SAME:
        # a half turn is 2 n n^T - 1
        along = (turn + np.eye(3))[:, np.argmax(np.diag(turn))]
    return along / np.linalg.norm(along)


def _same_turn(g: np.ndarray, h: np.ndarray) -> bool:
    return abs(np.trace(g) - np.trace(h)) < _SAME


def _frame(first: np.ndarray, second: np.ndarray) -> List[np.ndarray]:
    """A right-handed orthonormal frame on two directions."""
    across = np.cross(first, second)
    across = across / np.linalg.norm(across)
    return [first, across, np.cross(first, across)]


def _smallest_turn(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation that brings one direction to another."""
    cosine = float(start @ end)
    if cosine < -1 + _SAME:
        across = _frame(start, np.roll(start, 1) + [0.0, 0.5, 0.25])[1]
        return 2 * np.outer(across, across) - np.eye(3)
    x, y, z = np.cross(start, end)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)
