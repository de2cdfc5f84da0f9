"""What every image goes through before the network sees it, in training and in use alike
(TensorFlow).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
import tensorflow as tf

from ..fourier.masks import soft_circle
from ..imaging.forward_model import apply_image_state

#: Width of the mask's soft edge, in pixels.
SOFT_EDGE_PX = 3.0
_STATE_AFTER = {"none": "raw", "phase-flip": "phase-flipped", "premultiply": "ctf-premultiplied"}


@dataclass(frozen=True)
class Preprocessing:
    """CTF correction, soft circular mask of this diameter, then mean 0 and standard deviation 1
    inside the mask.

    ctf_correction : "phase-flip" makes the signal's CTF |C|, "premultiply" C^2, which weighs each
    frequency by its signal, "none" leaves C.
    """

    box_size_px: int
    pixel_size_angstrom: float
    mask_diameter_angstrom: float
    ctf_correction: str

    @property
    def mask(self) -> np.ndarray:
        """(D, D) float32 in [0, 1] about pixel D // 2; a cosine edge ends at the mask's radius."""
        outer = 0.5 * self.mask_diameter_angstrom / self.pixel_size_angstrom
        return soft_circle(self.box_size_px, outer, SOFT_EDGE_PX)

    def correct(self, images: tf.Tensor, ctf: Optional[tf.Tensor]) -> tf.Tensor:
        """Raw images (B, D, D) with CTFs (B, 8), phases flipped or multiplied by the CTF, or left
        as they are.
        """
        if ctf is None:
            return images
        return apply_image_state(
            images, ctf, _STATE_AFTER[self.ctf_correction], self.pixel_size_angstrom
        )

    def normalise(self, images: tf.Tensor) -> tf.Tensor:
        """Mask and standardise (B, D, D); an image without contrast stays zero."""
        mask = tf.constant(self.mask)
        area = tf.reduce_sum(mask)
        mean = tf.reduce_sum(images * mask, axis=(1, 2), keepdims=True) / area
        centred = (images - mean) * mask
        variance = tf.reduce_sum(centred * centred, axis=(1, 2), keepdims=True) / area
        return tf.math.divide_no_nan(centred, tf.sqrt(variance))
