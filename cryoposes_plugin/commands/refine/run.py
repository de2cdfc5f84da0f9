"""The `refine` command: poses refined against a map, with their covariance."""

from __future__ import annotations

import logging
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.geometry.symmetry import symmetric_distance_rad
from ...core.io.error_log import not_fatal
from ...core.io.ids import warn_of_copies
from ...core.io.names import PARTICLES_NAME
from ...core.io.particle_files import write_particle_results
from ...core.io.provenance import digest_path
from ...core.maps.symmetry import warn_of_symmetry
from ...core.particles.batches import scan_images
from ...core.particles.checks import check_defocus
from ...core.particles.contrast import warn_of_map
from ...core.refinement.levenberg_marquardt import ANGLES, BOTH, FREE, Prior
from ...core.refinement.multi_start import Settings
from ...core.refinement.refinement import NoAgreement, Refinement, refine_all
from ...core.refinement.results import (
    Results,
    covariance_of_given,
    with_given_errors,
    with_poses,
    with_refined_defocus,
    without_unknown_errors,
    write_covariance,
)
from ...core.refinement.starts import GivenStarts, turns_around
from ...core.scores import (
    COVARIANCE,
    DEFOCUS_CHANGE,
    DEFOCUS_ERROR,
    MOVED,
    MOVED_SHIFT,
    POSE_SOURCE,
)
from ...core.trust.frame import examine_frame, marked_as_wrong, sample_rows
from ...core.trust.judge import Judge
from ...core.trust.verdict import OTHER_FRAME, OTHER_HAND, WRONG_POSES, FrameTest
from ...core.twin_size import FEWEST_PARTICLES
from ...core.types import ParticleTable
from ...core.values import counted
from ..report import write_report
from ..run_directory import RunDirectory
from .config import RefineConfig
from .inputs import RefinementInputs, read_inputs
from .report import metrics_of, refinement_figures, report_notes

logger = logging.getLogger(__name__)

#: Median length of a normal vector of unit variance in three and in two dimensions.
_MEDIAN_OF_MAXWELL, _MEDIAN_OF_RAYLEIGH = 1.538, 1.177
#: What follows if most of the refined poses are wrong, and what if they are not.
_LOST = "The refined poses are therefore marked as wrong (cryoposesWrongBasin is 1)."
_TAKEN_ALONG = "The refinement took the poses into the frame of the map."
_REMEDIES = {
    WRONG_POSES: "Estimate poses first, with `cryoposes infer`, or search with --search-deg.",
    OTHER_FRAME: "Transform the map or the poses, or estimate poses with the map.",
    OTHER_HAND: "Mirror the map, or the poses.",
}


def check(config: RefineConfig) -> None:
    """Raise every error that can be found before any long work."""
    config.validate()
    inputs = read_inputs(config)
    if config.defocus_prior_angstrom is not None:
        check_defocus(inputs.table)
    scan_images(inputs.table)
    warn_of_map(config.volume, inputs.volume)
    warn_of_symmetry(f"Volume {config.volume}", inputs.volume, config.symmetry)
    warn_of_copies(inputs.table)


def run(config: RefineConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.star, covariance.npz and the report; returns the metrics.

    An interrupted run continues after the last batches that were saved, and ends with the same
    result.
    """
    inputs = read_inputs(config)
    refinement = make_refinement(config, inputs)
    try:
        results = refine_all(refinement, run, config.batch_size, config.seed, divide=run.divide)
    except NoAgreement as error:
        frame = _frame_test(config, inputs, refinement, None)
        raise NoAgreement(" ".join([str(error), *_alarms(config, frame, False)])) from error

    free = FREE[config.assign]
    given = covariance_of_given(str(config.particles), inputs.table, inputs.grid, free)
    results = with_given_errors(results, given, free)
    table = _with_poses(config, inputs, refinement, results)
    judge = _judge(config, run, inputs, refinement, table)
    judged = judge.judged(table, results) if judge else None
    if judged:
        table, results = judged.table, judged.results
    frame = _frame_test(config, inputs, refinement, results)
    if frame.refined_are_wrong:
        table = marked_as_wrong(table, refinement.group)
    table = without_unknown_errors(table, given, free)
    write_particle_results(run, PARTICLES_NAME, table)
    if COVARIANCE in table.extra:
        write_covariance(run, table, results, inputs.grid.pixel_size_angstrom)

    metrics = {
        **metrics_of(refinement, results, table, judged),
        "median_moved_deg": float(np.median(table.scores[MOVED])),
        "median_moved_angstrom": float(np.median(table.scores[MOVED_SHIFT])),
        **_defocus_metrics(table),
    }
    alarming = _alarms(config, frame)
    notes = [
        *(alarming or [frame.statement(*_named(config))]),
        *refinement.images.remarks(),
        *report_notes(metrics),
    ]
    for note in notes:
        logger.log(logging.WARNING if note in alarming else logging.INFO, "refine: %s", note)
    with not_fatal(run.path, "its report"):
        write_report(
            run.path,
            "Refined poses",
            lead=f"{counted(len(table), 'particle')}, refined against the volume.",
            numbers=metrics,
            notes=notes,
            figures=refinement_figures(refinement, results, table),
        )
    return {**metrics, **frame.metrics(), "hand": frame.hand, "notes": notes}


def make_refinement(config: RefineConfig, inputs: RefinementInputs) -> Refinement:
    """The refinement of the particles from their own poses, or from these and others around them."""
    scale = _working_pixels_per_pixel(inputs)

    around = turns_around(config.search_deg, config.search_starts) if config.search_deg else None
    settings = Settings(
        search_shift_px=_search_shift_px(config) * float(scale.max()),
        assign=config.assign,
        defocus_prior_angstrom=config.defocus_prior_angstrom,
        prior=Prior(
            np.inf if config.prior_deg is None else np.deg2rad(config.prior_deg),
            np.inf if config.prior_shift_px is None else config.prior_shift_px * float(scale.min()),
        ),
    )

    return Refinement(
        inputs.table,
        inputs.volume,
        inputs.grid,
        GivenStarts.of_particles(inputs.table, inputs.grid.pixel_size_angstrom, around),
        inputs.group,
        settings,
        config.resolution_angstrom,
        threads=config.threads,
        judged=len(inputs.table) >= FEWEST_PARTICLES and config.assign == BOTH,
    )


def _search_shift_px(config: RefineConfig) -> float:
    """How far around the given shifts the best one is searched for, in pixels of the images."""
    stays = config.assign == ANGLES or config.prior_shift_px is not None
    return 0.0 if stays else config.search_shift_px


def _defocus_metrics(table: ParticleTable) -> Dict[str, Any]:
    """Numbers of the refined defocus, if it was refined."""
    if DEFOCUS_ERROR not in table.scores:
        return {}
    change, error = table.scores[DEFOCUS_CHANGE], table.scores[DEFOCUS_ERROR]
    return {
        "median_defocus_change_angstrom": float(np.median(change)),
        "root_mean_square_defocus_change_angstrom": float(np.sqrt(np.mean(change**2))),
        "median_defocus_error_angstrom": float(np.median(error)),
    }


def _judge(
    config: RefineConfig,
    run: RunDirectory,
    inputs: RefinementInputs,
    refinement: Refinement,
    table: ParticleTable,
) -> Optional[Judge]:
    """Tells junk by a twin that starts as far from the truth as the set moved; None for too few
    particles.
    """
    if not refinement.judged:
        return None
    turned = np.deg2rad(float(np.median(table.scores[MOVED]))) / _MEDIAN_OF_MAXWELL
    shifted = float(np.median(table.scores[MOVED_SHIFT])) / inputs.grid.pixel_size_angstrom

    def starts_of(twin: ParticleTable) -> GivenStarts:
        rng = np.random.default_rng([config.seed, 17])
        turns = Rotation.from_rotvec(turned * rng.standard_normal((len(twin), 3))).as_matrix()
        moves = shifted / _MEDIAN_OF_RAYLEIGH * rng.standard_normal((len(twin), 2))
        return GivenStarts(turns @ np.asarray(twin.rotations), np.asarray(twin.shifts_px) + moves)

    return Judge(refinement, starts_of, run, config.batch_size, config.seed)


def _working_pixels_per_pixel(inputs: RefinementInputs) -> np.ndarray:
    """(N,) factor from pixels of the images to pixels of the working grid."""
    return inputs.table.pixel_size_angstrom / inputs.grid.pixel_size_angstrom


def _with_poses(
    config: RefineConfig, inputs: RefinementInputs, refinement: Refinement, results: Results
) -> ParticleTable:
    """The particles at their refined poses, with the scores of these, and how far each pose moved."""
    blank = refinement.images.grey.blank
    table = with_poses(inputs.table, results, inputs.grid.pixel_size_angstrom, blank, inputs.group)
    turned, shifted = moved(inputs.table, table, inputs.group)
    table = with_refined_defocus(table, results)
    source = np.full(len(table), f"refined:{digest_path(str(config.volume))[:12]}", dtype=object)
    return table.replace(
        scores={**table.scores, MOVED: turned, MOVED_SHIFT: shifted},
        extra={**table.extra, POSE_SOURCE: source},
    )


def moved(
    before: ParticleTable, after: ParticleTable, group: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """How far each pose moved: in degrees (N,), up to a symmetry operation, and in Å (N,)."""
    rotations = np.asarray(after.rotations), np.asarray(before.rotations)
    turned = np.rad2deg(symmetric_distance_rad(*rotations, group))
    moved_px = np.linalg.norm(np.asarray(after.shifts_px) - before.known_shifts_px, axis=1)
    return turned, moved_px * before.pixel_size_angstrom


def _frame_test(
    config: RefineConfig,
    inputs: RefinementInputs,
    refinement: Refinement,
    results: Optional[Results],
) -> FrameTest:
    """Whether the poses as they were given, and as they were refined, belong to the volume."""
    rows = sample_rows(refinement, config.seed)
    given = GivenStarts.of_particles(inputs.table, inputs.grid.pixel_size_angstrom)(rows).poses
    refined = given if results is None else results.refined.take(rows).poses
    finest = config.resolution_angstrom
    return examine_frame(refinement, rows, given, refined, config.seed, finest)


def _named(config: RefineConfig) -> Tuple[str, str]:
    return "The given poses", f"volume {config.volume}"


def _alarms(config: RefineConfig, frame: FrameTest, refined: bool = True) -> List[str]:
    """What there is to say if poses, map and images do not belong together.

    refined : whether there are refined poses.
    """
    if not frame.alarming:
        return []
    remedy = _REMEDIES.get(frame.verdict)
    if frame.refined_are_wrong:
        told = [*([_LOST] if refined else []), *([remedy] if remedy else [])]
        return [frame.statement(*_named(config)), *([" ".join(told)] if told else [])]
    corrected = frame.verdict in (OTHER_FRAME, OTHER_HAND)
    return [frame.statement(*_named(config)), *([_TAKEN_ALONG] if corrected else [])]
