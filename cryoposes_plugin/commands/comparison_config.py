"""The options that the commands on two sets of poses share."""

from __future__ import annotations

from typing import Any

from .config import COMPARISON, option


def comparison_symmetry() -> Any:
    """Under which poses count as equal."""
    return option(
        "C1",
        "Point group (C1, C4, D2, T, O, I, ...). Poses that it makes equivalent count as equal.",
        label="Symmetry",
        group=COMPARISON,
    )


def comparison_join() -> Any:
    """How the particles of the two sets are matched."""
    return option(
        "auto",
        "How the particles of the two sets are matched. 'auto': by rlnImageId if it agrees with "
        "the images, otherwise by image (full path and slice). 'image': by image. 'id': by "
        "rlnImageId alone, for images that were written again, for example by resampling.",
        label="Match particles by",
        group=COMPARISON,
        choices=("auto", "image", "id"),
        expert=True,
    )
