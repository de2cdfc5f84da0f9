"""Whether protein is white in images and positive in maps, with the evidence in numbers."""

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

#: Images that tell the contrast of a set.
_SAMPLE = 512
_AT_ONCE = 64
#: Frequencies up to this, in cycles a box: there the transform of any particle that the box holds
#: is positive, a hollow one's too.
_HIGHEST_CYCLES = 1.5
#: Radius of the ball that stands for the particle, as a share of the box.
_BALL_SHARE = 0.3
#: Below this mean over standard deviation of one image, and so many standard errors below zero, a
#: set is inverted.
_LEAST_EFFECT, _LEAST_SIGNIFICANCE = 0.5, 5.0
_FEWEST = 5
#: A map is inverted whose inside lies below its border and whose values have a skewness below this.
_MAP_SKEWNESS = -1.0
_INSIDE_SHARE = 0.35


@dataclass(frozen=True)
class Contrast:
    """Of a set of images: the particle's mean brightness over the scatter of a single image, and
    over its own standard error; positive where protein is white.
    """

    effect: float
    significance: float
    number: int

    @property
    def inverted(self) -> bool:
        return self.clear and self.effect < 0

    @property
    def clear(self) -> bool:
        """Whether there are images enough, and the effect is large, and sure."""
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
    """Measured on a sample of an optics group.

    About the centre of an image stands something of the size of a particle: a ball's projection,
    times the CTF, is compared with it at the lowest frequencies, where its transform is positive
    whatever its shape.
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
    """What there is to say of optics groups in which protein seems to be black."""
    groups = np.unique(table.optics_index)
    found = {table.optics[group].name: image_contrast(table, grey, int(group)) for group in groups}
    return [_sentence(name, contrast) for name, contrast in found.items() if contrast.inverted]


def _sentence(name: str, contrast: Contrast) -> str:
    return (
        f"Protein seems to be black in the images of optics group {name}: at their centres they "
        f"are darker than around, by {-contrast.effect:.1f} times the scatter of one image, "
        f"{-contrast.significance:.0f} standard errors on {contrast.number} images. Is the "
        "contrast inverted? Protein is taken to be white: if so, multiply the images by -1."
    )


def map_sentence(path: Union[str, Path, None], volume: Volume) -> Optional[str]:
    """What there is to say of a map whose protein seems to be negative."""
    difference, skewness = map_contrast(volume.data)
    if difference >= 0 or skewness > _MAP_SKEWNESS:
        return None
    return (
        f"Protein seems to be negative in volume {path}: inside it lies {-difference:.1f} standard "
        "deviations below the border of the box, and the skewness of its values is "
        f"{skewness:.1f}. Is it inverted? Protein is taken to be positive: if so, multiply the map "
        "by -1."
    )


def warn_of_map(path: Union[str, Path, None], volume: Volume) -> None:
    sentence = map_sentence(path, volume)
    if sentence:
        logger.warning("%s", sentence)


def map_contrast(data: np.ndarray) -> Tuple[float, float]:
    """(mean inside less median of the border in standard deviations, skewness) of a map (D, D, D)."""
    values = np.asarray(data, dtype=np.float64)
    border = np.median(
        np.concatenate([np.take(values, (0, -1), axis=axis).ravel() for axis in range(3)])
    )
    inside = values[squared_radius(len(values), 3) <= (_INSIDE_SHARE * len(values)) ** 2]
    deviation = values.std()
    if deviation == 0:
        return 0.0, 0.0
    skewness = float((((values - values.mean()) / deviation) ** 3).mean())
    return float(inside.mean() - border) / deviation, skewness


def _pieces(rows: np.ndarray):
    return np.array_split(rows, -(-len(rows) // _AT_ONCE))


def _brightness(table: ParticleTable, grey: GreyValues, rows: np.ndarray) -> np.ndarray:
    """(n,) of rows of one optics group, blank images left out: the ball's share, in units of the
    images.
    """
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
    """What the ball is multiplied with: C, |C|, or nothing for images that were multiplied by C
    already.
    """
    if ctf is None or image_state == "ctf-premultiplied":
        return 1.0
    values = ctf_values(x, y, ctf)
    return np.abs(values) if image_state == "phase-flipped" else values


def _lowest_frequencies(box_size_px: int):
    """Cosines about the centre (D D, P) float32 of the lowest frequencies (P,) x and y in cycles a
    pixel, and the ball's transform there.
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
