"""Shifts of a particle set against a volume, at given poses, batch by batch."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.ctf import pack_ctf
from ..imaging.forward_model import ForwardModel
from ..maps.size import radius_of_gyration_px
from ..memory import BatchLimit
from ..types import CtfTable, Volume
from .shift_estimation import ShiftEstimate, estimate_shifts
from .shift_weights import measured_weights, prior_weights


class ShiftFinder:
    """Measures shifts by correlation with CTF-modulated reprojections.

    Parameters
    ----------
    volume : any box and pixel size, in the frame of the poses.
    box_size_px, pixel_size_angstrom : of the images.
    max_shift_px : largest shift that is searched, in pixels of these images.
    batch_size : batches are padded to this, so that the graph is traced once.
    """

    def __init__(
        self,
        volume: Volume,
        box_size_px: int,
        pixel_size_angstrom: float,
        max_shift_px: float,
        batch_size: int,
    ):
        self._model = ForwardModel([volume], box_size_px, pixel_size_angstrom)
        self._max_shift_px, self.memory = max_shift_px, BatchLimit("images", batch_size)
        radius = (
            radius_of_gyration_px(volume.data) * volume.pixel_size_angstrom / pixel_size_angstrom
        )
        self.weights = prior_weights(box_size_px, radius)

    def reprojections(
        self, rotations: np.ndarray, ctf: Optional[CtfTable], image_state: str
    ) -> np.ndarray:
        """(B, D, D) float32 at shift zero."""

        def work(rows: np.ndarray) -> np.ndarray:
            padded = np.resize(rows, self.memory.largest or len(rows))
            packed = None if ctf is None else tf.constant(pack_ctf(ctf.take(padded)))
            images = self._model.images(
                tf.zeros(len(padded), tf.int32),
                tf.constant(rotations[padded], tf.float32),
                tf.zeros((len(padded), 2)),
                packed,
                image_state,
            )
            return images.numpy()[: len(rows)]

        return np.concatenate(self.memory.parts(work, len(rotations)))

    def calibrate(self, images: np.ndarray, reprojections: np.ndarray) -> None:
        """Measure the weights of the frequencies on a sample; a small sample changes nothing."""
        self.weights = measured_weights(images, reprojections, self._max_shift_px, self.weights)

    def find(
        self, images: np.ndarray, rotations: np.ndarray, ctf: Optional[CtfTable], image_state: str
    ) -> Tuple[ShiftEstimate, np.ndarray]:
        """Shifts of images at given rotations, and the reprojections (B, D, D).

        Parameters
        ----------
        images : (B, D, D), of one optics group.
        rotations : (B, 3, 3).
        ctf : of each image, or None.
        image_state : see `types.IMAGE_STATES`.
        """
        reprojections = self.reprojections(rotations, ctf, image_state)
        return estimate_shifts(
            images, reprojections, self._max_shift_px, self.weights
        ), reprojections
