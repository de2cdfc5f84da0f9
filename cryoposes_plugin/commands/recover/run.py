"""`cryoposes recover`: poses of particles from learned distances, or rotations from a file of distances."""

from __future__ import annotations

from typing import Any, Dict

from ..run_directory import RunDirectory
from . import from_distances as recover
from .config import RecoverConfig

CONFIG = RecoverConfig


def check(config: RecoverConfig) -> None:
    """Raise what can be known to be wrong before any file is written."""
    _module(config).check(config)


def run(config: RecoverConfig, run: RunDirectory) -> Dict[str, Any]:
    """See `core.recovery.recover` and `core.learning.recover_particles`."""
    return _module(config).run(config, run)


def _module(config: RecoverConfig):
    config.validate()
    if config.model is None:
        return recover
    from . import from_particles as recover_particles

    return recover_particles
