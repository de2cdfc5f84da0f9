"""A map and its poses in the other hand: the images stay as they are.

An image is the projection of the map V along the beam, in whichever direction: the images of V at A
are those of V(M x) at Rz(pi) A (-M), for the mirror M along z (-M is Rz(pi), see `conventions`) and
for the inversion M = -1, which leaves all axes of symmetry in place.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from ..conventions import opposite_hand
from ..io.covariances import covariance_texts
from ..io.star_labels import ANGLE_PRIORS
from ..scores import COVARIANCE
from ..types import ParticleTable, Volume

MIRROR_Z, INVERSION = "z", "centre"
#: RELION's priors of the angles that become 180 degrees larger, as the angles do.
_PRIORS = {MIRROR_Z: (ANGLE_PRIORS[0], ANGLE_PRIORS[2]), INVERSION: (ANGLE_PRIORS[2],)}
#: Signs of the tangent (w, t) in the frame of the image: w is turned by Rz(pi).
_SIGNS = np.array([-1.0, -1.0, 1.0, 1.0, 1.0])


def volume_of_other_hand(volume: Volume, flip: str) -> Volume:
    """V(x, y, -z) or V(-x, -y, -z) about voxel D // 2; in an even box the first layers stay."""
    mirrored = volume.mirrored()
    if flip == MIRROR_Z:
        return mirrored
    data = np.flip(mirrored.data, axis=(1, 2))
    if volume.box_size_px % 2 == 0:
        data = np.roll(data, 1, axis=(1, 2))
    return Volume(data, volume.pixel_size_angstrom)


def rotations_of_other_hand(rotations: np.ndarray, flip: str) -> np.ndarray:
    """A of the same images in the frame of the map of the other hand, (N, 3, 3)."""
    turned = opposite_hand(rotations)
    return turned if flip == MIRROR_Z else turned @ np.diag([-1.0, -1.0, 1.0])


def covariance_of_other_hand(covariance: np.ndarray) -> np.ndarray:
    """(N, 5, 5) of (w, t), w in the frame of the image."""
    return covariance * (_SIGNS[:, None] * _SIGNS)


def particles_of_other_hand(
    table: ParticleTable, covariance: Optional[np.ndarray], flip: str
) -> Tuple[ParticleTable, Optional[np.ndarray]]:
    """The same images with the poses of the other hand, and the covariances of these.

    Parameters
    ----------
    table : particles with poses.
    covariance : (N, 5, 5) of these, or None.
    flip : "z" or "centre".
    """
    extra = dict(table.extra)
    for label in _PRIORS[flip]:
        if label in extra:
            angle = np.array(extra[label], dtype=np.float64) + 180.0
            extra[label] = np.array([f"{a:.6f}" for a in (angle + 180) % 360 - 180], dtype=object)
    if covariance is not None:
        covariance = covariance_of_other_hand(covariance)
        if COVARIANCE in extra:
            extra[COVARIANCE] = covariance_texts(covariance)

    rotations = rotations_of_other_hand(np.asarray(table.rotations), flip)
    return table.replace(rotations=rotations, extra=extra), covariance
