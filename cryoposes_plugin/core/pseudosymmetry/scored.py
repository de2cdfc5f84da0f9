"""Particles at the best of their symmetry mates, with the probability of each."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import entr

from ..geometry.subgroups import Cosets
from ..refinement.refinement import Refinement
from ..refinement.results import Results, with_poses
from ..scores import (
    EXPECTED_ERROR,
    MATE,
    MATE_ENTROPY,
    MATE_PROBABILITIES,
    MATE_PROBABILITY,
    WRONG_BASIN,
)
from ..types import ParticleTable
from .mates import MateFits


def with_best_mates(
    refinement: Refinement,
    results: Results,
    fits: MateFits,
    probability: np.ndarray,
    cosets: Cosets,
) -> ParticleTable:
    """The particles at their best mates, with the scores of these.

    A pose is right if its mate is, and if the pose that the mates come from is right up to the
    group. The expected error is the root mean square over all mates.

    Parameters
    ----------
    refinement, results : of the particles, against the symmetric map.
    fits : at their mates.
    probability : (N, n) of the mates.
    cosets : of the subgroup.
    """
    moved = dataclasses.replace(results, refined=fits.refined)
    blank = refinement.images.grey.blank
    pixel = refinement.grid.pixel_size_angstrom
    table = with_poses(refinement.table, moved, pixel, blank, cosets.subgroup)

    best = probability[np.arange(len(table)), fits.mate]
    right = 1.0 - table.scores[WRONG_BASIN]
    other = (probability * cosets.angles_deg[fits.mate] ** 2).sum(axis=1)
    scores = {
        WRONG_BASIN: 1.0 - right * best,
        EXPECTED_ERROR: np.sqrt(table.scores[EXPECTED_ERROR] ** 2 + right * other),
        MATE_PROBABILITY: best,
        MATE_ENTROPY: entr(probability).sum(axis=1) / np.log(2),
        MATE: fits.mate.astype(np.float64),
    }
    return table.replace(
        scores={**table.scores, **scores},
        extra={**table.extra, MATE_PROBABILITIES: probability_texts(probability)},
    )


def probability_texts(probability: np.ndarray) -> np.ndarray:
    """(N,) texts of (N, n) probabilities, with "/" between them."""
    return np.array(["/".join(f"{p:.4f}" for p in row) for row in probability.tolist()], object)
