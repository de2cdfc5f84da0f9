"""The network of Chung 2023 (section 3.4, table S1), and the variants that the paper compares it
with (table 1).

It has a filter bank, VGG-like blocks with PReLU and batch normalisation, a pooling over the image,
and gives one or several poses.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Dict, Tuple

import keras
from keras import KerasTensor

from .layers import (
    FilterBank,
    GeneralisedMeanPooling,
    PReLU,
    convolution_blocks,
    normalised_convolution,
)
from .pose_head import pose_head


@dataclass(frozen=True)
class CryoforumArchitecture:
    """Architecture: `stem` as (kernel, channels) of the single convolutions, `doubles` the channels
    of each DoubleConv.

    Every one is followed by 2 x 2 max-pooling and dropout. The supplement's table prints 128, 256,
    512, 1024 where the text says 64, 128, 256, 1024: the default follows the text. filter_bank,
    filters : kind and number of the blurred copies; pooling, representation : see
    `networks.choices`; heads : number of weighted hypotheses.
    """

    box_size_px: int
    filters: int = 5
    stem: Tuple[Tuple[int, int], ...] = ((7, 32), (5, 64))
    doubles: Tuple[int, ...] = (64, 128, 256, 1024)
    dropout: float = 0.3
    l2: float = 1e-3
    filter_bank: str = "low-pass"
    pooling: str = "generalised-mean"
    representation: str = "bingham10"
    heads: int = 1

    def to_dict(self) -> Dict[str, Any]:
        """The architecture as in a model card."""
        return asdict(self)


def build_cryoforum_encoder(
    architecture: CryoforumArchitecture, compute_dtype: str = "float32"
) -> keras.Model:
    """Network (B, D, D) masked, standardised images -> the outputs of `pose_head`."""
    policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
    images = keras.Input((architecture.box_size_px, architecture.box_size_px), name="images")
    features = FilterBank(
        architecture.filters, architecture.filter_bank, dtype=policy, name="filters"
    )(images)
    convolution, pool = (partial(layer, architecture, policy) for layer in (_convolution, _pool))
    features = convolution_blocks(
        features, architecture.stem, architecture.doubles, convolution, pool
    )
    pooled = _pooled_over_image(features, architecture.pooling)
    outputs = pose_head(pooled, architecture.representation, architecture.heads, architecture.l2)
    return keras.Model(images, outputs, name="cryoforum_encoder")


def _pooled_over_image(features: KerasTensor, pooling: str) -> KerasTensor:
    """(B, H, W, C) -> (B, C), or (B, 2 C) for "max+average", one after the other."""
    layers = {
        "generalised-mean": [GeneralisedMeanPooling],
        "max": [keras.layers.GlobalMaxPooling2D],
        "average": [keras.layers.GlobalAveragePooling2D],
        "max+average": [keras.layers.GlobalMaxPooling2D, keras.layers.GlobalAveragePooling2D],
    }[pooling]
    pooled = [
        layer(dtype="float32", name=f"pooling{index}")(features)
        for index, layer in enumerate(layers)
    ]
    return (
        pooled[0]
        if len(pooled) == 1
        else keras.layers.Concatenate(dtype="float32", name="pooled")(pooled)
    )


def _convolution(
    architecture: CryoforumArchitecture,
    policy: str,
    features: KerasTensor,
    channels: int,
    kernel: int,
    name: str,
) -> KerasTensor:
    options = {
        "kernel_initializer": "he_normal",
        "kernel_regularizer": keras.regularizers.L2(architecture.l2),
    }
    features = normalised_convolution(features, channels, kernel, policy, name, **options)
    return PReLU(
        shared_axes=[1, 2],
        alpha_initializer=keras.initializers.Constant(0.25),
        dtype=policy,
        name=f"{name}_prelu",
    )(features)


def _pool(
    architecture: CryoforumArchitecture, policy: str, features: KerasTensor, name: str
) -> KerasTensor:
    # "same" keeps small boxes, such as 16 px, from vanishing when they are halved six times.
    features = keras.layers.MaxPooling2D(2, padding="same", dtype=policy, name=f"{name}_pool")(
        features
    )
    return keras.layers.Dropout(architecture.dropout, dtype=policy, name=f"{name}_dropout")(
        features
    )
