"""A map's slices at rotations that many images start from: made once, then read instead of interpolated."""

from __future__ import annotations

import threading
from typing import Optional, Tuple

import numpy as np
import tensorflow as tf

from .likelihood import PoseLikelihood


class SliceTable:
    """Slices at G rotations (G, 3, 3)."""

    def __init__(self, likelihood: PoseLikelihood, rotations: np.ndarray):
        self._likelihood, self._rotations = likelihood, rotations
        self._made: Optional[Tuple[int, tf.Tensor]] = None
        self._lock = threading.Lock()

    def up_to(self, number: int) -> tf.Tensor:
        """(G, 2 P) float32, real parts and then imaginary, of the first P = `number` points."""
        with self._lock:
            if self._made is None or self._made[0] != number:
                slices = self._likelihood.slices(self._rotations, number)
                self._made = (
                    number,
                    tf.constant(np.concatenate([slices.real, slices.imag], axis=1), tf.float32),
                )
            return self._made[1]
