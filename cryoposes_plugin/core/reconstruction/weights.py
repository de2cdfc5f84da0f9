r"""Weights of particles in a reconstruction, by the errors of their poses.

If the pose of particle i is wrong with probability 1 - p and else has an error of covariance
\Sigma, the mean of its image at its pose is a(k) C(k) X(k) with

    a(k) = p exp(-k^T M k / 2),     M = R^2 / 3 (tr(S) 1 - S_xy) + T,

where S (3, 3) and T (2, 2) are the parts of \Sigma of rotation and shift in the image's frame, S_xy
is the block of x and y of S, and R the particle's radius of gyration. (A rotation e moves the
density at p by e x p. Averaged over a density that is alike in all directions about the origin, the
variance of k.(e x p) is R^2 / 3 (k^2 tr(S) - k^T S k).) The least-squares estimate for white noise
is then sum a C Y / sum a^2 C^2. An image with a wrong pose adds no signal in the mean.

What all particles lose alike at a frequency is left in the map, so that maps are not sharpened: the
attenuations are divided by sum a^2 / sum a over the particles. The signal that is not in the mean
adds to the noise and is neglected, as it is small beside that of cryo-EM images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
from scipy.special import ive

from ..io.covariances import covariance_of_errors

#: Exponents are not below this value: where a particle has this little signal, all have.
_LOWEST_EXPONENT = -8.0


@dataclass(frozen=True)
class PoseWeights:
    """What errors of the poses leave of the signal of N particles.

    Attributes
    ----------
    probability : (N,) that the pose is right.
    blur_angstrom2 : (N, 2, 2) covariance M, in Å^2, of the displacement of density in the image.
    """

    probability: np.ndarray
    blur_angstrom2: np.ndarray

    def attenuation(self, rows: np.ndarray, fx: np.ndarray, fy: np.ndarray) -> np.ndarray:
        """(B, n) float32 a(k) of some particles at spatial frequencies (n,) in 1/Å."""
        m = self.blur_angstrom2[rows]
        form = m[:, 0, 0, None] * fx**2 + 2 * m[:, 0, 1, None] * fx * fy + m[:, 1, 1, None] * fy**2
        exponent = np.maximum(-2 * np.pi**2 * form, _LOWEST_EXPONENT)
        return (self.probability[rows, None] * np.exp(exponent)).astype(np.float32)

    def relative_attenuation(self, rows: np.ndarray, fx: np.ndarray, fy: np.ndarray) -> np.ndarray:
        """(B, n) float32 a(k) over what all particles keep, sum a^2 / sum a, at the same |k|."""
        radius = np.hypot(fx, fy)
        radii = np.linspace(0, float(radius.max()), 128)
        means, squares = self._sums(radii)
        kept = np.divide(squares, means, out=np.ones_like(means), where=means > 0)
        return self.attenuation(rows, fx, fy) / np.interp(radius, radii, kept).astype(np.float32)

    def effective_number(self, frequency_per_angstrom: float) -> float:
        """How many particles with exact poses give the same signal-to-noise ratio at a frequency:
        sum a^2.
        """
        return float(self._sums(np.array([frequency_per_angstrom]))[1][0])

    def _sums(self, radii: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Sums of a and of a^2 over the particles, (n,) each, averaged over the directions of k.

        The mean of exp(-c k^T M k) over a circle is exp(-c k^2 (m + n) / 2) I0(c k^2 (m - n) / 2)
        with the eigenvalues m and n.
        """
        m = self.blur_angstrom2
        half_trace = 0.5 * (m[:, 0, 0] + m[:, 1, 1])
        half_gap = np.hypot(0.5 * (m[:, 0, 0] - m[:, 1, 1]), m[:, 0, 1])
        sums = []
        for power in (1, 2):
            c = power * 2 * np.pi**2 * radii[:, None] ** 2
            exponent = np.maximum(-c * (half_trace - half_gap), power * _LOWEST_EXPONENT)
            mean = np.exp(exponent) * ive(0, c * half_gap)
            sums.append(mean @ self.probability**power)
        return sums[0], sums[1]


def blur_of_covariance(covariance: np.ndarray, radius_angstrom: float) -> np.ndarray:
    """(N, 2, 2) M in Å^2 from the covariance (N, 5, 5) of rotation (radians) and shift (Å).

    Both are in the image's frame; `radius_angstrom` is the particle's radius of gyration.
    """
    rotation = covariance[:, :3, :3]
    trace = np.trace(rotation, axis1=1, axis2=2)[:, None, None]
    turned = trace * np.eye(2) - rotation[:, :2, :2]
    return radius_angstrom**2 / 3 * turned + covariance[:, 3:, 3:]


def blur_of_errors(
    error_rad: np.ndarray, shift_error_angstrom: np.ndarray, radius_angstrom: float
) -> np.ndarray:
    """(N, 2, 2) M in Å^2 from root mean square errors (N,), equal in all directions."""
    return blur_of_covariance(
        covariance_of_errors(error_rad, shift_error_angstrom), radius_angstrom
    )


def pose_weights(
    number: int, probability: Optional[np.ndarray], blur_angstrom2: Optional[np.ndarray]
) -> PoseWeights:
    """Weights of a number of particles; without a probability all poses are right, without a blur
    exact.
    """
    return PoseWeights(
        np.ones(number) if probability is None else probability,
        np.zeros((number, 2, 2)) if blur_angstrom2 is None else blur_angstrom2,
    )
