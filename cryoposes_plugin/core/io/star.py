"""RELION's particle STAR files: 3.0 and 3.1 are read, 3.1 is written."""

from __future__ import annotations

from .star_labels import columns_not_modelled
from .star_reader import read_particles, stack_paths
from .star_writer import write_particles

__all__ = ("columns_not_modelled", "read_particles", "stack_paths", "write_particles")
