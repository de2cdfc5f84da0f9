"""The options of `forecast`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import FORECAST, INPUT, TRAINING_LENGTH, Config, option
from ..refinement_config import batch_size_option


@dataclass(frozen=True)
class ForecastConfig(Config):
    command: ClassVar[str] = "forecast"
    title: ClassVar[str] = "forecast what can be reached"
    description: ClassVar[str] = (
        "tell which errors and which resolution a set can reach, on simulated images like it"
    )
    place: ClassVar[int] = 25
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("particles", "volume")

    particles: Optional[str] = option(
        None,
        "Particles for which the forecast is made. Poses are optional: with them, the forecast "
        "has the views of the set; without, all views are equally frequent.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    volume: Optional[str] = option(
        None,
        "Map that the images show. The forecast is refused if they do not show it.",
        label="Volume",
        group=INPUT,
        path="MRC",
    )
    model: Optional[str] = option(
        None,
        "A network that `train` has trained on this map to give poses. Without one, a network is "
        "trained for the set, which can then be used for it.",
        label="Pose model",
        group=INPUT,
        path="FOLDER",
    )
    symmetry: str = option(
        "C1",
        "Point group of the map (C1, C4, D2, T, O, I, ...).",
        label="Symmetry",
        group=INPUT,
    )
    minutes: float = option(
        10.0,
        "How long a network is trained, if none is given. The forecast holds for a network that "
        "is trained for this time.",
        label="Training time",
        group=TRAINING_LENGTH,
        unit="min",
        minimum=0.01,
        maximum=1e5,
    )
    resolution_angstrom: Optional[float] = option(
        None,
        "Resolution that is wanted: the forecast says how many images it needs. It cannot be finer "
        "than two pixels of the simulated images.",
        label="Wanted resolution",
        alias="--resolution",
        group=FORECAST,
        unit="Å",
        minimum=0.5,
        maximum=1000,
    )
    number: Optional[int] = option(
        None,
        "Number of images that are simulated. More images tell finer resolutions, and take longer. "
        "Default: as many as the set has, at most 2000.",
        label="Number of simulated images",
        group=FORECAST,
        minimum=64,
        maximum=10**6,
    )
    junk_share: Optional[float] = option(
        None,
        "Share of the images that show no particle or not only one. Default: the mean of the "
        "particles' probability of junk if they have one, otherwise 0.",
        label="Share of junk",
        group=FORECAST,
        minimum=0,
        maximum=0.9,
    )
    working_box_px: Optional[int] = option(
        None,
        "Images larger than this are simulated in this box, with the same field of view. A smaller "
        "box is faster but leaves out finer detail, which the forecast then does not tell. "
        "Default: 128.",
        label="Box size of the simulated images",
        group=FORECAST,
        unit="px",
        expert=True,
        minimum=16,
        even=True,
        maximum=2048,
    )
    batch_size: int = batch_size_option()
