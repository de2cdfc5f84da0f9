"""Continuous motion of a part of the particle, as a rigid body.

Projection is linear: an image is that of the rest of the particle plus that of the part, whose pose
is that of the particle after the motion. No volume is made for a state of the motion.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ...errors import InputError
from ...fourier.resampling import without_solvent
from ...types import Volume
from ..draws import MOTION, Seed, stream


class Motion(NamedTuple):
    """Of the part in N images: angle (N,) in radians about the axis through the centre of the part,
    and step (N,) in Å along it.
    """

    angle_rad: np.ndarray
    step_angstrom: np.ndarray


class MovingPart(NamedTuple):
    """rest, part : volumes whose sum is the particle. centre_angstrom : (3,) centre of mass of the
    part, (x, y, z) from the origin of the volume.
    """

    rest: Volume
    part: Volume
    centre_angstrom: np.ndarray


def draw_motion(
    largest_angle_deg: float, largest_step_angstrom: float, n: int, seed: Seed
) -> Motion:
    """The Motion of n images: angle and step uniform up to the largest ones, in both directions.

    Parameters
    ----------
    largest_angle_deg, largest_step_angstrom : limits.
    n : number of images.
    seed : of the draw.
    """
    share = stream(seed, MOTION).uniform(-1, 1, (n, 2))
    return Motion(np.deg2rad(largest_angle_deg) * share[:, 0], largest_step_angstrom * share[:, 1])


def split(volume: Volume, mask: np.ndarray) -> MovingPart:
    """A particle in two, by a mask (D, D, D) from 0 to 1 of the part that moves.

    Raises InputError if no density, or all of it, is in the mask.
    """
    volume = without_solvent(volume)
    part = (volume.data * mask).astype(np.float32)
    weight = np.clip(part, 0, None).astype(np.float64)
    total = np.clip(volume.data, 0, None).sum(dtype=np.float64)
    if not 0 < weight.sum() < 0.999 * total:
        raise InputError(
            f"The mask of the moving part holds {weight.sum() / max(total, 1e-30):.1%} of the "
            "density; give one that holds a part of the particle."
        )

    z, y, x = np.array(ndimage.center_of_mass(weight)) - mask.shape[0] // 2
    pixel = volume.pixel_size_angstrom
    rest = Volume(volume.data - part, pixel)
    return MovingPart(rest, Volume(part, pixel), pixel * np.array([x, y, z]))


def pose_of_part(
    rotations: np.ndarray,
    motion: Motion,
    axis: np.ndarray,
    centre_angstrom: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray]:
    """Rotations (B, 3, 3) of the part, and its displacement (B, 2) in the image, in Å.

    A point x of the part is at R (x - c) + c + d, so that it is seen at A R x + A (c - R c + d).

    Parameters
    ----------
    rotations : (B, 3, 3) A of the particles.
    motion : of the parts: R is the rotation about the axis, d the step along it.
    axis : (3,) of any length.
    centre_angstrom : c of all, (3,), or of each, (B, 3).
    """
    axis = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    turn = Rotation.from_rotvec(motion.angle_rad[:, None] * axis).as_matrix()
    centre = np.broadcast_to(centre_angstrom, (len(rotations), 3))
    moved = centre - np.einsum("nij,nj->ni", turn, centre) + motion.step_angstrom[:, None] * axis
    return rotations @ turn, np.einsum("nij,nj->ni", rotations, moved)[:, :2]
