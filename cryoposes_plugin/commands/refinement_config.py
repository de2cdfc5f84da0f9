"""The options that the commands on images and a volume share."""

from __future__ import annotations

from typing import Any, Mapping

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


def assign_option(help: str, titles: Mapping[str, str]) -> Any:
    """Which part of the poses is found; `titles` are those of the choices beside "both"."""
    return option(
        "both",
        help,
        label="Assign",
        group=REFINEMENT,
        choices=("both", *titles),
        titles={"both": "orientations and shifts", **titles},
        expert=True,
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
