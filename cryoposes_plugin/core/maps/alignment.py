"""Alignment of two maps of one particle: a rotation, a displacement, and the hand.

The correlation of the maps' transforms within a sphere, Re sum F* G(A^T k) exp(2 pi i k.t), is
scanned over SO(3) in the lowest shells, and the best rotations of either hand are refined with the
displacement in more and more shells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Sequence, Tuple

import numpy as np
from scipy import fft, ndimage, optimize
from scipy.spatial.transform import Rotation

from ..errors import InputError
from ..fourier.gridding import padded_for_interpolation
from ..fourier.phase_ramp import point_ramp
from ..geometry.sampling import healpix_grid
from ..types import Volume
from .symmetry import turned

#: Order of the HEALPix grid of the scan (15° steps), and the last shell that it compares.
_ORDER, _FIRST_SHELL = 2, 6
#: Number of rotations of each hand that are refined.
_KEPT, _KEPT_TO_THE_END = 6, 2
_PADDING = 2
_ROTATIONS_AT_ONCE = 256


@dataclass(frozen=True)
class MapAlignment:
    """V(x) of the estimate, mirrored in z if `hand` is "opposite", goes to V(A^T (x - t)) on the
    reference.

    rotation : A (3, 3). shift_px : t (3,) (x, y, z). correlation : of the transforms, up to the
        requested shell.
    """

    rotation: np.ndarray
    shift_px: np.ndarray
    hand: str
    correlation: float

    def apply(self, estimate: Volume) -> Volume:
        """The estimate in the frame of the reference, by cubic interpolation."""
        same = estimate.mirrored() if self.hand == "opposite" else estimate
        data = turned(same.data, self.rotation.T, self.shift_px, order=3)
        return Volume(data.astype(np.float32), estimate.pixel_size_angstrom)


def align_maps(
    estimate: Volume,
    reference: Volume,
    last_shell: int,
    hands: Sequence[str] = ("same", "opposite"),
) -> MapAlignment:
    """The rotation, displacement and hand, of these hands, that align the estimate with the reference
    up to a shell.

    Raises InputError if the two are not on the same grid.

    Parameters
    ----------
    estimate, reference : the maps.
    last_shell : the last one that is compared.
    hands : "same" or "opposite" or both.
    """
    if estimate.data.shape != reference.data.shape:
        raise InputError(
            f"The maps have {estimate.box_size_px} and {reference.box_size_px} voxels along each "
            "side; resample them to the same grid."
        )
    target = _Target(reference.data, last_shell)
    found = []
    for hand in hands:
        transform = MapTransform(estimate.data if hand == "same" else estimate.mirrored().data)
        found += [(*pose, hand) for pose in _search(target, transform, last_shell)]
    rotation, shift, correlation, hand = max(found, key=lambda candidate: candidate[2])
    return MapAlignment(rotation, shift, hand, correlation)


def correlation_in_place(estimate: Volume, reference: Volume, last_shell: int) -> float:
    """Correlation of the transforms of two maps on one grid as they lie, up to a shell."""
    target, here = _Target(reference.data, last_shell), np.eye(3)[None]
    return float(target.correlations(MapTransform(estimate.data), here, last_shell, np.zeros(3))[0])


def _search(target: _Target, transform: MapTransform, last_shell: int) -> List[Found]:
    first = min(_FIRST_SHELL, last_shell)

    def correlations(rotations: np.ndarray, shift_px: np.ndarray, shell: int) -> np.ndarray:
        return target.correlations(transform, rotations, shell, shift_px)

    shells = tuple(dict.fromkeys(((first + last_shell) // 2, last_shell)))
    return search_turns(correlations, (first, *shells), _ROTATIONS_AT_ONCE)


#: (rotations (B, 3, 3), displacement in pixels, last shell) -> (B,) the score, which is maximised
Scores = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
#: (rotation, displacement, score)
Found = Tuple[np.ndarray, np.ndarray, float]


def search_turns(scores: Scores, shells: Sequence[int], at_once: int) -> List[Found]:
    """The best rotation of a grid over SO(3), refined together with a displacement.

    The grid is scanned in batches of `at_once` rotations. The best ones are refined up to the first
    of the shells, and two of them up to the last.
    """
    grid = healpix_grid(_ORDER)
    scanned = np.concatenate(
        [
            scores(grid[at : at + at_once], np.zeros(3), shells[0])
            for at in range(0, len(grid), at_once)
        ]
    )
    poses: List[Tuple[np.ndarray, np.ndarray]] = [
        (grid[row], np.zeros(3)) for row in np.argsort(-scanned)[:_KEPT]
    ]

    def score(rotation: np.ndarray, shift_px: np.ndarray, shell: int) -> float:
        return float(scores(rotation[None], shift_px, shell)[0])

    for stage, shell in enumerate(shells):
        evaluations = 160 if stage == 0 else 300
        poses = [_refine(score, turn, shift, shell, evaluations) for turn, shift in poses]
        values = [score(turn, shift, shell) for turn, shift in poses]
        poses = [poses[i] for i in np.argsort(values)[::-1][:_KEPT_TO_THE_END]]
    return [(turn, shift, score(turn, shift, shells[-1])) for turn, shift in poses]


def _refine(
    score: Callable[[np.ndarray, np.ndarray, int], float],
    rotation: np.ndarray,
    shift_px: np.ndarray,
    shell: int,
    evaluations: int,
) -> Tuple[np.ndarray, np.ndarray]:
    def cost(pose: np.ndarray) -> float:
        return -score(_turn(pose) @ rotation, pose[3:], shell)

    at = np.concatenate([np.zeros(3), shift_px])
    simplex = at + np.concatenate([np.zeros((1, 6)), np.diag([0.1] * 3 + [0.5] * 3)])
    options = dict(initial_simplex=simplex, xatol=2e-3, fatol=1e-5, maxfev=evaluations)
    pose = optimize.minimize(cost, at, method="Nelder-Mead", options=options).x
    return _turn(pose) @ rotation, pose[3:]


def _turn(pose: np.ndarray) -> np.ndarray:
    return Rotation.from_rotvec(pose[:3]).as_matrix()


class _Target:
    """The reference's coefficients in half of the sphere of a radius, ascending in |k|."""

    def __init__(self, data: np.ndarray, last_shell: int):
        self.box = data.shape[0]
        self.k = sphere_points(last_shell)
        self.radius = np.linalg.norm(self.k, axis=1)
        self.values = MapTransform(data).at(self.k)

    def correlations(
        self,
        transform: MapTransform,
        rotations: np.ndarray,
        shell: int,
        shift_px: np.ndarray,
    ) -> np.ndarray:
        """(B,) normalised correlations of G(A^T k) exp(-2 pi i k.t / D) with the reference.

        Parameters
        ----------
        transform : G, of the other map.
        rotations : (B, 3, 3) rotations A.
        shell : the last one that is compared.
        shift_px : t (3,) (x, y, z).
        """
        number = int(np.searchsorted(self.radius, shell, side="right"))
        k, values = self.k[:number], self.values[:number]
        moved = transform.at(k @ rotations) * point_ramp(k, shift_px, self.box)
        norm = np.linalg.norm(moved, axis=1) * np.linalg.norm(values)
        return (moved @ values.conj()).real / np.maximum(norm, 1e-30)


def sphere_points(last_shell: int) -> np.ndarray:
    """(P, 3) whole frequencies (x, y, z) with x >= 0 and 0 < |k| <= last_shell, ascending in |k|."""
    axis = np.arange(-last_shell, last_shell + 1)
    z, y, x = np.meshgrid(axis, axis, np.arange(last_shell + 1), indexing="ij")
    squared = x**2 + y**2 + z**2
    kept = (squared <= last_shell**2) & (squared > 0)
    order = np.argsort(squared[kept], kind="stable")
    return np.stack([x[kept], y[kept], z[kept]], axis=1)[order].astype(np.float64)


class MapTransform:
    """The transform of a map, interpolated on a padded grid; phases about voxel D // 2."""

    def __init__(self, data: np.ndarray):
        box = data.shape[0]
        size = _PADDING * box
        transform = fft.fftn(padded_for_interpolation(data, size))
        self._grid = fft.fftshift(transform).astype(np.complex64)
        self._centre = size // 2

    def at(self, k: np.ndarray) -> np.ndarray:
        """(..., 3) frequencies (x, y, z) in cycles per box -> (...,) complex64."""
        nodes = np.moveaxis(_PADDING * k[..., ::-1] + self._centre, -1, 0)
        shape = nodes.shape[1:]
        flat = nodes.reshape(3, -1)
        parts = [
            ndimage.map_coordinates(p, flat, order=1) for p in (self._grid.real, self._grid.imag)
        ]
        return (parts[0] + 1j * parts[1]).reshape(shape)
