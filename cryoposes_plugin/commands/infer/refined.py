"""`infer` with a volume: the network's hypotheses are compared with the images and refined against
the volume.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.geometry.symmetry import symmetric_distance_rad, symmetry_rotations
from ...core.io.provenance import digest_path
from ...core.particles.batches import ParticleBatches
from ...core.particles.grids import working_grid
from ...core.particles.images import ResampledImages
from ...core.refinement import global_search
from ...core.refinement.hand import fit_to_mirror
from ...core.refinement.multi_start import Settings
from ...core.refinement.network_starts import NetworkStarts, search_reach_px
from ...core.refinement.poses import Poses
from ...core.refinement.refinement import Refinement, refine_all
from ...core.refinement.results import Results, with_poses, write_covariance
from ...core.scores import DISPERSION, MOVED, POSE_SOURCE, TRACE
from ...core.trust.judge import FEWEST_PARTICLES, Judge, write_decoys
from ...core.trust.junk import JunkEstimate
from ...core.types import ParticleTable, Volume
from ...core.values import counted
from ..refine.report import metrics_of, refinement_figures, report_notes
from ..run_directory import RunDirectory
from .config import InferConfig
from .estimate import Estimate
from .inputs import ModelInputs
from .predicted import UNCERTAIN

#: Poses that the refinement moves by less than this, in the median, belong to the volume and not to
#: its mirror.
_LEAST_MOVED_DEG = 10.0


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
    judge = _judge(config, run, inputs, refinement)
    hopeful = judge.hopeful if judge else None
    results = refine_all(refinement, run, config.batch_size, config.seed, hopeful)
    table = _with_poses(config, inputs, refinement, results)
    junk = judge.estimate(results) if judge else None
    if judge and junk:
        table = table.replace(scores={**table.scores, **judge.scores(results, junk)})
        write_decoys(run, junk)
    write_covariance(run, table, results, refinement.grid.pixel_size_angstrom)

    metrics = _metrics(refinement, results, table, junk)
    mirror = mirror_warning(
        config.volume,
        volume,
        refinement,
        results,
        results.start_scores["rotations"],
        table.scores[MOVED],
        config.seed,
    )
    return Estimate(
        table,
        results.particles_per_second,
        metrics,
        notes=report_notes(metrics),
        warnings=[mirror] if mirror else [],
        lead=f"{counted(len(table), 'particle')}, model {inputs.pose_source}, refined against the "
        "volume.",
        figures=lambda: _figures(refinement, results, table),
    )


def make_refinement(config: InferConfig, inputs: ModelInputs, volume: Volume) -> Refinement:
    """The refinement of all particles from the network's hypotheses."""
    card, grid = inputs.model.card, working_grid(inputs.table, config.working_box_px)
    factor = card.pixel_size_angstrom / grid.pixel_size_angstrom
    reach = search_reach_px(inputs.model, config.max_shift_px)
    return Refinement(
        inputs.table,
        volume,
        grid,
        NetworkStarts(inputs.model, inputs, config.hypotheses, factor),
        symmetry_rotations(card.symmetry),
        Settings(search_shift_px=reach * factor),
        global_settings=global_search.settings(config.max_shift_px * factor),
        threads=config.threads,
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
    if len(inputs.table) < FEWEST_PARTICLES:
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
    junk: Optional[JunkEstimate],
) -> Dict[str, Any]:
    """Numbers of the refinement, and how far it moved the network's estimates."""
    return {
        **metrics_of(refinement, results, table, junk),
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


def mirror_warning(
    path,
    volume: Volume,
    refinement: Refinement,
    results: Results,
    network: np.ndarray,
    moved_deg: np.ndarray,
    seed: int,
) -> Optional[str]:
    """A sentence if the network's orientations fit the mirror of the volume; None otherwise.

    Tested on a sample of the largest optics group, at the refined shifts, and only if the
    orientations moved far.

    Parameters
    ----------
    path : of the volume, for the sentence.
    volume : that the particles were refined against.
    refinement, results : of the particles.
    network : (N, 3, 3) orientations by the network.
    moved_deg : (N,) angles between these and the refined ones.
    seed : of the sample.
    """
    if np.median(moved_deg) < _LEAST_MOVED_DEG:
        return None

    group = refinement.groups[0]
    rows = refinement.sample(group, seed)
    fit = fit_to_mirror(
        volume,
        refinement.points,
        refinement.grid.pixel_size_angstrom,
        refinement.observe(rows),
        Poses(np.arange(len(rows)), network[rows], results.refined.shifts_px[rows]),
        results.spectra[group].last_shell,
    )
    if fit is None:
        return None

    return (
        f"Volume {path} seems to be the mirror image (along {fit.axis}) of the volume that the "
        "network was trained on: the network's poses fit its mirror better (mean likelihood gain "
        f"{fit.mirror_gain:.1f}, and {fit.gain:.1f} with the volume). The poses were searched for "
        "in the volume and have its hand; is this intended?"
    )
