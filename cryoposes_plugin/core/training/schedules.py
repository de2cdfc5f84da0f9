"""What changes in the course of training, as functions of the fraction done (0 to 1); tensors or
numbers.
"""

from __future__ import annotations

import math
from typing import Any, Tuple

_END = 1e-4
_STEP_AT = 0.8


def curriculum(fraction: Any) -> Tuple[Any, Any]:
    """(beta1, beta2) = (sqrt(i / l) / 2, 1 - sqrt(i / l)): first distances, then poses (Chung 2023,
    section 3.5).
    """
    root = fraction**0.5
    return 0.5 * root, 1.0 - root


def learning_rate_factor(schedule: str, step: int, total: int, warm_up: int) -> float:
    """Factor on the peak learning rate.

    Parameters
    ----------
    schedule : "one-cycle"; "stepped", a fifth after 80 % of the steps (Lian 2022); or "constant"
    (Banjac et al. 2021).
    step, total : steps done, and their total number.
    warm_up : number of steps over which the rate of "one-cycle" rises.

    Raises
    ------
    ValueError
        For another schedule.
    """
    if schedule == "one-cycle":
        return one_cycle_factor(step, total, warm_up)
    if schedule == "constant":
        return 1.0
    if schedule != "stepped":
        raise ValueError(f"expected 'one-cycle', 'stepped' or 'constant', received {schedule!r}")
    return 1.0 if step < max(_STEP_AT * total, warm_up) else 0.2


def one_cycle_factor(step: int, total: int, warm_up: int) -> float:
    """One cycle, up and down, as a factor on the peak learning rate (Smith 2018).

    Linear up over the first `warm_up` steps, whatever the total: while they run, the total need not
    be known yet. Then a cosine down to almost nothing.
    """
    if step < warm_up:
        return (step + 1) / warm_up
    return _END + (1 - _END) * 0.5 * (1 + math.cos(math.pi * fraction_done(step, total, warm_up)))


def fraction_done(step: int, total: int, warm_up: int) -> float:
    """Share of the training after the warm-up that is done, 0 during the warm-up."""
    return min(max(step - warm_up, 0) / max(total - warm_up, 1), 1.0)
