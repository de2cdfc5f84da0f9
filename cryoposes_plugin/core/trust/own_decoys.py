"""Decoys made of a set's own images, where no map is known (target-decoy approach, Elias and Gygi
2007).

Every decoy is made of one or two images of one optics group and keeps their CTF, grey values and
noise. Images are moved by whole pixels, and cut, not averaged, so that their noise stays what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
import scipy.fft

from ..errors import InputError
from ..fourier.masks import circular_mask, squared_radius
from ..image_kinds import EDGE, NOISE, OFF_CENTRE, OTHER, OVERLAP, SCRAMBLED
from ..imaging.background import measure_background
from ..imaging.junk import EDGE_WIDTH, along, moved_onto, unit_edge
from ..particles.batches import ImageBatch, ParticleBatches

#: The kinds in which decoys are made; OTHER are halves of two particles: no such molecule exists.
KINDS: Tuple[str, ...] = (NOISE, OTHER, OVERLAP, OFF_CENTRE, SCRAMBLED, EDGE)
#: Numbers of decoys of a kind: a share of the set, within limits.
_SHARE_OF_KIND, _LEAST_OF_KIND, _MOST_OF_KIND = 0.1, 50, 300
#: Distances of a neighbour and of a particle off centre, in radii of gyration.
_NEIGHBOUR, _OFF = (1.0, 2.6), (0.7, 2.0)
#: Height of an edge in standard deviations of the image.
_EDGE_HEIGHT = (0.3, 1.5)
#: Number of images on which the size of the particle is measured.
_SAMPLE = 500
#: A radius of gyration in space over that of a projection, for a body without a preferred axis.
_OF_PROJECTION = np.sqrt(1.5)
_SMOOTH = 3.0


@dataclass(frozen=True)
class OwnDecoys:
    """Decoys of a set: kind (M,) of each, rows (M, 2) of the images that it is made of.

    particles : the set. radius_px : radius of gyration of its particles. noise_amplitude : (D, D //
    2 + 1) of its background, by frequency, for white noise of unit variance and an image whose
    background has unit variance.
    """

    particles: ParticleBatches
    kind: np.ndarray
    rows: np.ndarray
    radius_px: float
    noise_amplitude: np.ndarray
    seed: int

    @classmethod
    def of(cls, particles: ParticleBatches, seed: int) -> OwnDecoys:
        """Decoys of the images that are not blank."""
        rng = np.random.default_rng([seed, 17])
        usable = np.flatnonzero(~particles.images.grey.blank)
        each = int(np.clip(_SHARE_OF_KIND * len(usable), _LEAST_OF_KIND, _MOST_OF_KIND))
        group = particles.table.optics_index
        kinds = np.repeat(KINDS, each)
        first = rng.choice(usable, len(kinds))
        second = np.array([rng.choice(usable[group[usable] == group[row]]) for row in first])

        sample = rng.choice(usable, min(len(usable), _SAMPLE), replace=False)
        power = background_power(particles, sample, seed)
        return cls(
            particles,
            kinds,
            np.stack([first, second], axis=1),
            particle_radius_px(particles, sample),
            np.sqrt(power[:, : power.shape[1] // 2 + 1]),
            seed,
        )

    def __len__(self) -> int:
        return len(self.kind)

    def batches(self, batch_size: int) -> List[np.ndarray]:
        """Numbers of decoys in batches of one optics group each."""
        group = self.particles.table.optics_index[self.rows[:, 0]]
        return [
            own[i : i + batch_size]
            for own in (np.flatnonzero(group == g) for g in np.unique(group))
            for i in range(0, len(own), batch_size)
        ]

    def read_batch(self, numbers: np.ndarray) -> ImageBatch:
        """Images of these decoys, which belong to one optics group, with the CTFs of their first
        images.
        """
        first = self.particles.read_batch(self.rows[numbers, 0])
        second = self.particles.images.read(self.rows[numbers, 1])
        images = np.stack(
            [self._image(*given) for given in zip(numbers, first.images, second)]
        ).astype(np.float32)
        return ImageBatch(images, first.ctf, first.image_state)

    def _image(self, number: int, image: np.ndarray, other: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 19, number])
        kind = self.kind[number]
        if kind == NOISE:
            return self._noise(image, rng)
        if kind == OTHER:
            return halves(image, other, rng.uniform(0, 2 * np.pi))
        if kind == OVERLAP:
            distance = rng.uniform(*_NEIGHBOUR) * self.radius_px
            return mosaic(image, other, distance, rng.uniform(0, 2 * np.pi))
        if kind == OFF_CENTRE:
            distance, angle = rng.uniform(*_OFF) * self.radius_px, rng.uniform(0, 2 * np.pi)
            return moved_onto(image, distance, angle, self._noise(image, rng))

        background = scrambled(image, rng)
        if kind == SCRAMBLED:
            return background
        height, place = image.std() * rng.uniform(*_EDGE_HEIGHT), rng.uniform(-1, 1)
        angle, width = rng.uniform(0, 2 * np.pi), rng.uniform(*EDGE_WIDTH)
        return background + height * unit_edge(len(image), place, angle, width)

    def _noise(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Noise of the spectrum of the set's background, at the level of this image."""
        box = len(image)
        level = image[~circular_mask(box, box / 2)].std()
        white = scipy.fft.rfft2(rng.standard_normal((box, box)))
        return level * scipy.fft.irfft2(white * self.noise_amplitude, s=(box, box))


def scrambled(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(D, D) with the Fourier amplitudes of the image and random phases."""
    noise = scipy.fft.rfft2(rng.standard_normal(image.shape))
    phases = noise / np.maximum(np.abs(noise), 1e-30)
    return scipy.fft.irfft2(np.abs(scipy.fft.rfft2(image)) * phases, s=image.shape)


def mosaic(
    image: np.ndarray, other: np.ndarray, distance_px: float, angle_rad: float
) -> np.ndarray:
    """(D, D) one particle, and beyond the line half-way to it another, moved there by whole pixels.

    Parameters
    ----------
    image, other : (D, D), each with a particle at the centre.
    distance_px : from one to the other.
    angle_rad : of the direction.
    """
    return np.where(
        along(len(image), angle_rad) <= distance_px / 2,
        image,
        moved_onto(other, distance_px, angle_rad, image),
    )


def halves(image: np.ndarray, other: np.ndarray, angle_rad: float) -> np.ndarray:
    """(D, D) two images glued along a line through the centre."""
    return np.where(along(len(image), angle_rad) <= 0, image, other)


def background_power(particles: ParticleBatches, rows: np.ndarray, seed: int) -> np.ndarray:
    """(D, D) power of the noise around the particles, mean 1; of whole images where the noise cannot
    be told from them.

    Parameters
    ----------
    particles : the set.
    rows : images whose power is taken where there is no background.
    seed : of the sample of the background.
    """
    images = particles.images
    box = images.box_size_px
    try:
        return measure_background(images, box * images.pixel_size_angstrom, seed).power
    except InputError:
        power = (np.abs(scipy.fft.fft2(images.read(rows))) ** 2).mean(axis=0)
        power[0, 0] = power[0, 1]
        return power / power.mean()


def particle_radius_px(particles: ParticleBatches, rows: np.ndarray) -> float:
    """Radius of gyration of the particles, from the excess of the variance of smoothed images around
    the centre over that at the rim; at most a quarter of the box.
    """
    smooth = np.stack([_smoothed(image) for image in particles.images.read(rows)])
    box = smooth.shape[-1]
    squared = squared_radius(box, 2)
    inside = circular_mask(box, box / 2)
    variance = np.median(smooth**2, axis=0)
    excess = np.maximum(variance - np.median(variance[~inside]), 0.0) * inside
    if not excess.any():
        return box / 8
    radius = _OF_PROJECTION * np.sqrt((squared * excess).sum() / excess.sum())
    return float(np.clip(radius, box / 16, box / 4))


def _smoothed(image: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.gaussian_filter(image, _SMOOTH, mode="wrap")
