"""The objectives of training, put together from `losses` as a recipe says."""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

import tensorflow as tf

from ..imaging.forward_model import ForwardModel
from ..models import feature_distances
from ..networks.polar import PolarArchitecture
from ..networks.quaternions import rotation_quaternions
from ..networks.rotation_grid import grid_views, turns_about_z
from . import label_errors, losses, pair_sampling, schedules
from .labels import PoseLabels
from .recipe import Recipe

Outputs = Dict[str, tf.Tensor]
#: (outputs of the network, true poses, fraction of the training done) -> (loss, its parts)
Objective = Callable[[Outputs, PoseLabels, tf.Tensor], Tuple[tf.Tensor, Outputs]]

_GRID_WEIGHT = 0.3
_BINGHAM_WEIGHT = 0.1
_PAIR_WEIGHT = 0.1
#: Weight of the squared error of the shift in units of the typical shift, which is taken as
#: `_SHIFT_UNIT_PX` at least.
_SHIFT_WEIGHT = 0.1
_SHIFT_UNIT_PX = 0.5
#: Share of the loss that all hypotheses but the winner get together, so that each of them keeps
#: learning.
_LOSERS_SHARE = 0.05
_SCORES_WEIGHT = 0.1


def polar_objective(
    recipe: Recipe, polar: PolarArchitecture, group: Optional[tf.Tensor], typical_shift_px: float
) -> Objective:
    """Objective of the polar network: regression, classification over a grid, uncertainty,
    distances and shifts.

    Labels count by the probability that they are right, and images without a particle teach the
    classifier that no orientation is more probable than another.

    Parameters
    ----------
    recipe : the choices of the training.
    polar : architecture of the network.
    group : (G, 3, 3) float32 symmetry rotations, or None for C1.
    typical_shift_px : root mean square of the shift along an axis.
    """
    turns, views = tf.constant(turns_about_z(polar.bins)), tf.constant(grid_views(polar.views))
    shift_unit_px = max(typical_shift_px, _SHIFT_UNIT_PX)

    def objective(
        outputs: Outputs, labels: PoseLabels, fraction: tf.Tensor
    ) -> Tuple[tf.Tensor, Outputs]:
        rotations = losses.nearest_equivalent(labels.rotations, outputs["matrix"], group)
        targets = losses.grid_targets(rotations, turns, views, polar.concentration)
        flat = tf.ones_like(targets) / tf.cast(tf.shape(targets)[1], tf.float32)
        trust = labels.trust * tf.ones_like(outputs["grid"][:, 0])
        junk = tf.cast(trust == 0.0, tf.float32)
        if recipe.label_errors == "estimated":
            mates = 1 if group is None else group.shape[0]
            agreement = label_errors.label_agreement(outputs["grid"], targets, mates)
            right = label_errors.probability_of_right(trust, tf.stop_gradient(agreement))
        else:
            right = tf.cast(trust > 0.0, tf.float32)

        curriculum = _PAIR_WEIGHT * schedules.curriculum(fraction)[1]
        weight = curriculum if recipe.distance_weight is None else recipe.distance_weight
        pairs = pair_sampling.pair_weights(rotations, recipe.pair_sampling)
        pairs *= right[:, None] * right[None, :]
        pairs = tf.math.divide_no_nan(pairs, tf.reduce_sum(pairs))
        likelihoods = losses.angular_gaussian_loss(
            outputs["bingham"], rotation_quaternions(rotations)
        )
        regression = losses.matrix_loss(outputs["matrix"], rotations)
        known = right * labels.shift_known
        targets = tf.where(junk[:, None] > 0.0, flat, targets)

        parts = {
            "regression": losses.weighted_mean(regression, right),
            "grid": losses.weighted_mean(losses.grid_loss(outputs["grid"], targets), right + junk),
            "bingham": losses.weighted_mean(likelihoods, right),
            "distance": losses.matrix_pair_loss(outputs["matrix"], rotations, pairs),
            "shift": losses.shift_loss(outputs["shift"], labels.shifts_px, known),
        }

        total = (
            parts["regression"] + _GRID_WEIGHT * parts["grid"] + _BINGHAM_WEIGHT * parts["bingham"]
        )
        total += _SHIFT_WEIGHT / shift_unit_px**2 * parts["shift"]
        return total + weight * parts["distance"], parts

    return objective


def encoder_objective(
    recipe: Recipe, group: Optional[tf.Tensor], projector: Optional[ForwardModel]
) -> Objective:
    """Objective of the networks that end in a `pose_head`, with H hypotheses for each image.

    The hypothesis with the smallest error wins and is trained (Guzman-Rivera et al. 2012), the
    others a little (Rupprecht et al. 2017); the scores learn which one wins. Over the winners, with
    w of Lian 2022 (eq. 15) and the curriculum b1, b2 of Chung 2023 (eq. 4):

        single, siamese     w regression + (1 - w) reprojection
        siamese+auxiliary   2 b1 (w regression + (1 - w) reprojection) + b2 distance

    "single" averages over images; a Siamese pair regresses both its images, so that the average is
    over sampled pairs.
    group : (G, 3, 3) float32 symmetry rotations, or None for C1. projector : makes the
    reprojections, for w < 1.
    """
    w = recipe.regression_weight
    auxiliary = recipe.training_style == "siamese+auxiliary"

    def objective(
        outputs: Outputs, labels: PoseLabels, fraction: tf.Tensor
    ) -> Tuple[tf.Tensor, Outputs]:
        truth = _nearest_for_each(labels.rotations, outputs["rotations"], group)
        errors = _regression(recipe.loss, outputs, truth)
        winner = tf.argmin(errors, axis=1)
        best, best_truth = (
            tf.gather(r, winner, batch_dims=1) for r in (outputs["rotations"], truth)
        )
        pairs = pair_sampling.pair_weights(best_truth, recipe.pair_sampling)
        per_image = tf.reduce_sum(_shares(winner, tf.shape(errors)[1]) * errors, axis=1)
        parts = {"regression": _average(per_image, pairs, recipe.training_style)}
        total = w * parts["regression"]

        if projector is not None and w < 1:
            parts["reprojection"] = losses.reprojection_loss(projector, best, best_truth)
            total += (1 - w) * parts["reprojection"]

        if auxiliary:
            beta1, beta2 = schedules.curriculum(fraction)
            parts["distance"] = losses.rotation_pair_loss(best, best_truth, pairs)
            weight = beta2 if recipe.distance_weight is None else recipe.distance_weight
            total = 2.0 * beta1 * total + weight * parts["distance"]

        if "scores" in outputs:
            cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
                winner, outputs["scores"]
            )
            parts["scores"] = tf.reduce_mean(cross_entropy)
            total += _SCORES_WEIGHT * parts["scores"]
        return total, parts

    return objective


def distance_objective(recipe: Recipe) -> Objective:
    """L_DE of Banjac et al. 2021, eq. 3: squared errors of the distances between all pairs of a
    batch.
    """
    kind = recipe.feature_distance

    def objective(
        outputs: Outputs, labels: PoseLabels, fraction: tf.Tensor
    ) -> Tuple[tf.Tensor, Outputs]:
        pairs = pair_sampling.pair_weights(labels.rotations, recipe.pair_sampling)
        estimated = feature_distances.pairs_of_batch(kind, outputs["features"])
        error = estimated - pair_sampling.pair_distances(labels.rotations)
        parts = {"distance": tf.reduce_sum(pairs * tf.square(error))}
        return parts["distance"], parts

    return objective


def polar_distance_objective(
    recipe: Recipe, polar: PolarArchitecture, typical_shift_px: float
) -> Objective:
    """Objective of the polar network of distances: the true poses enter through distances alone.

    siamese : distances between the images of a batch, by the cosines of their features, 3 c_ij = 1
    + 2 cos d_ij.
    landmarks : distances to the orientations A_k of the grid as well. With features f_i of the
    images and vec(A_k) of the landmarks, the mean over k of (<f_i, vec A_k> - 1 - 2 cos d_ik)^2 is
    |f_i - vec A_i|^2 / 3 for landmarks spread evenly, and the classification over them learns from
    exp(concentration (1 + 2 cos d_ik)).
    """
    turns, views = tf.constant(turns_about_z(polar.bins)), tf.constant(grid_views(polar.views))
    shift_weight = _SHIFT_WEIGHT / max(typical_shift_px, _SHIFT_UNIT_PX) ** 2
    with_landmarks = recipe.training_style == "landmarks"

    def objective(
        outputs: Outputs, labels: PoseLabels, fraction: tf.Tensor
    ) -> Tuple[tf.Tensor, Outputs]:
        pairs = pair_sampling.pair_weights(labels.rotations, recipe.pair_sampling)
        flat = tf.reshape(labels.rotations, (-1, 9))
        error = 3.0 * feature_distances.cosines_of_batch(outputs["features"]) - tf.matmul(
            flat, flat, transpose_b=True
        )
        parts = {
            "distance": tf.reduce_sum(pairs * tf.square(error)) / 3.0,
            "shift": losses.shift_loss(outputs["shift"], labels.shifts_px, labels.shift_known),
        }
        total = (_PAIR_WEIGHT if with_landmarks else 1.0) * parts[
            "distance"
        ] + shift_weight * parts["shift"]

        if with_landmarks:
            targets = losses.grid_targets(labels.rotations, turns, views, polar.concentration)
            matrices = tf.reshape(outputs["features"], (-1, 3, 3))
            parts["landmarks"] = tf.reduce_mean(losses.matrix_loss(matrices, labels.rotations))
            parts["grid"] = tf.reduce_mean(losses.grid_loss(outputs["grid"], targets))
            total += parts["landmarks"] + _GRID_WEIGHT * parts["grid"]
        return total, parts

    return objective


def _nearest_for_each(
    rotations: tf.Tensor, predicted: tf.Tensor, group: Optional[tf.Tensor]
) -> tf.Tensor:
    """(B, H, 3, 3) true rotations, for each hypothesis the equivalent one nearest to it."""
    heads = predicted.shape[1]
    repeated = tf.repeat(rotations, heads, axis=0)
    nearest = losses.nearest_equivalent(repeated, tf.reshape(predicted, (-1, 3, 3)), group)
    return tf.reshape(nearest, (-1, heads, 3, 3))


def _regression(loss: str, outputs: Outputs, truth: tf.Tensor) -> tf.Tensor:
    """(B, H) losses of the rotations."""
    if loss in ("bingham", "matrix-fisher"):
        shape = tf.shape(truth)[:2]
        quaternions = rotation_quaternions(tf.reshape(truth, (-1, 3, 3)))
        errors = losses.bingham_loss(
            tf.reshape(outputs["bingham_matrices"], (-1, 4, 4)), quaternions
        )
        return tf.reshape(errors, shape)
    distance = {
        "geodesic": losses.geodesic_distance,
        "chordal": losses.chordal_distance,
        "quaternion": losses.quaternion_loss,
    }[loss]
    return distance(outputs["rotations"], truth)


def _shares(winner: tf.Tensor, heads: tf.Tensor) -> tf.Tensor:
    """(B, H) shares of the loss: most to the winner, the rest to the others."""
    one_hot, others = tf.one_hot(winner, heads), tf.cast(heads - 1, tf.float32)
    share = tf.math.divide_no_nan(_LOSERS_SHARE, others)
    return one_hot * (1.0 - share * others) + (1.0 - one_hot) * share


def _average(errors: tf.Tensor, pairs: tf.Tensor, style: str) -> tf.Tensor:
    """Mean of (B,) errors over images, or over both images of the pairs of weights (B, B)."""
    if style == "single":
        return tf.reduce_mean(errors)
    return 0.5 * tf.reduce_sum(
        errors * (tf.reduce_sum(pairs, axis=0) + tf.reduce_sum(pairs, axis=1))
    )
