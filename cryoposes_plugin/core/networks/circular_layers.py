"""Keras layers of the polar network: images on circles about their centre, features that turn with
the image, and the grid of orientations. Importing this module registers them.
"""

from __future__ import annotations

import math
from typing import Any, Dict

import keras
import numpy as np
import tensorflow as tf

from ..conventions import rotations_to_quaternions
from .layers import Shape, fan_out, register
from .rotation_grid import bin_angles_rad, bump_moments, grid_rotations, turns_about_z


@register
class PolarResampling(keras.layers.Layer):
    """(B, D, D) -> (angles, B, radii): bilinear samples at radii 0.5, 1.5, ... steps about pixel D
    // 2.

    outer_radius_px : where the last radius ends; the step is outer_radius_px / radii. Angles come
    first here and in the layers after it: a shift along the circle then moves whole blocks.
    """

    def __init__(self, angles: int, radii: int, outer_radius_px: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.angles, self.radii, self.outer_radius_px = angles, radii, outer_radius_px

    def build(self, input_shape: Shape) -> None:
        box = input_shape[-1]
        theta = bin_angles_rad(self.angles)[:, None]
        radius = (np.arange(self.radii) + 0.5) * self.outer_radius_px / self.radii
        position = np.stack([box // 2 + radius * np.cos(theta), box // 2 + radius * np.sin(theta)])
        corner = np.clip(np.floor(position).astype(np.int64), 0, box - 2)
        x, y = position - corner
        index = [(corner[1] + j) * box + corner[0] + i for j in (0, 1) for i in (0, 1)]
        weight = [(y if j else 1 - y) * (x if i else 1 - x) for j in (0, 1) for i in (0, 1)]
        self._index = np.stack(index).reshape(-1).astype(np.int32)
        self._weight = np.stack(weight).reshape(4, -1, 1).astype(np.float32)
        super().build(input_shape)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        # Pixels first: the gather then copies whole rows, ten times faster than picking single
        # numbers.
        pixels = tf.transpose(tf.reshape(images, (-1, images.shape[1] * images.shape[2])))
        samples = tf.reshape(tf.gather(pixels, self._index), (4, self.angles * self.radii, -1))
        polar = tf.reduce_sum(samples * tf.cast(self._weight, samples.dtype), axis=0)
        return tf.transpose(tf.reshape(polar, (self.angles, self.radii, -1)), (0, 2, 1))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (self.angles, input_shape[0], self.radii)

    def get_config(self) -> Dict[str, Any]:
        own = {"angles": self.angles, "radii": self.radii, "outer_radius_px": self.outer_radius_px}
        return {**super().get_config(), **own}


@register
class CircularTemplates(keras.layers.Layer):
    """(angles, B, C) -> (bins, B, templates): correlation with learned templates that span the
    whole circle.

    What matched filtering does: each template is compared with the image at every in-plane angle at
    once, at `bins` angles. The templates are held as Fourier series along the circle, and the
    transforms are matrix products too.
    """

    def __init__(self, templates: int, bins: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.templates, self.bins = templates, bins

    def build(self, input_shape: Shape) -> None:
        angles, _, channels = input_shape
        self.orders = angles // 2 + 1
        phase, phase_out = (
            np.outer(np.arange(self.orders), bin_angles_rad(n)) for n in (angles, self.bins)
        )
        weight = (
            np.where(np.isin(np.arange(self.orders), (0, angles / 2)), 1.0, 2.0)[:, None] / angles
        )

        # The real Fourier series of a function on the circle, and back: cosines, then sines.
        self._forward = np.concatenate([np.cos(phase), -np.sin(phase)]).astype(np.float32)
        self._backward = np.concatenate(
            [weight * np.cos(phase_out), -weight * np.sin(phase_out)]
        ).T.astype(np.float32)

        initial = keras.initializers.RandomNormal(1.0 / math.sqrt(channels * angles))
        self.kernel = self.add_weight(
            shape=(2, self.orders, channels, self.templates), initializer=initial, name="kernel"
        )
        super().build(input_shape)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        angles, channels = features.shape[0], features.shape[2]
        forward, backward = (tf.cast(m, features.dtype) for m in (self._forward, self._backward))
        series = tf.matmul(forward, tf.reshape(features, (angles, -1)))
        series = tf.reshape(series, (2, self.orders, -1, channels))
        real, imaginary = (tf.cast(part, features.dtype) for part in tf.unstack(self.kernel))
        kernel = tf.concat(
            [tf.concat([real, imaginary], -1), tf.concat([-imaginary, real], -1)], axis=1
        )
        product = tf.matmul(tf.concat([series[0], series[1]], axis=-1), kernel)
        product = tf.concat(
            [product[..., : self.templates], product[..., self.templates :]], axis=0
        )
        result = tf.matmul(backward, tf.reshape(product, (2 * self.orders, -1)))
        return tf.reshape(result, (self.bins, -1, self.templates))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (self.bins, input_shape[1], self.templates)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "templates": self.templates, "bins": self.bins}


@register
class CircularConvolution(keras.layers.Layer):
    """(angles, B, C) -> (angles, B, width): convolution along the circle, as one matrix product.

    The kernel is a matrix (taps * C, width), as the Muon optimizer requires. gain scales the He
    initialisation.
    """

    def __init__(
        self, width: int, taps: int = 1, dilation: int = 1, gain: float = 1.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.width, self.taps, self.dilation, self.gain = width, taps, dilation, gain

    def build(self, input_shape: Shape) -> None:
        initial = keras.initializers.VarianceScaling(2.0 * self.gain**2, "fan_in")
        fan_in = self.taps * input_shape[-1]
        self.kernel = self.add_weight(
            shape=(fan_in, self.width), initializer=initial, name="kernel"
        )
        self.bias = self.add_weight(shape=(self.width,), initializer="zeros", name="bias")
        super().build(input_shape)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        if self.taps > 1:
            steps = [(tap - self.taps // 2) * self.dilation for tap in range(self.taps)]
            copies = fan_out(features, self.taps)
            features = tf.concat(
                [tf.roll(copy, step, axis=0) for copy, step in zip(copies, steps)], axis=-1
            )
        angles, channels = features.shape[0], features.shape[2]
        kernel, bias = (tf.cast(w, features.dtype) for w in (self.kernel, self.bias))
        return tf.reshape(
            tf.matmul(tf.reshape(features, (-1, channels)), kernel) + bias, (angles, -1, self.width)
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:2], self.width)

    def get_config(self) -> Dict[str, Any]:
        own = {"width": self.width, "taps": self.taps, "dilation": self.dilation, "gain": self.gain}
        return {**super().get_config(), **own}


@register
class RootMeanSquareNorm(keras.layers.Layer):
    """Divide each position's features by their root mean square, then scale them by learned gains."""

    def build(self, input_shape: Shape) -> None:
        self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")
        super().build(input_shape)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        features, squared = fan_out(features, 2)
        power = tf.square(tf.cast(squared, tf.float32))
        scale = tf.math.rsqrt(tf.reduce_mean(power, axis=-1, keepdims=True) + 1e-6)
        return features * tf.cast(scale, features.dtype) * tf.cast(self.gain, features.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


@register
class TurnedMatrixMean(keras.layers.Layer):
    """(bins, B, 9) -> (B, 3, 3): the mean over bins of Rz(bin) M_bin, so that a rotated image gives
    Rz M.
    """

    def call(self, numbers: tf.Tensor) -> tf.Tensor:
        bins = numbers.shape[0]
        matrices = tf.reshape(tf.cast(numbers, tf.float32), (bins, -1, 3, 3))
        return tf.einsum("kij,kbjl->bil", turns_about_z(bins), matrices) / bins

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[1], 3, 3)


@register
class TurnedVectorMean(keras.layers.Layer):
    """(bins, B, 2) -> (B, 2): the mean over bins of Rz(bin) v_bin, so that a rotated image gives Rz
    v.
    """

    def call(self, numbers: tf.Tensor) -> tf.Tensor:
        bins = numbers.shape[0]
        vectors = tf.cast(numbers, tf.float32)
        return tf.einsum("kij,kbj->bi", turns_about_z(bins)[:, :2, :2], vectors) / bins

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[1], 2)


@register
class GridLogits(keras.layers.Layer):
    """(bins, B, views) -> (B, bins * views) float32, of the rotations of
    `rotation_grid.grid_rotations`.
    """

    def call(self, numbers: tf.Tensor) -> tf.Tensor:
        bins, views = numbers.shape[0], numbers.shape[2]
        return tf.reshape(tf.transpose(tf.cast(numbers, tf.float32), (1, 0, 2)), (-1, bins * views))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[1], input_shape[0] * input_shape[2])


@register
class GridMean(keras.layers.Layer):
    """(B, bins * views) logits -> (B, 3, 3): the mean rotation of the distribution, without the
    bumps' width.

    The distribution is learned from bumps of a known concentration around the true rotation, which
    shrink every mean by a known factor; it is divided out. The mean rotates with the image, as the
    grid does.
    """

    def __init__(self, bins: int, views: int, concentration: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.bins, self.views, self.concentration = bins, views, concentration

    def build(self, input_shape: Shape) -> None:
        shrinking = bump_moments(self.concentration)[0]
        self._grid = grid_rotations(self.bins, self.views).reshape(-1, 9) / np.float32(shrinking)
        super().build(input_shape)

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.matmul(tf.nn.softmax(logits), self._grid), (-1, 3, 3))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], 3, 3)

    def get_config(self) -> Dict[str, Any]:
        own = {"bins": self.bins, "views": self.views, "concentration": self.concentration}
        return {**super().get_config(), **own}


@register
class GridBingham(keras.layers.Layer):
    """(B, bins * views) logits -> (B, 4, 4) positive definite A = (I - g Q)^2, Q the mean of q q^T.

    The width of the bumps, which shrinks the traceless part of Q by a known factor, is removed from
    Q. A has the eigenvectors of Q: its mode is the mean rotation, and the narrower the
    distribution, the smaller the eigenvalue of the mode. Its lower limit is learned through g < 1;
    the square allows for peaks sharper than the bumps.
    """

    def __init__(self, bins: int, views: int, concentration: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.bins, self.views, self.concentration = bins, views, concentration

    def build(self, input_shape: Shape) -> None:
        shrinking = bump_moments(self.concentration)[1]
        quaternions = rotations_to_quaternions(grid_rotations(self.bins, self.views))
        outer = np.einsum("gi,gj->gij", quaternions, quaternions)
        sharp = (outer - 0.25 * (1 - shrinking) * np.eye(4)) / shrinking
        # The largest eigenvalue of Q can then be slightly more than 1; 1 - g Q stays positive there
        # too.
        largest = (0.75 + 0.25 * shrinking) / shrinking
        self._grid = (sharp / largest).reshape(-1, 16).astype(np.float32)
        initial = keras.initializers.Constant(3.0)
        self.sharpness = self.add_weight(shape=(), initializer=initial, name="sharpness")
        super().build(input_shape)

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        mean = tf.reshape(tf.matmul(tf.nn.softmax(logits), self._grid), (-1, 4, 4))
        root = tf.eye(4) - tf.sigmoid(self.sharpness) * mean
        return tf.matmul(root, root)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], 4, 4)

    def get_config(self) -> Dict[str, Any]:
        own = {"bins": self.bins, "views": self.views, "concentration": self.concentration}
        return {**super().get_config(), **own}
