"""The weights of the particles in a reconstruction, from their scores and the covariance of their
poses.
"""

from __future__ import annotations

import logging
from typing import Dict, Optional, Union

import numpy as np

from ...core.errors import InputError
from ...core.io.covariances import read_covariance
from ...core.io.names import COVARIANCE_NAME
from ...core.maps.size import radius_of_gyration_angstrom
from ...core.reconstruction.weights import (
    PoseWeights,
    blur_of_covariance,
    blur_of_errors,
    pose_weights,
)
from ...core.scores import BASIN_ERROR, EXPECTED_SHIFT_ERROR, JUNK, WRONG_BASIN
from ...core.types import ParticleTable, Volume
from ...core.values import counted
from .config import BASES, BY_COVARIANCE, BY_PROBABILITY, UNWEIGHTED, ReconstructConfig

logger = logging.getLogger(__name__)


def weights_of(
    config: ReconstructConfig,
    table: ParticleTable,
    reference: Optional[Volume],
    mask_diameter_angstrom: float,
) -> Optional[PoseWeights]:
    """The weights that the config asks for, None for none; InputError without the scores for it.

    Parameters
    ----------
    config : with the choice.
    table : the particles.
    reference : whose density gives the radius of gyration; otherwise the mask does, as a ball.
    mask_diameter_angstrom : of the mask.
    """
    if config.weights == UNWEIGHTED:
        return None

    probability = blur = None
    if config.weights != BY_COVARIANCE:
        probability = _probability(config, table)
    if config.weights != BY_PROBABILITY:
        radius = np.sqrt(3 / 5) * mask_diameter_angstrom / 2
        if reference is not None:
            radius = radius_of_gyration_angstrom(reference)
        blur = _blur(config, table, float(radius))
    return pose_weights(len(table), probability, blur)


def weight_numbers(
    weights: Optional[PoseWeights], choice: str, resolution_angstrom: float
) -> Dict[str, Union[float, str]]:
    """The numbers for metrics.json, and what they say; without weights only that there are none."""
    if weights is None:
        return {"weights": choice}
    lowest = weights.effective_number(0.0)
    finest = weights.effective_number(1 / resolution_angstrom)
    number = len(weights.probability)

    statement = (
        f"Weighted by {BASES[choice]}: {counted(number, 'particle')} count as "
        f"{lowest:.0f} with exact poses at low resolution, and as {finest:.0f} at "
        f"{resolution_angstrom:.1f} Å."
    )
    return {
        "weights": choice,
        "effective_particles": round(lowest, 1),
        "effective_particles_at_resolution": round(finest, 1),
        "weights_statement": statement,
    }


def _probability(config: ReconstructConfig, table: ParticleTable) -> np.ndarray:
    """(N,) probability of a right pose; a pose of junk is wrong, so the smaller one of both counts."""
    known = [name for name in (WRONG_BASIN, JUNK) if name in table.scores]
    if not known:
        raise InputError(
            f"{config.particles} has neither _{WRONG_BASIN} nor _{JUNK}; estimate the poses with "
            f"`infer` or `refine`, or choose --weights {UNWEIGHTED}."
        )
    return 1.0 - np.max([np.clip(_finite(config, table, name), 0, 1) for name in known], axis=0)


def _blur(config: ReconstructConfig, table: ParticleTable, radius_angstrom: float) -> np.ndarray:
    if BASIN_ERROR not in table.scores:
        raise InputError(
            f"{config.particles} has no column _{BASIN_ERROR}; estimate the poses with `infer` or "
            f"`refine`, or choose --weights {UNWEIGHTED} or {BY_PROBABILITY}."
        )
    covariance = read_covariance(str(config.particles), table)
    if covariance is not None:
        return blur_of_covariance(covariance, radius_angstrom)
    logger.info("Without %s, expected errors count as equal in all directions.", COVARIANCE_NAME)
    # The network's own poses have the shifts of the input, whose errors are unknown.
    shift_error = np.zeros(len(table))
    if EXPECTED_SHIFT_ERROR in table.scores:
        shift_error = _finite(config, table, EXPECTED_SHIFT_ERROR)
    error_rad = np.deg2rad(_finite(config, table, BASIN_ERROR))
    return blur_of_errors(error_rad, shift_error, radius_angstrom)


def _finite(config: ReconstructConfig, table: ParticleTable, name: str) -> np.ndarray:
    values = table.scores[name]
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(
            f"Particle {table.ids[row]} of {config.particles} has {name} = {values[row]}; remove it "
            "or refine its pose again."
        )
    return values
