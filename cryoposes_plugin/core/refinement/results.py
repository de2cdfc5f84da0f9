"""Results of a refinement: the scores of its poses, the particles at these poses, and their covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, Optional

import numpy as np

from ..io.folder import Folder
from ..io.names import COVARIANCE_NAME
from ..scores import (
    BASINS,
    EXPECTED_ERROR,
    EXPECTED_SHIFT_ERROR,
    IMAGE_RESIDUAL,
    PARTICLE_SCALE,
    WRONG_BASIN,
)
from ..types import ParticleTable
from ..values import require_finite
from .multi_start import Refined
from .scales import ScaleDistribution
from .spectra import Spectra

#: From this probability on an image is taken to have nothing of the map.
_UNFIT = 0.5


@dataclass(frozen=True)
class Results:
    """A finished refinement of N particles.

    Attributes
    ----------
    refined : the poses; shifts in pixels of the working grid.
    residual : (N,) chi-square per degree of freedom.
    spectra : amplitude and noise by optics group.
    start_scores : scores of the starts, (N, ...) by name, see `starts.Starts`.
    searched : sorted rows that were searched globally; None where there was no global search.
    particles_per_second : the global search included; 0 if an earlier run had refined them all.
    """

    refined: Refined
    residual: np.ndarray
    spectra: Mapping[int, Spectra]
    start_scores: Mapping[str, np.ndarray]
    searched: Optional[np.ndarray]
    particles_per_second: float


def score_columns(
    results: Results, pixel_size_angstrom: float, blank: np.ndarray
) -> Dict[str, np.ndarray]:
    """What the particles' STAR file says of each pose, by column; expected errors are root mean squares.

    blank : (N,) bool, images that tell nothing: their scores are the worst.
    """
    refined = results.refined
    variance = np.einsum("bii->bi", refined.covariance)
    median = float(np.median(refined.scale[~blank])) or 1.0
    nothing = nothing_of_the_map(refined, blank)
    # Right only if it is so among the poses that were tried, and if one of these is the right one at all.
    right = (1.0 - refined.wrong_basin) * (1.0 - nothing)
    # Pure noise fits no worse than a particle does.
    empty = nothing >= _UNFIT
    return {
        EXPECTED_ERROR: np.rad2deg(np.sqrt(variance[:, :3].sum(axis=1))),
        EXPECTED_SHIFT_ERROR: pixel_size_angstrom * np.sqrt(variance[:, 3:].sum(axis=1)),
        WRONG_BASIN: 1.0 - right,
        BASINS: worst_where(empty, refined.basins.astype(np.float64)),
        IMAGE_RESIDUAL: worst_where(empty, results.residual),
        PARTICLE_SCALE: np.where(blank, 0.0, refined.scale / median),
    }


def nothing_of_the_map(refined: Refined, blank: np.ndarray) -> np.ndarray:
    """(N,) probability that an image holds none of the map, as the scale of its signal tells; 1 for blank images."""
    nothing = np.ones(len(blank))
    nothing[~blank] = ScaleDistribution(refined.scale[~blank]).probability_of_wrong
    return nothing


def worst_where(untold: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(N,) scores of which the lowest is best: where nothing is told, one more than the largest of all others."""
    others = values[~untold]
    return np.where(untold, others.max() + 1.0, values) if len(others) else values


def with_poses(
    table: ParticleTable, results: Results, working_pixel_angstrom: float, blank: np.ndarray
) -> ParticleTable:
    """The particles at their refined poses, with what is known of each; see `score_columns`."""
    scale = working_pixel_angstrom / table.pixel_size_angstrom
    return table.replace(
        rotations=results.refined.rotations,
        shifts_px=results.refined.shifts_px * scale[:, None],
        scores={**table.scores, **score_columns(results, working_pixel_angstrom, blank)},
    )


def write_covariance(
    folder: Folder, table: ParticleTable, results: Results, working_pixel_angstrom: float
) -> None:
    """covariance.npz: ids (N,), covariance (N, 5, 5) of (w, t), w in radians in the image's frame (A = exp([w]x) A^),
    t in Å."""
    unit = np.array([1.0, 1.0, 1.0, working_pixel_angstrom, working_pixel_angstrom])
    covariance = results.refined.covariance * unit[:, None] * unit
    require_finite(covariance, str(folder.file(COVARIANCE_NAME)))
    with folder.atomic(COVARIANCE_NAME) as part, open(part, "wb") as handle:
        np.savez(handle, ids=table.ids, covariance=covariance)
