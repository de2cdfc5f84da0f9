"""What a reconstruction takes."""

from __future__ import annotations

from ...core.needs import PROGRAM_BYTES, reconstruction_bytes, sums_bytes, waits_in_file
from ..needs import InputSize, Needs, maps_bytes
from ..pace import RECONSTRUCT, START_S, Pace
from .config import ReconstructConfig


def needs(config: ReconstructConfig, size: InputSize, pace: Pace) -> Needs:
    """Of a run with inputs of this size."""
    box = size.box_size_px
    if config.pixel_size_angstrom:
        box = round(box * size.pixel_size_angstrom / config.pixel_size_angstrom)
    box, padding = box + box % 2, config.padding
    memory = reconstruction_bytes(size.particles, box, padding, config.batch_size, pace.threads)

    disk = size.tables_bytes + maps_bytes(config.box_px or box)
    if config.workers > 1:
        disk += 2 * config.workers * sums_bytes(box, padding)
    elif waits_in_file(box, padding):
        disk += sums_bytes(box, padding)
    operations = 1 if config.method == "fourier" else 6 * config.cgls_iterations
    seconds = size.particles * operations * pace.seconds(RECONSTRUCT, box)
    seconds += START_S + box**3 * pace.voxel_seconds()
    return Needs(
        PROGRAM_BYTES + memory,
        disk,
        (seconds, seconds),
        "give a coarser --pixel-size-angstrom, or use a machine with more memory",
    )
