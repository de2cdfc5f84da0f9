"""The grid of the user's images and that of the network's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageGrid:
    """Box and pixel size of the user's images, and the box that the network sees: the same field of view."""

    box_size_px: int
    pixel_size_angstrom: float
    model_box_size_px: int

    @property
    def model_pixel_size_angstrom(self) -> float:
        return self.pixel_size_angstrom * self.box_size_px / self.model_box_size_px

    @property
    def field_of_view_angstrom(self) -> float:
        return self.pixel_size_angstrom * self.box_size_px
