"""The grid on which images are compared with the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ...commands.reconstruct.inputs import common_grid
from ..types import ParticleTable

#: Box that images are worked on at, at most, unless another one is asked for.
LARGEST_BOX_PX = 128


@dataclass(frozen=True)
class WorkingGrid:
    """Even box and pixel size: the images' field of view, binned if need be."""

    box_size_px: int
    pixel_size_angstrom: float

    @classmethod
    def of(cls, table: ParticleTable, largest_box_px: Optional[int] = None) -> WorkingGrid:
        box, pixel = common_grid(table)
        box += box % 2
        largest = largest_box_px or LARGEST_BOX_PX
        return cls(box, pixel) if box <= largest else cls(largest, pixel * box / largest)

    @property
    def field_of_view_angstrom(self) -> float:
        return self.box_size_px * self.pixel_size_angstrom
