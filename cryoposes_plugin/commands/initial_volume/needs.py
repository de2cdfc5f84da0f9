"""What the search for an initial volume and its rounds take."""

from __future__ import annotations

from ...core.needs import particles_bytes
from ..iterate.config import IterateConfig
from ..iterate.needs import needs as needs_of_rounds
from ..needs import InputSize, Needs
from ..pace import ASSIGN, EXPECT, Pace
from .config import InitialVolumeConfig

#: Of an image in the search, with its poses and their probabilities.
_SEARCHED_BYTES = 400_000


def needs(config: InitialVolumeConfig, size: InputSize, pace: Pace) -> Needs:
    """Of a run with inputs of this size; how many rounds there are depends on the images."""
    rounds = IterateConfig(
        rounds=max(1, config.rounds),
        working_box_px=config.working_box_px,
        batch_size=config.batch_size,
        threads=config.threads,
    )
    after = needs_of_rounds(rounds, size, pace)

    used = min(config.search_particles, size.particles)
    search = config.starts * used * pace.seconds(EXPECT, 64)
    search += size.particles * pace.seconds(ASSIGN, 64)
    first, last = (search + seconds * (config.rounds > 0) for seconds in after.seconds)
    searching = _SEARCHED_BYTES * used + particles_bytes(size.particles)
    return Needs(max(after.memory_bytes, searching), after.disk_bytes, (first, last), after.remedy)
