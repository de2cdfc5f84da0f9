"""The hypotheses of a network as the starts of a refinement, with the network's own scores."""

from __future__ import annotations

from typing import Mapping, Optional, Tuple

import numpy as np

from ..models.pose_model import PoseModel
from ..models.uncertainty import largest_dispersion, total_dispersion
from ..particles.batches import ParticleBatches
from .poses import Poses
from .starts import StartingPoses

#: Hypotheses that are less probable than the best one by this, in natural logarithms, are not
#: tried.
_LEAST_LOG_WEIGHT = -8.0
#: The best shift is looked for within this multiple of the network's median shift error: 3.5 sigma
#: ...
_MEDIAN_ERRORS = 3.0
#: ... and at least within this distance of the predicted shift.
_LEAST_REACH_PX = 1.5


class NetworkStarts:
    """Hypotheses of a network for particles.

    The scores are the network's estimate `rotations` (3, 3), and `dispersion` and `trace` of its
    distribution.

    Parameters
    ----------
    model : the network.
    particles : its images, at the box and pixel size of the network.
    number : the largest number of hypotheses for each image.
    pixels_per_model_pixel : pixels of the working grid in one pixel of the network's images.
    subset : rows of the particles that rows 0, 1, ... of the refinement stand for; default: all.
    """

    score_shapes: Mapping[str, Tuple[int, ...]] = {
        "rotations": (3, 3),
        "dispersion": (),
        "trace": (),
    }

    def __init__(
        self,
        model: PoseModel,
        particles: ParticleBatches,
        number: int,
        pixels_per_model_pixel: float,
        subset: Optional[np.ndarray] = None,
    ):
        self._model, self._particles, self._number = model, particles, number
        self._factor = pixels_per_model_pixel
        self._subset = np.arange(len(particles.table)) if subset is None else subset

    @property
    def grid(self) -> Optional[np.ndarray]:
        return self._model.grid

    def __call__(self, rows: np.ndarray) -> StartingPoses:
        batch = self._particles.read_batch(self._subset[rows])
        hypotheses = self._model.hypotheses(*batch, self._number)

        weights = hypotheses.log_weights
        likely = weights >= weights.max(axis=1, keepdims=True) + _LEAST_LOG_WEIGHT
        likely[:, 0] = True
        particle, candidate = np.nonzero(likely)
        poses = Poses(
            particle,
            hypotheses.rotations[particle, candidate],
            self._factor * hypotheses.shifts_px[particle],
            on_grid=hypotheses.on_grid[particle, candidate],
        )

        scores = {
            "rotations": hypotheses.rotations[:, 0],
            "dispersion": largest_dispersion(hypotheses.bingham_matrices),
            "trace": total_dispersion(hypotheses.bingham_matrices),
        }
        return StartingPoses(poses, scores)


def search_reach_px(model: PoseModel, max_shift_px: float) -> float:
    """How far around the predicted shifts, or around zero, to look for the best one.

    In pixels of the network's images; never more than `max_shift_px`.
    """
    known = model.card.validation.get("median_shift_error_px")
    if not model.predicts_shifts or known is None:
        return max_shift_px
    return min(max_shift_px, max(_LEAST_REACH_PX, _MEDIAN_ERRORS * known))
