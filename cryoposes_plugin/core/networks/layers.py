"""Keras layers of the networks. Importing this module registers them; each can be rebuilt from its
`get_config`.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Sequence, Tuple

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor

from .choices import FILTER_BANKS

Shape = Tuple[Any, ...]

PACKAGE = "cryoposes"
register = keras.saving.register_keras_serializable(package=PACKAGE)


def fan_out(tensor: tf.Tensor, number: int) -> List[tf.Tensor]:
    """`number` copies of a tensor, one for each consumer, whose gradients are added in their order.

    TensorFlow sums three and more gradients in an order that depends on which of their buffers is
    free first, so that a training would not repeat to the last bit.
    """

    @tf.custom_gradient
    def copies(x: tf.Tensor) -> Tuple[List[tf.Tensor], Callable[..., tf.Tensor]]:
        def gradient(*upstream: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(tf.stack(upstream), axis=0)

        return [tf.identity(x) for _ in range(number)], gradient

    return copies(tensor)


@register
class FanOut(keras.layers.Layer):
    """`fan_out` as a layer: a list of `number` equal tensors."""

    def __init__(self, number: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.number = number

    def call(self, features: tf.Tensor) -> List[tf.Tensor]:
        return fan_out(features, self.number)

    def compute_output_shape(self, input_shape: Shape) -> List[Shape]:
        return [tuple(input_shape)] * self.number

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "number": self.number}


@register
class Conv2D(keras.layers.Conv2D):
    """Convolution of Keras, computed as one matrix product of patches for images of a few pixels.

    The gradients of a convolution on a CPU take up to a hundred times as long there. The class has
    the name of Keras' own because files of weights are read by it.
    """

    #: For larger images the convolution is faster.
    LARGEST_PRODUCT_PX = 4

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        plain = (
            self.padding == "same"
            and self.data_format == "channels_last"
            and self.dilation_rate == (1, 1)
        )
        if not plain or max(inputs.shape[1:3]) > self.LARGEST_PRODUCT_PX:
            return super().convolution_op(inputs, kernel)

        down, across = (
            _Taps(*axis) for axis in zip(inputs.shape[1:3], self.kernel_size, self.strides)
        )
        padded = tf.pad(inputs, [(0, 0), down.padding, across.padding, (0, 0)])
        copies = iter(fan_out(padded, len(down.met) * len(across.met)))
        patches = [
            next(copies)[:, down.under(i), across.under(j)] for i in down.met for j in across.met
        ]
        kernel = kernel[down.met[0] : down.met[-1] + 1, across.met[0] : across.met[-1] + 1]
        return tf.tensordot(tf.concat(patches, axis=-1), tf.reshape(kernel, (-1, self.filters)), 1)


class _Taps:
    """The taps of a "same" convolution that meet the map, along one axis of `size` pixels; the
    others see zeros.
    """

    def __init__(self, size: int, width: int, stride: int):
        self.span, self.stride = stride * (-(-size // stride) - 1) + 1, stride
        outside = max(self.span - 1 + width - size, 0)
        before = outside // 2
        self.padding = (before, outside - before)
        places = range(-before, self.span - before, stride)
        self.met = [tap for tap in range(width) if any(0 <= place + tap < size for place in places)]

    def under(self, tap: int) -> slice:
        """The pixels of the padded axis that the tap is multiplied with."""
        return slice(tap, tap + self.span, self.stride)


@register
class PReLU(keras.layers.PReLU):
    """Keras' rectifier. The derivative at exactly 0 is that from the right; Keras' is 0, which is
    between none.

    The class bears Keras' name because files of weights are read by it.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.where(inputs >= 0, inputs, tf.cast(self.alpha, inputs.dtype) * inputs)


@register
class FilterBank(keras.layers.Layer):
    """(B, D, D) -> (B, D, D, 1 + number): the image beside copies blurred ever more (Chung 2023,
    section 3.3).

    kind : "gaussian", exp(-f^2 / 2 c^2), or "low-pass", flat up to its edge (Butterworth of order
    4), which rings a little. Cut-offs c fall geometrically from half of Nyquist. "none" leaves the
    image alone.
    """

    def __init__(self, number: int = 5, kind: str = "low-pass", **kwargs: Any):
        super().__init__(**kwargs)
        if kind not in FILTER_BANKS:
            raise ValueError(f"expected a kind of {FILTER_BANKS}, received {kind!r}")
        self.number, self.kind = number if kind != "none" else 0, kind

    def build(self, input_shape: Shape) -> None:
        box = input_shape[-1]
        fx, fy = np.meshgrid(np.fft.rfftfreq(box), np.fft.fftfreq(box))
        cut = 0.25 * 2.0 ** (-0.5 * np.arange(self.number))
        relative = (fx**2 + fy**2) / cut[:, None, None] ** 2
        filters = np.exp(-0.5 * relative) if self.kind == "gaussian" else 1 / (1 + relative**4)
        self._filters = filters.astype(np.float32)
        super().build(input_shape)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        if not self.number:
            return images[..., None]
        wide = tf.cast(images, tf.float32)
        transform = tf.signal.rfft2d(wide)[:, None] * tf.cast(self._filters, tf.complex64)
        blurred = tf.signal.irfft2d(transform, [images.shape[1], images.shape[2]])
        stack = tf.concat([wide[:, None], blurred], axis=1)
        return tf.cast(tf.transpose(stack, (0, 2, 3, 1)), images.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, 1 + self.number)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "number": self.number, "kind": self.kind}


@register
class UnitRange(keras.layers.Layer):
    """(B, D, D) -> (B, D, D, 1) between -1 and 1: divided by the largest magnitude of the image."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        largest = tf.reduce_max(tf.abs(images), axis=(1, 2), keepdims=True)
        return tf.math.divide_no_nan(images, largest)[..., None]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, 1)


@register
class GeneralisedMeanPooling(keras.layers.Layer):
    """(B, H, W, C) -> (B, C): (mean x^p)^(1/p), one p learned (Chung 2023, section 3.4); x is cut
    at 1e-6.
    """

    def build(self, input_shape: Shape) -> None:
        # p = 1 + softplus(raw) stays above 1, the average; it starts at 3.
        self.raw = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(math.log(math.e**2 - 1)), name="p"
        )
        super().build(input_shape)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        power = 1.0 + tf.nn.softplus(tf.cast(self.raw, tf.float32))
        logs = tf.math.log(tf.maximum(tf.cast(features, tf.float32), 1e-6))
        count = tf.cast(tf.shape(features)[1] * tf.shape(features)[2], tf.float32)
        # In logarithms: x^p of large features would overflow.
        total = tf.reduce_logsumexp(power * logs, axis=(1, 2)) - tf.math.log(count)
        return tf.cast(tf.exp(total / power), features.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[3])


def normalised_convolution(
    features: KerasTensor, channels: int, kernel: int, policy: str, name: str, **options: Any
) -> KerasTensor:
    """Convolution without bias, then batch normalisation.

    Parameters
    ----------
    features : (B, H, W, C).
    channels : of the result.
    kernel : width in pixels.
    policy : Keras' policy of number formats.
    name : the layers are called NAME_conv and NAME_norm.
    options : of the convolution.
    """
    convolution = Conv2D(
        channels,
        kernel,
        padding="same",
        use_bias=False,
        dtype=policy,
        name=f"{name}_conv",
        **options,
    )
    features = convolution(features)
    # Of the whole batch, where replicas of the network share it.
    return keras.layers.BatchNormalization(
        dtype=policy, name=f"{name}_norm", synchronized=tf.distribute.has_strategy()
    )(features)


def convolution_blocks(
    features: KerasTensor,
    stem: Sequence[Tuple[int, int]],
    doubles: Sequence[int],
    convolution: Callable[[KerasTensor, int, int, str], KerasTensor],
    pool: Callable[[KerasTensor, str], KerasTensor],
) -> KerasTensor:
    """Single convolutions, then pairs of 3 x 3 convolutions, each followed by a pooling.

    Parameters
    ----------
    features : (B, H, W, C).
    stem : (kernel, channels) of each single convolution.
    doubles : channels of each pair.
    convolution : (features, channels, kernel, name) -> features.
    pool : (features, name) -> features.
    """
    for number, (kernel, channels) in enumerate(stem):
        features = pool(convolution(features, channels, kernel, f"stem{number}"), f"stem{number}")
    for number, channels in enumerate(doubles):
        for part in "ab":
            features = convolution(features, channels, 3, f"double{number}{part}")
        features = pool(features, f"double{number}")
    return features
