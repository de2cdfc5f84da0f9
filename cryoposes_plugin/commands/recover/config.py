"""What `recover` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError, InputError
from ..config import Config, option

_FEWEST_PARTICLES = 50


@dataclass(frozen=True)
class RecoverConfig(Config):
    command: ClassVar[str] = "recover"
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    thread_per_batch: ClassVar[bool] = True

    model: Optional[str] = option(
        None,
        "Folder of a model that was trained for distances (--preset distance or banjac2021); of a pose network the "
        "distances between its estimates are taken.",
        path=True,
    )
    particles: Optional[str] = option(None, "Particle STAR file whose poses are wanted.", path=True)
    volume: Optional[str] = option(
        None,
        "Volume (MRC, or the atomic model) that the model was trained on: poses follow from the distances to its "
        "simulated projections, in its frame. Without it from the distances between the particles, in a frame of "
        "their own.",
        path=True,
    )
    truth: Optional[str] = option(
        None,
        "Particle STAR file with the true poses, where they are known: errors are reported.",
        path=True,
    )
    distances: Optional[str] = option(
        None,
        "Instead of a model, a file (npz) of pairs: arrays i and j (particles, from 0), d (radians), and perhaps "
        "weight (inverse variance).",
        path=True,
    )
    landmarks: int = option(
        400,
        "Particles, or projections of the volume, that the distances of all particles are taken to.",
        expert=True,
        minimum=20,
        maximum=5000,
    )
    copies: int = option(
        300,
        "Images of which turned and mirrored copies are made, to find the direction of the beam.",
        expert=True,
        minimum=20,
        maximum=10**5,
    )
    reference_snr: Optional[float] = option(
        None,
        "SNR of the simulated projections of the volume; default: that of the particles, as measured.",
        expert=True,
        minimum=1e-6,
        maximum=1e6,
    )
    max_shift_px: float = option(
        8.0,
        "With a volume: largest shift looked for, in pixels of the model's images.",
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    batch_size: int = option(
        64,
        "Images a batch: a matter of speed and memory. Small ones stay in the processor's caches.",
        expert=True,
        minimum=1,
        maximum=10**6,
    )
    method: str = option(
        "spectral",
        "Linear algebra and least squares, or the mini-batch minimisation of Banjac et al. 2021, to compare with.",
        choices=("spectral", "minibatch"),
        titles=("spectral", "mini-batches"),
        expert=True,
    )
    minibatch_steps: int = option(
        20000, "Steps of the mini-batch minimisation.", expert=True, minimum=1, maximum=10**9
    )
    minibatch_pairs: int = option(
        256, "Pairs a step of the mini-batch minimisation.", expert=True, minimum=1, maximum=10**6
    )
    minibatch_rate: float = option(
        0.5, "Learning rate of the mini-batch minimisation.", expert=True, minimum=0, maximum=1000
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
