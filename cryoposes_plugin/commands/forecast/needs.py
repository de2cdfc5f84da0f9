"""What a forecast takes: its steps are those of other commands, on simulated images."""

from __future__ import annotations

from dataclasses import replace

from ..infer.config import InferConfig
from ..infer.needs import needs as needs_of_poses
from ..needs import Cube, InputSize, Needs
from ..pace import Pace
from ..reconstruct.config import ReconstructConfig
from ..reconstruct.needs import needs as needs_of_map
from ..train.config import TrainConfig
from ..train.needs import needs as needs_of_training
from .config import ForecastConfig
from .inputs import MOST_IMAGES

#: Of a pixel in the stack; the set is measured on as many of its images as a refinement is.
_PIXEL_BYTES = 4


def needs(config: ForecastConfig, size: InputSize, pace: Pace) -> Needs:
    """Of a run with inputs of this size; ranges where it depends on the images."""
    box, number = size.working_box_px(config.working_box_px), config.number
    pixel = size.pixel_size_angstrom * size.box_size_px / max(box, 1)
    twin = replace(
        size,
        particles=number or min(size.particles, MOST_IMAGES),
        box_size_px=box,
        pixel_size_angstrom=pixel,
        volumes=(Cube(box, pixel),),
    )
    steps = [
        needs_of_poses(InferConfig(model="", volume="twin", working_box_px=box), twin, pace),
        needs_of_map(ReconstructConfig(), twin, pace),
    ]
    if not config.model:
        steps.append(
            needs_of_training(TrainConfig(volume=("twin",), minutes=config.minutes), twin, pace)
        )

    seconds = [sum(step.seconds[end] for step in steps) for end in (0, 1)]
    return Needs(
        max(step.memory_bytes for step in steps),
        sum(step.disk_bytes for step in steps) + _PIXEL_BYTES * twin.particles * box**2,
        (seconds[0], seconds[1]),
        "give a smaller --working-box-px or a smaller --number, or use a machine with more memory",
    )
