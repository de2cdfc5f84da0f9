"""Levenberg-Marquardt on the pose and shift of many particles at once, each with its own damping.

Gauss-Newton with the particle's scale profiled out (variable projection, Kaufman 1975): from the
inner products of the model's derivatives J, the model m and the image y come s = <m, y> / <m, m>,
the gradient s <J, y - s m>, and the normal matrix s^2 (<J, J> - <J, m><m, J> / <m, m>). Its inverse
at the optimum is the covariance of the pose.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional, Tuple, Union

import numpy as np
from scipy.spatial.transform import Rotation

from ..likelihood.pose_likelihood import PARAMETERS
from .poses import Poses

#: A pose has converged when a full step would gain less than this in twice the log likelihood (a
#: seventh of a standard deviation). That step is taken without evaluating the likelihood again.
TOLERANCE = 2e-2
#: A pose has also converged when a step fails that would gain less than this: interpolation leaves
#: small kinks.
_KINK = 0.1
_FIRST_DAMPING, _LARGEST_DAMPING = 1e-3, 1e6
_EASE, _STIFFEN = 0.2, 8.0
#: No step turns a pose further than this.
_LONGEST_STEP_RAD = 0.35
#: Places of model and image in the inner products.
_MODEL, _IMAGE = -2, -1

#: Which of the parameters (w, dt) are refined; the others stay what they are.
BOTH, ANGLES, SHIFTS = "both", "angles", "shifts"
FREE = {
    BOTH: np.ones(PARAMETERS, bool),
    ANGLES: np.array([True] * 3 + [False] * 2),
    SHIFTS: np.array([False] * 3 + [True] * 2),
}


@dataclass(frozen=True)
class Optima:
    """Refined poses of B starts.

    Attributes
    ----------
    poses : the refined poses, with the anchors of their starts.
    gain : (B,), see `pose_likelihood`; with a prior, its penalty is subtracted.
    scale : (B,) of the particle's signal.
    normal : (B, 5, 5) normal matrix of (w, dt), the inverse of the covariance; of a parameter that
        is not refined, a row of the unit matrix.
    converged : (B,) bool.
    further : (B, E) refined parameters beyond the pose; `normal` is then (B, 5 + E, 5 + E).
    """

    poses: Poses
    gain: np.ndarray
    scale: np.ndarray
    normal: np.ndarray
    converged: np.ndarray
    further: np.ndarray

    def take(self, rows: Union[np.ndarray, slice]) -> Optima:
        """Some of them, in the given order."""
        return Optima(
            self.poses.take(rows),
            self.gain[rows],
            self.scale[rows],
            self.normal[rows],
            self.converged[rows],
            self.further[rows],
        )


@dataclass(frozen=True)
class Prior:
    """A Gaussian around the anchors of the poses; standard deviations, inf for none."""

    angle_rad: float = np.inf
    shift_px: float = np.inf

    @property
    def precision(self) -> np.ndarray:
        """(5,) inverse variances of (w, dt)."""
        return np.array([self.angle_rad] * 3 + [self.shift_px] * 2, dtype=np.float64) ** -2.0


#: Rotations (B, 3, 3), shifts (B, 2), particles (B,) and, if there are any, further parameters (B,
#: E) -> (B, 7 + E, 7 + E) inner products.
Gram = Callable[..., np.ndarray]
#: Nothing is refined but the pose.
_NONE = np.zeros(0)


def levenberg_marquardt(
    gram: Gram,
    poses: Poses,
    iterations: int,
    prior: Optional[Prior] = None,
    tolerance: float = TOLERANCE,
    gap: float = np.inf,
    free: np.ndarray = FREE[BOTH],
    further_precision: np.ndarray = _NONE,
) -> Optima:
    """Refine poses until the gain that is still expected falls below the tolerance.

    Parameters
    ----------
    gram : inner products of the model's derivatives (5), the model and the image at given poses.
    poses : to start from; the poses of an image must stand together.
    iterations : the largest number of trial steps.
    prior : Gaussian around the anchors of the poses; its penalty is subtracted from the gain.
    tolerance : of the expected gain, in twice the log likelihood.
    gap : a pose that would stay behind the best one of its image by this gain is not refined
        further.
    free : (5,) bool, the parameters of the pose that are refined.
    further_precision : (E,) inverse variances of the priors of further parameters, which start at
        their mean 0.
    """
    precision = np.where(free, (prior or Prior()).precision, 0.0)
    precision = np.concatenate([precision, further_precision])
    free = np.concatenate([free, np.ones(len(further_precision), bool)])
    state = _State(gram, poses, precision, tolerance, free)

    for _ in range(iterations):
        active = np.flatnonzero(~(state.converged | state.behind(gap)))
        if len(active) == 0:
            break
        state.step(active)

    state.settle()
    return state.optima()


class Profile(NamedTuple):
    """At B poses: gain (B,), scale (B,), gradient (B, 5), and normal matrix (B, 5, 5)."""

    gain: np.ndarray
    scale: np.ndarray
    gradient: np.ndarray
    normal: np.ndarray


class _State:
    """Everything that changes from iteration to iteration, float64."""

    def __init__(
        self,
        gram: Gram,
        poses: Poses,
        precision: np.ndarray,
        tolerance: float,
        free: np.ndarray,
    ):
        self.gram, self.precision, self.tolerance = gram, precision, tolerance
        self._free, self._fixed = free, np.diag(~free).astype(np.float64)
        self._start, self.particle = poses, poses.particle
        self.rotations, self.shifts = (
            np.array(a, dtype=np.float64) for a in (poses.rotations, poses.shifts_px)
        )
        self.further = np.zeros((len(poses), len(precision) - PARAMETERS))

        starts_image = poses.starts_image
        self._first, self._image = np.flatnonzero(starts_image), np.cumsum(starts_image) - 1
        self.damping = np.full(len(poses), _FIRST_DAMPING)
        rows = np.arange(len(poses))
        self.gain, self.scale, self.gradient, self.normal = self._evaluate(
            rows, self.rotations, self.shifts, self.further
        )
        self.expected = self._expected_gain(rows)
        self.converged = self.expected < tolerance

    def step(self, rows: np.ndarray) -> None:
        """One trial step of these poses, accepted where the gain rises."""
        delta = self._deltas(rows)
        turned = Rotation.from_rotvec(delta[:, :3]).as_matrix() @ self.rotations[rows]
        moved = self.shifts[rows] + delta[:, 3:PARAMETERS]
        further = self.further[rows] + delta[:, PARAMETERS:]
        gain, scale, gradient, normal = self._evaluate(rows, turned, moved, further)

        better = gain > self.gain[rows]
        won = rows[better]
        self.rotations[won], self.shifts[won] = turned[better], moved[better]
        self.further[won] = further[better]
        self.gain[won], self.scale[won] = gain[better], scale[better]
        self.gradient[won], self.normal[won] = gradient[better], normal[better]

        self.damping[rows] *= np.where(better, _EASE, _STIFFEN)
        left = self.expected[rows] = self._expected_gain(rows)
        self.converged[rows] = (
            (left < self.tolerance)
            | (~better & (left < _KINK))
            | (self.damping[rows] > _LARGEST_DAMPING)
        )

    def behind(self, gap: float) -> np.ndarray:
        """(B,) bool: not expected to come within the gap of the best pose of the same image."""
        best = np.maximum.reduceat(self.gain, self._first)[self._image]
        return self.gain + self.expected < best - gap

    def settle(self) -> None:
        """A last full step, without evaluation, of the poses that gain very little by it."""
        small = np.flatnonzero(self.expected < self.tolerance)
        if len(small) == 0:
            return
        delta, gain = self._full_step(small)
        self.rotations[small] = (
            Rotation.from_rotvec(delta[:, :3]).as_matrix() @ self.rotations[small]
        )
        self.shifts[small] += delta[:, 3:PARAMETERS]
        self.further[small] += delta[:, PARAMETERS:]
        self.gain[small] += gain

    def optima(self) -> Optima:
        refined = dataclasses.replace(
            self._start, rotations=self.rotations, shifts_px=self.shifts, on_grid=None
        )
        normal = self.normal + np.diag(self.precision)
        return Optima(refined, self.gain, self.scale, normal, self.converged, self.further)

    def _deltas(self, rows: np.ndarray) -> np.ndarray:
        normal = self.normal[rows] + np.diag(self.precision)
        diagonal = np.einsum("bii->bi", normal)
        floor = 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-30
        damped = (
            normal
            + np.eye(len(self.precision))
            * (self.damping[rows, None] * diagonal + floor)[:, :, None]
        )
        delta = np.linalg.solve(damped, self.gradient[rows][..., None])[..., 0]
        angle = np.linalg.norm(delta[:, :3], axis=1, keepdims=True)
        return delta * np.minimum(1.0, _LONGEST_STEP_RAD / np.maximum(angle, 1e-30))

    def _expected_gain(self, rows: np.ndarray) -> np.ndarray:
        return self._full_step(rows)[1]

    def _full_step(self, rows: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """A full Gauss-Newton step H^-1 g (B, 5), and what it would gain, g^T H^-1 g (B,)."""
        normal = self.normal[rows] + np.diag(self.precision)
        floor = 1e-9 * np.einsum("bii->bi", normal).max(axis=1) + 1e-30
        step = np.linalg.solve(
            normal + floor[:, None, None] * np.eye(len(self.precision)),
            self.gradient[rows][..., None],
        )
        return step[..., 0], np.einsum("bi,bi->b", step[..., 0], self.gradient[rows])

    def _evaluate(
        self, rows: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, further: np.ndarray
    ) -> Profile:
        """With the penalty of the prior, if there is one."""
        others = (further,) if further.shape[1] else ()
        gram = self.gram(rotations, shifts, self.particle[rows], *others)
        gain, scale, gradient, normal = profile(np.asarray(gram, dtype=np.float64))
        if self.precision.any():
            moved = np.concatenate([self._moved(rows, rotations, shifts), further], axis=1)
            gain = gain - (self.precision * moved**2).sum(axis=1)
            gradient = gradient - self.precision * moved
        both_free = self._free[:, None] & self._free
        return Profile(gain, scale, gradient * self._free, normal * both_free + self._fixed)

    def _moved(self, rows: np.ndarray, rotations: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """(B, 5): how far these poses are from their anchors."""
        if not self.precision[:PARAMETERS].any():
            return np.zeros((len(rows), PARAMETERS))
        anchors, anchor_shifts = self._start.anchor_rotations, self._start.anchor_shifts_px
        if anchors is None or anchor_shifts is None:
            raise ValueError("a prior needs poses with anchors")
        turn = Rotation.from_matrix(rotations @ np.swapaxes(anchors[rows], 1, 2)).as_rotvec()
        return np.concatenate([turn, shifts - anchor_shifts[rows]], axis=1)


def profile(gram: np.ndarray) -> Profile:
    """Profile out the scale, from the inner products (B, n + 2, n + 2) of n derivatives, model and
    image.
    """
    power, overlap = gram[:, _MODEL, _MODEL], gram[:, _MODEL, _IMAGE]
    scale = np.divide(np.maximum(overlap, 0.0), power, out=np.zeros_like(power), where=power > 0)
    j = slice(0, _MODEL)
    with_model, with_image = gram[:, j, _MODEL], gram[:, j, _IMAGE]
    gradient = scale[:, None] * (with_image - scale[:, None] * with_model)
    outer = with_model[:, :, None] * with_model[:, None, :]
    projected = gram[:, j, j] - np.divide(
        outer, power[:, None, None], out=np.zeros_like(outer), where=power[:, None, None] > 0
    )
    gain = scale * overlap * (overlap > 0)
    return Profile(gain, scale, gradient, (scale**2)[:, None, None] * projected)
