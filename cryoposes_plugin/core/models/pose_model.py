"""A trained model that gives poses: images in, rotations and their distributions out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, TypeVar

import keras
import numpy as np
import tensorflow as tf

from ..geometry.rotations import project_to_so3, right_product
from ..memory import BatchLimit
from ..networks.build import predicted_bingham_matrices, predicted_rotations
from ..networks.rotation_grid import grid_rotations
from ..types import CtfTable
from .hypotheses import grid_candidates, hypothesis_candidates
from .model_card import ModelCard
from .model_folder import PathLike, preprocessing_of, read_network, write_network
from .network_inputs import network_inputs, traced_for_any_batch
from .posterior import posterior_of

LARGEST_NUMBER = 4096


@dataclass(frozen=True)
class Prediction:
    """Poses of B images, with the uncertainty of their orientations.

    rotations : (B, 3, 3) float64, A of `conventions`.
    bingham_matrices : (B, 4, 4) float64 symmetric matrices M of densities exp(-q^T M q) over the
    quaternions (w, x, y, z) of A, see `models.uncertainty`.
    shifts_px : (B, 2) float64, displacement (x, y) in pixels of the network's images, or None from
    a network that does not predict it.
    covariance, elsewhere : (B, 3, 3) and (B,) float64, see `posterior.posterior_of`; None from the
    network of a training.
    """

    rotations: np.ndarray
    bingham_matrices: np.ndarray
    shifts_px: Optional[np.ndarray] = None
    covariance: Optional[np.ndarray] = None
    elsewhere: Optional[np.ndarray] = None


@dataclass(frozen=True)
class Hypotheses:
    """K candidate poses for each of B images. Iterates over rotations, log_weights and shifts_px.

    rotations : (B, K, 3, 3) float32; the first is the rotation of `PoseModel.predict`, the others
    follow by weight.
    log_weights : (B, K) float32, logarithms of probabilities up to a constant for each image.
    shifts_px : (B, 2) float32, pixels of the network's images; zeros from a network that does not
    predict them.
    bingham_matrices : (B, 4, 4) float64, as in `Prediction`.
    on_grid : (B, K) int32, index of the rotation in `PoseModel.grid`; -1 if it is not one of them.
    """

    rotations: np.ndarray
    log_weights: np.ndarray
    shifts_px: np.ndarray
    bingham_matrices: np.ndarray
    on_grid: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.rotations, self.log_weights, self.shifts_px))


_Found = TypeVar("_Found", Prediction, Hypotheses)


class PoseModel:
    """A network with its card. Predictions are computed in float32, also after training in another
    type.
    """

    def __init__(self, card: ModelCard, network: keras.Model):
        self.card, self.network = card, network
        self.memory = BatchLimit("images")
        self.preprocessing = preprocessing_of(card)
        classifies = "grid" in network.output
        self._grid = (
            grid_rotations(card.network["bins"], card.network["views"]) if classifies else None
        )
        self._turn = card.turn if card.frame else None

    @property
    def grid(self) -> Optional[np.ndarray]:
        """(G, 3, 3) float32 rotations over which the network is a classifier, in the frame of its
        map; None if it is none.
        """
        if self._grid is None or self._turn is None:
            return self._grid
        return (self._grid @ self._turn).astype(np.float32)

    @classmethod
    def load(cls, folder: PathLike) -> PoseModel:
        """Read a model folder, see `model_folder.read_network`; InputError also for a model that
        gives distances.
        """
        card, network = read_network(folder)
        card.check_gives_poses(folder)
        return cls(card, network)

    def save(self, folder: PathLike) -> None:
        """Write model.keras and model_card.json; the folder appears whole or not at all."""
        write_network(folder, self.card, self.network)

    def predict(
        self, images: np.ndarray, ctf: Optional[CtfTable] = None, image_state: str = "raw"
    ) -> Prediction:
        """Poses of images (B, D, D) at the card's box and pixel size, of any scale and offset,
        protein white.

        The CTF of raw images is corrected as in training; images that are phase-flipped or
        multiplied by their CTF already are taken as they are.
        """
        tensors = network_inputs(images, ctf, image_state, self.card.box_size_px)
        predict = traced_for_any_batch(self._predict, tensors)
        return self._in_frame(_with_posterior(self._by_parts(predict, tensors)))

    def predict_prepared(self, prepared: tf.Tensor) -> Prediction:
        """Poses of images (B, D, D) that went through the preprocessing already, as in training."""
        predict = traced_for_any_batch(self._predict_prepared, (prepared,))
        return self._in_frame(_with_posterior(self._by_parts(predict, (prepared,))))

    def hypotheses(
        self,
        images: np.ndarray,
        ctf: Optional[CtfTable] = None,
        image_state: str = "raw",
        number: int = 8,
    ) -> Hypotheses:
        """Candidate poses of images, from one pass of the network.

        The first candidate is the estimate. If the network is a classifier over a grid of
        rotations, the most probable ones follow; otherwise its other hypotheses, then draws from
        the Bingham distribution around the estimate, the same ones every time.

        Parameters
        ----------
        images : (B, D, D) as in `predict`.
        ctf : of the images, or None.
        image_state : of the images, see `types.IMAGE_STATES`.
        number : of candidates for each image.

        Raises
        ------
        ValueError
            If more candidates are asked for than there are.
        """
        largest = LARGEST_NUMBER if self._grid is None else min(LARGEST_NUMBER, 1 + len(self._grid))
        if not 1 <= number <= largest:
            raise ValueError(
                f"expected a number of hypotheses from 1 to {largest}, received {number}"
            )
        tensors = network_inputs(images, ctf, image_state, self.card.box_size_px)
        candidates = traced_for_any_batch(self._hypotheses, tensors, tf.TensorSpec((), tf.int32))
        wanted = tf.constant(number, tf.int32)
        outputs = self._by_parts(lambda *part: candidates(*part, wanted), tensors)
        rotations, log_weights, on_grid, shifts_px, bingham_matrices = outputs
        found = Hypotheses(rotations, log_weights, shifts_px, symmetric(bingham_matrices), on_grid)
        return self._in_frame(found)

    @property
    def predicts_shifts(self) -> bool:
        """Whether the network predicts in-plane shifts."""
        return "shift" in self.network.output

    def _in_frame(self, found: _Found) -> _Found:
        """In the frame of the map, where A is A R; covariances are of turns in the image's frame and
        stay.
        """
        if self._turn is None:
            return found
        product = right_product(self._turn)
        rotations = found.rotations @ self._turn.astype(found.rotations.dtype)
        matrices = product @ found.bingham_matrices @ product.T
        return dataclasses.replace(found, rotations=rotations, bingham_matrices=matrices)

    def _by_parts(
        self,
        function: Callable[..., Sequence[tf.Tensor]],
        tensors: Sequence[Any],
    ) -> List[np.ndarray]:
        """Outputs of a function of images, and CTFs or None, for as many images at once as fit into
        memory.
        """

        def work(rows: np.ndarray) -> List[np.ndarray]:
            part = slice(rows[0], rows[-1] + 1)
            return [
                output.numpy()
                for output in function(*(None if t is None else t[part] for t in tensors))
            ]

        return [np.concatenate(column) for column in zip(*self.memory.parts(work, len(tensors[0])))]

    @tf.function
    def _predict(self, images: tf.Tensor, ctf: Optional[tf.Tensor]) -> Tuple[tf.Tensor, ...]:
        return self._predicted(self._prepared(images, ctf))

    @tf.function
    def _predict_prepared(self, prepared: tf.Tensor) -> Tuple[tf.Tensor, ...]:
        return self._predicted(prepared)

    def _predicted(self, prepared: tf.Tensor) -> Tuple[tf.Tensor, ...]:
        outputs = self.network(prepared, training=False)
        grid = None if self._grid is None else tf.constant(self._grid)
        return (*posterior_of(outputs, grid), *raw_prediction(outputs))

    def _prepared(self, images: tf.Tensor, ctf: Optional[tf.Tensor]) -> tf.Tensor:
        return self.preprocessing.normalise(self.preprocessing.correct(images, ctf))

    @tf.function
    def _hypotheses(
        self, images: tf.Tensor, ctf: Optional[tf.Tensor], number: tf.Tensor
    ) -> Tuple[tf.Tensor, ...]:
        outputs = self.network(self._prepared(images, ctf), training=False)
        if self._grid is None:
            rotations, log_weights = hypothesis_candidates(outputs, number)
            on_grid = -tf.ones(tf.shape(log_weights), tf.int32)
        else:
            grid = tf.constant(self._grid)
            rotations, log_weights, on_grid = grid_candidates(
                outputs["matrix"], outputs["grid"], grid, number
            )
        shifts = outputs.get("shift", tf.zeros((tf.shape(images)[0], 2)))
        return rotations, log_weights, on_grid, shifts, predicted_bingham_matrices(outputs)


def raw_prediction(outputs: Dict[str, tf.Tensor]) -> Tuple[tf.Tensor, ...]:
    """Tensors for `to_prediction` from a network's outputs."""
    raw = (predicted_rotations(outputs), predicted_bingham_matrices(outputs))
    return (*raw, outputs["shift"]) if "shift" in outputs else raw


def to_prediction(
    matrices: np.ndarray, bingham_matrices: np.ndarray, shifts_px: Optional[np.ndarray] = None
) -> Prediction:
    """Prediction from the network's raw numbers (B, 3, 3), (B, 4, 4) and (B, 2), float32."""
    shifts = None if shifts_px is None else shifts_px.astype(np.float64)
    return Prediction(project_to_so3(matrices), symmetric(bingham_matrices), shifts)


def _with_posterior(columns: Sequence[np.ndarray]) -> Prediction:
    covariance, elsewhere, *raw = columns
    return dataclasses.replace(
        to_prediction(*raw),
        covariance=symmetric(covariance),
        elsewhere=elsewhere.astype(np.float64),
    )


def symmetric(matrices: np.ndarray) -> np.ndarray:
    """(B, n, n) float64 symmetric parts of matrices."""
    matrices = matrices.astype(np.float64)
    return 0.5 * (matrices + np.swapaxes(matrices, 1, 2))
