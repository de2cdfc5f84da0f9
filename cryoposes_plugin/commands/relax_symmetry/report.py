"""The report of `relax-symmetry`: numbers, notes and figures."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.pseudosymmetry.mates import Amplitude
from ...core.pseudosymmetry.own_noise import OwnNoise
from ...core.scores import EXPECTED_ERROR
from ...core.types import ParticleTable
from .config import FROM_IMAGES, RelaxSymmetryConfig

#: A particle is resolved if its best mate has at least this probability.
RESOLVED = 0.9
#: Information of an image on its mate, in bits, below which hardly any mate is known.
_LITTLE_BITS = 0.02
#: Half sets whose asymmetric parts correlate less do not show the same.
_AGREEMENT = 0.3


def metrics_of(
    table: ParticleTable, probability: np.ndarray, amplitude: Amplitude
) -> Dict[str, Any]:
    """Numbers for metrics.json.

    Parameters: the particles, (N, n) probabilities of their mates, amplitude of the asymmetry.
    """
    best = probability.max(axis=1)
    return {
        "particles": len(table),
        "mates": probability.shape[1],
        "expected_share_of_right_mates": float(best.mean()),
        "resolved_share": float((best >= RESOLVED).mean()),
        "particles_by_mate": np.bincount(
            probability.argmax(axis=1), minlength=probability.shape[1]
        ).tolist(),
        "asymmetry_amplitude": amplitude.value,
        "overlap_dispersion": amplitude.dispersion,
        "asymmetry_significance": amplitude.significance,
        "information_bits": amplitude.information_nats / float(np.log(2)),
        "median_expected_error_deg": float(np.median(table.scores[EXPECTED_ERROR])),
    }


def notes_of(
    config: RelaxSymmetryConfig, amplitude: Amplitude, metrics: Dict[str, Any]
) -> List[str]:
    """What to know of the mates.

    Parameters
    ----------
    config : of the run.
    amplitude : of the asymmetric part in the images.
    metrics : of the run.
    """
    number = metrics["mates"]
    if not amplitude.tells_mates_apart:
        return [
            f"As far as the images tell, the particle has the symmetry {config.pseudo_symmetry}: "
            f"the asymmetric part of the volume is not found in them (significance "
            f"{amplitude.significance:.1f}), so each of the {number} mates has the probability "
            f"{1 / number:.3f}."
        ]

    notes = [
        f"The best mate is right for {100 * metrics['expected_share_of_right_mates']:.0f} % of the "
        f"particles, by its probability (by chance, {100 / number:.0f} %); it is certain (at least "
        f"{RESOLVED}) for {100 * metrics['resolved_share']:.0f} %. The images hold the asymmetric "
        f"part with {amplitude.value:.2f} of its amplitude."
    ]
    if metrics["information_bits"] < _LITTLE_BITS:
        notes.append(
            "The images hardly tell mates apart "
            f"({metrics['information_bits']:.3f} bits an image): use probabilities, not best mates."
        )
    if config.asymmetry_from == FROM_IMAGES and metrics["half_set_correlation"] < _AGREEMENT:
        notes.append(
            "The half sets do not show the same asymmetric part (correlation "
            f"{metrics['half_set_correlation']:.2f}): at least one search has failed; use more "
            "particles, another resolution of the search, or a focus mask."
        )
    return notes


def note_of_own_noise(config: RelaxSymmetryConfig, noise: OwnNoise) -> str:
    """What to say of a volume that holds the noise of the particles."""
    return (
        f"The asymmetric part of {config.volume} agrees with that of a map of these particles at "
        f"their given poses by {noise.correlation:.2f}, and one without their noise by "
        f"{noise.allowed:.2f} at most: the volume was made of these particles and confirms their "
        "given mates. Use --asymmetry-from images, or a volume of other particles."
    )


def figures_of(probability: np.ndarray) -> Dict[str, Tuple[str, Figure]]:
    """Figures by name, with their captions."""
    return {
        "mate_probability": (
            "Probability of the best symmetry mate of each particle.",
            plots.value_histogram(
                probability.max(axis=1), "Best symmetry mates", "probability of the best mate"
            ),
        )
    }
