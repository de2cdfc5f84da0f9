"""Levenberg-Marquardt on the pose and shift of many particles at once, each with its own damping.

Gauss-Newton with the particle's scale profiled out (variable projection, Kaufman 1975): from the inner products of the
model's derivatives J, the model m and the image y come s = <m, y> / <m, m>, the gradient s <J, y - s m>, and the normal
matrix s^2 (<J, J> - <J, m><m, J> / <m, m>). Its inverse at the optimum is the covariance of the pose.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from .likelihood import PARAMETERS

#: The end: a full step would gain less than this in twice the log likelihood (a seventh of a standard deviation). That
#: step is taken without looking again.
TOLERANCE = 2e-2
#: Or it would gain less than this and failed: the interpolated likelihood has small kinks.
_KINK = 0.1
_FIRST_DAMPING, _LARGEST_DAMPING = 1e-3, 1e6
_EASE, _STIFFEN = 0.2, 8.0
#: No step turns a pose further than this.
_LONGEST_STEP_RAD = 0.35
_MODEL, _IMAGE = PARAMETERS, PARAMETERS + 1


@dataclass
class Poses:
    """Poses in the making. particle : (B,) row of the image. rotations : (B, 3, 3). shifts_px : (B, 2). gain : (B,),
    see `likelihood`. scale : (B,) of the particle. normal : (B, 5, 5). converged : (B,) bool. anchor_rotations,
    anchor_shifts_px : (B, 3, 3), (B, 2), what a prior is centred on. on_grid : (B,) int32, which rotation of a grid it
    is, -1 for none."""

    particle: np.ndarray
    rotations: np.ndarray
    shifts_px: np.ndarray
    gain: Any = None
    scale: Any = None
    normal: Any = None
    converged: Any = None
    anchor_rotations: Any = None
    anchor_shifts_px: Any = None
    on_grid: Any = None

    def __len__(self) -> int:
        return len(self.particle)

    @property
    def starts_image(self) -> np.ndarray:
        """(B,) bool: the first pose of each image, where those of an image stand together."""
        return np.r_[True, self.particle[1:] != self.particle[:-1]]

    def take(self, rows) -> Poses:
        values: Dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen: Dict[str, Any] = {
            name: None if value is None else value[rows] for name, value in values.items()
        }
        return Poses(**chosen)


@dataclass(frozen=True)
class Prior:
    """A Gaussian around the anchors of the poses; standard deviations, inf for none."""

    angle_rad: float = np.inf
    shift_px: float = np.inf

    @property
    def precision(self) -> np.ndarray:
        """(5,) inverse variances of (w, dt)."""
        return np.array([self.angle_rad] * 3 + [self.shift_px] * 2, dtype=np.float64) ** -2.0


#: (rotations, shifts, particle) -> (B, 7, 7) inner products
Gram = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def levenberg_marquardt(
    gram: Gram,
    poses: Poses,
    iterations: int,
    prior: Optional[Prior] = None,
    tolerance: float = TOLERANCE,
    gap: float = np.inf,
) -> Poses:
    """Refine until the gain still expected is below the tolerance, or `iterations` are spent; returns new poses.

    Poses that even so would stay behind the best one of their image by `gap` are left where they are; those of an image
    stand together. With a prior, the penalty is taken off the gain.
    """
    precision = (prior or Prior()).precision
    state = _State(gram, poses, precision, tolerance)
    for _ in range(iterations):
        active = np.flatnonzero(~(state.converged | state.behind(gap)))
        if len(active) == 0:
            break
        state.step(active)
    state.settle()
    return state.poses()


class _State:
    """Everything that changes from iteration to iteration, float64."""

    def __init__(self, gram: Gram, poses: Poses, precision: np.ndarray, tolerance: float):
        self.gram, self.particle, self.precision = gram, poses.particle, precision
        self.tolerance = tolerance
        self.rotations, self.shifts = (
            np.array(a, dtype=np.float64) for a in (poses.rotations, poses.shifts_px)
        )
        self.anchor_rotations, self.anchor_shifts = poses.anchor_rotations, poses.anchor_shifts_px
        starts_image = poses.starts_image
        self._first, self._image = np.flatnonzero(starts_image), np.cumsum(starts_image) - 1
        self.damping = np.full(len(poses), _FIRST_DAMPING)
        rows = np.arange(len(poses))
        self.gain, self.scale, self.gradient, self.normal = self._evaluate(
            rows, self.rotations, self.shifts
        )
        self.expected = self._expected_gain(rows)
        self.converged = self.expected < tolerance

    def step(self, rows: np.ndarray) -> None:
        """One trial step of these; accepted where the gain rises."""
        delta = self._deltas(rows)
        turned = Rotation.from_rotvec(delta[:, :3]).as_matrix() @ self.rotations[rows]
        moved = self.shifts[rows] + delta[:, 3:]
        gain, scale, gradient, normal = self._evaluate(rows, turned, moved)
        better = gain > self.gain[rows]
        won = rows[better]
        self.rotations[won], self.shifts[won] = turned[better], moved[better]
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
        """(B,) bool: no hope to come within the gap of the best pose of the same image."""
        best = np.maximum.reduceat(self.gain, self._first)[self._image]
        return self.gain + self.expected < best - gap

    def settle(self) -> None:
        """The last step, full and on trust, of those that gain next to nothing by it."""
        small = np.flatnonzero(self.expected < self.tolerance)
        if len(small) == 0:
            return
        delta, gain = self._full_step(small)
        self.rotations[small] = (
            Rotation.from_rotvec(delta[:, :3]).as_matrix() @ self.rotations[small]
        )
        self.shifts[small] += delta[:, 3:]
        self.gain[small] += gain

    def poses(self) -> Poses:
        return Poses(
            self.particle,
            self.rotations,
            self.shifts,
            self.gain,
            self.scale,
            self.normal + np.diag(self.precision),
            self.converged,
            self.anchor_rotations,
            self.anchor_shifts,
        )

    def _deltas(self, rows: np.ndarray) -> np.ndarray:
        normal = self.normal[rows] + np.diag(self.precision)
        diagonal = np.einsum("bii->bi", normal)
        floor = 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-30
        damped = (
            normal + np.eye(PARAMETERS) * (self.damping[rows, None] * diagonal + floor)[:, :, None]
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
            normal + floor[:, None, None] * np.eye(PARAMETERS), self.gradient[rows][..., None]
        )
        return step[..., 0], np.einsum("bi,bi->b", step[..., 0], self.gradient[rows])

    def _evaluate(self, rows, rotations, shifts):
        gram = self.gram(rotations, shifts, self.particle[rows])
        gain, scale, gradient, normal = profile(np.asarray(gram, dtype=np.float64))
        if self.precision.any():
            moved = self._moved(rows, rotations, shifts)
            gain = gain - (self.precision * moved**2).sum(axis=1)
            gradient = gradient - self.precision * moved
        return gain, scale, gradient, normal

    def _moved(self, rows, rotations, shifts) -> np.ndarray:
        """(B, 5): how far these poses are from their anchors."""
        turn = Rotation.from_matrix(
            rotations @ np.swapaxes(self.anchor_rotations[rows], 1, 2)
        ).as_rotvec()
        return np.concatenate([turn, shifts - self.anchor_shifts[rows]], axis=1)


def profile(gram: np.ndarray):
    """(gain (B,), scale (B,), gradient (B, 5), normal matrix (B, 5, 5)) of inner products (B, 7, 7), scale profiled."""
    power, overlap = gram[:, _MODEL, _MODEL], gram[:, _MODEL, _IMAGE]
    scale = np.divide(np.maximum(overlap, 0.0), power, out=np.zeros_like(power), where=power > 0)
    j = slice(0, PARAMETERS)
    with_model, with_image = gram[:, j, _MODEL], gram[:, j, _IMAGE]
    gradient = scale[:, None] * (with_image - scale[:, None] * with_model)
    outer = with_model[:, :, None] * with_model[:, None, :]
    projected = gram[:, j, j] - np.divide(
        outer, power[:, None, None], out=np.zeros_like(outer), where=power[:, None, None] > 0
    )
    return scale * overlap * (overlap > 0), scale, gradient, (scale**2)[:, None, None] * projected
