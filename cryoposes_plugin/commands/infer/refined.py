"""`infer` with a volume: the network's hypotheses are compared with the images and refined against
the volume.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.geometry.symmetry import symmetric_distance_rad, symmetry_rotations
from ...core.io.provenance import digest_path
from ...core.particles.batches import ParticleBatches
from ...core.particles.grids import working_grid
from ...core.particles.images import ResampledImages
from ...core.refinement import global_search
from ...core.refinement.levenberg_marquardt import ANGLES, BOTH, FREE
from ...core.refinement.multi_start import Settings
from ...core.refinement.network_starts import NetworkStarts, search_reach_px
from ...core.refinement.refinement import NoAgreement, Refinement, refine_all
from ...core.refinement.results import (
    Results,
    covariance_of_given,
    with_given_errors,
    with_poses,
    without_unknown_errors,
    write_covariance,
)
from ...core.refinement.starts import Starts, WithGivenShifts
from ...core.scores import DISPERSION, MOVED, POSE_SOURCE, TRACE
from ...core.trust.frame import examine_frame, marked_as_wrong, sample_rows
from ...core.trust.judge import Judge, Judged
from ...core.trust.verdict import OTHER_FRAME, OTHER_HAND, FrameTest
from ...core.twin_size import FEWEST_PARTICLES
from ...core.types import ParticleTable, Volume
from ...core.values import counted
from ..refine.report import metrics_of, refinement_figures, report_notes
from ..run_directory import RunDirectory
from .config import InferConfig
from .estimate import Estimate
from .inputs import ModelInputs
from .predicted import UNCERTAIN

#: What follows if most of the refined poses are wrong, and what if only the frame is another one.
_LOST = "The refined poses are therefore marked as wrong (cryoposesWrongBasin is 1). "
_REMEDY = "Train a network on the right map, or longer."
_SEARCHED = (
    "The poses were searched for in the volume and are in its frame; is the volume the one that the "
    "network was trained on?"
)


def refine_hypotheses(
    config: InferConfig, run: RunDirectory, inputs: ModelInputs, volume: Volume
) -> Estimate:
    """Poses of all particles; raises NoAgreement if images and volume have nothing in common.

    Parameters
    ----------
    config, run, inputs : of the command.
    volume : to refine against.
    """
    refinement = make_refinement(config, inputs, volume)
    refinement.images.grey = inputs.images.grey  # of the same images, at another size
    judge = _judge(config, run, inputs, refinement)
    hopeful = judge.hopeful if judge else None
    try:
        results = refine_all(refinement, run, config.batch_size, config.seed, hopeful, run.divide)
    except NoAgreement as error:
        frame = _frame_test(config, refinement, None)
        raise NoAgreement(" ".join([str(error), *_alarms(config, frame, False)])) from error

    free = FREE[config.assign]
    given = covariance_of_given(str(config.particles), inputs.table, refinement.grid, free)
    results = with_given_errors(results, given, free)
    table = _with_poses(config, inputs, refinement, results)
    judged = judge.judged(table, results) if judge else None
    if judged:
        table, results = judged.table, judged.results
    frame = _frame_test(config, refinement, results)
    if frame.refined_are_wrong:
        table = marked_as_wrong(table, refinement.group)
    table = without_unknown_errors(table, given, free)
    write_covariance(run, table, results, refinement.grid.pixel_size_angstrom)

    metrics = {**_metrics(refinement, results, table, judged), **frame.metrics()}
    alarms = _alarms(config, frame)
    return Estimate(
        table,
        results.particles_per_second,
        metrics,
        notes=[*([] if alarms else [frame.statement(*_named(config))]), *report_notes(metrics)],
        warnings=alarms,
        lead=f"{counted(len(table), 'particle')}, model {inputs.pose_source}, refined against the "
        "volume.",
        figures=lambda: _figures(refinement, results, table),
    )


def make_refinement(config: InferConfig, inputs: ModelInputs, volume: Volume) -> Refinement:
    """The refinement of all particles from the network's hypotheses."""
    card, grid = inputs.model.card, working_grid(inputs.table, config.working_box_px)
    factor = card.pixel_size_angstrom / grid.pixel_size_angstrom
    starts: Starts = NetworkStarts(inputs.model, inputs, config.hypotheses, factor)
    reach_px = factor * search_reach_px(inputs.model, config.max_shift_px)
    global_reach_px = factor * config.max_shift_px
    if config.assign == ANGLES:
        scale = inputs.table.pixel_size_angstrom / grid.pixel_size_angstrom
        starts = WithGivenShifts(starts, inputs.table.known_shifts_px * scale[:, None])
        reach_px = global_reach_px = 0.0

    return Refinement(
        inputs.table,
        volume,
        grid,
        starts,
        symmetry_rotations(card.symmetry),
        Settings(search_shift_px=reach_px, assign=config.assign),
        global_settings=global_search.settings(global_reach_px, config.assign),
        threads=config.threads,
        judged=len(inputs.table) >= FEWEST_PARTICLES and config.assign == BOTH,
    )


def _with_poses(
    config: InferConfig, inputs: ModelInputs, refinement: Refinement, results: Results
) -> ParticleTable:
    """The particles at their refined poses, with the scores of refinement and network; other scores
    are left out.
    """
    pixel, blank = refinement.grid.pixel_size_angstrom, refinement.images.grey.blank
    table = with_poses(inputs.table.replace(scores={}), results, pixel, blank, refinement.group)
    network = results.start_scores
    turned = np.rad2deg(
        symmetric_distance_rad(results.refined.rotations, network["rotations"], refinement.group)
    )
    scores = {
        DISPERSION: np.where(blank, UNCERTAIN, network["dispersion"]),
        TRACE: np.where(blank, UNCERTAIN, network["trace"]),
        MOVED: turned,
    }

    source = f"{inputs.pose_source};refined:{digest_path(str(config.volume))[:12]}"
    return table.replace(
        scores={**table.scores, **scores},
        extra={**table.extra, POSE_SOURCE: np.full(len(table), source, dtype=object)},
    )


def _judge(
    config: InferConfig, run: RunDirectory, inputs: ModelInputs, refinement: Refinement
) -> Optional[Judge]:
    """Tells junk by a twin, whose images the network sees too; None for too few particles."""
    if not refinement.judged:
        return None
    card = inputs.model.card
    factor = card.pixel_size_angstrom / refinement.grid.pixel_size_angstrom

    def starts_of(table: ParticleTable) -> NetworkStarts:
        images = ResampledImages(table, card.box_size_px, card.pixel_size_angstrom)
        particles = ParticleBatches(table, images)
        return NetworkStarts(inputs.model, particles, config.hypotheses, factor)

    return Judge(refinement, starts_of, run, config.batch_size, config.seed)


def _metrics(
    refinement: Refinement,
    results: Results,
    table: ParticleTable,
    judged: Optional[Judged],
) -> Dict[str, Any]:
    """Numbers of the refinement, and how far it moved the network's estimates."""
    return {
        **metrics_of(refinement, results, table, judged),
        "refined": True,
        "searched_globally": 0 if results.searched is None else len(results.searched),
        "median_moved_from_network_deg": float(np.median(table.scores[MOVED])),
    }


def _figures(
    refinement: Refinement, results: Results, table: ParticleTable
) -> Dict[str, Tuple[str, Figure]]:
    return {
        **refinement_figures(refinement, results, table),
        "uncertainty_histogram": (
            "Uncertainty by the network: the more negative the score, the more certain the "
            "network; the score ranks particles and is not an angle.",
            plots.uncertainty_histogram(table.scores[TRACE], name=TRACE),
        ),
    }


def _frame_test(
    config: InferConfig, refinement: Refinement, results: Optional[Results]
) -> FrameTest:
    """Whether the poses of the network, and the refined ones, belong to the volume."""
    rows = sample_rows(refinement, config.seed)
    starts = refinement.starts(rows).poses
    given = starts.take(starts.starts_image)
    refined = starts if results is None else results.refined.take(rows).poses
    return examine_frame(refinement, rows, given, refined, config.seed)


def _named(config: InferConfig) -> Tuple[str, str]:
    return "The network's poses", f"volume {config.volume}"


def _alarms(config: InferConfig, frame: FrameTest, refined: bool = True) -> List[str]:
    """What there is to say if network, map and images do not belong together.

    refined : whether there are refined poses.
    """
    if not frame.alarming:
        return []
    statement = frame.statement(*_named(config))
    if frame.refined_are_wrong:
        return [f"{statement} {_LOST if refined else ''}{_REMEDY}"]
    return [f"{statement} {_SEARCHED}" if frame.verdict in (OTHER_FRAME, OTHER_HAND) else statement]
