"""The options of commands whose work can be done in chunks of particles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Tuple

from ..core.errors import ConfigError
from .config import COMPUTATION, Config, option


@dataclass(frozen=True)
class ChunkedConfig(Config):
    execution: ClassVar[Tuple[str, ...]] = (*Config.execution, "workers", "dask")

    workers: int = option(
        1,
        "Number of processes that share the particles: each does a chunk of them, with its part of "
        "the threads. The results are those of one process, up to the last digits. In Scipion each "
        "chunk is a step, and a job of its own if steps are sent to the queue; one thread more than "
        "there are workers lets all of them run at a time.",
        label="Workers",
        group=COMPUTATION,
        expert=True,
        minimum=1,
        maximum=10**4,
    )
    dask: str = option(
        "",
        "Address of a Dask scheduler (tcp://host:port), or the file that it wrote: its workers do "
        "the chunks, of which there are as many as --workers says. If empty, they are done here.",
        label="Dask scheduler",
        group=COMPUTATION,
        expert=True,
    )

    def validate(self) -> None:
        """ConfigError for a combination that is not possible."""
        super().validate()
        if self.workers > 1:
            self.check_divisible()
        if self.dask and self.workers == 1:
            raise ConfigError(
                f"{self.command}: --dask is {self.dask}, but --workers is 1; give the number of "
                "chunks that the scheduler hands out with --workers."
            )

    def check_divisible(self) -> None:
        """ConfigError if the work cannot be done in chunks."""
