"""What a training takes."""

from __future__ import annotations

from ...core.needs import TENSOR_PROGRAM_BYTES, particles_bytes, training_bytes
from ..needs import InputSize, Needs, maps_bytes
from ..pace import START_S, TRAIN, Pace
from .config import TrainConfig
from .presets import PRESETS

#: Of the model, its checkpoints, and what is written of the course.
_MODEL_BYTES = 60_000_000


def needs(config: TrainConfig, size: InputSize, pace: Pace) -> Needs:
    """Of a run with inputs of this size; it takes the minutes that are given."""
    grid = config.box_size_px or size.box_size_px or size.volume_box_px
    preset = PRESETS[config.preset]
    box = min(grid, config.model_box_size_px or preset.largest_box_px)
    batch = config.batch_size or preset.recipe.batch_size
    memory = training_bytes(box, batch, len(config.volume), size.volume_box_px)
    memory += particles_bytes(size.particles)

    seconds = START_S + 60.0 * (config.minutes or 0.0)
    if config.steps is not None or config.epochs is not None:
        epochs = config.epochs or 0.0
        steps = config.steps or epochs * config.images_per_epoch / batch
        seconds = START_S + steps * batch * pace.seconds(TRAIN, box)
    disk = size.tables_bytes + _MODEL_BYTES + len(config.volume) * maps_bytes(size.volume_box_px)
    return Needs(
        TENSOR_PROGRAM_BYTES + memory,
        disk,
        (seconds, seconds),
        "give a smaller --batch-size or --model-box-size-px, or use a machine with more memory",
    )
