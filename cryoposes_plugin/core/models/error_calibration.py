"""From a network's own uncertainty to errors in degrees: the laws that `train` finds on held-out
images with known poses, stored in the model card as numbers, and what they say of other images.

An error below `basin_deg` is one of noise, a larger one that of a wrong pose. With the features
f = (1, logit of the probability elsewhere, log of the trace of the covariance), the probability of
a wrong pose is an ascending function of c f, and the mean square of either error in degrees^2 is
exp(d f).
The distribution of an error over its root mean square is that of the held-out images.

A network is less certain of noisier images, but not by as much as it is worse: the laws hold for
one SNR, and are interpolated between those at which they were found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import InputError
from ..values import real, shown

#: The quantiles of ratios that are stored.
QUANTILES = np.linspace(0.0, 1.0, 41)
#: The laws hold so far beyond the SNRs at which they were found.
TOLERANCE = 1.15
_LARGEST_DEG = 180.0
_MOST_LEVELS = 16
_LIMIT = 1e6
_BISECTIONS = 20


class ExpectedErrors(NamedTuple):
    """What is expected of N poses.

    wrong : (N,) probability of a wrong pose. basin_deg : (N,) root mean square error if it is not
    wrong. error_deg : (N,) over both cases. bound_deg : (N,) exceeded by one error in ten.
    """

    wrong: np.ndarray
    basin_deg: np.ndarray
    error_deg: np.ndarray
    bound_deg: np.ndarray


@dataclass(frozen=True)
class ErrorLaw:
    """The law of the errors at one SNR.

    Attributes
    ----------
    snr : of the images, at the box and pixel size of the network.
    wrong, basin, elsewhere : (3,) coefficients, see above; elsewhere is the error of a wrong pose.
    doubt, probability : (Q,) quantiles of c f, and the probability of a wrong pose there.
    basin_ratio, elsewhere_ratio : (Q,) quantiles of the errors over their root mean squares.
    lowest, highest : (2,) range of the features without the leading 1; others are moved into it.
    level : quantile of the distribution of an error that holds for 90 % of the held-out images.
    """

    snr: float
    wrong: np.ndarray
    basin: np.ndarray
    elsewhere: np.ndarray
    doubt: np.ndarray
    probability: np.ndarray
    basin_ratio: np.ndarray
    elsewhere_ratio: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    level: float = 0.9

    def expected(self, features: np.ndarray) -> ExpectedErrors:
        """What is expected of poses with these features (N, 2)."""
        wrong, basin, elsewhere = self._cases(features)
        error = np.sqrt((1.0 - wrong) * basin**2 + wrong * elsewhere**2)
        return ExpectedErrors(wrong, basin, error, self._bound(wrong, basin, elsewhere))

    def below(self, error_deg: np.ndarray, features: np.ndarray) -> np.ndarray:
        """(N,) probability that the error of poses with these features (N, 2) is below (N,) values."""
        return self._below(error_deg, *self._cases(features))

    def _cases(self, features: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) probability of a wrong pose, and root mean square errors of right and wrong ones."""
        inside = np.clip(features, self.lowest, self.highest)
        design = np.concatenate([np.ones((len(inside), 1)), inside], axis=1)
        wrong = np.interp(design @ self.wrong, self.doubt, self.probability)
        roots = (np.exp(0.5 * design @ law) for law in (self.basin, self.elsewhere))
        basin, elsewhere = (np.minimum(root, _LARGEST_DEG) for root in roots)
        return wrong, basin, elsewhere

    def _below(
        self, error_deg: np.ndarray, wrong: np.ndarray, basin: np.ndarray, elsewhere: np.ndarray
    ) -> np.ndarray:
        right = np.interp(error_deg / basin, self.basin_ratio, QUANTILES)
        others = np.interp(error_deg / elsewhere, self.elsewhere_ratio, QUANTILES)
        return (1.0 - wrong) * right + wrong * others

    def _bound(self, wrong: np.ndarray, basin: np.ndarray, elsewhere: np.ndarray) -> np.ndarray:
        low, high = np.zeros(len(wrong)), np.full(len(wrong), _LARGEST_DEG)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            enough = self._below(middle, wrong, basin, elsewhere) >= self.level
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high


@dataclass(frozen=True)
class ErrorCalibration:
    """The laws of the errors of a network, by ascending SNR.

    basin_deg : errors above it are those of wrong poses.
    """

    basin_deg: float
    laws: Tuple[ErrorLaw, ...]

    @property
    def range_snr(self) -> Tuple[float, float]:
        """The lowest and the highest SNR for which errors are known."""
        return self.laws[0].snr / TOLERANCE, self.laws[-1].snr * TOLERANCE

    def at(self, snr: float) -> Optional[ErrorLaw]:
        """The law for images of this SNR, interpolated in its logarithm; None out of range."""
        if not self.range_snr[0] <= snr <= self.range_snr[1]:
            return None
        known = np.log([law.snr for law in self.laws])
        place = float(np.interp(math.log(snr), known, np.arange(len(known))))
        low = min(int(place), max(len(known) - 2, 0))
        high, share = min(low + 1, len(known) - 1), place - low

        def between(name: str) -> Any:
            a, b = (getattr(self.laws[i], name) for i in (low, high))
            if name != "probability":
                return (1.0 - share) * a + share * b
            # In the logit: a little of a law of frequent wrong poses must not make them frequent.
            logits = (1.0 - share) * _logit(a) + share * _logit(b)
            return 1.0 / (1.0 + np.exp(-logits))

        return ErrorLaw(**{f.name: between(f.name) for f in fields(ErrorLaw)})

    def to_dict(self) -> Dict[str, Any]:
        """As in a model card."""
        laws = [
            {f.name: np.round(getattr(law, f.name), 8).tolist() for f in fields(law)}
            for law in self.laws
        ]
        return {"basin_deg": self.basin_deg, "laws": laws}

    @classmethod
    def from_dict(cls, values: Dict[str, Any], what: str, remedy: str) -> ErrorCalibration:
        """The calibration of a model card; InputError for anything that is none.

        Parameters
        ----------
        values : from JSON.
        what, remedy : name the values, and end the sentence of an error.
        """
        basin = real(values.get("basin_deg"), f"{what}: basin_deg", remedy, 0.1, _LARGEST_DEG)
        given = values.get("laws")
        if not isinstance(given, list) or not 1 <= len(given) <= _MOST_LEVELS:
            raise InputError(
                f"{what}: laws is {shown(given)}, not a list of 1 to {_MOST_LEVELS}; {remedy}."
            )
        laws = tuple(_law(law, f"{what}: law {i + 1}", remedy) for i, law in enumerate(given))
        if any(a.snr >= b.snr for a, b in zip(laws, laws[1:])):
            raise InputError(f"{what}: the SNRs of the laws do not ascend; {remedy}.")
        return cls(basin, laws)


def features_of(covariance: np.ndarray, elsewhere: np.ndarray) -> np.ndarray:
    """(N, 2) features from the network's covariance (N, 3, 3) and probability elsewhere (N,)."""
    trace = np.maximum(np.trace(covariance, axis1=1, axis2=2), 1e-8)
    return np.stack([_logit(elsewhere), np.log(trace)], axis=1)


def _logit(probability: np.ndarray) -> np.ndarray:
    inside = np.clip(probability, 1e-6, 1.0 - 1e-6)
    return np.log(inside / (1.0 - inside))


def calibrated_covariance(covariance: np.ndarray, basin_deg: np.ndarray) -> np.ndarray:
    """(N, 3, 3) the network's covariances with the root mean squares (N,) of the calibration."""
    trace = np.maximum(np.trace(covariance, axis1=1, axis2=2), 1e-8)
    return covariance * (np.deg2rad(basin_deg) ** 2 / trace)[:, None, None]


#: Number of values of each array of a law, and whether they ascend.
_ARRAYS = {
    "wrong": (3, False),
    "basin": (3, False),
    "elsewhere": (3, False),
    "doubt": (len(QUANTILES), True),
    "probability": (len(QUANTILES), True),
    "basin_ratio": (len(QUANTILES), True),
    "elsewhere_ratio": (len(QUANTILES), True),
    "lowest": (2, False),
    "highest": (2, False),
}
#: Limits of the values of some.
_LIMITS = {
    "probability": (0.0, 1.0),
    "basin_ratio": (0.0, _LIMIT),
    "elsewhere_ratio": (0.0, _LIMIT),
}


def _law(values: Any, what: str, remedy: str) -> ErrorLaw:
    if not isinstance(values, dict):
        raise InputError(f"{what} is {shown(values)}, not a table; {remedy}.")
    snr = real(values.get("snr"), f"{what}: snr", remedy, 1e-6, _LIMIT)
    level = real(values.get("level"), f"{what}: level", remedy, 0.5, 1.0)
    arrays = {name: _numbers(values.get(name), name, what, remedy) for name in _ARRAYS}
    for name, (least, most) in _LIMITS.items():
        if arrays[name][0] < least or arrays[name][-1] > most:
            raise InputError(f"{what}: {name} leaves {least:g} to {most:g}; {remedy}.")
    if (arrays["lowest"] > arrays["highest"]).any():
        raise InputError(f"{what}: lowest is above highest; {remedy}.")
    return ErrorLaw(snr=snr, level=level, **arrays)


def _numbers(values: Any, name: str, what: str, remedy: str) -> np.ndarray:
    number, ascending = _ARRAYS[name]
    if not isinstance(values, list) or len(values) != number:
        raise InputError(f"{what}: {name} is not a list of {number} numbers; {remedy}.")
    array = np.array([real(v, f"{what}: {name}", remedy, -_LIMIT, _LIMIT) for v in values])
    if ascending and (np.diff(array) < 0).any():
        raise InputError(f"{what}: {name} does not ascend; {remedy}.")
    return array
