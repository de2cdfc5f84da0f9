"""What a network learns to give, poses or distances between images, with its objective and its
validation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from ..imaging.forward_model import ForwardModel
from ..models.feature_distances import raw_features
from ..models.pose_model import Prediction, raw_prediction, to_prediction
from ..networks.polar import PolarArchitecture
from . import chance, objectives
from .distance_errors import Features, distance_summary
from .history import DISTANCE_FIGURES, POSE_FIGURES
from .labels import Evaluation
from .objectives import Objective, Outputs
from .pose_errors import error_summary
from .recipe import Recipe


class Task(ABC):
    """What a network learns to give.

    gives : "poses" or "distances", as in a model card.
    figures : names of the validation figures in the history, the median error first.
    """

    gives: ClassVar[str]
    figures: ClassVar[Tuple[str, ...]]

    def __init__(self, recipe: Recipe):
        self.recipe = recipe

    @abstractmethod
    def objective(
        self,
        network: Mapping[str, Any],
        typical_shift_px: float,
        projector: Optional[ForwardModel] = None,
    ) -> Objective:
        """What training minimises, see `objectives`.

        network : description of the network. typical_shift_px : root mean square of the shift along
        an axis, in pixels of the network's images. projector : of the map of the training, needed
        if reprojections are compared.
        """

    @abstractmethod
    def tensors(self, outputs: Outputs) -> Tuple[tf.Tensor, ...]:
        """What `prediction` takes, of a network's outputs."""

    @abstractmethod
    def prediction(self, arrays: Sequence[np.ndarray]) -> Any:
        """The prediction, float64, from the arrays of `tensors`."""

    @abstractmethod
    def summary(self, evaluation: Evaluation) -> Dict[str, float]:
        """Validation figures by name."""

    @abstractmethod
    def chance(self, evaluation: Evaluation, seed: int) -> Dict[str, float]:
        """What the same predictions reach by chance, by name."""

    @abstractmethod
    def learned_nothing(self, figures: Mapping[str, float]) -> Optional[str]:
        """A sentence if the figures of `summary` are no better than those of `chance`, otherwise
        None.
        """


class PoseTask(Task):
    """Poses of single images, modulo a symmetry group."""

    gives, figures = "poses", POSE_FIGURES

    def __init__(self, recipe: Recipe, group: np.ndarray):
        """group : (G, 3, 3) symmetry rotations."""
        super().__init__(recipe)
        self.group = group

    def objective(
        self,
        network: Mapping[str, Any],
        typical_shift_px: float,
        projector: Optional[ForwardModel] = None,
    ) -> Objective:
        group = None if len(self.group) == 1 else tf.constant(self.group, tf.float32)
        if network["kind"] != "polar":
            return objectives.encoder_objective(self.recipe, group, projector)
        return objectives.polar_objective(
            self.recipe, polar_architecture(network), group, typical_shift_px
        )

    def tensors(self, outputs: Outputs) -> Tuple[tf.Tensor, ...]:
        return raw_prediction(outputs)

    def prediction(self, arrays: Sequence[np.ndarray]) -> Prediction:
        return to_prediction(*arrays)

    def summary(self, evaluation: Evaluation) -> Dict[str, float]:
        return error_summary(evaluation.predicted, evaluation.truth, self.group)

    def chance(self, evaluation: Evaluation, seed: int) -> Dict[str, float]:
        predicted, truth = evaluation
        return chance.chance_of_poses(predicted.rotations, truth.rotations, self.group, seed)

    def learned_nothing(self, figures: Mapping[str, float]) -> Optional[str]:
        return chance.poses_learned_nothing(figures)


class DistanceTask(Task):
    """Distances between images, by their features."""

    gives, figures = "distances", DISTANCE_FIGURES

    @property
    def kind(self) -> str:
        """Kind of distance, see `models.feature_distances`."""
        return str(self.recipe.feature_distance)

    def objective(
        self,
        network: Mapping[str, Any],
        typical_shift_px: float,
        projector: Optional[ForwardModel] = None,
    ) -> Objective:
        if network["kind"] != "polar-distance":
            return objectives.distance_objective(self.recipe)
        return objectives.polar_distance_objective(
            self.recipe, polar_architecture(network), typical_shift_px
        )

    def tensors(self, outputs: Outputs) -> Tuple[tf.Tensor, ...]:
        return raw_features(outputs)

    def prediction(self, arrays: Sequence[np.ndarray]) -> Features:
        return Features(*(array.astype(np.float64) for array in arrays))

    def summary(self, evaluation: Evaluation) -> Dict[str, float]:
        return distance_summary(self.kind, evaluation.predicted, evaluation.truth)

    def chance(self, evaluation: Evaluation, seed: int) -> Dict[str, float]:
        predicted, truth = evaluation
        return chance.chance_of_distances(self.kind, predicted.features, truth.rotations, seed)

    def learned_nothing(self, figures: Mapping[str, float]) -> Optional[str]:
        return chance.distances_learned_nothing(figures)


def task_of(recipe: Recipe, group: np.ndarray) -> Task:
    """The task of a recipe. group : (G, 3, 3) symmetry rotations, C1 for distances."""
    return DistanceTask(recipe) if recipe.gives_distances else PoseTask(recipe, group)


def polar_architecture(network: Mapping[str, Any]) -> PolarArchitecture:
    """The architecture of a polar network from its description in a model card."""
    return PolarArchitecture(**{k: v for k, v in network.items() if k not in ("kind", "distance")})
