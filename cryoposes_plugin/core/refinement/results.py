"""Results of a refinement: the scores of its poses, the particles at these poses, and their
covariance.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

import numpy as np

from ..fourier.ctf import with_defocus_changed
from ..geometry.symmetry import random_rotation_error_rad
from ..io.covariances import covariance_texts, read_covariance, write_covariances
from ..io.folder import Folder
from ..particles.grids import Grid
from ..scores import (
    BASIN_ERROR,
    BASINS,
    COVARIANCE,
    DEFOCUS_CHANGE,
    DEFOCUS_ERROR,
    EXPECTED_ERROR,
    EXPECTED_SHIFT_ERROR,
    IMAGE_RESIDUAL,
    PARTICLE_SCALE,
    WRONG_BASIN,
)
from ..types import AnyPath, ParticleTable
from .multi_start import Refined
from .scales import ScaleDistribution
from .spectra import Spectra

#: An image with at least this probability is assumed not to show the particle.
_UNFIT = 0.5


@dataclass(frozen=True)
class Results:
    """A finished refinement of N particles.

    Attributes
    ----------
    refined : the poses; shifts in pixels of the working grid.
    residual : (N,) chi-square per degree of freedom.
    statistics : (N, F) of the fits, see `fit_statistics`.
    spectra : amplitude and noise by optics group.
    start_scores : scores of the starts, (N, ...) by name, see `starts.Starts`.
    searched : sorted rows that were searched globally; None where there was no global search.
    sure : sorted rows whose poses were beyond doubt before the global search, see `global_search`.
    particles_per_second : the global search included; 0 if an earlier run had refined them all.
    """

    refined: Refined
    residual: np.ndarray
    statistics: np.ndarray
    spectra: Mapping[int, Spectra]
    start_scores: Mapping[str, np.ndarray]
    searched: Optional[np.ndarray]
    sure: Optional[np.ndarray]
    particles_per_second: float


def score_columns(
    results: Results, pixel_size_angstrom: float, blank: np.ndarray, group: np.ndarray
) -> Dict[str, np.ndarray]:
    """The scores of each pose, by column; expected errors are root mean squares.

    Parameters
    ----------
    results : of N particles.
    pixel_size_angstrom : of the working grid.
    blank : (N,) bool, images without contrast: they get the worst scores.
    group : (G, 3, 3) symmetry operations of the map.
    """
    refined = results.refined
    basin_error, shift_error = basin_errors(refined)
    median = float(np.median(refined.scale[~blank])) or 1.0

    # A pose is right if the right one was tried and if it is the best of those tried.
    unfit = unfit_probability(refined, blank)
    right = (1.0 - refined.wrong_basin) * (1.0 - unfit)
    # Pure noise has as good a residual as a particle.
    empty = unfit >= _UNFIT

    return {
        EXPECTED_ERROR: error_with_wrong_poses(basin_error, 1.0 - right, group),
        BASIN_ERROR: basin_error,
        EXPECTED_SHIFT_ERROR: pixel_size_angstrom * shift_error,
        WRONG_BASIN: 1.0 - right,
        BASINS: worst_where(empty, refined.basins.astype(np.float64)),
        IMAGE_RESIDUAL: worst_where(empty, results.residual),
        PARTICLE_SCALE: np.where(blank, 0.0, refined.scale / median),
    }


def covariance_of_given(
    path: AnyPath, table: ParticleTable, grid: Grid, free: np.ndarray
) -> Optional[np.ndarray]:
    """(N, 5, 5) covariances of the poses that particles came with, where a part of them stays, in
    rad and pixels of the working grid; None if they came without, or nothing stays.

    Parameters
    ----------
    path : of the particles' file.
    table : the particles.
    grid : the working grid.
    free : (5,) bool, the parameters that are refined.
    """
    found = None if free.all() else read_covariance(path, table)
    unit = np.array([1.0] * 3 + [1 / grid.pixel_size_angstrom] * 2)
    return None if found is None else found * unit[:, None] * unit


def with_given_errors(results: Results, given: Optional[np.ndarray], free: np.ndarray) -> Results:
    """Results whose parameters that were not refined have the covariance that they came with, or 0.

    Parameters
    ----------
    results : of N particles.
    given : see `covariance_of_given`.
    free : (5,) bool, the parameters that were refined.
    """
    if free.all() or given is None:
        return results
    covariance = results.refined.covariance + given * (~free[:, None] & ~free)
    return dataclasses.replace(
        results, refined=dataclasses.replace(results.refined, covariance=covariance)
    )


def without_unknown_errors(
    table: ParticleTable, given: Optional[np.ndarray], free: np.ndarray
) -> ParticleTable:
    """The particles without the errors of parameters that were not refined and came without any.

    Parameters
    ----------
    table : refined particles.
    given, free : see `with_given_errors`.
    """
    known = free if given is None else free | np.einsum("nii->ni", given).any(axis=0)
    unknown: Tuple[str, ...] = ()
    if not known[:3].all():
        unknown += (EXPECTED_ERROR, BASIN_ERROR)
    if not known[3:].all():
        unknown += (EXPECTED_SHIFT_ERROR,)

    scores = {name: values for name, values in table.scores.items() if name not in unknown}
    extra = dict(table.extra)
    if BASIN_ERROR in unknown:
        extra.pop(COVARIANCE, None)
    return table.replace(scores=scores, extra=extra)


def with_refined_defocus(table: ParticleTable, results: Results) -> ParticleTable:
    """The particles with the defocus that was refined with their poses, if it was."""
    scores = results.start_scores
    if table.ctf is None or DEFOCUS_CHANGE not in scores:
        return table
    change, error = (scores[n] for n in (DEFOCUS_CHANGE, DEFOCUS_ERROR))
    return table.replace(
        ctf=with_defocus_changed(table.ctf, change),
        scores={**table.scores, DEFOCUS_CHANGE: change, DEFOCUS_ERROR: error},
    )


def basin_errors(refined: Refined) -> Tuple[np.ndarray, np.ndarray]:
    """(N,) root mean square errors of the rotation in degrees, and of the shift in pixels, of N poses
    in the right basin.
    """
    variance = np.einsum("bii->bi", refined.covariance)
    rotation, shift = (np.sqrt(part.sum(axis=1)) for part in (variance[:, :3], variance[:, 3:]))
    return np.rad2deg(rotation), shift


def error_with_wrong_poses(
    basin_error_deg: np.ndarray, wrong: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """(N,) root mean square error in degrees, over the case that the pose is in the right basin and
    the case that it is wrong; a wrong pose is as good as a random one.

    Parameters
    ----------
    basin_error_deg : (N,) root mean square error in the right basin.
    wrong : (N,) probability that the pose is wrong.
    group : (G, 3, 3) symmetry operations.
    """
    any_deg = np.rad2deg(random_rotation_error_rad(group))
    return np.sqrt((1.0 - wrong) * basin_error_deg**2 + wrong * any_deg**2)


def unfit_probability(refined: Refined, blank: np.ndarray) -> np.ndarray:
    """(N,) probability, from the scale of its signal, that an image shows nothing of the map; 1 for
    blank images.
    """
    unfit = np.ones(len(blank))
    unfit[~blank] = ScaleDistribution(refined.scale[~blank]).probability_of_wrong
    return unfit


def worst_where(unknown: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(N,) scores of which the lowest is best; unknown ones, (N,) bool, become one more than the
    largest of the others.
    """
    others = values[~unknown]
    return np.where(unknown, others.max() + 1.0, values) if len(others) else values


def with_poses(
    table: ParticleTable,
    results: Results,
    working_pixel_angstrom: float,
    blank: np.ndarray,
    group: np.ndarray,
) -> ParticleTable:
    """The particles at their refined poses, with the scores and covariances of these.

    Parameters
    ----------
    table : the particles that were refined.
    results : their refined poses.
    working_pixel_angstrom : pixel size of the working grid.
    blank, group : see `score_columns`.
    """
    scale = working_pixel_angstrom / table.pixel_size_angstrom
    moved = table.replace(
        rotations=results.refined.rotations,
        shifts_px=results.refined.shifts_px * scale[:, None],
        scores={**table.scores, **score_columns(results, working_pixel_angstrom, blank, group)},
    )
    return with_covariance(moved, results, working_pixel_angstrom)


def with_covariance(
    table: ParticleTable, results: Results, working_pixel_angstrom: float
) -> ParticleTable:
    """The particles with the covariances of their refined poses."""
    texts = covariance_texts(covariance_angstrom(results, working_pixel_angstrom))
    return table.replace(extra={**table.extra, COVARIANCE: texts})


def write_covariance(
    folder: Folder, table: ParticleTable, results: Results, working_pixel_angstrom: float
) -> None:
    """Write covariance.npz, see `io.covariances`.

    Parameters
    ----------
    folder : of the results.
    table : the particles.
    results : their refined poses.
    working_pixel_angstrom : pixel size of the working grid.
    """
    write_covariances(folder, table.ids, covariance_angstrom(results, working_pixel_angstrom))


def covariance_angstrom(results: Results, working_pixel_angstrom: float) -> np.ndarray:
    """(N, 5, 5) covariances of (w, t), rad and Å, from those in pixels of the working grid."""
    unit = np.array([1.0, 1.0, 1.0, working_pixel_angstrom, working_pixel_angstrom])
    return results.refined.covariance * unit[:, None] * unit
