"""A trained model that measures distances between images: images in, features out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import keras
import numpy as np
import tensorflow as tf

from ..imaging.transforms import mirror_where, rotate
from ..networks.build import predicted_rotations
from ..types import CtfTable
from . import feature_distances
from .model_card import ModelCard
from .model_folder import PathLike, preprocessing_of, read_network
from .network_inputs import network_inputs, traced_for_any_batch


@dataclass(frozen=True)
class Embedded:
    """features : (B, F) float32. shifts_px : (B, 2) float32 in pixels of the network's images, or
    None.
    """

    features: np.ndarray
    shifts_px: Optional[np.ndarray]


class DistanceModel:
    """A network with its card. A network that gives poses serves too: the nine numbers of its
    estimate are features.
    """

    def __init__(self, card: ModelCard, network: keras.Model):
        self.card, self.network = card, network
        self.preprocessing = preprocessing_of(card)
        self.distance = card.network["distance"] if card.gives_distances else "trace"

    @classmethod
    def load(cls, folder: PathLike) -> DistanceModel:
        """Read a model folder, see `model_folder.read_network`."""
        return cls(*read_network(folder))

    @property
    def predicts_shifts(self) -> bool:
        """Whether the network predicts in-plane shifts."""
        return "shift" in self.network.output

    def embed(
        self, images: np.ndarray, ctf: Optional[CtfTable] = None, image_state: str = "raw"
    ) -> Embedded:
        """Features of images (B, D, D) at the card's box and pixel size, of any scale and offset,
        protein white.
        """
        tensors = network_inputs(images, ctf, image_state, self.card.box_size_px)
        return self._embedded(traced_for_any_batch(self._embed, tensors)(*tensors))

    def embed_copies(
        self,
        images: np.ndarray,
        ctf: Optional[CtfTable],
        image_state: str,
        psi_rad: np.ndarray,
        mirrored: np.ndarray,
    ) -> Embedded:
        """Features of copies of images, flipped along x about D // 2 and then rotated.

        The copies are made after the correction of the CTF, which is rotated and flipped with the
        image.

        Parameters
        ----------
        images : (B, D, D) as in `embed`.
        ctf : of the images, or None.
        image_state : of the images, see `types.IMAGE_STATES`.
        psi_rad : (B,) in-plane angles.
        mirrored : (B,) bool, which images are flipped.
        """
        turns = tf.constant(psi_rad, tf.float32), tf.constant(mirrored, tf.bool)
        tensors = (*network_inputs(images, ctf, image_state, self.card.box_size_px), *turns)
        return self._embedded(traced_for_any_batch(self._embed_copies, tensors)(*tensors))

    def distances(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(N, F) and (K, F) features -> (N, K) distances in radians."""
        return feature_distances.distances(self.distance, first, second)

    @staticmethod
    def _embedded(raw: Tuple[tf.Tensor, ...]) -> Embedded:
        return Embedded(raw[0].numpy(), raw[1].numpy() if len(raw) > 1 else None)

    @tf.function
    def _embed(self, images: tf.Tensor, ctf: Optional[tf.Tensor]) -> Tuple[tf.Tensor, ...]:
        return self.features_of(
            self.preprocessing.normalise(self.preprocessing.correct(images, ctf))
        )

    @tf.function
    def _embed_copies(
        self, images: tf.Tensor, ctf: Optional[tf.Tensor], angles: tf.Tensor, flip: tf.Tensor
    ) -> Tuple[tf.Tensor, ...]:
        corrected = self.preprocessing.correct(images, ctf)
        flipped, _ = mirror_where(flip, corrected, tf.zeros((tf.shape(images)[0], 3, 3)))
        return self.features_of(self.preprocessing.normalise(rotate(flipped, angles)))

    def features_of(self, prepared: tf.Tensor) -> Tuple[tf.Tensor, ...]:
        """Features (B, F), and shifts where the network gives them, of images that went through the
        preprocessing.
        """
        outputs: Dict[str, tf.Tensor] = self.network(prepared, training=False)
        if "features" not in outputs:
            outputs = {**outputs, "features": tf.reshape(predicted_rotations(outputs), (-1, 9))}
        return feature_distances.raw_features(outputs)
