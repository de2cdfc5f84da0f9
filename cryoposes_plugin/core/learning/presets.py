"""The presets of `train`: which network, losses and optimizer. Networks are rebuilt from their config alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import keras
import tensorflow as tf

from ..config import TrainConfig
from ..errors import InputError
from . import losses, pair_sampling, schedules
from .cryoforum_encoder import CryoforumConfig, build_cryoforum_encoder
from .heads import bingham_of_angular_gaussian, quaternion_rotations, rotation_quaternions, smallest_eigenvector
from .labels import PoseLabels
from .polar_encoder import PolarConfig, build_polar_encoder
from .rotation_grid import grid_views, turns_about_z

Outputs = Dict[str, tf.Tensor]
#: (outputs of the network, true poses, fraction of the training done) -> (loss, its parts)
Objective = Callable[[Outputs, PoseLabels, tf.Tensor], Tuple[tf.Tensor, Outputs]]

LEARNING_RATE = {"default": 4e-3, "cryoforum2023": 1e-3}
WEIGHT_DECAY = {"default": 1e-2, "cryoforum2023": 1e-3}
DROPOUT = {"default": 0.0, "cryoforum2023": 0.3}

_GRID_WEIGHT = 0.3
_BINGHAM_WEIGHT = 0.1
_PAIR_WEIGHT = 0.1
#: Of the squared error of the shift in units of the typical shift; the unit is never less than `_SHIFT_UNIT_PX`.
_SHIFT_WEIGHT = 0.1
_SHIFT_UNIT_PX = 0.5
#: Radii of the polar grid are this far apart, in pixels.
_RADIAL_STEP_PX = 1.1


def network_config(config: TrainConfig, box_size_px: int, mask_radius_px: float) -> Dict[str, Any]:
    """Everything that `build_network` needs, as JSON."""
    if config.preset == "cryoforum2023":
        chosen = CryoforumConfig(
            box_size_px,
            dropout=_or(config.dropout, DROPOUT[config.preset]),
            l2=_or(config.l2, WEIGHT_DECAY[config.preset]),
        )
        return {"kind": "cryoforum", **chosen.to_dict()}
    # Bilinear sampling needs a pixel beyond the last radius.
    outer = min(mask_radius_px, box_size_px / 2 - 1.5)
    polar = PolarConfig(
        box_size_px,
        outer,
        radii=max(4, round(outer / _RADIAL_STEP_PX)),
        dropout=_or(config.dropout, DROPOUT[config.preset]),
    )
    return {"kind": "polar", **polar.to_dict()}


def build_network(config: Dict[str, Any], compute_dtype: str = "float32") -> keras.Model:
    """The network of a model card, with fresh weights; InputError for a kind that this version does not know."""
    values = dict(config)
    kind = values.pop("kind", None)
    try:
        if kind == "polar":
            values.setdefault("shift", False)  # models older than this output
            return build_polar_encoder(PolarConfig(**values), compute_dtype)
        if kind == "cryoforum":
            values["stem"] = tuple(tuple(pair) for pair in values["stem"])
            values["doubles"] = tuple(values["doubles"])
            return build_cryoforum_encoder(CryoforumConfig(**values), compute_dtype)
    except (TypeError, KeyError) as error:
        raise InputError(
            f"The model card describes a network that this version cannot build ({error}); train a new model."
        ) from error
    raise InputError(
        f"The model card names a network of kind {kind!r}, and this version knows 'polar' and 'cryoforum'; train "
        "a new model."
    )


def predicted_rotations(outputs: Outputs) -> tf.Tensor:
    """(B, 3, 3): the raw 9-D prediction where the network has one, else the rotation of the Bingham mode."""
    if "matrix" in outputs:
        return outputs["matrix"]
    return quaternion_rotations(smallest_eigenvector(outputs["bingham"]))


def predicted_bingham(outputs: Outputs) -> tf.Tensor:
    """(B, 4, 4) Bingham matrices: A itself, or what peaks like A where it was trained as an angular Gaussian."""
    if "matrix" in outputs:
        return bingham_of_angular_gaussian(outputs["bingham"])
    return outputs["bingham"]


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    rate = peak_learning_rate(config)
    if config.preset == "cryoforum2023":
        return keras.optimizers.Adam(rate)
    decay = _or(config.l2, WEIGHT_DECAY[config.preset])
    return keras.optimizers.Muon(rate, weight_decay=decay, adam_weight_decay=None, adam_beta_2=0.99)


def peak_learning_rate(config: TrainConfig) -> float:
    return _or(config.learning_rate, LEARNING_RATE[config.preset])


def make_objective(
    config: TrainConfig, network: Dict[str, Any], group: Optional[tf.Tensor], typical_shift_px: float
) -> Objective:
    """group : (G, 3, 3) float32 symmetry rotations, or None for C1. typical_shift_px : root mean square of an axis."""
    if config.preset == "cryoforum2023":
        return _cryoforum_objective(config, group)
    polar = PolarConfig(**{k: v for k, v in network.items() if k != "kind"})
    return _polar_objective(config, polar, group, max(typical_shift_px, _SHIFT_UNIT_PX))


def _polar_objective(
    config: TrainConfig, polar: PolarConfig, group: Optional[tf.Tensor], shift_unit_px: float
) -> Objective:
    turns, views = tf.constant(turns_about_z(polar.bins)), tf.constant(grid_views(polar.views))

    def objective(outputs, labels, fraction):
        rotations = losses.nearest_equivalent(labels.rotations, outputs["matrix"], group)
        weight = _or(config.distance_weight, _PAIR_WEIGHT * schedules.curriculum(fraction)[1])
        pairs = pair_sampling.pair_weights(rotations, config.pair_sampling)
        targets = losses.grid_targets(rotations, turns, views, polar.concentration)
        parts = {
            "regression": losses.matrix_loss(outputs["matrix"], rotations),
            "grid": losses.grid_loss(outputs["grid"], targets),
            "bingham": losses.angular_gaussian_loss(outputs["bingham"], rotation_quaternions(rotations)),
            "distance": losses.matrix_pair_loss(outputs["matrix"], rotations, pairs),
            "shift": losses.shift_loss(outputs["shift"], labels.shifts_px, labels.shift_known),
        }
        total = parts["regression"] + _GRID_WEIGHT * parts["grid"] + _BINGHAM_WEIGHT * parts["bingham"]
        total += _SHIFT_WEIGHT / shift_unit_px**2 * parts["shift"]
        return total + weight * parts["distance"], parts

    return objective


def _cryoforum_objective(config: TrainConfig, group: Optional[tf.Tensor]) -> Objective:
    """beta1 (d_i + d_j) + beta2 |d_ij - d_ij'| (Chung 2023, eq. 4), averaged over pairs."""

    def objective(outputs, labels, fraction):
        predicted = smallest_eigenvector(outputs["bingham"])
        rotations = losses.nearest_equivalent(labels.rotations, quaternion_rotations(predicted), group)
        true = rotation_quaternions(rotations)
        beta1, beta2 = schedules.curriculum(fraction)
        pairs = pair_sampling.pair_weights(rotations, config.pair_sampling)
        parts = {
            "regression": tf.reduce_mean(losses.quaternion_distance(predicted, true)),
            "distance": losses.quaternion_pair_loss(predicted, true, pairs),
        }
        return 2.0 * beta1 * parts["regression"] + _or(config.distance_weight, beta2) * parts["distance"], parts

    return objective


def compute_dtype(preset: str) -> str:
    """Type of the matrix products in training: "bfloat16" where the CPU has it in hardware, else "float32".

    It is twice as fast there, and slow elsewhere. The convolutions of the other preset gain nothing from it.
    """
    if preset != "default" or tf.config.list_physical_devices("GPU"):
        return "float32"
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def _or(value, default):
    return default if value is None else value
