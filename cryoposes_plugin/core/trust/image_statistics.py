"""Numbers of an image by which junk shows without any model of the particle: where its power is, in
space and by frequency, and how far it is from round and centred.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional

import numpy as np
import scipy.fft
from scipy import ndimage

from ..fourier.masks import squared_radius

#: Standard deviation of the smoothing; numbers of rings and of bands of frequencies.
_SMOOTH_PX, _RINGS, _BANDS = 2.0, 6, 6
#: Angular frequencies about the centre: of a particle off centre, and of an elongated one or two.
_ANGULAR = (1, 2)
_TINY = 1e-9


class Statistics(NamedTuple):
    """Of N images: defocus (N,) in any unit; bands (N, b), logarithms of the power by frequency; rings
    (N, r) of what is at which distance from the centre, and how far it is from round; network (N, G)
    what a network says of the image, the first column less where it is surer.
    """

    defocus: np.ndarray
    bands: np.ndarray
    rings: np.ndarray
    network: np.ndarray

    def take(self, rows: np.ndarray) -> Statistics:
        """Those of some images."""
        return Statistics(*(part[rows] for part in self))

    def joined(self) -> np.ndarray:
        """(N, 1 + b + r + G), for `split`."""
        return np.concatenate([self.defocus[:, None], *self[1:]], axis=1)

    @classmethod
    def split(cls, joined: np.ndarray) -> Statistics:
        """What `joined` gave."""
        bands, rings = 1 + _BANDS, IMAGE_COLUMNS
        return cls(joined[:, 0], joined[:, 1:bands], joined[:, bands:rings], joined[:, rings:])


#: Columns of `Statistics.joined` before those of the network.
IMAGE_COLUMNS = 1 + _BANDS + _RINGS * (2 + len(_ANGULAR)) + 3


def statistics_of(
    images: np.ndarray, mask: np.ndarray, defocus: Optional[np.ndarray], network: np.ndarray
) -> Statistics:
    """Statistics of images.

    Parameters
    ----------
    images : (B, D, D), their CTF corrected.
    mask : (D, D) of the particle.
    defocus : (B,), or None where it is not known.
    network : (B, G), see `Statistics`.
    """
    smooth = ndimage.gaussian_filter(images, (0, _SMOOTH_PX, _SMOOTH_PX), mode="wrap")
    return Statistics(
        np.zeros(len(images)) if defocus is None else np.asarray(defocus, np.float64),
        np.stack(_bands(images * mask), axis=1),
        np.stack([*_rings(smooth), *_shape(smooth)], axis=1),
        np.asarray(network, np.float64),
    )


def _bands(images: np.ndarray) -> List[np.ndarray]:
    box = images.shape[-1]
    power = np.abs(scipy.fft.fft2(images)) ** 2
    radius = box * np.hypot(*np.meshgrid(*[scipy.fft.fftfreq(box)] * 2))
    edges = np.geomspace(1, box // 2, _BANDS + 1)
    edges = np.maximum(np.round(edges), 1 + np.arange(_BANDS + 1))
    return [
        np.log(_mean(power[:, (radius >= low) & (radius < high)]) + _TINY)
        for low, high in zip(edges[:-1], edges[1:])
    ]


def _mean(pixels: np.ndarray) -> np.ndarray:
    return pixels.sum(axis=1) / max(pixels.shape[1], 1)


def _rings(images: np.ndarray) -> List[np.ndarray]:
    """Mean, power and angular harmonics in rings about the centre of smoothed images."""
    box = images.shape[-1]
    y, x = np.indices((box, box)) - box // 2
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    turns = [np.exp(1j * m * angle) * (radius > 0) for m in _ANGULAR]

    edges = np.linspace(0.0, box / 2, _RINGS + 1)
    columns = []
    for low, high in zip(edges[:-1], edges[1:]):
        ring = (radius >= low) & (radius < high)
        pixels = images[:, ring]
        columns += [_mean(pixels), np.log(_mean(pixels**2) + _TINY)]
        columns += [np.abs(_mean(pixels * turn[ring])) for turn in turns]
    return columns


def _shape(images: np.ndarray) -> List[np.ndarray]:
    """Distance of the centre of mass, radius of gyration and elongation of what is bright."""
    box = images.shape[-1]
    y, x = np.indices((box, box)) - box // 2
    inside = squared_radius(box, 2) < (box / 2) ** 2
    bright = np.maximum(images - np.median(images, axis=(1, 2), keepdims=True), 0.0) * inside
    bright = bright / (bright.sum(axis=(1, 2), keepdims=True) + _TINY)

    def mean(values: np.ndarray) -> np.ndarray:
        return (bright * values).sum(axis=(1, 2))

    middle = mean(x), mean(y)
    xx, yy = mean(x * x) - middle[0] ** 2, mean(y * y) - middle[1] ** 2
    xy = mean(x * y) - middle[0] * middle[1]
    return [
        np.hypot(*middle),
        np.sqrt(mean(x * x + y * y)),
        np.hypot(xx - yy, 2 * xy) / (xx + yy + _TINY),
    ]
