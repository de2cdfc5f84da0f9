"""The default network: a polar grid, templates and convolutions along the circle, and heads that turn with the image.

Radii are channels: every layer is one matrix product over (image, angle) rows, which is what a CPU does best. A turn of
the image by one angle bin moves the bins round by one; each bin's output is turned by the bin's angle before they are
averaged, so that the prediction turns with the image exactly: A -> Rz A.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict

import keras
import numpy as np

from .layers import (
    CircularConvolution,
    CircularTemplates,
    GridLogits,
    PolarResampling,
    RootMeanSquareNorm,
    TurnedBinghamMean,
    TurnedMatrixMean,
    turns_about_z,
)

_RESIDUAL_GAIN = 0.3
_DILATIONS = (1, 2, 4, 8)


@dataclass(frozen=True)
class PolarConfig:
    """Architecture of the polar encoder.

    box_size_px : of the images; outer_radius_px : of the polar grid; angles, radii : its size; templates :
    learned templates of the whole circle; width : channels; blocks : residual blocks; taps : of their convolutions,
    dilated by 1, 2, 4, 8, 1, ...; views : viewing directions of the auxiliary classification over views x angles; dropout : rate before the heads.
    """

    box_size_px: int
    outer_radius_px: float
    angles: int = 64
    radii: int = 28
    templates: int = 256
    width: int = 192
    blocks: int = 6
    taps: int = 3
    views: int = 192
    dropout: float = 0.0

    def to_dict(self) -> Dict[str, Any]:
        return asdict(self)


def build_polar_encoder(config: PolarConfig, compute_dtype: str = "float32") -> keras.Model:
    """Network (B, D, D) -> {"matrix": (B, 3, 3), "bingham": (B, 4, 4), "grid": (B, angles * views) logits}.

    compute_dtype : "float32", or "bfloat16" for the matrix products alone (weights and heads stay float32).
    """
    policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
    images = keras.Input((config.box_size_px, config.box_size_px), name="images")
    polar = PolarResampling(config.angles, config.radii, config.outer_radius_px, dtype="float32", name="polar")(images)
    features = _stem(polar, config, policy)
    for block in range(config.blocks):
        features = _residual_block(features, config, block, policy)
    features = RootMeanSquareNorm(dtype=policy, name="norm")(features)
    if config.dropout:
        features = keras.layers.Dropout(config.dropout, dtype=policy, name="dropout")(features)
    return keras.Model(images, _heads(features, config, policy), name="polar_encoder")


def _stem(polar, config: PolarConfig, policy: str):
    """Templates of the whole image first: at low SNR they gather what a local filter, then cut off, would lose."""
    matched = CircularTemplates(config.templates, dtype=policy, name="stem_templates")(polar)
    matched = RootMeanSquareNorm(dtype=policy, name="stem_norm")(matched)
    matched = keras.layers.Activation("silu", dtype=policy, name="stem_silu")(matched)
    return CircularConvolution(config.width, dtype=policy, name="stem_point")(matched)


def _residual_block(features, config: PolarConfig, block: int, policy: str):
    name = f"block{block}"
    dilation = _DILATIONS[block % len(_DILATIONS)]
    inner = RootMeanSquareNorm(dtype=policy, name=f"{name}_norm")(features)
    inner = CircularConvolution(config.width, config.taps, dilation, dtype=policy, name=f"{name}_circle")(inner)
    inner = keras.layers.Activation("silu", dtype=policy, name=f"{name}_silu")(inner)
    inner = CircularConvolution(config.width, gain=_RESIDUAL_GAIN, dtype=policy, name=f"{name}_point")(inner)
    return keras.layers.Add(dtype=policy, name=f"{name}_add")([features, inner])


def _heads(features, config: PolarConfig, policy: str) -> Dict[str, Any]:
    def head(width: int, name: str):
        return CircularConvolution(width, gain=_RESIDUAL_GAIN, dtype=policy, name=name)(features)

    return {
        "matrix": TurnedMatrixMean(dtype="float32", name="matrix")(head(9, "matrix_bins")),
        "bingham": TurnedBinghamMean(dtype="float32", name="bingham")(head(10, "bingham_bins")),
        "grid": GridLogits(dtype="float32", name="grid")(head(config.views, "grid_bins")),
    }


def grid_views(views: int) -> np.ndarray:
    """(views, 3, 3) float32 rotations with evenly spread viewing directions (a Fibonacci spiral) and fixed in-plane angle.

    With `turns_about_z` they make the grid Rz(angle) V of the "grid" head, angle first.
    """
    index = np.arange(views) + 0.5
    tilt, azimuth = np.arccos(1 - 2 * index / views), np.pi * (1 + 5**0.5) * index
    beam = np.stack([np.cos(azimuth) * np.sin(tilt), np.sin(azimuth) * np.sin(tilt), np.cos(tilt)], axis=1)
    helper = np.where(np.abs(beam[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    x = np.cross(helper, beam)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(beam, x), beam], axis=1).astype(np.float32)


def grid_rotations(config: PolarConfig) -> np.ndarray:
    """(angles * views, 3, 3) float32 rotations of the "grid" head's logits."""
    grid = np.einsum("kij,vjl->kvil", turns_about_z(config.angles), grid_views(config.views))
    return grid.reshape(-1, 3, 3).astype(np.float32)
