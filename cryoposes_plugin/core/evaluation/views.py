"""How evenly the views of a particle set fill Fourier space: the sampling compensation factor.

An image is a central slice, which holds the directions perpendicular to its viewing direction. With
S(d) slices through direction d, the noise in a reconstruction goes as the mean of 1 / S (Baldwin
and Lyumkis 2020).
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

import numpy as np

from ..conventions import viewing_directions
from ..errors import InputError
from ..geometry.sampling import half_sphere
from ..maps.conical_fsc import CFAR_LIMIT

#: Radius in Fourier voxels at which slices are counted: they are 1 / radius thick.
FOURIER_RADIUS_PX = 50
#: SCF* of side views alone is 8 / pi^2: values below it are worse than that.
SCF_LIMIT = 0.81
_MOST_DIRECTIONS = 5000
#: Width of a bin of viewing directions, in thicknesses of a slice.
_BIN_WIDTH = 0.4
_PRODUCTS_PER_CHUNK = 2**23


class Sampling(NamedTuple):
    """How central slices fill the directions of Fourier space.

    scf : mean of 1 / S over the seen directions, relative to even views, inverted; 1 is even.
    scf_star : the same if a direction that was not seen counts as seen once.
    unseen_share : share of directions through which no slice passes.
    directions : (M, 3) unit vectors on the half sphere z >= 0.
    slices : (M,) S, number of slices through each, weighted.
    """

    scf: float
    scf_star: float
    unseen_share: float
    directions: np.ndarray
    slices: np.ndarray


def sampling_compensation_factor(
    rotations: np.ndarray,
    group: np.ndarray,
    weights: Optional[np.ndarray] = None,
    radius_px: int = FOURIER_RADIUS_PX,
) -> Sampling:
    """SCF and SCF* of particles at given poses (Baldwin and Lyumkis 2020).

    SCF = 1 / (mean(1 / S over seen directions) mean(S)). With q the ratio of the numbers of unseen
    and seen directions, SCF* = SCF / (1 + q mean(S) SCF). Even views give 1, side views alone
    8 / pi^2, N images of one view about 1 / N. Viewing directions are binned if there are many,
    which changes S by a few per cent of its noise.

    Parameters
    ----------
    rotations : (N, 3, 3) rotations A.
    group : (G, 3, 3) symmetry operations; a particle counts for each of its G equivalents.
    weights : (N,) number of particles that each stands for, not negative; 1 by default. A direction
        with less than half a slice is unseen.
    radius_px : Fourier radius; slices are 1 / radius thick.

    Raises
    ------
    InputError : if no particle has a weight.
    """
    weights = np.ones(len(rotations)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not np.any(weights > 0):
        raise InputError(
            "The sampling of views was asked of no particle; give particles with poses."
        )
    width = _BIN_WIDTH / radius_px
    normals, weights, binned = _equivalent_normals(
        viewing_directions(rotations), weights, group, width
    )
    directions = half_sphere(min(_MOST_DIRECTIONS, int(2 * np.pi * radius_px**2)))
    edge = width if binned else 0.0
    slices = _slices_through(directions, normals, weights, 0.5 / radius_px, edge)

    seen = slices > 0.5
    if not seen.any():
        return Sampling(0.0, 0.0, 1.0, directions, slices)
    mean = float(slices.mean())
    scf = 1.0 / (float((1.0 / slices[seen]).mean()) * mean)
    unseen_over_seen = float((~seen).sum()) / float(seen.sum())
    scf_star = scf / (1.0 + unseen_over_seen * mean * scf)
    return Sampling(scf, scf_star, float((~seen).mean()), directions, slices)


def smeared_axis(sampling: Sampling) -> np.ndarray:
    """(3,) the unit vector, z >= 0, along which a map is worst: the axis of the directions through
    which few slices pass.
    """
    weights = 1.0 / (1.0 + sampling.slices)
    moments = np.einsum("m,mi,mj->ij", weights, sampling.directions, sampling.directions)
    axis = np.linalg.eigh(moments)[1][:, -1]
    return axis if axis[2] >= 0 else -axis


def smearing_sentence(sampling: Sampling, even: Sampling) -> Optional[str]:
    """That a volume is smeared, and along what; None where the views are about as even as those of
    as many particles of random orientation, `even`.
    """
    if sampling.scf_star >= SCF_LIMIT * even.scf_star:
        return None
    x, y, z = smeared_axis(sampling)
    return (
        f"Views are missing (SCF* {sampling.scf_star:.2f}, of as many even views "
        f"{even.scf_star:.2f}): this volume is smeared along (x, y, z) = ({x:.2f}, {y:.2f}, {z:.2f}), "
        "where few views show it from the side."
    )


def _equivalent_normals(
    normals: np.ndarray, weights: np.ndarray, group: np.ndarray, width_rad: float
) -> Tuple[np.ndarray, np.ndarray, bool]:
    """Viewing directions (B, 3) of all equivalents, their weights (B,), and whether they are bins of
    this width, which they are if there are more of them than bins.

    A g views along g^T (A^T z).
    """
    most = int(2 * np.pi / width_rad**2)
    many = len(normals) * len(group) > most
    if len(normals) > most:
        normals, weights = _binned(normals, weights, width_rad)
    normals = np.einsum("nj,gjk->gnk", normals, group).reshape(-1, 3)
    weights = np.tile(weights, len(group))
    if len(normals) > most:
        normals, weights = _binned(normals, weights, width_rad)
    return normals, weights, many


def _binned(
    normals: np.ndarray, weights: np.ndarray, width_rad: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Mean direction and sum of weights of each occupied bin of the half sphere, where n and -n are
    one; rings of bins are `width_rad` wide.
    """
    normals = np.where(normals[:, 2:] < 0, -normals, normals)
    rings = int(np.ceil(np.pi / 2 / width_rad))
    in_ring = np.ceil(2 * np.pi / width_rad * np.sin((np.arange(rings) + 0.5) * width_rad))
    first = np.concatenate([[0], np.cumsum(in_ring)]).astype(np.intp)
    polar = np.arccos(np.clip(normals[:, 2], 0, 1))
    ring = np.minimum((polar / width_rad).astype(np.intp), rings - 1)
    turn = np.arctan2(normals[:, 1], normals[:, 0]) / (2 * np.pi) + 0.5
    bins = first[ring] + np.minimum(turn * in_ring[ring], in_ring[ring] - 1).astype(np.intp)

    total = np.bincount(bins, weights, minlength=first[-1])
    sums = [np.bincount(bins, weights * x, minlength=first[-1]) for x in normals.T]
    occupied = total > 0
    means = np.stack(sums, axis=1)[occupied]
    return means / np.linalg.norm(means, axis=1, keepdims=True), total[occupied]


def _slices_through(
    directions: np.ndarray,
    normals: np.ndarray,
    weights: np.ndarray,
    half_thickness: float,
    edge: float,
) -> np.ndarray:
    """(M,) sums of the weights of the slices with normals (B, 3) through each direction (M, 3).

    Parameters
    ----------
    directions, normals : unit vectors.
    weights : (B,).
    half_thickness : of a slice at radius 1.
    edge : width over which a slice ends; that of a bin, which is partly inside, or 0.
    """
    slices = np.zeros(len(directions))
    along = directions.astype(np.float32)
    step = max(1, _PRODUCTS_PER_CHUNK // len(directions))
    for start in range(0, len(normals), step):
        chunk = slice(start, start + step)
        inside = np.abs(along @ normals[chunk].T.astype(np.float32))

        if edge > 0:
            np.subtract(np.float32(half_thickness / edge + 0.5), inside / edge, out=inside)
            np.clip(inside, 0, 1, out=inside)
        else:
            np.less(inside, np.float32(half_thickness), out=inside)
        slices += inside @ weights[chunk].astype(np.float32)
    return slices


def views_statement(scf_star: float, cfar: float) -> str:
    """What SCF* and cFAR together say of a reconstruction, and what to do, in plain English."""
    even, alike = scf_star >= SCF_LIMIT, cfar >= CFAR_LIMIT

    if even and alike:
        meaning = "the views are even, and the map is about equally good in all directions"
    elif even:
        meaning = (
            "the views are even, yet the map is worse in some directions: poses are wrong or "
            "particles are junk in the views that should show them. Filter the particles and "
            "reconstruct again"
        )
    elif alike:
        meaning = (
            "the views are uneven, yet the map is about equally good in all directions. Nothing has "
            "to be done, but do not reject rare views, and look whether one view is crowded with "
            "wrong poses"
        )
    else:
        meaning = (
            "views are missing, and the map is worse in some directions. Keep the rare views when "
            "filtering; if that is not enough, collect other views (tilted stage, other grids)"
        )
    return (
        f"SCF* {scf_star:.2f} (usual limit {SCF_LIMIT:g}), cFAR {cfar:.2f} (usual limit "
        f"{CFAR_LIMIT:g}): {meaning}."
    )
