"""The default network: a polar grid, templates and convolutions along the circle, and outputs that
rotate with the image.

Radii are channels: every layer is one matrix product over (image, angle) rows, which is fast on a
CPU. A rotation of the image by one angle bin moves the bins along the circle by one; the output of
each bin is rotated by its angle before they are averaged, so that the prediction rotates with the
image exactly: A -> Rz A.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict

import keras
from keras import KerasTensor

from .circular_layers import (
    CircularConvolution,
    CircularTemplates,
    GridBingham,
    GridLogits,
    GridMean,
    PolarResampling,
    RootMeanSquareNorm,
    TurnedMatrixMean,
    TurnedVectorMean,
)
from .layers import FanOut

_RESIDUAL_GAIN = 0.3
_HEAD_GAIN = 0.1
_DILATIONS = (1, 2, 4, 8)


@dataclass(frozen=True)
class PolarArchitecture:
    """Architecture of the polar encoder.

    box_size_px : of the images; outer_radius_px : of the polar grid; angles, radii : its size.
    templates : learned templates of the whole circle; bins : angle bins of their correlations and
    all that follows.
    width : channels; blocks : residual blocks; taps : of their convolutions, dilated by 1, 2, 4, 8,
    1, ...
    views : viewing directions of the classification over views x bins; concentration : of the bumps
    it learns from (50: 6 degrees, half the spacing of 384 views); dropout : rate before the
    outputs.
    shift : whether the in-plane shift is predicted too.
    """

    box_size_px: int
    outer_radius_px: float
    angles: int = 64
    bins: int = 32
    radii: int = 28
    templates: int = 256
    width: int = 192
    blocks: int = 6
    taps: int = 3
    views: int = 384
    concentration: float = 50.0
    dropout: float = 0.0
    shift: bool = True

    def to_dict(self) -> Dict[str, Any]:
        """The architecture as in a model card."""
        return asdict(self)


def build_polar_encoder(
    architecture: PolarArchitecture, compute_dtype: str = "float32"
) -> keras.Model:
    """Network (B, D, D) -> {"matrix": (B, 3, 3), "bingham": (B, 4, 4), "grid": (B, bins * views)
    logits, "shift": (B, 2) pixels (x, y) of the images}.

    compute_dtype : "float32", or "bfloat16" for the matrix products alone (weights and heads stay
    float32).
    """
    policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
    images = keras.Input((architecture.box_size_px, architecture.box_size_px), name="images")
    polar = PolarResampling(
        architecture.angles,
        architecture.radii,
        architecture.outer_radius_px,
        dtype="float32",
        name="polar",
    )(images)
    return keras.Model(images, network_on_circle(polar, architecture, policy), name="polar_encoder")


def build_polar_distances(
    architecture: PolarArchitecture, compute_dtype: str = "float32"
) -> keras.Model:
    """The same network as a measure of distance, (B, D, D) -> {"features": (B, 9), "grid",
    "shift"}.

    The features are the nine numbers of "matrix"; they rotate with the image, and so do the
    distances between them.
    """
    poses = build_polar_encoder(architecture, compute_dtype)
    features = keras.layers.Reshape((9,), dtype="float32", name="features")(poses.output["matrix"])
    outputs = {"features": features, **{name: poses.output[name] for name in ("grid", "shift")}}
    return keras.Model(poses.input, outputs, name="polar_distances")


def network_on_circle(
    polar: KerasTensor, architecture: PolarArchitecture, policy: str = "float32"
) -> Dict[str, KerasTensor]:
    """Outputs from the polar grid (angles, B, radii), by layers that commute with a rotation of the
    circle by a bin.
    """
    features = _stem(polar, architecture, policy)
    for block in range(architecture.blocks):
        features = _residual_block(features, architecture, block, policy)
    features = RootMeanSquareNorm(dtype=policy, name="norm")(features)
    if architecture.dropout:
        features = keras.layers.Dropout(architecture.dropout, dtype=policy, name="dropout")(
            features
        )
    return _outputs(features, architecture, policy)


def _stem(polar: KerasTensor, architecture: PolarArchitecture, policy: str) -> KerasTensor:
    """Templates of the whole image first: at low SNR they gather signal that would be lost after a
    local filter.
    """
    matched = CircularTemplates(
        architecture.templates, architecture.bins, dtype=policy, name="stem_templates"
    )(polar)
    matched = RootMeanSquareNorm(dtype=policy, name="stem_norm")(matched)
    matched = keras.layers.Activation("silu", dtype=policy, name="stem_silu")(matched)
    return CircularConvolution(architecture.width, dtype=policy, name="stem_point")(matched)


def _residual_block(
    features: KerasTensor, architecture: PolarArchitecture, block: int, policy: str
) -> KerasTensor:
    name = f"block{block}"
    dilation = _DILATIONS[block % len(_DILATIONS)]
    inner = RootMeanSquareNorm(dtype=policy, name=f"{name}_norm")(features)
    inner = CircularConvolution(
        architecture.width, architecture.taps, dilation, dtype=policy, name=f"{name}_circle"
    )(inner)
    inner = keras.layers.Activation("silu", dtype=policy, name=f"{name}_silu")(inner)
    inner = CircularConvolution(
        architecture.width, gain=_RESIDUAL_GAIN, dtype=policy, name=f"{name}_point"
    )(inner)
    return keras.layers.Add(dtype=policy, name=f"{name}_add")([features, inner])


def _outputs(
    features: KerasTensor, architecture: PolarArchitecture, policy: str
) -> Dict[str, KerasTensor]:
    """A classifier over a grid of rotations: its mean, corrected by 9-D numbers, and its second
    moment (Bingham).

    A distribution keeps two candidates apart, which a regression would average.
    """

    copies = iter(FanOut(3, dtype=policy, name="to_heads")(features))

    def on_bins(width: int, name: str) -> KerasTensor:
        return CircularConvolution(width, gain=_HEAD_GAIN, dtype=policy, name=name)(next(copies))

    grid = (architecture.bins, architecture.views, architecture.concentration)
    logits = GridLogits(dtype="float32", name="grid_logits")(
        on_bins(architecture.views, "grid_bins")
    )
    logits, for_mean, for_bingham = FanOut(3, dtype="float32", name="grid")(logits)
    mean = GridMean(*grid, dtype="float32", name="matrix_grid")(for_mean)
    correction = TurnedMatrixMean(dtype="float32", name="matrix_turned")(on_bins(9, "matrix_bins"))
    outputs = {
        "matrix": keras.layers.Add(dtype="float32", name="matrix")([mean, correction]),
        "bingham": GridBingham(*grid, dtype="float32", name="bingham")(for_bingham),
        "grid": logits,
    }
    if architecture.shift:
        outputs["shift"] = TurnedVectorMean(dtype="float32", name="shift")(on_bins(2, "shift_bins"))
    return outputs
