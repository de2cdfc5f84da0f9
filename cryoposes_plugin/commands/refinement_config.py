"""The options that the commands on images and a volume share."""

from __future__ import annotations

from typing import Any

from .config import COMPUTATION, REFINEMENT, option


def batch_size_option(what: str = "batch") -> Any:
    """Number of images that are worked on at once; `what` names the batch."""
    return option(
        256,
        f"Number of images per {what}. It affects speed and memory, not the result.",
        label="Batch size",
        group=COMPUTATION,
        expert=True,
        minimum=1,
        maximum=10**6,
    )


def refinement_box_option(help: str) -> Any:
    """The box that images are binned to for a refinement."""
    return option(
        None,
        help,
        label="Box size for the refinement",
        group=REFINEMENT,
        unit="px",
        expert=True,
        minimum=16,
        even=True,
        maximum=2048,
    )
