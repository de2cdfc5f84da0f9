"""`infer` with a volume: the network's hypotheses are compared with the images and refined against the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ...core.geometry.symmetry import symmetric_distance_rad, symmetry_rotations
from ...core.io.provenance import digest_path
from ...core.models import uncertainty as bingham
from ...core.models.pose_model import PoseModel
from ...core.particles.grids import working_grid
from ...core.plots import plots
from ...core.refinement import global_search as second_look
from ...core.refinement.levenberg_marquardt import Poses
from ...core.refinement.multi_start import Settings
from ...core.refinement.refinement import Refinement, refine_all
from ...core.refinement.results import MOVED, Results, with_poses, write_covariance
from ...core.scores import POSE_SOURCE
from ...core.types import ParticleTable, Volume
from ...core.words import counted
from ..refine.report import metrics_of, refinement_figures
from ..report import write_report
from ..run_directory import RunDirectory
from .config import InferConfig
from .inputs import Inputs
from .results import DISPERSION, TRACE, UNCERTAIN
from .trained_hand import mirror_sentence

#: Hypotheses this much less probable than the best one, in natural logarithms, are not tried.
_LEAST_LOG_WEIGHT = -8.0
#: Around the shift that the network predicts, the best one is looked for so many times its median error: 3.5 sigma.
_MEDIAN_ERRORS = 3.0
_LEAST_REACH_PX = 1.5


@dataclass(frozen=True)
class Refined:
    """What came of it: particles with poses and scores, the refinement and its results, particles a second; what there
    is to say if the volume is the mirror of that of the training."""

    table: ParticleTable
    refinement: Refinement
    results: Results
    rate: float
    mirror: Optional[str] = None


class NetworkStarts:
    """The network's hypotheses for rows of the inputs as starts of a refinement, and its own scores along the way.

    subset : rows of the inputs that are meant by rows 0, 1, ...; default: all. The arrays of `filled`, rotations
    (N, 3, 3), dispersion (N,) and trace (N,), get the rows that were asked for.
    """

    def __init__(
        self,
        inputs: Inputs,
        number: int,
        pixels_per_model_pixel: float,
        subset: Optional[np.ndarray] = None,
    ):
        self.inputs, self.number, self.factor = inputs, number, pixels_per_model_pixel
        self.subset = np.arange(len(inputs.table)) if subset is None else subset
        particles = len(inputs.table)
        self.filled = {
            "rotations": np.zeros((particles, 3, 3)),
            DISPERSION: np.zeros(particles),
            TRACE: np.zeros(particles),
        }

    def __call__(self, rows: np.ndarray) -> Poses:
        rows = self.subset[rows]
        images, ctf, state = self.inputs.read_batch(rows)
        found = self.inputs.model.hypotheses(images, ctf, state, self.number)
        self.filled["rotations"][rows] = found.rotations[:, 0]
        self.filled[DISPERSION][rows] = bingham.largest_dispersion(found.bingham)
        self.filled[TRACE][rows] = bingham.trace(found.bingham)
        likely = (
            found.log_weights >= found.log_weights.max(axis=1, keepdims=True) + _LEAST_LOG_WEIGHT
        )
        likely[:, 0] = True
        particle, candidate = np.nonzero(likely)
        return Poses(
            particle,
            found.rotations[particle, candidate],
            self.factor * found.shifts_px[particle],
            on_grid=found.on_grid[particle, candidate],
        )


def refined_inference(
    config: InferConfig, run: RunDirectory, inputs: Inputs, volume: Volume
) -> Refined:
    """Poses of all particles; raises NoAgreement where images and volume have nothing in common."""
    refinement, starts = make_refinement(config, inputs, volume)
    results, rate = refine_all(refinement, run, config.batch_size, config.seed, starts.filled)
    pixel = refinement.grid.pixel_size_angstrom
    blank = refinement.images.grey.blank
    table = with_poses(
        inputs.table.replace(scores={}), results, pixel, blank
    )  # scores of other poses end here
    network = starts.filled["rotations"]
    turned = np.rad2deg(
        symmetric_distance_rad(results.refined.rotations, network, refinement.group)
    )
    certain = {
        name: np.where(blank, UNCERTAIN, starts.filled[name]) for name in (DISPERSION, TRACE)
    }
    scores = {**certain, MOVED: turned}
    source = f"{inputs.pose_source};refined:{digest_path(str(config.volume))[:12]}"
    table = table.replace(
        scores={**table.scores, **scores},
        extra={**table.extra, POSE_SOURCE: np.full(len(table), source, dtype=object)},
    )
    write_covariance(run, table, results, pixel)
    mirror = mirror_sentence(
        config.volume, volume, refinement, results, network, turned, config.seed
    )
    return Refined(table, refinement, results, rate, mirror)


def reach_px(model: PoseModel, max_shift_px: float) -> float:
    """How far around the predicted shifts, or around zero, to look for the best one, in pixels of its images."""
    known = model.card.validation.get("median_shift_error_px")
    if not model.predicts_shifts or known is None:
        return max_shift_px
    return min(max_shift_px, max(_LEAST_REACH_PX, _MEDIAN_ERRORS * known))


def make_refinement(
    config: InferConfig, inputs: Inputs, volume: Volume
) -> Tuple[Refinement, NetworkStarts]:
    """The refinement of all particles from the network's hypotheses, and where these come from."""
    card, grid = inputs.model.card, working_grid(inputs.table, config.working_box_px)
    factor = card.pixel_size_angstrom / grid.pixel_size_angstrom
    reach = reach_px(inputs.model, config.max_shift_px)
    starts = NetworkStarts(inputs, config.hypotheses, factor)
    settings = Settings(search_shift_px=reach * factor)
    group = symmetry_rotations(card.symmetry)
    again = second_look.settings(config.max_shift_px * factor)
    refinement = Refinement(
        inputs.table,
        volume,
        grid,
        starts,
        group,
        settings,
        again=again,
        start_grid=inputs.model.grid,
        threads=config.threads,
    )
    return refinement, starts


def refinement_metrics(refined: Refined) -> Dict[str, Any]:
    """Numbers of the refinement, and how far it moved the network's estimates."""
    found = metrics_of(refined.refinement, refined.results, refined.table, refined.rate)
    again = refined.results.again
    return {
        **found,
        "refined": True,
        "looked_at_again": 0 if again is None else len(again),
        "median_moved_from_network_deg": float(np.median(refined.table.scores[MOVED])),
    }


def write_refined_report(
    run: RunDirectory, inputs: Inputs, refined: Refined, metrics, notes
) -> None:
    table = refined.table
    figures = {
        **refinement_figures(refined.refinement, refined.results, table),
        "uncertainty_histogram": (
            "What the network said: the more negative the more certain; the score ranks and is not an angle.",
            plots.uncertainty_histogram(table.scores[TRACE], name=TRACE),
        ),
    }
    lead = f"{counted(len(table), 'particle')}, model {inputs.pose_source}, refined against the volume."
    write_report(
        run.path, "Estimated poses", numbers=metrics, notes=notes, figures=figures, lead=lead
    )
