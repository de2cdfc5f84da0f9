"""Whether poses belong to the map or to its mirror: tested with the poses as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Volume
from .calibration import measure_spectra
from .fourier_points import FourierPoints
from .levenberg_marquardt import Poses, profile
from .likelihood import PoseLikelihood
from .observations import Observations
from .whitened_images import WhitenedImages

#: The two hands are told apart if the mean difference is so many times its standard error.
_SIGNIFICANT = 4.0
_FEWEST_PARTICLES = 5


@dataclass(frozen=True)
class HandTest:
    """Mean gain (see `likelihood`) of the poses with the map and with its mirror, the difference's standard error,
    infinite where there are too few particles to tell it."""

    gain: float
    mirror_gain: float
    standard_error: float

    @property
    def verdict(self) -> str:
        """ "same", "opposite" or "open"."""
        difference = self.gain - self.mirror_gain
        if not abs(difference) > _SIGNIFICANT * self.standard_error:
            return "open"
        return "same" if difference > 0 else "opposite"

    @property
    def statement(self) -> str:
        numbers = f"mean likelihood gain {self.gain:.1f} with the map, {self.mirror_gain:.1f} with its mirror"
        return {
            "same": f"As given, the poses fit the map better than its mirror ({numbers}): the hand is the map's.",
            "opposite": f"As they were given, the poses fit the map's mirror better than the map ({numbers}): they "
            "belong to the other hand; mirror the map, or the poses.",
            "open": f"As given, the poses fit map and mirror alike ({numbers}): the hand is inherited.",
        }[self.verdict]


def compare_hands(
    volume: Volume,
    points: FourierPoints,
    pixel_size_angstrom: float,
    observed: Observations,
    poses: Poses,
    last_shell: int,
) -> HandTest:
    """Compare both hands on images at unchanged poses, each map with spectra fitted to it up to a shell."""
    gains = []
    for hand in (volume, volume.mirrored()):
        likelihood = PoseLikelihood(hand, points, pixel_size_angstrom)
        spectra = measure_spectra(likelihood, points, observed, poses.rotations, poses.shifts_px).up_to(last_shell)
        gram = WhitenedImages(likelihood, observed, points, spectra).gram(max(spectra.last_shell, 1))
        gains.append(profile(gram(poses.rotations, poses.shifts_px, poses.particle))[0])
    difference = gains[0] - gains[1]
    enough = len(difference) >= _FEWEST_PARTICLES
    error = float(difference.std() / np.sqrt(len(difference) - 1)) if enough else np.inf
    return HandTest(float(gains[0].mean()), float(gains[1].mean()), error)
