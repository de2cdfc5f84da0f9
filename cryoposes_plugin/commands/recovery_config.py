"""Options of the commands that recover rotations from distances between particles."""

from __future__ import annotations

from dataclasses import dataclass

from .config import RECOVERY, Config, option


@dataclass(frozen=True)
class RecoveryConfig(Config):
    """How rotations are recovered from pairwise distances."""

    method: str = option(
        "spectral",
        "Spectral decomposition and least squares, or, for comparison, the mini-batch "
        "minimisation of Banjac et al. 2021.",
        label="Method",
        group=RECOVERY,
        choices=("spectral", "minibatch"),
        titles={"minibatch": "mini-batches"},
        expert=True,
    )
    minibatch_steps: int = option(
        20000,
        "Number of steps of the mini-batch minimisation.",
        label="Mini-batch steps",
        group=RECOVERY,
        expert=True,
        minimum=1,
        maximum=10**9,
    )
    minibatch_pairs: int = option(
        256,
        "Number of pairs per step of the mini-batch minimisation.",
        label="Pairs per mini-batch",
        group=RECOVERY,
        expert=True,
        minimum=1,
        maximum=10**6,
    )
    minibatch_rate: float = option(
        0.5,
        "Learning rate of the mini-batch minimisation.",
        label="Mini-batch learning rate",
        group=RECOVERY,
        expert=True,
        minimum=0,
        maximum=1000,
    )
