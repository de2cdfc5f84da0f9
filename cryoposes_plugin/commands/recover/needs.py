"""What a recovery of poses from distances takes."""

from __future__ import annotations

from ...core.needs import TENSOR_PROGRAM_BYTES, network_bytes, particles_bytes
from ..needs import InputSize, Needs
from ..pace import START_S, Pace
from .config import RecoverConfig

#: Of a distance, with all that is made of it; of a feature vector.
_DISTANCE_BYTES, _FEATURES_BYTES = 40, 4 * 64
#: Seconds of a distance and of a step of the mini-batches, on one thread.
_DISTANCE_S, _STEP_S = 1.5e-6, 1e-3


def needs(config: RecoverConfig, size: InputSize, pace: Pace) -> Needs:
    """Of a run with inputs of this size."""
    number = size.particles
    pairs = number * min(config.landmarks, number)
    memory = network_bytes(size.network_box_px, config.batch_size, pace.threads)
    memory += _DISTANCE_BYTES * pairs + _FEATURES_BYTES * number + particles_bytes(number)

    images = number + config.copies * 4 + (config.landmarks if config.volume else 0)
    seconds = START_S + images * pace.predicted_seconds(size.network_box_px)
    seconds += _DISTANCE_S * pairs / pace.threads
    if config.method == "minibatch":
        seconds += _STEP_S * config.minibatch_steps
    return Needs(
        TENSOR_PROGRAM_BYTES + memory,
        size.tables_bytes,
        (seconds, seconds),
        "give fewer --landmarks, or use a machine with more memory",
    )
