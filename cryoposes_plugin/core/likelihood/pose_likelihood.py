"""The likelihood of a pose, and its derivatives.

With whitened coefficients y = s c exp(-2 pi i k.t / D) x(A^T k) + n and the scale s of the particle
profiled out, twice the logarithm of the likelihood rises over that of "no signal" by

    gain(A, t) = max(0, <m, y>)^2 / <m, m>,
    m = c exp(-2 pi i k.t / D) x(A^T k),   <u, v> = Re sum u* v.

The tangent of a pose is (w, dt): A becomes exp([w]x) A, w in radians in the image's frame, t
becomes t + dt in pixels.
"""

from __future__ import annotations

from typing import Union

import numpy as np
import tensorflow as tf

from ..fourier.points import FourierPoints
from ..fourier.resampling import projected_density
from ..imaging.padding import choose_padding
from ..memory import BatchLimit
from ..types import Volume
from .arrays import ImageArrays, PoseArrays
from .half_volume import HalfVolume
from .on_gpu import PackedVolume

#: Of the tangent of a pose, (w, dt).
PARAMETERS = 5


class PoseLikelihood:
    """Compares images with the slices of a map; every method works on the first P points of
    `points`.

    Parameters
    ----------
    volume : any box and pixel size.
    points, pixel_size_angstrom : of the images.
    """

    def __init__(self, volume: Volume, points: FourierPoints, pixel_size_angstrom: float):
        box = points.box_size_px
        grid = (box, pixel_size_angstrom)
        data = projected_density(volume, *grid)
        padding = choose_padding([Volume(data, pixel_size_angstrom)], *grid)
        engine = PackedVolume if tf.config.list_physical_devices("GPU") else HalfVolume

        self._map: Union[HalfVolume, PackedVolume] = engine(data, padding, points.frequencies)
        self.memory = BatchLimit("images")

    def slices(self, rotations: np.ndarray, number: int) -> np.ndarray:
        """(B, P) complex64 x(A^T k) at the first P = `number` points, phases about D // 2."""

        def work(rows: np.ndarray) -> np.ndarray:
            return self._map.slices(rotations[rows], number)

        return np.concatenate(self.memory.parts(work, len(rotations)))

    def gram(self, poses: PoseArrays, images: ImageArrays, number: int) -> np.ndarray:
        """Inner products of the model's derivatives (5), the model and the image, over the first P =
        `number` points: (B, 7, 7) float64.
        """
        return self._map.gram(poses, images, number)
