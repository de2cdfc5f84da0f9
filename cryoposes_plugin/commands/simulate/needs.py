"""What a simulation takes."""

from __future__ import annotations

import math

from ...core.needs import PROGRAM_BYTES, simulation_bytes
from ..needs import InputSize, Needs, maps_bytes
from ..pace import SIMULATE, START_S, Pace
from .config import SimulateConfig
from .junk import OTHER_MOLECULES

#: Images of which the mean variance of the signal is measured; of a pixel in the stack.
_SAMPLE, _PIXEL_BYTES = 2000, 4


def needs(config: SimulateConfig, size: InputSize, pace: Pace) -> Needs:
    """Of a run with inputs of this size."""
    box = config.box_size_px or size.box_size_px or size.volume_box_px
    pixel = config.pixel_size_angstrom or size.pixel_size_angstrom
    if not size.box_size_px and size.volumes and not config.pixel_size_angstrom:
        pixel = size.volumes[0].pixel_size_angstrom
    widest = max((v.box_size_px * v.pixel_size_angstrom for v in size.volumes), default=0.0)
    working = max(box, math.ceil(widest / pixel - 0.01))
    faults, number = config.faults(), max(1, len(config.volume))
    volumes = number * (2 if config.moving_part else 1)
    volumes += OTHER_MOLECULES if faults.junk_fraction else 0
    memory = simulation_bytes(
        config.number, working, volumes, size.volume_box_px or box, pace.threads
    )

    stack = _PIXEL_BYTES * config.number * box**2
    stated = InputSize(config.number, box).tables_bytes
    images = config.number * (1 + faults.neighbours) + min(config.number, _SAMPLE)
    seconds = START_S + images * pace.seconds(SIMULATE, working)
    seconds += volumes * working**3 * pace.voxel_seconds() / 12
    return Needs(
        PROGRAM_BYTES + memory,
        stack + stated + number * maps_bytes(size.volume_box_px) / 3,
        (seconds, seconds),
        "give a coarser --pixel-size-angstrom, smaller volumes, or fewer of them",
    )
