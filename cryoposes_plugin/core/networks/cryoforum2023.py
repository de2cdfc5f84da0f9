"""The network of Chung 2023 (section 3.4, table S1), and what that paper compares it with (table 1).

A filter bank, VGG-like blocks with PReLU and batch normalisation, a pooling over the image, one or several poses.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Dict, Tuple

import keras

from .layers import Conv2D, FilterBank, GeneralisedMeanPooling, PReLU, convolution_blocks
from .pose_head import pose_head


@dataclass(frozen=True)
class CryoforumConfig:
    """Architecture: `stem` as (kernel, channels) of the single convolutions, `doubles` the channels of each DoubleConv.

    Every one is followed by 2 x 2 max-pooling and dropout. The supplement's table prints 128, 256, 512, 1024 where the
    text says 64, 128, 256, 1024: the default follows the text. filter_bank, filters : kind and number of the blurred
    copies; pooling, representation : see `config.train_presets`; heads : number of weighted hypotheses.
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
        return asdict(self)


def build_cryoforum_encoder(config: CryoforumConfig, compute_dtype: str = "float32") -> keras.Model:
    """Network (B, D, D) masked, standardised images -> the outputs of `pose_head`."""
    policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
    images = keras.Input((config.box_size_px, config.box_size_px), name="images")
    features = FilterBank(config.filters, config.filter_bank, dtype=policy, name="filters")(images)
    convolution, pool = (partial(layer, config, policy) for layer in (_convolution, _pool))
    features = convolution_blocks(features, config.stem, config.doubles, convolution, pool)
    pooled = _pooled_over_image(features, config.pooling)
    outputs = pose_head(pooled, config.representation, config.heads, config.l2)
    return keras.Model(images, outputs, name="cryoforum_encoder")


def _pooled_over_image(features, pooling: str):
    """(B, H, W, C) -> (B, C), twice as many for "max+average", which are put side by side."""
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
    config: CryoforumConfig, policy: str, features, channels: int, kernel: int, name: str
):
    regularizer = keras.regularizers.L2(config.l2)
    features = Conv2D(
        channels,
        kernel,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=regularizer,
        dtype=policy,
        name=f"{name}_conv",
    )(features)
    features = keras.layers.BatchNormalization(dtype=policy, name=f"{name}_norm")(features)
    return PReLU(
        shared_axes=[1, 2],
        alpha_initializer=keras.initializers.Constant(0.25),
        dtype=policy,
        name=f"{name}_prelu",
    )(features)


def _pool(config: CryoforumConfig, policy: str, features, name: str):
    # "same" keeps small boxes (16 px) from vanishing after six halvings.
    features = keras.layers.MaxPooling2D(2, padding="same", dtype=policy, name=f"{name}_pool")(
        features
    )
    return keras.layers.Dropout(config.dropout, dtype=policy, name=f"{name}_dropout")(features)
