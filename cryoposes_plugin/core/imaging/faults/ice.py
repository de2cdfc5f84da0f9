"""Ice: thick ice takes signal away, and its gradient adds a ramp to the background."""

from __future__ import annotations

import numpy as np

from ..draws import GRADIENT, ICE, Seed, stream

#: Mean free path of inelastic scattering in vitreous ice, from 300 kV and from 200 kV downwards, in
#: Å. Electrons that lose energy add background and no contrast.
_FREE_PATH_ANGSTROM = (3000.0, 2400.0)
#: Thickness of a micrograph over the mean thickness.
_THICKNESS = (0.5, 1.5)


def draw_thickness(mean_angstrom: float, micrograph: np.ndarray, seed: Seed) -> np.ndarray:
    """(N,) thickness of the ice in Å: uniform from half to 1.5 times the mean, one for each
    micrograph (N,).
    """
    drawn = stream(seed, ICE).uniform(*_THICKNESS, micrograph.max() + 1)
    return mean_angstrom * drawn[micrograph]


def transmitted(thickness_angstrom: np.ndarray, voltage_kv: np.ndarray) -> np.ndarray:
    """Share of the contrast that is left behind ice of a thickness: of the electrons that have lost
    no energy.
    """
    path = np.where(np.asarray(voltage_kv) > 250, *_FREE_PATH_ANGSTROM)
    return np.exp(-thickness_angstrom / path)


def draw_gradients(deviation: float, micrograph: np.ndarray, seed: Seed) -> np.ndarray:
    """(N, 2) rise of the background from one side of the box to the other, along x and y.

    Half of the variance is between micrographs (N,), half between images of one.
    """
    rng = stream(seed, GRADIENT)
    shared = rng.standard_normal((micrograph.max() + 1, 2))
    own = rng.standard_normal((len(micrograph), 2))
    return deviation * np.sqrt(0.5) * (shared[micrograph] + own)


def ramps(gradients: np.ndarray, box_size_px: int) -> np.ndarray:
    """(B, D, D) float32 of mean 0 that rise by gradients (B, 2) across the box D."""
    x = (np.arange(box_size_px) - (box_size_px - 1) / 2) / box_size_px
    along_x, along_y = (gradients[:, axis, None] * x for axis in (0, 1))
    return (along_x[:, None, :] + along_y[:, :, None]).astype(np.float32)
