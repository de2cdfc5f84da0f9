"""The feature extractor of Banjac 2021 (appendix E): convolutions, then the average over the image.

No layer depends on the position in the image, so that a shift changes little. The paper shows the
network in a figure without listing it: the 512 features are those of the paper, kernels and
channels are not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Dict, Tuple

import keras
from keras import KerasTensor

from .layers import Conv2D, convolution_blocks, normalised_convolution


@dataclass(frozen=True)
class BanjacArchitecture:
    """Architecture: `stem` as (kernel, channels) of the single convolutions, `doubles` the channels
    of pairs of 3 x 3 convolutions, each ended by 2 x 2 max-pooling; `features` of the last, linear
    one; `distance` between them, see `feature_distances`.
    """

    box_size_px: int
    stem: Tuple[Tuple[int, int], ...] = ((7, 32), (5, 64))
    doubles: Tuple[int, ...] = (128, 256)
    features: int = 512
    distance: str = "cosine"
    dropout: float = 0.0
    l2: float = 0.0

    def to_dict(self) -> Dict[str, Any]:
        """The architecture as in a model card."""
        return asdict(self)


def build_banjac_encoder(
    architecture: BanjacArchitecture, compute_dtype: str = "float32"
) -> keras.Model:
    """Network (B, D, D) masked, standardised images -> {"features": (B, F)}."""
    policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
    images = keras.Input((architecture.box_size_px, architecture.box_size_px), name="images")
    features = keras.layers.Reshape(
        (architecture.box_size_px, architecture.box_size_px, 1), dtype=policy, name="channel"
    )(images)

    convolution, pool = (partial(layer, architecture, policy) for layer in (_convolution, _pool))
    features = convolution_blocks(
        features, architecture.stem, architecture.doubles, convolution, pool
    )
    features = Conv2D(
        architecture.features,
        1,
        dtype=policy,
        name="features_conv",
        **_kernel_options(architecture),
    )(features)
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32", name="features")(features)
    return keras.Model(images, {"features": pooled}, name="banjac_encoder")


def _convolution(
    architecture: BanjacArchitecture,
    policy: str,
    features: KerasTensor,
    channels: int,
    kernel: int,
    name: str,
) -> KerasTensor:
    options = _kernel_options(architecture)
    features = normalised_convolution(features, channels, kernel, policy, name, **options)
    return keras.layers.Activation("relu", dtype=policy, name=f"{name}_relu")(features)


def _pool(
    architecture: BanjacArchitecture, policy: str, features: KerasTensor, name: str
) -> KerasTensor:
    features = keras.layers.MaxPooling2D(2, padding="same", dtype=policy, name=f"{name}_pool")(
        features
    )
    if architecture.dropout:
        features = keras.layers.Dropout(architecture.dropout, dtype=policy, name=f"{name}_dropout")(
            features
        )
    return features


def _kernel_options(architecture: BanjacArchitecture) -> Dict[str, Any]:
    regularizer = keras.regularizers.L2(architecture.l2) if architecture.l2 else None
    return {"kernel_initializer": "he_normal", "kernel_regularizer": regularizer}
