"""Fourier shell correlation of two half maps: unmasked, masked, corrected for the mask, and whether
the half maps are independent.

The correction follows Chen et al. 2013, eq. 4: phases beyond a shell are randomised in both halves
before the mask is applied. Any remaining correlation there is due to the mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np
from scipy import fft

from ..errors import InputError
from ..fourier.shells import multiplicity, shell_planes, shell_sums

#: Phases are randomised from the first shell at which the unmasked FSC falls below this value, as
#: in RELION.
RANDOMISE_BELOW = 0.8
#: The shells next to the first randomised one are not corrected: the mask mixes them with shells
#: that were not randomised.
_TRANSITION_SHELLS = 2
#: The pose source that `simulate` writes.
TRUE_POSES = "truth"


def fourier_shell_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """FSC of two volumes (D, D, D) -> (D // 2 + 1,) float64, shell s at frequency s / (D pixels).

    FSC(s) = Re sum A B* / sqrt(sum |A|^2 sum |B|^2) over the shell (Harauz & van Heel 1986); 0
    where a shell is empty.
    """
    if a.shape != b.shape:
        raise InputError(
            f"The volumes have {a.shape[0]} and {b.shape[0]} voxels along each side; give two "
            "volumes on the same grid."
        )
    return _correlation(fft.rfftn(a), fft.rfftn(b), a.shape[0])


def _correlation(fa: np.ndarray, fb: np.ndarray, box_size_px: int) -> np.ndarray:
    columns, number = multiplicity(box_size_px), box_size_px // 2 + 1
    cross, power_a, power_b = sums = np.zeros((3, number))
    for a, b, shells in zip(fa, fb, shell_planes(box_size_px)):
        for total, values in zip(sums, ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)):
            total += shell_sums(values * columns, shells, number)

    power = power_a * power_b
    return np.divide(cross, np.sqrt(power), out=np.zeros_like(cross), where=power > 0)


def randomise_phases(volume: np.ndarray, first_shell: int, rng: np.random.Generator) -> np.ndarray:
    """The volume (D, D, D) with random phases from a shell on and unchanged amplitudes. The phases
    are those of the transform of white noise, so the result is real.
    """
    noise = fft.rfftn(rng.standard_normal(volume.shape, dtype=np.float32), overwrite_x=True)
    spectrum = fft.rfftn(volume)
    for values, random, shells in zip(spectrum, noise, shell_planes(len(volume))):
        beyond = shells >= first_shell
        phases = random[beyond] / np.maximum(np.abs(random[beyond]), 1e-30)
        values[beyond] = np.abs(values[beyond]) * phases
    return fft.irfftn(spectrum, s=volume.shape, overwrite_x=True)


def resolution_angstrom(
    curve: np.ndarray, threshold: float, box_size_px: int, pixel_size_angstrom: float
) -> float:
    """The resolution at which the curve first falls below the threshold, interpolated linearly
    between shells; Nyquist if it never does.

    The zero frequency is left out. A curve that is below the threshold from the first shell on
    gives the box size.

    Parameters
    ----------
    curve : (S,) FSC by shell.
    threshold : e.g. 0.143.
    box_size_px, pixel_size_angstrom : of the maps.
    """
    shells = np.arange(1, len(curve))
    below = np.flatnonzero(curve[1:] < threshold)
    if len(below) == 0:
        return 2.0 * pixel_size_angstrom
    first = below[0]
    if first == 0:
        return box_size_px * pixel_size_angstrom
    high, low = curve[first], curve[first + 1]
    shell = shells[first - 1] + (high - threshold) / (high - low)
    return float(box_size_px * pixel_size_angstrom / shell)


@dataclass(frozen=True)
class HalfMapFsc:
    """FSC curves of two half maps; each (D // 2 + 1,), shell s at frequency s / (D pixels).

    `randomised` is None where nothing had to be corrected. `statement` says what the curves are
    worth.
    """

    box_size_px: int
    pixel_size_angstrom: float
    unmasked: np.ndarray
    masked: np.ndarray
    randomised: np.ndarray
    corrected: np.ndarray
    randomised_from_shell: int
    statement: str

    @property
    def frequency_per_angstrom(self) -> np.ndarray:
        return np.arange(len(self.unmasked)) / (self.box_size_px * self.pixel_size_angstrom)

    def resolution_angstrom(self, curve: str, threshold: float) -> float:
        """The resolution of the curve named "unmasked", "masked" or "corrected".

        Parameters
        ----------
        curve : (S,) FSC by shell.
        threshold : e.g. 0.143.
        box_size_px, pixel_size_angstrom : of the maps.
        """
        return resolution_angstrom(
            getattr(self, curve), threshold, self.box_size_px, self.pixel_size_angstrom
        )


def half_map_fsc(
    half1: np.ndarray,
    half2: np.ndarray,
    pixel_size_angstrom: float,
    mask: np.ndarray,
    statement: str,
    seed: int = 0,
) -> HalfMapFsc:
    """All FSC curves of two half maps under a mask.

    Parameters
    ----------
    half1, half2 : (D, D, D).
    pixel_size_angstrom : of the maps.
    mask : (D, D, D), soft.
    statement : whether the halves are independent, in a sentence for the report.
    seed : of the random phases.
    """
    box = half1.shape[0]
    unmasked = fourier_shell_correlation(half1, half2)
    masked = fourier_shell_correlation(half1 * mask, half2 * mask)
    first = randomisation_shell(unmasked)
    rng = np.random.default_rng([seed, 0x465343])
    scrambled = [randomise_phases(half, first, rng) for half in (half1, half2)]
    for half in scrambled:
        half *= mask
    randomised = fourier_shell_correlation(*scrambled)
    corrected = correct_for_mask(masked, randomised, first)
    return HalfMapFsc(
        box, pixel_size_angstrom, unmasked, masked, randomised, corrected, first, statement
    )


def randomisation_shell(unmasked: np.ndarray) -> int:
    """The first shell from 2 on at which the unmasked FSC is below `RANDOMISE_BELOW`; one past the
    last shell if there is none.
    """
    below = np.flatnonzero(unmasked[2:] < RANDOMISE_BELOW)
    return int(below[0]) + 2 if len(below) else len(unmasked)


def correct_for_mask(masked: np.ndarray, randomised: np.ndarray, first_shell: int) -> np.ndarray:
    """(masked - randomised) / (1 - randomised) beyond the first randomised shells, else `masked`
    (Chen 2013, eq. 4).
    """
    corrected = masked.copy()
    beyond = slice(first_shell + _TRANSITION_SHELLS, None)
    corrected[beyond] = (masked[beyond] - randomised[beyond]) / np.maximum(
        1.0 - randomised[beyond], 1e-6
    )
    return corrected


def independence_statement(
    sources1: Optional[Sequence[str]], sources2: Optional[Sequence[str]]
) -> str:
    """A sentence on the independence of two halves, from the sources of their poses (None: not
    recorded).

    Poses that were found with the same reference or network carry the signal of the reference, or
    of the network's training data, into both halves, whatever the images show.
    """
    if sources1 is None or sources2 is None:
        return (
            "The origin of the poses is not recorded; if both halves' poses came from one "
            "reference or one network, this FSC is not independent up to the resolution of what "
            "they share."
        )

    first, second = set(sources1), set(sources2)
    if first | second == {TRUE_POSES}:
        return "The poses are the true ones: noise and images of the halves are independent."
    shared = sorted((first & second) - {TRUE_POSES})
    if shared:
        names = ", ".join(shared)
        return (
            "Not independent up to the resolution of the common pose source: the poses of both "
            f"halves come from {names}."
        )
    names = "; ".join(", ".join(sorted(half)) for half in (first, second))
    return (
        f"The poses of the halves come from different sources ({names}): they are as independent "
        "as these sources."
    )
