"""The options of `recover`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ..config import COMPUTATION, DISTANCES, INPUT, option
from ..recovery_config import RecoveryConfig


@dataclass(frozen=True)
class RecoverConfig(RecoveryConfig):
    command: ClassVar[str] = "recover"
    title: ClassVar[str] = "recover poses from distances"
    description: ClassVar[str] = (
        "recover poses from the distances between images that a network estimates "
        "(from a file of distances: recover-distances)"
    )
    place: ClassVar[int] = 70
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    required: ClassVar[Tuple[str, ...]] = ("model", "particles")
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
        if self.volume is not None and self.method == "minibatch":
            raise ConfigError(
                "recover: --method minibatch uses distances between particles, but --volume gives "
                "distances to projections; leave one of them out."
            )
