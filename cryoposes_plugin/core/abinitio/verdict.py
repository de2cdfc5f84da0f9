"""Whether the volume of a search is right, from the agreement of starts that saw different halves of
the images.

The limits were set from a few simulated sets (`docs/benchmarks.md`): proteins, and sets of nothing
but noise and of round particles, which have no shape to find. They are too few for a probability.
"""

from __future__ import annotations

from typing import Sequence, Tuple

#: From these agreements on a volume is called found, or uncertain.
FOUND, UNCERTAIN = 0.93, 0.86
#: The largest agreement that was seen in sets without a shape.
WITHOUT_SHAPE = 0.44


def verdict(between_halves: Sequence[float]) -> Tuple[str, str]:
    """ "found", "uncertain", "not found" or "not tested", and a sentence that says why.

    Parameters
    ----------
    between_halves : agreements of all pairs of starts on different halves (`starts.shape_agreement`).
    """
    if not between_halves:
        return "not tested", (
            "One start cannot be compared with another: nothing says whether the volume is right. "
            "Give two or more random starts."
        )

    best = max(between_halves)
    numbers = (
        f"their shapes, without what is round, correlate by {best:.2f}; simulated noise and round "
        f"particles reached {WITHOUT_SHAPE:.2f}, and right volumes 0.96"
    )
    if best >= FOUND:
        return "found", (
            "Two halves of the particles led to the same volume, each from a start of its own: "
            f"{numbers}. The shape is probably right, up to its hand."
        )
    if best >= UNCERTAIN:
        return "uncertain", (
            "Two halves of the particles led to similar volumes, each from a start of its own: "
            f"{numbers}. The shape may be right; give more particles, or more starts."
        )
    return "not found", (
        f"Two halves of the particles led to different volumes: {numbers}. The volume is probably "
        "wrong; give more particles, or more starts, and look whether the images show particles "
        "of one kind."
    )
