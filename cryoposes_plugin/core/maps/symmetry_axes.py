"""The axes of a point group in a volume that was reconstructed without symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ..fourier.phase_ramp import point_ramp
from ..geometry.symmetry import symmetry_rotations
from .alignment import MapTransform, search_turns, sphere_points
from .symmetry import turned

_FIRST_SHELL = 4
_ROTATIONS_AT_ONCE = 64


@dataclass(frozen=True)
class SymmetryAxes:
    """V(Q^T x + o) has the axes of the group in the orientation of `geometry.symmetry`.

    rotation : Q (3, 3). origin_px : o (3,) (x, y, z), from voxel D // 2. correlation : the lowest
        of the volume's
    transform with itself, turned by an operation of the group.
    """

    rotation: np.ndarray
    origin_px: np.ndarray
    correlation: float

    def poses(self, rotations: np.ndarray, shifts_px: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """A and t of images of V -> those of the same images of V(Q^T x + o): A Q^T and t + (A o)."""
        moved = shifts_px + (rotations @ self.origin_px)[:, :2]
        return rotations @ self.rotation.T, moved

    def volume(self, data: np.ndarray, symmetry: str) -> np.ndarray:
        """(D, D, D) float32: V(Q^T x + o), averaged over the group."""
        moved = turned(data, self.rotation.T, -self.rotation @ self.origin_px, order=3)
        return np.mean(
            [turned(moved, g, order=3) for g in symmetry_rotations(symmetry)], axis=0
        ).astype(np.float32)


def find_axes(data: np.ndarray, symmetry: str, last_shell: int) -> SymmetryAxes:
    """Scan SO(3) for the axes in the lowest shells, then refine the best with the origin up to a
    shell.
    """
    group = symmetry_rotations(symmetry)[1:]
    transform = MapTransform(data)
    box = data.shape[0]

    def correlations(rotations: np.ndarray, origin_px: np.ndarray, shell: int) -> np.ndarray:
        """(B, G - 1) correlations of V(Q^T x + o) with itself rotated."""

        def moved(k: np.ndarray) -> np.ndarray:
            points = k @ rotations  # rows Q^T k
            return transform.at(points) * point_ramp(points, -origin_px, box)

        k = sphere_points(shell)
        own, out = moved(k), []
        for g in group:
            other = moved(k @ g)
            norm = np.linalg.norm(own, axis=1) * np.linalg.norm(other, axis=1)
            out.append((own.conj() * other).real.sum(axis=1) / np.maximum(norm, 1e-30))
        return np.stack(out, axis=1)

    def means(rotations: np.ndarray, origin_px: np.ndarray, shell: int) -> np.ndarray:
        return correlations(rotations, origin_px, shell).mean(axis=1)

    shells = tuple(dict.fromkeys((min(_FIRST_SHELL, last_shell), last_shell)))
    found = search_turns(means, shells, _ROTATIONS_AT_ONCE)
    rotation, origin, _ = max(found, key=lambda candidate: candidate[2])
    return SymmetryAxes(
        rotation, origin, float(correlations(rotation[None], origin, last_shell).min())
    )
