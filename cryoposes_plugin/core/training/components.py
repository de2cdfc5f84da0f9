"""The parts of a training that its recipe asks for: network, number format, optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import keras
import tensorflow as tf

from ..networks.banjac2021 import BanjacArchitecture
from ..networks.cryoforum2023 import CryoforumArchitecture
from ..networks.lian2022 import LianArchitecture
from ..networks.polar import PolarArchitecture
from .recipe import Recipe

#: Radii of the polar grid are this far apart, in pixels.
_RADIAL_STEP_PX = 1.1


def network_description(recipe: Recipe, box_size_px: int, mask_radius_px: float) -> Dict[str, Any]:
    """Everything that `networks.build.build_network` needs, as JSON."""
    kind = recipe.network
    if kind in ("polar", "polar-distance"):
        # Bilinear sampling needs a pixel beyond the last radius.
        outer = min(mask_radius_px, box_size_px / 2 - 1.5)
        radii = max(4, round(outer / _RADIAL_STEP_PX))
        polar = PolarArchitecture(box_size_px, outer, radii=radii, dropout=recipe.dropout)
        distance = {} if kind == "polar" else {"distance": recipe.feature_distance}
        return {"kind": kind, **distance, **polar.to_dict()}

    common: Dict[str, Any] = {"dropout": recipe.dropout, "l2": recipe.l2}
    if kind == "banjac":
        banjac = BanjacArchitecture(
            box_size_px, features=recipe.features, distance=recipe.feature_distance, **common
        )
        return {"kind": kind, **banjac.to_dict()}

    common.update(representation=recipe.representation, heads=recipe.heads)
    if kind == "cryoforum":
        cryoforum = CryoforumArchitecture(
            box_size_px, filter_bank=recipe.filter_bank, pooling=recipe.pooling, **common
        )
        return {"kind": kind, **cryoforum.to_dict()}
    return {"kind": kind, **LianArchitecture(box_size_px, **common).to_dict()}


def compute_dtype(network: str) -> str:
    """Type of the matrix products in training: "bfloat16" if the CPU has it in hardware, otherwise
    "float32".

    It doubles the speed there and is slow elsewhere. The convolutional networks gain nothing from
    it.
    """
    if network not in ("polar", "polar-distance") or tf.config.list_physical_devices("GPU"):
        return "float32"
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def make_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """The optimizer of the network's paper; Muon for the polar networks."""
    rate = recipe.learning_rate
    if recipe.network == "banjac":
        return keras.optimizers.RMSprop(rate)
    if recipe.network in ("cryoforum", "lian"):
        return keras.optimizers.Adam(rate)
    return keras.optimizers.Muon(
        rate, weight_decay=recipe.l2, adam_weight_decay=None, adam_beta_2=0.99
    )
