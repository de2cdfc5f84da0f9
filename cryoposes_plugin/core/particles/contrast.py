"""The contrast of images and maps: protein should be white in images and positive in maps."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple, Union

import numpy as np

from ..fourier.ctf import ctf_values
from ..fourier.masks import squared_radius
from ..types import CtfTable, ParticleTable, Volume
from .grey_values import GreyValues

logger = logging.getLogger(__name__)

#: Number of images from which the contrast of a set is estimated.
_SAMPLE = 512
_AT_ONCE = 64
#: Highest frequency in cycles per box: up to it the transform of any particle within the box is
#: positive, even of a hollow one.
_HIGHEST_CYCLES = 1.5
#: Radius of the ball that stands for the particle, as a share of the box.
_BALL_SHARE = 0.3
#: A set is inverted if its mean brightness is this many standard deviations of one image, and this
#: many standard errors, below zero.
_LEAST_EFFECT, _LEAST_SIGNIFICANCE = 0.5, 5.0
_FEWEST = 5
#: A map is inverted if its inside lies below its border and the skewness of its values is below
#: this.
_MAP_SKEWNESS = -1.0
_INSIDE_SHARE = 0.35


@dataclass(frozen=True)
class Contrast:
    """Mean brightness of the particle in a set of images, over the scatter of a single image and
    over its own standard error; positive if protein is white.
    """

    effect: float
    significance: float
    number: int

    @property
    def inverted(self) -> bool:
        return self.clear and self.effect < 0

    @property
    def clear(self) -> bool:
        """Whether there are enough images and the effect is large and significant."""
        enough = self.number >= _FEWEST
        return (
            enough
            and abs(self.effect) > _LEAST_EFFECT
            and abs(self.significance) > _LEAST_SIGNIFICANCE
        )

    def opposite_to(self, map_skewness: float) -> bool:
        """Whether protein is clearly white here and negative in a map of this skewness, or the
        reverse.
        """
        return self.clear and abs(map_skewness) > -_MAP_SKEWNESS and self.effect * map_skewness < 0


def image_contrast(table: ParticleTable, grey: GreyValues, group: int) -> Contrast:
    """The contrast of an optics group, measured on a sample.

    The projection of a ball of the size of a particle, times the CTF, is compared with the images
    at the lowest frequencies, where the transform of a particle of any shape is positive.
    """
    rows = np.flatnonzero(table.optics_index == group)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64))]
    brightness = np.concatenate([_brightness(table, grey, part) for part in _pieces(rows)])
    number, deviation = len(brightness), float(brightness.std())
    if number < 2 or deviation == 0:
        return Contrast(0.0, 0.0, number)
    effect = float(brightness.mean()) / deviation
    return Contrast(effect, effect * np.sqrt(number), number)


def contrast_sentences(table: ParticleTable, grey: GreyValues) -> List[str]:
    """Sentences about optics groups in which protein seems to be black."""
    groups = np.unique(table.optics_index)
    found = {table.optics[group].name: image_contrast(table, grey, int(group)) for group in groups}
    return [_sentence(name, contrast) for name, contrast in found.items() if contrast.inverted]


def _sentence(name: str, contrast: Contrast) -> str:
    return (
        f"Protein seems to be black in the images of optics group {name}: their centres are darker "
        f"than their surroundings by {-contrast.effect:.1f} times the scatter of one image "
        f"({-contrast.significance:.0f} standard errors, {contrast.number} images). Is the "
        "contrast inverted? The program expects white protein: if it is inverted, multiply the "
        "images by -1."
    )


def map_sentence(path: Union[str, Path, None], volume: Volume) -> Optional[str]:
    """A sentence about a map in which protein seems to be negative; otherwise None."""
    difference, skewness = map_contrast(volume.data)
    if difference >= 0 or skewness > _MAP_SKEWNESS:
        return None
    return (
        f"Protein seems to be negative in volume {path}: the mean of its inside lies "
        f"{-difference:.1f} standard deviations below the border of the box, and the skewness of "
        f"its values is {skewness:.1f}. Is it inverted? The program expects positive protein: if "
        "it is inverted, multiply the map by -1."
    )


def warn_of_map(path: Union[str, Path, None], volume: Volume) -> None:
    sentence = map_sentence(path, volume)
    if sentence:
        logger.warning("%s", sentence)


def map_contrast(data: np.ndarray) -> Tuple[float, float]:
    """Of a map (D, D, D): mean inside minus median of the border, in standard deviations; skewness."""
    box = len(data)
    border = np.median(
        np.concatenate([np.take(data, (0, -1), axis=axis).ravel() for axis in range(3)])
    )
    mean, radius = data.mean(dtype=np.float64), squared_radius(box, 2)
    second = third = inside = number = 0.0
    for z, plane in enumerate(data):
        deviations = plane.astype(np.float64) - mean
        squares = deviations**2
        second += squares.sum()
        third += (squares * deviations).sum()
        within = radius + (z - box // 2) ** 2 <= (_INSIDE_SHARE * box) ** 2
        inside += deviations[within].sum()
        number += np.count_nonzero(within)

    deviation = float(np.sqrt(second / data.size))
    if deviation == 0:
        return 0.0, 0.0
    skewness = float(third / data.size / deviation**3)
    return float(inside / number + mean - border) / deviation, skewness


def _pieces(rows: np.ndarray):
    return np.array_split(rows, -(-len(rows) // _AT_ONCE))


def _brightness(table: ParticleTable, grey: GreyValues, rows: np.ndarray) -> np.ndarray:
    """(n,) brightness of the images of one optics group without blank ones, in units of the images."""
    images = grey.read(rows)
    informative = grey.informative(rows)
    optics = table.optics[table.optics_index[rows[0]]]
    images, rows = images[informative], rows[informative]
    waves, x, y, weight = _lowest_frequencies(images.shape[-1])
    coefficients = images.reshape(len(images), -1) @ waves
    ctf = None if table.ctf is None else table.ctf.take(rows)
    transfer = _transfer(
        ctf, optics.image_state, x / optics.pixel_size_angstrom, y / optics.pixel_size_angstrom
    )
    return (coefficients * transfer * weight).sum(axis=1) / images.shape[-1]


def _transfer(ctf: Optional[CtfTable], image_state: str, x: np.ndarray, y: np.ndarray):
    """The factor of the ball's transform: C, |C|, or 1 for images that were already multiplied by
    C.
    """
    if ctf is None or image_state == "ctf-premultiplied":
        return 1.0
    values = ctf_values(x, y, ctf)
    return np.abs(values) if image_state == "phase-flipped" else values


def _lowest_frequencies(box_size_px: int):
    """Cosines (D D, P) float32 about the centre, their frequencies x and y (P,) in cycles per
    pixel, and the transform of the ball there.
    """
    reach = int(_HIGHEST_CYCLES)
    kx, ky = (k.ravel() for k in np.meshgrid(np.arange(-reach, reach + 1), np.arange(reach + 1)))
    half = (kx**2 + ky**2 <= _HIGHEST_CYCLES**2) & ((ky > 0) | (kx > 0))
    kx, ky = kx[half], ky[half]
    axis = np.arange(box_size_px) - box_size_px // 2
    turns = axis[:, None, None] * ky + axis[None, :, None] * kx
    waves = np.cos(2 * np.pi / box_size_px * turns).reshape(box_size_px**2, -1).astype(np.float32)
    q = 2 * np.pi * _BALL_SHARE * np.hypot(kx, ky)
    return waves, kx / box_size_px, ky / box_size_px, 3 * (np.sin(q) - q * np.cos(q)) / q**3
