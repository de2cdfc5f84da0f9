"""Whether the volume of a search is right: the probability, from the agreement of starts that saw
different halves of the images.

The two constants were set from a few simulated sets (`docs/benchmarks.md`): proteins, and sets of
nothing but noise and of round particles, which have no shape to find. They are cautious, as long as
there are no more of them.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

#: Logit of the probability: a slope times the difference of Fisher's z of the agreement from that
#: at which right and wrong are equally likely.
_EVEN_AGREEMENT, _SLOPE = 0.86, 8.0
#: The largest agreement of sets without a shape.
CHANCE_AGREEMENT = 0.55
#: From these probabilities on a volume is called found, or uncertain.
FOUND, UNCERTAIN = 0.95, 0.5
#: No calibration on a few sets knows more.
_MOST_CERTAIN = 0.98


def probability_found(between_halves: Sequence[float]) -> Optional[float]:
    """That the shape is right, up to its hand; None without starts on different halves.

    Parameters
    ----------
    between_halves : agreements of all pairs of starts on different halves (`starts.shape_agreement`).
    """
    if not between_halves:
        return None
    z = np.arctanh(np.clip(max(between_halves), 0.0, 0.999))
    logit = _SLOPE * (z - np.arctanh(_EVEN_AGREEMENT))
    return float(np.clip(1 / (1 + np.exp(-logit)), 1 - _MOST_CERTAIN, _MOST_CERTAIN))


def verdict(between_halves: Sequence[float]) -> Tuple[str, str]:
    """ "found", "uncertain", "not found" or "not tested", and a sentence that says why."""
    probability = probability_found(between_halves)
    if probability is None:
        return "not tested", (
            "One start cannot be compared with another: nothing says whether the volume is right. "
            "Give two or more random starts."
        )

    best = max(between_halves)
    numbers = (
        f"their shapes, without what is round, correlate by {best:.2f}, where noise and round "
        f"particles give up to {CHANCE_AGREEMENT:.2f}"
    )
    if probability >= FOUND:
        return "found", (
            "Two halves of the particles led to the same volume, each from a start of its own: "
            f"{numbers}. The shape is right with a probability of {probability:.2f}, up to its "
            "hand."
        )
    if probability >= UNCERTAIN:
        return "uncertain", (
            "Two halves of the particles led to similar volumes, each from a start of its own: "
            f"{numbers}. The shape is right with a probability of {probability:.2f} only; give "
            "more particles, or more starts."
        )
    return "not found", (
        f"Two halves of the particles led to different volumes: {numbers}. The volume is probably "
        "wrong; give more particles, or more starts, and look whether the images show particles "
        "of one kind."
    )
