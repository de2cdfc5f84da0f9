"""Whether poses belong to a map, to its mirror image, or to neither; the poses are tested as they
are.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..fourier.points import FourierPoints
from ..types import Volume
from .calibration import measure_spectra
from .levenberg_marquardt import profile
from .likelihood import PoseLikelihood
from .observations import Observations
from .poses import Poses
from .whitened_images import WhitenedImages

#: Two means differ significantly if their difference is this many times its standard error,
_SIGNIFICANT = 4.0
#: and the two hands differ if their difference is also this share of what the poses explain beyond
#: chance.
_LEAST_EFFECT = 0.2
_FEWEST_PARTICLES = 5
#: A map's mirror must explain this many times as much as the map, so that poses are said to belong
#: to the mirror.
_TIMES_THE_GAIN = 1.5
#: Half turns that make the mirrors along x and y from the mirror along z.
_HALF_TURNS = {"z": np.diag([1.0, 1, 1]), "x": np.diag([-1.0, 1, -1]), "y": np.diag([1.0, -1, -1])}
#: The test may use the best-fitting half, quarter, ... of the images: the others may show something
#: else.
_BEST_PARTS, _SMALLEST_PART = (2, 4, 8, 16), 10


@dataclass(frozen=True)
class HandTest:
    """The result of a test of the hand.

    Attributes
    ----------
    gain, mirror_gain : mean gain (see `likelihood`) of the poses with the map and with its mirror.
    standard_error : of their difference; infinite if there are too few particles to estimate it.
    beyond_chance : by how much the better of the two exceeds the gain of the same orientations in
        random order.
    chance_error : standard error of `beyond_chance`.
    """

    gain: float
    mirror_gain: float
    standard_error: float
    beyond_chance: float = np.inf
    chance_error: float = 0.0

    @property
    def verdict(self) -> str:
        """ "same", "opposite", "open" if both hands fit equally well, "undecided" if neither fits."""
        if self.neither_fits:
            return "undecided"
        difference = self.gain - self.mirror_gain
        if not abs(difference) > max(
            _SIGNIFICANT * self.standard_error, _LEAST_EFFECT * self._explained
        ):
            return "open"
        return "same" if difference > 0 else "opposite"

    @property
    def neither_fits(self) -> bool:
        """Whether there are enough particles to say that the poses explain their images no better
        than chance.
        """
        return (
            np.isfinite(self.standard_error)
            and not self.beyond_chance > _SIGNIFICANT * self.chance_error
        )

    @property
    def _explained(self) -> float:
        return self.beyond_chance if np.isfinite(self.beyond_chance) else 0.0

    @property
    def _chance(self) -> float:
        return max(self.gain, self.mirror_gain) - self.beyond_chance

    @property
    def statement(self) -> str:
        numbers = (
            f"mean likelihood gain {self.gain:.1f} with the map, "
            f"{self.mirror_gain:.1f} with its mirror"
        )
        return {
            "same": f"As given, the poses fit the map better than its mirror ({numbers}): their "
            "hand is that of the map.",
            "opposite": "As given, the poses fit the map's mirror better than the map "
            f"({numbers}): they belong to the other hand; mirror the map, or the poses.",
            "open": self._open(numbers),
            "undecided": "As given, the poses fit neither the map nor its mirror better than the "
            f"same orientations shuffled among the particles ({numbers}, {self._chance:.1f} by "
            "chance): they are not poses of these particles in the frame of this map.",
        }[self.verdict]

    def _open(self, numbers: str) -> str:
        if np.isfinite(self.standard_error):
            return (
                f"As given, the poses fit the map and its mirror equally well ({numbers}): their "
                "hand is kept."
            )
        return (
            f"There are too few particles to test the hand of their poses ({numbers}): the hand is "
            "kept."
        )


def compare_hands(
    volume: Volume,
    points: FourierPoints,
    pixel_size_angstrom: float,
    observed: Observations,
    poses: Poses,
    last_shell: int,
) -> HandTest:
    """Compare both hands on images at unchanged poses, each map with spectra fitted to it.

    The comparison uses all images, or the best-fitting part on which the poses differ most clearly
    from chance.

    Parameters
    ----------
    volume : the map.
    points, pixel_size_angstrom : of the images.
    observed : B images of one optics group.
    poses : one for each image.
    last_shell : up to which images and map are compared.
    """
    number = len(poses.rotations)
    hands = [
        _Hand(v, points, pixel_size_angstrom, observed, poses, last_shell)
        for v in (volume, volume.mirrored())
    ]
    gains = np.stack([hand.gains(poses.rotations) for hand in hands])
    if number < _FEWEST_PARTICLES:
        return HandTest(float(gains[0].mean()), float(gains[1].mean()), np.inf)

    better = int(gains[1].mean() > gains[0].mean())
    chance = hands[better].gains(poses.rotations[np.random.default_rng(0).permutation(number)])
    informative = _most_informative(gains[better], chance)
    (same, opposite), beyond = gains[:, informative], (gains[better] - chance)[informative]
    return HandTest(
        float(same.mean()),
        float(opposite.mean()),
        _standard_error(same - opposite),
        float(beyond.mean()),
        _standard_error(beyond),
    )


@dataclass(frozen=True)
class MirrorFit:
    """Poses that fit the mirror of a map better: the mirrored axis, and mean gains with the map and
    the mirror.
    """

    axis: str
    gain: float
    mirror_gain: float


def fit_to_mirror(
    volume: Volume,
    points: FourierPoints,
    pixel_size_angstrom: float,
    observed: Observations,
    poses: Poses,
    last_shell: int,
) -> Optional[MirrorFit]:
    """The mirror of the map, along z, x or y, that poses fit clearly better than the map itself;
    None if there is none.

    Parameters
    ----------
    volume : the map.
    points, pixel_size_angstrom : of the images.
    observed : B images of one optics group.
    poses : one for each image.
    last_shell : up to which images and map are compared.
    """
    tests = {
        axis: compare_hands(
            volume,
            points,
            pixel_size_angstrom,
            observed,
            dataclasses.replace(poses, rotations=poses.rotations @ turn),
            last_shell,
        )
        for axis, turn in _HALF_TURNS.items()
    }

    axis = max(tests, key=lambda name: tests[name].mirror_gain)
    mirror, gain = tests[axis].mirror_gain, tests["z"].gain
    if tests[axis].verdict != "opposite" or mirror < _TIMES_THE_GAIN * gain:
        return None
    return MirrorFit(axis, gain, mirror)


class _Hand:
    """A map with spectra fitted to it at given poses: gains of the images at these or other
    rotations.
    """

    def __init__(
        self,
        volume: Volume,
        points: FourierPoints,
        pixel_size_angstrom: float,
        observed: Observations,
        poses: Poses,
        last_shell: int,
    ):
        likelihood = PoseLikelihood(volume, points, pixel_size_angstrom)
        spectra = measure_spectra(
            likelihood, points, observed, poses.rotations, poses.shifts_px
        ).up_to(last_shell)
        self._gram = WhitenedImages(likelihood, observed, points, spectra).gram(
            max(spectra.last_shell, 1)
        )
        self._poses = poses

    def gains(self, rotations: np.ndarray) -> np.ndarray:
        """(B,) at the shifts of the poses."""
        return profile(self._gram(rotations, self._poses.shifts_px, self._poses.particle))[0]


def _most_informative(given: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Indices of the images on which the given poses differ from chance most clearly.

    They are chosen by the larger of the two gains, so that random poses are not favoured.
    """
    order = np.argsort(-np.maximum(given, chance), kind="stable")
    parts = [
        order,
        *(order[: len(order) // n] for n in _BEST_PARTS if len(order) // n >= _SMALLEST_PART),
    ]
    difference = given - chance
    return max(
        parts,
        key=lambda rows: difference[rows].mean() / max(_standard_error(difference[rows]), 1e-12),
    )


def _standard_error(values: np.ndarray) -> float:
    return float(values.std() / np.sqrt(len(values) - 1))
