"""A trained model in use: images in, rotations and their distributions out."""

from __future__ import annotations

import logging
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import keras
import numpy as np
import tensorflow as tf

from ..errors import InputError
from ..geometry.rotations import project_to_so3
from ..io.run_directory import atomic_path
from ..simulation.ctf import pack_ctf
from ..types import CtfTable
from .model_card import CARD_NAME, ModelCard
from .preprocessing import Preprocessing
from .presets import build_network, predicted_bingham, predicted_rotations

logger = logging.getLogger(__name__)

WEIGHTS_NAME = "model.keras"


@dataclass(frozen=True)
class Prediction:
    """rotations : (B, 3, 3) float64, A of `conventions`. bingham : (B, 4, 4) float64 symmetric matrices M of densities
    exp(-q^T M q) over quaternions (w, x, y, z) of A: see `uncertainty.bingham`."""

    rotations: np.ndarray
    bingham: np.ndarray


class PoseModel:
    """A network with its card. Predictions are computed in float32, whatever it was trained in."""

    def __init__(self, card: ModelCard, network: keras.Model):
        self.card, self.network = card, network
        self.preprocessing = Preprocessing(
            card.box_size_px, card.pixel_size_angstrom, card.mask_diameter_angstrom, card.ctf_correction
        )

    @classmethod
    def load(cls, folder) -> PoseModel:
        """Rebuild the network from the card and read its weights: nothing that the folder holds is executed.

        InputError for a folder, card or weights that do not fit.
        """
        card = ModelCard.read(folder)
        path = Path(folder) / WEIGHTS_NAME
        if not path.is_file():
            raise InputError(f"{folder} holds no {WEIGHTS_NAME}; give the model folder that `train` wrote.")
        network = build_network(card.network)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                network.load_weights(path)
        except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
            logger.debug("Loading %s failed: %s", path, error)
            raise InputError(
                f"{path} does not hold the weights of the network that its card describes; give the model "
                "folder as `train` wrote it."
            ) from error
        return cls(card, network)

    def save(self, folder) -> None:
        """Write model.keras and model_card.json; the folder appears whole or not at all."""
        with atomic_path(folder) as part:
            part.mkdir(parents=True)
            self.network.save(part / WEIGHTS_NAME)
            (part / CARD_NAME).write_text(self.card.to_json(), encoding="utf-8")

    def predict(self, images: np.ndarray, ctf: Optional[CtfTable] = None, image_state: str = "raw") -> Prediction:
        """Poses of images (B, D, D) at the card's box and pixel size, of any scale and offset, protein white.

        Raw images with a CTF have their phases flipped if the model was trained so; images that are phase-flipped or
        multiplied by their CTF already are taken as they are.
        """
        if images.ndim != 3 or images.shape[1:] != (self.card.box_size_px,) * 2:
            raise ValueError(
                f"expected images of shape (B, {self.card.box_size_px}, {self.card.box_size_px}), received "
                f"{images.shape}"
            )
        packed = None if ctf is None or image_state != "raw" else tf.constant(pack_ctf(ctf))
        matrices, bingham = self._predict(tf.constant(images, tf.float32), packed)
        return to_prediction(matrices.numpy(), bingham.numpy())

    @tf.function(reduce_retracing=True)
    def _predict(self, images: tf.Tensor, ctf: Optional[tf.Tensor]):
        outputs = self.network(self.preprocessing.normalise(self.preprocessing.correct(images, ctf)), training=False)
        return predicted_rotations(outputs), predicted_bingham(outputs)


def to_prediction(matrices: np.ndarray, bingham: np.ndarray) -> Prediction:
    """From the network's raw numbers (B, 3, 3) and (B, 4, 4), float32."""
    bingham = bingham.astype(np.float64)
    return Prediction(project_to_so3(matrices), 0.5 * (bingham + np.swapaxes(bingham, 1, 2)))
