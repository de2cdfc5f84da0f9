"""The noise of simulated training images: from an SNR, a noise variance, or given particle images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np
import scipy.fft

from ..errors import InputError
from ..fourier.ctf import ctf_values, frequency_grid
from ..fourier.masks import circular_mask, falling_edge
from ..fourier.resampling import projected_density
from ..fourier.shells import (
    multiplicity,
    shell_index,
    shell_planes,
    shell_sums,
    squared_frequencies,
    whole_frequencies,
)
from ..particles.images import ResampledImages
from ..types import CtfTable, Volume

#: Number of images on which the noise of a particle set is measured.
SAMPLE = 500
#: Below this SNR, the signal cannot be distinguished from the scatter of the measurement.
SMALLEST_SNR = 1e-3
#: With a smaller share of the images' variance around the particles, there is no noise to measure.
_LEAST_NOISE = 1e-3
_RIMS_LOOKED_AT = 20
#: The spectrum is estimated from background pixels up to this share of the box apart.
_REACH = 0.25
#: Least noise power at a frequency, as a share of the mean.
_SMALLEST_POWER = 0.02
#: At frequencies where a premultiplied image retains less than this share of its noise, the noise
#: cannot be estimated.
_SMALLEST_TRANSFER = 0.05


def signal_variance(
    volumes: Sequence[Volume],
    ctf: Optional[CtfTable],
    box_size_px: int,
    pixel_size_angstrom: float,
    ctf_power: int = 1,
) -> float:
    """Variance over the whole box of y = C^p P x, averaged over orientations, CTFs and volumes.

    By the projection-slice theorem and Parseval: the mean power of a projection at frequency k is
    the mean of |V^|^2 over the sphere of radius |k|. No image is simulated. `ctf_power` p is 2 for
    images multiplied by their CTF.

    Parameters
    ----------
    volumes : each with the same share of the images.
    ctf : CTFs of a sample of the images, or None.
    box_size_px, pixel_size_angstrom : of the images.
    ctf_power : p.
    """
    d = box_size_px
    radius = shell_index(d, 2, half=False)
    inside = (radius > 0) & (radius < d // 2)
    transfer = _mean_transfer(ctf, d, pixel_size_angstrom, 2 * ctf_power)
    total = 0.0
    for volume in volumes:
        data = projected_density(volume, d, pixel_size_angstrom)
        spectrum = _sphere_means(scipy.fft.rfftn(data))
        total += float((spectrum[np.minimum(radius, d // 2)] * transfer)[inside].sum()) / d**4
    return total / len(volumes)


@dataclass(frozen=True)
class Background:
    """The noise around the particles of a set, in the state of its images.

    snr : mean variance of the signal over that of the noise. power : (D, D) of the noise, by
        frequency in the order of
    `fftfreq`, mean 1.
    """

    snr: float
    power: np.ndarray


def measure_background(
    images: ResampledImages, diameter_angstrom: float, seed: int, *, option: str = "--snr"
) -> Background:
    """Level and spectrum of the noise outside a circle of `diameter_angstrom` about the centre,
    without the gradient of each image's background.

    The SNR is (total variance - background variance) / background variance. It is slightly too
    small if the signal of the particle, spread by the CTF, extends beyond the circle. Ratios are
    taken image by image, so the scale of the images does not matter. At most SAMPLE images are
    read.

    The InputErrors name `option` as the remedy.

    Parameters
    ----------
    images : the source of the particles' images.
    diameter_angstrom : of the circle that holds the particle.
    seed : of the draw of a sample of images.
    option : the option to give instead if nothing can be measured; named in the InputErrors.
    """
    share, power = _measured(images, diameter_angstrom, seed, option)
    snr = 1.0 / share - 1.0
    if snr < SMALLEST_SNR:
        raise InputError(
            f"The images show no signal above their background (SNR {snr:.2g}); give {option}."
        )
    return Background(snr, power)


def background_spectrum(
    images: ResampledImages, diameter_angstrom: float, seed: int, *, option: str
) -> np.ndarray:
    """(D, D) spectrum of the noise outside a circle, whether or not there is signal inside.

    Parameters
    ----------
    images, diameter_angstrom, seed, option : as in `measure_background`.
    """
    return _measured(images, diameter_angstrom, seed, option)[1]


def _measured(
    images: ResampledImages, diameter_angstrom: float, seed: int, option: str
) -> Tuple[float, np.ndarray]:
    """Share of the noise in the variance of the images, and spectrum (D, D) of the noise.

    The spectrum is the transform of the covariance of pairs of background pixels (Blackman and
    Tukey 1958), isotropic.
    """
    number = len(images)
    rows = np.sort(np.random.default_rng(seed).choice(number, min(number, SAMPLE), replace=False))
    outside = ~circular_mask(
        images.box_size_px, 0.5 * diameter_angstrom / images.pixel_size_angstrom
    )
    if not outside.any():
        raise InputError(
            f"A circle of {diameter_angstrom:g} Å leaves no background in images of "
            f"{images.box_size_px * images.pixel_size_angstrom:.0f} Å on which the noise could be "
            f"measured; give {option}."
        )

    shares, products = [], np.zeros((2 * images.box_size_px, images.box_size_px + 1))
    for part in np.array_split(rows, -(-len(rows) // 100)):
        pixels = images.read(part).astype(np.float64)
        pixels = pixels[np.ptp(pixels, axis=(1, 2)) > 0]  # blank images contain no noise
        pixels = _without_plane(pixels, outside)
        total = pixels.var(axis=(1, 2))
        background = pixels * outside
        variance = (background**2).sum(axis=(1, 2)) / outside.sum()
        shares.append(variance / total)
        background /= np.sqrt(np.maximum(variance, 1e-12 * total))[:, None, None]
        products += (np.abs(_padded_transform(background)) ** 2).sum(axis=0) / len(rows)

    share = float(np.concatenate(shares).mean())
    if share < _LEAST_NOISE or _masked(images, rows):
        raise InputError(
            f"There is hardly any noise around the particles ({share:.2g} of the images' "
            f"variance): the images are masked or free of noise; give {option}."
        )
    return share, _isotropic_power(products, outside)


def _planes(d: int) -> np.ndarray:
    """(3, d, d) a level and the slopes along y and x."""
    return np.stack([np.ones((d, d)), *np.indices((d, d))])


def _without_plane(images: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Images (B, D, D) less the plane that is fitted to their pixels where (D, D) `outside` is True:
    the gradient of the ice would be taken for noise at the lowest frequencies.
    """
    planes = _planes(len(outside))
    heights = images[:, outside] @ np.linalg.pinv(planes[:, outside])
    return images - np.tensordot(heights, planes, 1)


def _masked(images: ResampledImages, rows: np.ndarray) -> bool:
    """Whether the stored images are constant along their rim."""
    group = images.table.optics_index[rows]
    some = images.source.read(rows[group == group[0]][:_RIMS_LOOKED_AT])
    return not np.ptp(some[:, [0, -1]], axis=(1, 2)).any()


def noise_power_like(
    volumes: Sequence[Volume],
    ctf: Optional[CtfTable],
    images: ResampledImages,
    image_state: str,
    background: Background,
) -> np.ndarray:
    """(D, D) power of the noise of raw images of the volumes' grey values, its mean the variance,
    at the box D and pixel size of `images`: in this state they then have this background.

    Parameters
    ----------
    volumes : those that will be simulated.
    ctf : CTFs of a sample of the images, or None.
    images : the images to imitate.
    image_state : of these images: "raw", "phase-flipped" or "ctf-premultiplied".
    background : measured on these images.
    """
    grid = (images.box_size_px, images.pixel_size_angstrom)
    premultiplied = image_state == "ctf-premultiplied"
    variance = (
        signal_variance(volumes, ctf, *grid, ctf_power=2 if premultiplied else 1) / background.snr
    )
    if not premultiplied:
        return variance * background.power
    transfer = _mean_transfer(ctf, *grid, 2)
    return variance * background.power / np.maximum(transfer, _SMALLEST_TRANSFER * transfer.max())


def _padded_transform(images: np.ndarray) -> np.ndarray:
    """Of images (..., D, D) in twice their box: products of pixels then do not wrap around."""
    return scipy.fft.rfft2(images, s=(2 * images.shape[-1],) * 2)


def _isotropic_power(products: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """(D, D) spectrum, mean 1, from the mean |transform|^2 of padded images that are zero inside
    the circle.
    """
    d = len(outside)
    planes = np.zeros((3, d, d))
    orthonormal = np.linalg.svd(_planes(d)[:, outside], full_matrices=False)[2]
    planes[: len(orthonormal), outside] = orthonormal
    powers = (np.abs(_padded_transform(a)) ** 2 for a in (outside, planes))
    sums, pairs, of_planes = (
        scipy.fft.irfft2(a.reshape(-1, *products.shape).sum(axis=0), s=(2 * d, 2 * d))
        for a in (products, *powers)
    )
    reach = max(2.0, _REACH * d)
    squared = squared_frequencies(2 * d, 2, half=False)
    near = squared < reach**2

    # Distant pixels are independent: what covariance they have is that of the planes that were
    # subtracted.
    taken = -(sums * of_planes)[~near].sum() / (of_planes[~near] ** 2).sum()
    sums += taken * of_planes
    sum_at, pairs_at = (shell_sums(a[near], squared[near]) for a in (sums, pairs))
    covariance = np.divide(sum_at, pairs_at, out=np.zeros_like(sum_at), where=pairs_at > 0.5)
    squared = squared_frequencies(d, 2, half=False)
    window = falling_edge(2 * np.sqrt(squared) / reach - 1)
    power = scipy.fft.fft2(window * covariance[np.minimum(squared, len(covariance) - 1)]).real
    power = np.maximum(power, _SMALLEST_POWER * power.mean())
    return power / power.mean()


def cropped_noise_amplitude(
    amplitude: Optional[np.ndarray], box_in: int, box_out: int
) -> np.ndarray:
    """Amplitude spectrum (box_out, box_out // 2 + 1) of unit noise of box_in pixels after Fourier
    cropping to box_out.

    Grey values are kept, so that white noise of variance 1 becomes white noise of variance (box_out
    / box_in)^2.
    """
    if amplitude is None:
        amplitude = np.ones((box_in, box_in // 2 + 1), np.float32)
    rows = whole_frequencies(box_out) % box_in
    return amplitude[rows][:, : box_out // 2 + 1] * np.float32(box_out / box_in)


def _mean_transfer(
    ctf: Optional[CtfTable], d: int, pixel_size_angstrom: float, power: int
) -> np.ndarray:
    """(d, d // 2 + 1) -> full (d, d) mean of C^power over the particles, in the order of `fftfreq`."""
    if ctf is None:
        return np.ones((d, d))
    x, y = frequency_grid(d, pixel_size_angstrom)
    half = np.zeros(x.shape)
    for part in np.array_split(np.arange(len(ctf)), -(-len(ctf) // 64)):
        half += (ctf_values(x, y, ctf.take(part)) ** power).sum(axis=0)
    half /= len(ctf)
    full = np.empty((d, d))
    full[:, : d // 2 + 1] = half
    rows = (-np.arange(d)) % d
    full[:, d // 2 + 1 :] = half[rows][:, (d - np.arange(d // 2 + 1, d))]
    return full


def _sphere_means(transform: np.ndarray) -> np.ndarray:
    """(D, D, D // 2 + 1) half of a transform -> mean power over spheres of radius 0 to D // 2."""
    d = len(transform)
    number = d // 2 + 1
    powers, counts = np.zeros((2, number))
    weights = np.tile(multiplicity(d), (d, 1))
    for plane, shells in zip(transform, shell_planes(d)):
        powers += shell_sums(np.abs(plane).astype(np.float64) ** 2 * weights, shells, number)
        counts += shell_sums(weights, shells, number)
    return powers / counts
