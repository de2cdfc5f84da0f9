"""The options of `recover`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError, InputError
from ..config import COMPUTATION, DISTANCES, INPUT, RECOVERY, Config, option

_FEWEST_PARTICLES = 50


@dataclass(frozen=True)
class RecoverConfig(Config):
    command: ClassVar[str] = "recover"
    title: ClassVar[str] = "recover poses from distances"
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    thread_per_batch: ClassVar[bool] = True

    particles: Optional[str] = option(
        None,
        "Particles whose poses are recovered.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    model: Optional[str] = option(
        None,
        "A network that `train` has trained for distances ('distance' or 'banjac2021'). Of a "
        "network that gives poses, the distances between its estimates are used.",
        label="Pose model",
        group=INPUT,
        path="FOLDER",
    )
    volume: Optional[str] = option(
        None,
        "Volume that the network was trained on (a map, or the atomic model). Poses then follow "
        "from distances to its simulated projections, in its frame. Without it they follow from "
        "distances between the particles, in a frame of their own.",
        label="Volume",
        group=INPUT,
        path="MRC",
    )
    truth: Optional[str] = option(
        None,
        "The same particles with their true poses, if these are known. Errors are then reported.",
        label="True poses",
        group=INPUT,
        path="STAR",
    )
    distances: Optional[str] = option(
        None,
        "A file (npz) of distances, instead of a network: arrays i and j (particles, counted from "
        "0), d (distances in radians) and, optionally, weight (inverse variance).",
        label="File of distances",
        group=INPUT,
        path="NPZ",
    )
    landmarks: int = option(
        400,
        "Number of particles, or of projections of the volume, to which the distances of all "
        "particles are measured.",
        label="Landmarks",
        group=DISTANCES,
        expert=True,
        minimum=20,
        maximum=5000,
    )
    copies: int = option(
        300,
        "Number of images that are copied, rotated and mirrored, in order to find the direction "
        "of the beam.",
        label="Rotated copies",
        group=DISTANCES,
        expert=True,
        minimum=20,
        maximum=10**5,
    )
    reference_snr: Optional[float] = option(
        None,
        "SNR of the simulated projections of the volume. Default: that of the particles, as "
        "measured.",
        label="SNR of the projections",
        group=DISTANCES,
        expert=True,
        minimum=1e-6,
        maximum=1e6,
    )
    max_shift_px: float = option(
        8.0,
        "Largest shift that is searched if a volume is given, in pixels of the network's images.",
        label="Largest shift",
        group=DISTANCES,
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
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
    batch_size: int = option(
        64,
        "Number of images per batch. It affects speed and memory, not the result. Small batches "
        "stay in the caches of the processor.",
        label="Batch size",
        group=COMPUTATION,
        expert=True,
        minimum=1,
        maximum=10**6,
    )

    def validate(self) -> None:
        super().validate()
        if (self.model is None) == (self.distances is None):
            what = (
                "neither --model nor --distances is given"
                if self.model is None
                else "both --model and --distances"
            )
            raise ConfigError(
                f"recover: {what}{'' if self.model is None else ' are given'}; give a model with --particles, or a "
                "file of distances."
            )
        if self.model is not None and self.particles is None:
            raise ConfigError(
                "recover: --particles is missing; give the particle STAR file whose poses are wanted."
            )
        for name in ("particles", "volume", "truth"):
            if self.distances is not None and getattr(self, name) is not None:
                raise ConfigError(
                    f"recover: --{name} belongs to --model, not to --distances; leave one of them out."
                )
        if self.volume is not None and self.method == "minibatch":
            raise ConfigError(
                "recover: --method minibatch looks for the poses of particles among each other and --volume gives "
                "references; leave one of them out."
            )

    def check_number(self, what: str, number: int) -> None:
        """InputError where particles, called `what`, are too few for distances among each other."""
        if self.volume is None and number < _FEWEST_PARTICLES:
            raise InputError(
                f"{what}: this set has {number}, and distances among fewer than {_FEWEST_PARTICLES} particles tell no "
                "poses; give more particles, or a --volume."
            )
