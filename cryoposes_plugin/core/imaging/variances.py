"""Variances of images, over the whole box and inside a mask, in one pass of the memory."""

from __future__ import annotations

import numpy as np

from ..compiled import compiled


def variances(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(2, B) float64: of each image over its whole box, and inside the mask.

    Parameters
    ----------
    images : (B, D, D).
    mask : (D, D) bool.
    """
    found = np.empty((2, len(images)))
    _fill(np.ascontiguousarray(images).reshape(len(images), -1), mask.ravel(), found)
    return found


@compiled
def _fill(images: np.ndarray, mask: np.ndarray, found: np.ndarray) -> None:
    number = mask.sum()
    for row in range(len(images)):
        image = images[row]
        total = inside = 0.0
        for i in range(len(image)):
            total += image[i]
            inside += image[i] * mask[i]
        mean, mean_inside = total / len(image), inside / number

        total = inside = 0.0
        for i in range(len(image)):
            total += (image[i] - mean) ** 2
            inside += mask[i] * (image[i] - mean_inside) ** 2
        found[0, row], found[1, row] = total / len(image), inside / number
