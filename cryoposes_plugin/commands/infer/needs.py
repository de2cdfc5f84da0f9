"""What an estimation of poses takes."""

from __future__ import annotations

from ...core.needs import TENSOR_PROGRAM_BYTES, network_bytes, particles_bytes
from ..needs import InputSize, Needs, refined_images
from ..pace import SEARCH, START_S, Pace
from .config import InferConfig

#: Of a particle: the state of an interrupted run, twice while it is replaced; of a pixel of the
#: twin's stack.
_STATE_BYTES, _PIXEL_BYTES = 2 * 520, 4
#: Of the first batch of the network, and of its decoys.
_NETWORK_S = 8.0
#: Shares of the images that are compared with all orientations, as their poses are doubtful.
_FEWEST_SEARCHED, _MOST_SEARCHED = 0.05, 0.5


def needs(config: InferConfig, size: InputSize, pace: Pace) -> Needs:
    """Of a run with inputs of this size; ranges where it depends on the images."""
    network = network_bytes(size.network_box_px, config.batch_size, pace.threads)
    an_image = pace.predicted_seconds(size.network_box_px)
    disk = size.tables_bytes + _STATE_BYTES * size.particles
    if not (config.volume and config.refine):
        memory = TENSOR_PROGRAM_BYTES + network + particles_bytes(size.particles)
        seconds = START_S + _NETWORK_S + size.particles * an_image
        return Needs(memory, disk, (seconds, seconds), _remedy("--batch-size"))

    box = size.working_box_px(config.working_box_px)
    images, twin = refined_images(size)
    whole = (
        _NETWORK_S + images * an_image + pace.refinement_seconds(images, twin, box, size.padding)
    )
    searched = [share * size.particles for share in (_FEWEST_SEARCHED, _MOST_SEARCHED)]
    low, high = (START_S + whole + some * pace.seconds(SEARCH, box) for some in searched)
    memory = size.refinement_bytes(config, size.volume_box_px, pace.threads)
    return Needs(
        TENSOR_PROGRAM_BYTES + network + memory,
        disk + _PIXEL_BYTES * twin * box**2,
        (low, high),
        _remedy("--working-box-px"),
    )


def _remedy(option: str) -> str:
    return f"give a smaller {option} or fewer --threads, or use a machine with more memory"
