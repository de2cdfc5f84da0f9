"""White or coloured noise, the same for image i in every batch; and RELION's normalisation."""

from __future__ import annotations

from typing import Optional

import numpy as np
import scipy.fft


def white_noise(seed: int, ids: np.ndarray, box_size_px: int) -> np.ndarray:
    """(B, D, D) float32 standard normal; image `ids[b]` depends only on (seed, id), by a
    counter-based generator.
    """
    noise = np.empty((len(ids), box_size_px, box_size_px), np.float32)
    numbers, key = np.random.Philox(key=0), np.array([seed, 0], dtype=np.uint64)
    generator, start = np.random.Generator(numbers), numbers.state
    start["state"]["key"] = key
    for image, key[1] in zip(noise, ids):
        # A new generator would take more time than this one set to its start.
        numbers.state = start
        generator.standard_normal(dtype=np.float32, out=image)
    return noise


def noise_amplitude(box_size_px: int, correlation_px: float) -> Optional[np.ndarray]:
    """Amplitude (D, D // 2 + 1) float32 on the half plane that colours white noise with variance 1;
    None for white noise.

    Half of the power is white, half that of white noise blurred by a Gaussian of standard deviation
    `correlation_px`.
    """
    if correlation_px == 0:
        return None
    kx, ky = np.meshgrid(np.fft.fftfreq(box_size_px), np.fft.fftfreq(box_size_px))
    blurred = np.exp(-((2 * np.pi * correlation_px) ** 2) * (kx**2 + ky**2))
    power = 0.5 + 0.5 * blurred / blurred.mean()
    return np.sqrt(power[:, : box_size_px // 2 + 1]).astype(np.float32)


def simulate_noise(
    seed: int, ids: np.ndarray, box_size_px: int, correlation_px: float = 0.0
) -> np.ndarray:
    """(B, D, D) float32 noise of variance 1 for the images with these ids.

    Parameters
    ----------
    seed : of the noise; that of an image depends only on the seed and its id.
    ids : (B,) of the images.
    box_size_px : D.
    correlation_px : standard deviation of the Gaussian that correlates neighbouring pixels; 0 for
        white noise.
    """
    return coloured_noise(seed, ids, box_size_px, noise_amplitude(box_size_px, correlation_px))


def coloured_noise(
    seed: int, ids: np.ndarray, box_size_px: int, amplitude: Optional[np.ndarray]
) -> np.ndarray:
    """(B, D, D) float32 noise of a given spectrum for the images with these ids.

    Parameters
    ----------
    seed, ids : as in `simulate_noise`.
    box_size_px : D.
    amplitude : (D, D // 2 + 1) on the half plane; None for white noise.
    """
    noise = white_noise(seed, ids, box_size_px)
    if amplitude is None:
        return noise
    return scipy.fft.irfft2(scipy.fft.rfft2(noise) * amplitude, s=noise.shape[1:])


def normalise_background(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(B, D, D) float32 with mean 0 and standard deviation 1 outside the mask (D, D), each image by
    itself.

    What `relion_preprocess --norm` does. The mask leaves some background.
    """
    background = images[:, ~mask].astype(np.float64)
    mean, deviation = background.mean(axis=1), background.std(axis=1)
    return ((images - mean[:, None, None]) / deviation[:, None, None]).astype(np.float32)
