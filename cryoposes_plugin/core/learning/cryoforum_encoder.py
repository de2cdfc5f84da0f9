"""The network of Chung 2023 (section 3.4, table S1): filter bank, VGG-like blocks, generalised mean, 10-D."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Tuple

import keras

from .layers import BinghamMatrix, GeneralisedMeanPooling, LowPassBank


@dataclass(frozen=True)
class CryoforumConfig:
    """Architecture: `stem` as (kernel, channels) of the single convolutions, `doubles` the channels of each DoubleConv.

    Every one is followed by 2 x 2 max-pooling and dropout. The supplement's table prints 128, 256, 512, 1024 where the
    text says 64, 128, 256, 1024: the default follows the text.
    """

    box_size_px: int
    filters: int = 5
    stem: Tuple[Tuple[int, int], ...] = ((7, 32), (5, 64))
    doubles: Tuple[int, ...] = (64, 128, 256, 1024)
    dropout: float = 0.3
    l2: float = 1e-3

    def to_dict(self) -> Dict[str, Any]:
        return asdict(self)


def build_cryoforum_encoder(config: CryoforumConfig, compute_dtype: str = "float32") -> keras.Model:
    """Network (B, D, D) masked, standardised images -> {"bingham": (B, 4, 4)}; the pose is its smallest eigenvector."""
    policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
    images = keras.Input((config.box_size_px, config.box_size_px), name="images")
    features = LowPassBank(config.filters, dtype=policy, name="filters")(images)
    for number, (kernel, channels) in enumerate(config.stem):
        features = _convolution(features, channels, kernel, config, policy, f"stem{number}")
        features = _pool(features, config, policy, f"stem{number}")
    for number, channels in enumerate(config.doubles):
        for part in "ab":
            features = _convolution(features, channels, 3, config, policy, f"double{number}{part}")
        features = _pool(features, config, policy, f"double{number}")
    pooled = GeneralisedMeanPooling(dtype="float32", name="pooling")(features)
    numbers = keras.layers.Dense(
        10,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(config.l2),
        dtype="float32",
        name="bingham_numbers",
    )(pooled)
    return keras.Model(
        images, {"bingham": BinghamMatrix(dtype="float32", name="bingham")(numbers)}, name="cryoforum_encoder"
    )


def _convolution(features, channels: int, kernel: int, config: CryoforumConfig, policy: str, name: str):
    regularizer = keras.regularizers.L2(config.l2)
    features = keras.layers.Conv2D(
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
    return keras.layers.PReLU(
        shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.25), dtype=policy, name=f"{name}_prelu"
    )(features)


def _pool(features, config: CryoforumConfig, policy: str, name: str):
    # "same" keeps small boxes (16 px) from vanishing after six halvings.
    features = keras.layers.MaxPooling2D(2, padding="same", dtype=policy, name=f"{name}_pool")(features)
    return keras.layers.Dropout(config.dropout, dtype=policy, name=f"{name}_dropout")(features)
