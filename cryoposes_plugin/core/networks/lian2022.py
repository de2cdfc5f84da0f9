"""The network of Lian 2022 (section 2.4): the first blocks of VGG16, two more convolutions, fully
connected layers.

The paper starts from weights learned on ImageNet and uses three equal channels; here the weights
start at random and one channel is used. The widths `middle` and `dense` are not given in the paper.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Tuple

import keras
from keras import KerasTensor

from .layers import Conv2D, UnitRange
from .pose_head import pose_head


@dataclass(frozen=True)
class LianArchitecture:
    """Architecture: `blocks` as (convolutions, channels), each ended by 2 x 2 max-pooling; `middle`
    channels of the two convolutions of stride 2 after them; `dense` widths of the fully connected
    layers; and the pose head.
    """

    box_size_px: int
    blocks: Tuple[Tuple[int, int], ...] = ((2, 64), (2, 128), (3, 256))
    middle: Tuple[int, ...] = (512, 2048)
    dense: Tuple[int, ...] = (512, 128)
    representation: str = "quaternion"
    heads: int = 1
    dropout: float = 0.0
    l2: float = 1e-4

    def to_dict(self) -> Dict[str, Any]:
        """The architecture as in a model card."""
        return asdict(self)


def build_lian_encoder(
    architecture: LianArchitecture, compute_dtype: str = "float32"
) -> keras.Model:
    """Network (B, D, D) masked, standardised images -> the outputs of `pose_head`."""
    policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
    images = keras.Input((architecture.box_size_px, architecture.box_size_px), name="images")
    features = UnitRange(dtype=policy, name="range")(images)

    for block, (number, channels) in enumerate(architecture.blocks):
        for part in range(number):
            name = f"block{block}_conv{part}"
            features = _strided_convolution(architecture, policy, features, channels, 1, name)
        features = keras.layers.MaxPooling2D(
            2, padding="same", dtype=policy, name=f"block{block}_pool"
        )(features)

    for number, channels in enumerate(architecture.middle):
        features = _strided_convolution(
            architecture, policy, features, channels, 2, f"middle{number}"
        )
    features = keras.layers.MaxPooling2D(2, padding="same", dtype=policy, name="pool")(features)
    features = keras.layers.Flatten(dtype=policy, name="flat")(features)

    for number, width in enumerate(architecture.dense):
        features = keras.layers.Dense(
            width,
            "relu",
            kernel_initializer="he_normal",
            dtype=policy,
            name=f"dense{number}",
            **_decay(architecture),
        )(features)
        if architecture.dropout:
            features = keras.layers.Dropout(
                architecture.dropout, dtype=policy, name=f"dropout{number}"
            )(features)
    return keras.Model(
        images,
        pose_head(features, architecture.representation, architecture.heads, architecture.l2),
        name="lian_encoder",
    )


def _strided_convolution(
    architecture: LianArchitecture,
    policy: str,
    features: KerasTensor,
    channels: int,
    stride: int,
    name: str,
) -> KerasTensor:
    return Conv2D(
        channels,
        3,
        stride,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        dtype=policy,
        name=name,
        **_decay(architecture),
    )(features)


def _decay(architecture: LianArchitecture) -> Dict[str, Any]:
    return {"kernel_regularizer": keras.regularizers.L2(architecture.l2)}
