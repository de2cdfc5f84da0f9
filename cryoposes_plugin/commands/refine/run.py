"""The `refine` command: poses refined against a map, with their covariance."""

from __future__ import annotations

import logging
from typing import Any, Dict

import numpy as np

from ...core.io.error_log import not_fatal
from ...core.io.ids import warn_of_copies
from ...core.io.names import PARTICLES_NAME
from ...core.io.provenance import digest_path
from ...core.io.star import write_particles
from ...core.maps.symmetry import warn_of_symmetry
from ...core.particles.batches import scan_images
from ...core.particles.contrast import warn_of_map
from ...core.refinement.hand import HandTest, compare_hands
from ...core.refinement.levenberg_marquardt import Prior
from ...core.refinement.multi_start import Settings
from ...core.refinement.refinement import Refinement, refine_all
from ...core.refinement.results import MOVED, MOVED_SHIFT, WRONG_BASIN, with_poses, write_covariance
from ...core.refinement.starts import GivenStarts, turns_around
from ...core.scores import POSE_SOURCE
from ..run_directory import RunDirectory
from .config import RefineConfig
from .inputs import Inputs, read_inputs
from .report import metrics_of, report_notes, write_refinement_report

logger = logging.getLogger(__name__)

#: What follows, without a search, from a verdict on the poses that were given.
_LOST = {
    "undecided": "What is refined from poses that fit no better than chance is hardly right: each is given as wrong "
    "(cryoposesWrongBasin is 1); estimate poses first, with `cryoposes infer`, or search with --search-deg.",
    "opposite": "What is refined from poses of the other hand is wrong: each is given so (cryoposesWrongBasin is 1).",
}


def check(config: RefineConfig) -> None:
    """Raise what can be known to be wrong before any long work."""
    config.validate()
    inputs = read_inputs(config)
    scan_images(inputs.table)
    warn_of_map(config.volume, inputs.volume)
    warn_of_symmetry(f"Volume {config.volume}", inputs.volume, config.symmetry)
    warn_of_copies(inputs.table)


def run(config: RefineConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.star, covariance.npz and the report; returns the metrics.

    An interrupted run goes on after the last batches that were saved, and ends with the same result.
    """
    inputs = read_inputs(config)
    refinement = make_refinement(config, inputs)
    results, rate = refine_all(refinement, run, config.batch_size, config.seed)
    pixel = inputs.grid.pixel_size_angstrom
    blank = refinement.images.grey.blank
    table = with_poses(inputs.table, results, pixel, blank)
    turned, shifted = moved(inputs.table, table, inputs.group)
    source = np.full(len(table), f"refined:{digest_path(str(config.volume))[:12]}", dtype=object)
    table = table.replace(
        scores={**table.scores, MOVED: turned, MOVED_SHIFT: shifted},
        extra={**table.extra, POSE_SOURCE: source},
    )
    hand = _hand_test(config, inputs, refinement)
    lost = None if config.search_deg else _LOST.get(hand.verdict)
    if lost:
        table = table.replace(scores={**table.scores, WRONG_BASIN: np.ones(len(table))})
    write_particles(run.file(PARTICLES_NAME), table)
    write_covariance(run, table, results, pixel)
    metrics = metrics_of(refinement, results, table, rate)
    metrics.update(
        median_moved_deg=float(np.median(turned)), median_moved_angstrom=float(np.median(shifted))
    )
    notes = [
        hand.statement,
        *([lost] if lost else []),
        *refinement.images.remarks(),
        *report_notes(metrics),
    ]
    for note in notes:
        logger.log(
            logging.WARNING if lost and note in (lost, hand.statement) else logging.INFO,
            "refine: %s",
            note,
        )
    with not_fatal(run.path, "its report"):
        write_refinement_report(run, refinement, results, table, metrics, notes)
    return {**metrics, "hand": hand.verdict, "notes": notes}


def make_refinement(config: RefineConfig, inputs: Inputs) -> Refinement:
    """From the particles' own poses, or from these and others around them."""
    table, grid = inputs.table, inputs.grid
    scale = table.pixel_size_angstrom / grid.pixel_size_angstrom
    around = turns_around(config.search_deg, config.search_starts) if config.search_deg else None
    shifts = (
        np.zeros((len(table), 2)) if table.shifts_px is None else table.shifts_px * scale[:, None]
    )
    finest = float(scale.min())
    settings = Settings(
        search_shift_px=config.search_shift_px * float(scale.max()) if config.search_deg else 0.0,
        prior=Prior(
            np.inf if config.prior_deg is None else np.deg2rad(config.prior_deg),
            np.inf if config.prior_shift_px is None else config.prior_shift_px * finest,
        ),
    )
    starts = GivenStarts(np.asarray(table.rotations), shifts, around)
    resolution = config.resolution_angstrom
    return Refinement(
        table,
        inputs.volume,
        grid,
        starts,
        inputs.group,
        settings,
        resolution,
        threads=config.threads,
    )


def moved(before, after, group: np.ndarray):
    """How far each pose moved: (degrees (N,), Å (N,))."""
    from ...core.geometry.symmetry import symmetric_distance_rad

    turned = np.rad2deg(symmetric_distance_rad(after.rotations, before.rotations, group))
    start = np.zeros((len(before), 2)) if before.shifts_px is None else before.shifts_px
    return turned, np.linalg.norm(after.shifts_px - start, axis=1) * before.pixel_size_angstrom


def _hand_test(config: RefineConfig, inputs: Inputs, refinement: Refinement) -> HandTest:
    """On a sample of the largest optics group, with the poses as they were given."""
    group = int(np.bincount(inputs.table.optics_index).argmax())
    rows = refinement.sample(group, config.seed)
    given = GivenStarts(refinement.starts.rotations, refinement.starts.shifts_px)(rows)  # type: ignore[attr-defined]
    return compare_hands(
        inputs.volume,
        refinement.points,
        refinement.grid.pixel_size_angstrom,
        refinement.observe(rows),
        given,
        refinement.spectra[group].last_shell,
    )
