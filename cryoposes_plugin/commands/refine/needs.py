"""What a refinement takes."""

from __future__ import annotations

from ...core.needs import TENSOR_PROGRAM_BYTES
from ..needs import InputSize, Needs, refined_images
from ..pace import START_S, Pace
from .config import RefineConfig

#: Of a particle: the state of an interrupted run and, while it is replaced, the one before; of a
#: pixel of the twin's stack.
_STATE_BYTES, _PIXEL_BYTES = 2 * 420, 4


def needs(config: RefineConfig, size: InputSize, pace: Pace) -> Needs:
    """Of a run with inputs of this size."""
    box = size.working_box_px(config.working_box_px)
    images, twin = refined_images(size)
    starts = 1 + (config.search_starts if config.search_deg else 0) / 8
    seconds = START_S + pace.refinement_seconds(round(starts * images), twin, box, size.padding)
    return Needs(
        TENSOR_PROGRAM_BYTES + size.refinement_bytes(config, size.volume_box_px, pace.threads),
        size.tables_bytes + _STATE_BYTES * size.particles + _PIXEL_BYTES * twin * box**2,
        (seconds, seconds),
        "give a smaller --working-box-px or fewer --threads, or use a machine with more memory",
    )
