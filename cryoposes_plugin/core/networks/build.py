"""The presets of `train`: which network, losses and optimizer. Networks are rebuilt from their config alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import keras
import tensorflow as tf

from ...commands.train.config import TrainConfig
from ..errors import InputError
from ..imaging.forward_model import ForwardModel
from ..training.objectives import (
    Objective,
    distance_objective,
    encoder_objective,
    polar_distance_objective,
    polar_objective,
)
from ..values import shown, shown_error
from .banjac2021 import BanjacConfig, build_banjac_encoder
from .cryoforum2023 import CryoforumConfig, build_cryoforum_encoder
from .lian2022 import LianConfig, build_lian_encoder
from .limits import check_network
from .polar import PolarConfig, build_polar_distances, build_polar_encoder
from .quaternions import bingham_of_angular_gaussian
from .representations import best_head

Outputs = Dict[str, tf.Tensor]

#: Radii of the polar grid are this far apart, in pixels.
_RADIAL_STEP_PX = 1.1


def network_config(config: TrainConfig, box_size_px: int, mask_radius_px: float) -> Dict[str, Any]:
    """Everything that `build_network` needs, as JSON."""
    kind = config.preset_values.network
    if kind in ("polar", "polar-distance"):
        # Bilinear sampling needs a pixel beyond the last radius.
        outer = min(mask_radius_px, box_size_px / 2 - 1.5)
        radii = max(4, round(outer / _RADIAL_STEP_PX))
        polar = PolarConfig(
            box_size_px, outer, radii=radii, dropout=config.chosen("dropout")
        ).to_dict()
        distance = {} if kind == "polar" else {"distance": config.chosen("feature_distance")}
        return {"kind": kind, **distance, **polar}
    if kind == "banjac":
        chosen = {name: config.chosen(name) for name in ("features", "dropout", "l2")}
        return {
            "kind": kind,
            **BanjacConfig(
                box_size_px, distance=config.chosen("feature_distance"), **chosen
            ).to_dict(),
        }
    names = ["dropout", "l2", "representation", "heads"]
    if kind == "cryoforum":
        names += ["filter_bank", "pooling"]
    config_class = CryoforumConfig if kind == "cryoforum" else LianConfig
    return {
        "kind": kind,
        **config_class(box_size_px, **{name: config.chosen(name) for name in names}).to_dict(),
    }


def build_network(config: Dict[str, Any], compute_dtype: str = "float32") -> keras.Model:
    """The network of a model card, with fresh weights; InputError for one that this version cannot build."""
    kind, architecture = architecture_of(config)
    try:
        return _BUILDERS[kind][1](architecture, compute_dtype)
    except (TypeError, KeyError, ValueError) as error:
        raise _not_buildable(error) from error


def architecture_of(config: Dict[str, Any]) -> Tuple[str, Any]:
    """(kind, its config) as a model card describes them, checked, with nothing built; InputError otherwise."""
    check_network(config, "The network of the model card")
    values = dict(config)
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in _BUILDERS:
        raise InputError(
            f"The model card names a network of kind {shown(kind)}, and this version knows 'polar', 'polar-distance', "
            "'cryoforum', 'lian' and 'banjac'; train a new model."
        )
    values = {name: _as_tuple(value) for name, value in values.items()}
    if kind == "polar":
        values.setdefault("shift", False)  # models older than this output
    if kind == "polar-distance":
        values.pop("distance", None)
    if kind == "cryoforum":
        values.setdefault("filter_bank", "gaussian")  # models older than this choice
    try:
        return kind, _BUILDERS[kind][0](**values)
    except TypeError as error:
        raise _not_buildable(error) from error


def _not_buildable(error: Exception) -> InputError:
    return InputError(
        f"The model card describes a network that this version cannot build ({shown_error(error)}); train a new model."
    )


#: The class of its config and what builds it, by kind.
_BUILDERS: Dict[str, Tuple[Callable, Callable]] = {
    "polar": (PolarConfig, build_polar_encoder),
    "polar-distance": (PolarConfig, build_polar_distances),
    "cryoforum": (CryoforumConfig, build_cryoforum_encoder),
    "lian": (LianConfig, build_lian_encoder),
    "banjac": (BanjacConfig, build_banjac_encoder),
}


def _as_tuple(value: Any) -> Any:
    """JSON has lists where the configs have tuples."""
    return tuple(_as_tuple(part) for part in value) if isinstance(value, (list, tuple)) else value


def predicted_rotations(outputs: Outputs) -> tf.Tensor:
    """(B, 3, 3): the raw 9-D prediction where the network has one, else the most probable hypothesis."""
    return outputs["matrix"] if "matrix" in outputs else best_head(outputs)[0]


def predicted_bingham(outputs: Outputs) -> tf.Tensor:
    """(B, 4, 4) Bingham matrices: the form of the most probable hypothesis, or what peaks like the angular Gaussian."""
    return (
        bingham_of_angular_gaussian(outputs["bingham"])
        if "matrix" in outputs
        else best_head(outputs)[1]
    )


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    rate = config.chosen("learning_rate")
    if config.preset_values.network == "banjac":
        return keras.optimizers.RMSprop(rate)
    if config.preset_values.network in ("cryoforum", "lian"):
        return keras.optimizers.Adam(rate)
    decay = config.chosen("l2")
    return keras.optimizers.Muon(rate, weight_decay=decay, adam_weight_decay=None, adam_beta_2=0.99)


def make_objective(
    config: TrainConfig,
    network: Dict[str, Any],
    group: Optional[tf.Tensor],
    typical_shift_px: float,
    projector: Optional[ForwardModel] = None,
) -> Objective:
    """See `objectives`. projector : of the training's map, needed where reprojections are compared."""
    if network["kind"] == "banjac":
        return distance_objective(config)
    if network["kind"] in ("cryoforum", "lian"):
        return encoder_objective(config, group, projector)
    polar = PolarConfig(**{k: v for k, v in network.items() if k not in ("kind", "distance")})
    if network["kind"] == "polar-distance":
        return polar_distance_objective(config, polar, typical_shift_px)
    return polar_objective(config, polar, group, typical_shift_px)


def compute_dtype(preset: str) -> str:
    """Type of the matrix products in training: "bfloat16" where the CPU has it in hardware, else "float32".

    It is twice as fast there, and slow elsewhere. The convolutions of the other presets gain nothing from it.
    """
    if preset not in ("default", "distance") or tf.config.list_physical_devices("GPU"):
        return "float32"
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
