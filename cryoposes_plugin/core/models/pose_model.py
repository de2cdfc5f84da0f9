"""A trained model in use: images in, rotations and their distributions out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Optional, Tuple

import keras
import numpy as np
import tensorflow as tf

from ..geometry.rotations import project_to_so3
from ..memory import BatchLimit
from ..networks.build import predicted_bingham, predicted_rotations
from ..networks.rotation_grid import grid_rotations
from ..types import CtfTable
from .hypotheses import grid_candidates, head_candidates
from .model_card import ModelCard
from .model_folder import preprocessing_of, read_network, write_network
from .network_inputs import network_inputs, traced_for_any_batch

LARGEST_NUMBER = 4096


@dataclass(frozen=True)
class Prediction:
    """rotations : (B, 3, 3) float64, A of `conventions`. bingham : (B, 4, 4) float64 symmetric matrices M of densities
    exp(-q^T M q) over quaternions (w, x, y, z) of A: see `uncertainty.bingham`. shifts_px : (B, 2) float64,
    displacement (x, y) in pixels of the network's images, or None from a network that does not predict it."""

    rotations: np.ndarray
    bingham: np.ndarray
    shifts_px: Optional[np.ndarray] = None


@dataclass(frozen=True)
class Hypotheses:
    """Candidate poses of B images, K each. Iterates over rotations, log_weights and shifts_px.

    rotations : (B, K, 3, 3) float32; the first is the rotation of `PoseModel.predict`, the others follow by weight.
    log_weights : (B, K) float32, logarithms of probabilities up to a constant that an image's candidates share.
    shifts_px : (B, 2) float32, pixels of the network's images; zeros from a network that does not predict them.
    bingham : (B, 4, 4) float64, as in `Prediction`.
    on_grid : (B, K) int32, which of `PoseModel.grid` a rotation is; -1 for none of them.
    """

    rotations: np.ndarray
    log_weights: np.ndarray
    shifts_px: np.ndarray
    bingham: np.ndarray
    on_grid: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.rotations, self.log_weights, self.shifts_px))


class PoseModel:
    """A network with its card. Predictions are computed in float32, whatever it was trained in."""

    def __init__(self, card: ModelCard, network: keras.Model):
        self.card, self.network = card, network
        self.memory = BatchLimit("images")
        self.preprocessing = preprocessing_of(card)
        classifies = "grid" in network.output
        #: (G, 3, 3) float32 rotations that the network is a classifier over, or None.
        self.grid = (
            grid_rotations(card.network["bins"], card.network["views"]) if classifies else None
        )

    @classmethod
    def load(cls, folder) -> PoseModel:
        """See `model_folder.read_network`; InputError for a model that gives distances too."""
        card, network = read_network(folder)
        card.check_gives_poses(folder)
        return cls(card, network)

    def save(self, folder) -> None:
        """Write model.keras and model_card.json; the folder appears whole or not at all."""
        write_network(folder, self.card, self.network)

    def predict(
        self, images: np.ndarray, ctf: Optional[CtfTable] = None, image_state: str = "raw"
    ) -> Prediction:
        """Poses of images (B, D, D) at the card's box and pixel size, of any scale and offset, protein white.

        Raw images with a CTF have their phases flipped if the model was trained so; images that are phase-flipped or
        multiplied by their CTF already are taken as they are.
        """
        tensors = network_inputs(images, ctf, image_state, self.card.box_size_px)
        predict = traced_for_any_batch(self._predict, tensors)
        return to_prediction(*self._by_parts(predict, tensors))

    def hypotheses(
        self,
        images: np.ndarray,
        ctf: Optional[CtfTable] = None,
        image_state: str = "raw",
        number: int = 8,
    ) -> Hypotheses:
        """`number` candidate poses for each of images (B, D, D), taken as in `predict`, from one pass of the network.

        Where the network is a classifier over a grid of rotations, its most probable ones follow the estimate; else the
        other hypotheses that it was trained for, then draws from the Bingham distribution around the estimate, the same
        ones every time.
        """
        largest = LARGEST_NUMBER if self.grid is None else min(LARGEST_NUMBER, 1 + len(self.grid))
        if not 1 <= number <= largest:
            raise ValueError(
                f"expected a number of hypotheses from 1 to {largest}, received {number}"
            )
        tensors = network_inputs(images, ctf, image_state, self.card.box_size_px)
        candidates = traced_for_any_batch(self._hypotheses, tensors, tf.TensorSpec((), tf.int32))
        wanted = tf.constant(number, tf.int32)
        found = self._by_parts(lambda *part: candidates(*part, wanted), tensors)
        rotations, log_weights, on_grid, shifts_px, matrices = found
        return Hypotheses(rotations, log_weights, shifts_px, symmetric(matrices), on_grid)

    @property
    def predicts_shifts(self) -> bool:
        return "shift" in self.network.output

    def _by_parts(self, function, tensors) -> List[np.ndarray]:
        """Outputs of a function of (images, CTFs or None), of as many images at once as the memory takes."""

        def work(rows: np.ndarray) -> List[np.ndarray]:
            part = slice(rows[0], rows[-1] + 1)
            return [
                output.numpy()
                for output in function(*(None if t is None else t[part] for t in tensors))
            ]

        return [np.concatenate(column) for column in zip(*self.memory.parts(work, len(tensors[0])))]

    @tf.function
    def _predict(self, images: tf.Tensor, ctf: Optional[tf.Tensor]):
        return raw_prediction(self._outputs(images, ctf))

    def _outputs(self, images: tf.Tensor, ctf: Optional[tf.Tensor]):
        return self.network(
            self.preprocessing.normalise(self.preprocessing.correct(images, ctf)), training=False
        )

    @tf.function
    def _hypotheses(self, images: tf.Tensor, ctf: Optional[tf.Tensor], number: tf.Tensor):
        outputs = self._outputs(images, ctf)
        if self.grid is None:
            rotations, log_weights = head_candidates(outputs, number)
            on_grid = -tf.ones(tf.shape(log_weights), tf.int32)
        else:
            grid = tf.constant(self.grid)
            rotations, log_weights, on_grid = grid_candidates(
                outputs["matrix"], outputs["grid"], grid, number
            )
        shifts = outputs.get("shift", tf.zeros((tf.shape(images)[0], 2)))
        return rotations, log_weights, on_grid, shifts, predicted_bingham(outputs)


def raw_prediction(outputs) -> Tuple[tf.Tensor, ...]:
    """What `to_prediction` takes, of a network's outputs."""
    raw = (predicted_rotations(outputs), predicted_bingham(outputs))
    return (*raw, outputs["shift"]) if "shift" in outputs else raw


def to_prediction(
    matrices: np.ndarray, bingham: np.ndarray, shifts_px: Optional[np.ndarray] = None
) -> Prediction:
    """From the network's raw numbers (B, 3, 3), (B, 4, 4) and (B, 2), float32."""
    shifts = None if shifts_px is None else shifts_px.astype(np.float64)
    return Prediction(project_to_so3(matrices), symmetric(bingham), shifts)


def symmetric(matrices: np.ndarray) -> np.ndarray:
    """(B, n, n) float64, the symmetric part."""
    matrices = matrices.astype(np.float64)
    return 0.5 * (matrices + np.swapaxes(matrices, 1, 2))
