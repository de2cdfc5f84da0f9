"""What rounds of refinement and reconstruction take."""

from __future__ import annotations

from ...core.needs import (
    TENSOR_PROGRAM_BYTES,
    network_bytes,
    reconstruction_bytes,
    sums_bytes,
    waits_in_file,
)
from ..needs import InputSize, Needs, maps_bytes, refined_images
from ..pace import RECONSTRUCT, START_S, Pace
from .config import IterateConfig

#: Padding of the reconstructions; rounds of a short run; the state of a particle.
_PADDING, _FEWEST_ROUNDS, _STATE_BYTES = 2, 3, 2 * 420


def needs(config: IterateConfig, size: InputSize, pace: Pace) -> Needs:
    """Of a run with inputs of this size; how many rounds there are depends on the images."""
    box, whole = size.working_box_px(config.working_box_px), size.box_size_px
    network = network_bytes(size.network_box_px, config.batch_size, pace.threads)
    memory = max(
        size.refinement_bytes(config, whole, pace.threads),
        reconstruction_bytes(size.particles, whole, _PADDING, config.batch_size, pace.threads),
    )

    images, _ = refined_images(size)
    a_round = pace.refinement_seconds(images, 0, box, size.padding)
    if size.network_box_px:
        a_round += images * pace.predicted_seconds(size.network_box_px)
    a_round += size.particles * pace.seconds(RECONSTRUCT, whole) + whole**3 * pace.voxel_seconds()
    rounds = min(_FEWEST_ROUNDS, config.rounds), config.rounds
    a_file = sums_bytes(whole, _PADDING) if waits_in_file(whole, _PADDING) else 0.0
    written = (rounds[1] + 1) * (maps_bytes(whole) + size.tables_bytes)
    return Needs(
        TENSOR_PROGRAM_BYTES + network + memory + maps_bytes(whole),
        written + a_file + _STATE_BYTES * size.particles,
        (START_S + rounds[0] * a_round, START_S + rounds[1] * a_round),
        "give smaller images, a smaller --working-box-px or fewer --threads, or use a machine with "
        "more memory",
    )
