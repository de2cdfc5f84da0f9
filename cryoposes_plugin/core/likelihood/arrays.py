"""What is compared: poses, and images. The values are arrays, or tensors of the same shapes."""

from __future__ import annotations

from typing import Any, NamedTuple


class PoseArrays(NamedTuple):
    """B poses: rotations (B, 3, 3) and shifts_px (B, 2), and particle (B,), the row of each pose's
    image.
    """

    rotations: Any
    shifts_px: Any
    particle: Any


class ImageArrays(NamedTuple):
    """N whitened images: real and imaginary parts, and modulation c, each (N, P) float32."""

    real: Any
    imaginary: Any
    modulation: Any
