"""The conventions of the whole program, stated once, and the conversions between them.

Vectors are (x, y, z). Arrays are indexed [z, y, x] and [y, x]. The origin is voxel or pixel D // 2.

The pose of a particle is a rotation A (volume frame -> image frame) and a displacement t of the
particle in its image, in pixels. With V the volume, the image is

    I(x + tx, y + ty) = sum_z V(A^T (x, y, z)),
    I^(k) = V^(A^T (kx, ky, 0)) exp(-2 pi i k.t / D).

RELION's angles: A = Rz(-psi) Ry(-tilt) Rz(-rot), that is,
A^T = Rotation.from_euler("ZYZ", [rot, tilt, psi]).
RELION's origin must be added to bring the particle back to the centre:
(rlnOriginXAngst, rlnOriginYAngst) = -t * pixel size.
Scipion's transform T (4x4) maps image to volume coordinates: inv(T) = [A | t], T[:3, :3] = A^T.
cryoSPARC's pose is the rotation vector of A^T; its shift, in pixels of the alignment, is -t.
Quaternions are (w, x, y, z), of unit norm, w >= 0, of the rotation A.

Rotating an image by psi counter-clockwise in (x, y) changes A into Rz(psi) A and t into Rz(psi) t.
Flipping its x about D // 2 changes A into Ry(pi) A and tx into -tx.
A symmetry operation g of the volume, V(g x) = V(x), makes A and A g the same pose.
Images do not determine the hand: the images of V at A are those of the mirrored V (z -> -z) at
Rz(pi) A Rz(pi).

CTF: underfocus is positive, in Å; kV; mm; degrees; the sign keeps protein positive at low
frequency, as in RELION.
Angles are in degrees at the boundaries of the program and in radians inside; shifts are in Å at the
boundaries and in pixels inside.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation


def centre(box_size_px: int) -> int:
    """Index of the origin along each axis."""
    return box_size_px // 2


def euler_deg_to_rotations(angles_deg: np.ndarray) -> np.ndarray:
    """(N, 3) RELION angles (rot, tilt, psi) in degrees -> (N, 3, 3) rotations A."""
    angles = np.asarray(angles_deg, dtype=np.float64).reshape(-1, 3)
    matrices = Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix()
    return np.ascontiguousarray(np.swapaxes(matrices, 1, 2))


def rotations_to_euler_deg(rotations: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations A -> (N, 3) RELION angles (rot, tilt, psi) in degrees.

    psi = 0 at the poles, tilt = 0 and 180.
    """
    inverse = np.swapaxes(np.asarray(rotations, dtype=np.float64).reshape(-1, 3, 3), 1, 2)
    tilt = np.arctan2(np.hypot(inverse[:, 0, 2], inverse[:, 1, 2]), inverse[:, 2, 2])
    pole = np.hypot(inverse[:, 0, 2], inverse[:, 1, 2]) < 1e-9
    rot = np.where(
        pole,
        np.arctan2(inverse[:, 1, 0] * np.sign(inverse[:, 2, 2]), inverse[:, 1, 1]),
        np.arctan2(inverse[:, 1, 2], inverse[:, 0, 2]),
    )
    psi = np.where(pole, 0.0, np.arctan2(inverse[:, 2, 1], -inverse[:, 2, 0]))
    return np.rad2deg(np.stack([rot, tilt, psi], axis=1))


def rotations_to_quaternions(rotations: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations A -> (N, 4) unit quaternions (w, x, y, z), w >= 0."""
    xyzw = Rotation.from_matrix(np.asarray(rotations, dtype=np.float64).reshape(-1, 3, 3)).as_quat()
    wxyz = xyzw[:, [3, 0, 1, 2]]
    return np.where(wxyz[:, :1] < 0, -wxyz, wxyz)


def quaternions_to_rotations(quaternions: np.ndarray) -> np.ndarray:
    """(N, 4) quaternions (w, x, y, z), of any norm but zero -> (N, 3, 3) rotations A."""
    wxyz = np.asarray(quaternions, dtype=np.float64).reshape(-1, 4)
    return Rotation.from_quat(wxyz[:, [1, 2, 3, 0]]).as_matrix()


def poses_to_transforms(rotations: np.ndarray, shifts_px: np.ndarray) -> np.ndarray:
    """A (N, 3, 3) and t (N, 2) -> (N, 4, 4) Scipion transforms T, image -> volume."""
    rotations = np.asarray(rotations, dtype=np.float64).reshape(-1, 3, 3)
    shifts = np.zeros((len(rotations), 3))
    shifts[:, :2] = shifts_px
    transforms = np.zeros((len(rotations), 4, 4))
    transforms[:, :3, :3] = np.swapaxes(rotations, 1, 2)
    transforms[:, :3, 3] = -np.einsum("nji,nj->ni", rotations, shifts)
    transforms[:, 3, 3] = 1
    return transforms


def transforms_to_poses(transforms: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(N, 4, 4) Scipion transforms T -> A (N, 3, 3) and t (N, 2)."""
    transforms = np.asarray(transforms, dtype=np.float64).reshape(-1, 4, 4)
    rotations = np.swapaxes(transforms[:, :3, :3], 1, 2)
    shifts = -np.einsum("nij,nj->ni", rotations, transforms[:, :3, 3])
    return np.ascontiguousarray(rotations), shifts[:, :2]


def shifts_px_to_origin_angstrom(
    shifts_px: np.ndarray, pixel_size_angstrom: ArrayLike
) -> np.ndarray:
    """Displacement t (N, 2) in pixels -> RELION's origin (N, 2) in Å.

    The pixel size is a number or (N,).
    """
    return -np.asarray(shifts_px, dtype=np.float64) * np.reshape(pixel_size_angstrom, (-1, 1))


def origin_angstrom_to_shifts_px(
    origin_angstrom: np.ndarray, pixel_size_angstrom: ArrayLike
) -> np.ndarray:
    """RELION's origin (N, 2) in Å -> displacement t (N, 2) in pixels."""
    return -np.asarray(origin_angstrom, dtype=np.float64) / np.reshape(pixel_size_angstrom, (-1, 1))


def rotations_about_z(angles_rad: ArrayLike) -> np.ndarray:
    """(N,) angles -> (N, 3, 3) Rz."""
    angles = np.atleast_1d(np.asarray(angles_rad, dtype=np.float64))
    return Rotation.from_rotvec(angles[:, None] * np.array([0.0, 0.0, 1.0])).as_matrix()


def turn_in_plane(rotations: np.ndarray, angles_rad: ArrayLike) -> np.ndarray:
    """A of images rotated in-plane by (N,) angles: Rz(psi) A."""
    return rotations_about_z(angles_rad) @ np.asarray(rotations, dtype=np.float64)


def mirror(rotations: np.ndarray) -> np.ndarray:
    """A of images whose x is flipped about D // 2: Ry(pi) A, the view from the opposite side."""
    return np.diag([-1.0, 1.0, -1.0]) @ np.asarray(rotations, dtype=np.float64)


def opposite_hand(rotations: np.ndarray) -> np.ndarray:
    """A of the same images in the frame of the volume mirrored in z: Rz(pi) A Rz(pi)."""
    turn = np.diag([-1.0, -1.0, 1.0])
    return turn @ np.asarray(rotations, dtype=np.float64) @ turn


def viewing_directions(rotations: np.ndarray) -> np.ndarray:
    """(N, 3) unit vectors along the beam in the volume frame.

    A^T z = (sin tilt cos rot, sin tilt sin rot, cos tilt).
    """
    return np.asarray(rotations, dtype=np.float64)[:, 2, :]
