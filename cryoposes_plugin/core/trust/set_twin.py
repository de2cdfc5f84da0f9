"""The twin of a whole set: as many images as wanted, simulated from the map with the CTFs, views,
shifts, scales, noise and amplitude of the set, and junk if it has any.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Optional

import numpy as np

from ..conventions import rotations_about_z
from ..geometry.sampling import random_rotations
from ..image_kinds import PARTICLE
from ..refinement.refinement import Refinement
from ..refinement.spectra import Spectra
from .measured_set import MeasuredSet
from .twin import DECOYS, Draw, Twin, simulated

#: An amplitude is measured well if it is this many times its standard error.
_WELL_MEASURED = 10.0
#: Fewer shells determine no line.
_FEWEST_SHELLS = 4
_SLICES = 64
#: The mean square of a CTF over a shell and over many defoci.
_MEAN_SQUARED_CTF = 0.5
_LEAST_NOISE = 1e-300


def simulate_set(
    measured: MeasuredSet,
    views: Optional[np.ndarray],
    number: int,
    junk_share: float,
    seed: int,
    max_shift_px: float,
    path: Path,
) -> Twin:
    """Write the images of the twin of a set, in random order.

    Parameters
    ----------
    measured : the set.
    views : (N, 3, 3) rotations of the set; None: uniform ones.
    number : of images.
    junk_share : of them, in equal parts of each kind of DECOYS.
    seed : of all draws.
    max_shift_px : the largest shift that a particle is searched at, in pixels of the working grid.
    path : of the stack.
    """
    rng = np.random.default_rng([seed, 23])
    refinement, results = measured.refinement, measured.results
    junk = int(round(junk_share * number))
    kind = np.array([PARTICLE] * (number - junk) + [DECOYS[i % len(DECOYS)] for i in range(junk)])
    kind = rng.permutation(kind)

    draw = Draw.of(refinement, results, number, rng)
    rotations = random_rotations(number, rng)
    if views is not None:
        turn = rotations_about_z(rng.uniform(0, 2 * np.pi, number))
        rotations = turn @ views[rng.choice(len(views), number)]
    draw = dataclasses.replace(draw, rotations=rotations)
    spectra = {
        group: continued(own, signal_to_noise(refinement, own, group))
        for group, own in results.spectra.items()
    }
    return simulated(refinement, spectra, draw, kind, path, max_shift_px, rng)


def signal_to_noise(refinement: Refinement, spectra: Spectra, group: int) -> np.ndarray:
    """(number_of_shells,) squared amplitudes over their squared standard errors.

    Parameters
    ----------
    refinement : of the sample on which they were measured.
    spectra : of an optics group.
    group : its number.
    """
    points = refinement.points
    slices = refinement.likelihood.slices(
        random_rotations(_SLICES, np.random.default_rng(0)), len(points)
    )
    power = _MEAN_SQUARED_CTF * points.shell_means((np.abs(slices) ** 2).mean(axis=0))
    images = np.count_nonzero(refinement.table.optics_index == group)
    weight = 2 * images * points.shell_counts() * power
    return spectra.amplitude**2 * weight / np.maximum(spectra.noise_variance, _LEAST_NOISE)


def continued(spectra: Spectra, signal_to_noise: np.ndarray) -> Spectra:
    """Spectra with an amplitude in all shells.

    The amplitude of the images falls as exp(-B k^2 / 4), so the logarithm of those that are known
    is a line in k^2 at high frequency. It replaces amplitudes that are not measured well, or not at
    all because a sample of the images does not show them: a reconstruction of all images does.

    Parameters
    ----------
    spectra : as measured.
    signal_to_noise : (number_of_shells,) see `signal_to_noise`.
    """
    amplitude = spectra.amplitude.copy()
    known = np.flatnonzero(amplitude > 0)
    known = known[known >= max(1, spectra.last_shell // 2)]
    if len(known) < _FEWEST_SHELLS:
        return spectra

    squared = np.arange(len(amplitude), dtype=np.float64) ** 2
    weight = np.sqrt(signal_to_noise[known])
    slope, intercept = np.polyfit(squared[known], np.log(amplitude[known]), 1, w=weight)
    line = np.exp(intercept + min(slope, 0.0) * squared)
    if slope > 0:
        line[:] = np.average(amplitude[known], weights=weight**2)
    poor = signal_to_noise < _WELL_MEASURED**2
    poor[: known[0]] = False
    amplitude[poor] = line[poor]
    return Spectra(amplitude, spectra.noise_variance)
