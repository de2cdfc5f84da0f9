"""What `train` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..errors import ConfigError
from .base import option
from .imaging import ImagingConfig


@dataclass(frozen=True)
class TrainConfig(ImagingConfig):
    command: ClassVar[str] = "train"

    volume: Tuple[str, ...] = option((), "Volume(s) (MRC) whose projections are simulated while training.", path=True)
    particles: Optional[str] = option(None, "Particle STAR file whose poses are labels to learn from.", path=True)
    preset: str = option(
        "default",
        "Architecture and losses: 'default' is equivariant to in-plane rotation and fast on a "
        "CPU; 'cryoforum2023' is the network of Chung 2023, for a GPU.",
        choices=("default", "cryoforum2023"),
    )
    minutes: Optional[float] = option(
        10.0, "Training time; the rate over the first steps fixes the number of steps.", unit="min", minimum=0.01
    )
    epochs: Optional[int] = option(
        None, "Number of epochs instead of minutes; an epoch is --images-per-epoch images.", minimum=1
    )
    steps: Optional[int] = option(
        None, "Exact number of training steps instead of minutes or epochs.", expert=True, minimum=1
    )
    images_per_epoch: int = option(
        20000, "Images an epoch has when they are simulated on the fly.", expert=True, minimum=1
    )
    batch_size: int = option(128, "Images a step sees.", expert=True, minimum=2)
    learning_rate: Optional[float] = option(
        None, "Peak of the one-cycle learning rate; default: the preset's.", expert=True, minimum=0
    )
    model_box_size_px: Optional[int] = option(
        None,
        "Box at which the network works; default: 64 or smaller for 'default', 128 or smaller for 'cryoforum2023'.",
        unit="px",
        expert=True,
        minimum=16,
    )
    mask_diameter_angstrom: Optional[float] = option(
        None, "Diameter of the soft mask on each image; default: what the box holds.", unit="Å", minimum=1
    )
    symmetry: str = option("C1", "Point group of the volume (C1, C4, D2, T, O, I, ...).")
    ctf_correction: str = option(
        "phase-flip",
        "What is done to images with a CTF before the network sees them.",
        choices=("none", "phase-flip"),
        expert=True,
    )
    pair_sampling: str = option(
        "random",
        "How pairs for the distance loss are drawn: random, or equally many at every distance.",
        choices=("random", "stratified"),
        expert=True,
    )
    distance_weight: Optional[float] = option(
        None, "Weight of the pairwise distance loss; default: the preset's curriculum.", expert=True, minimum=0
    )
    augment_rotation: bool = option(True, "Turn labelled images in-plane.", expert=True)
    augment_mirror: bool = option(True, "Mirror labelled images (the view from the opposite side).", expert=True)
    augment_shift_px: float = option(
        1.0, "Standard deviation of extra shifts of labelled images.", unit="px", expert=True, minimum=0
    )
    augment_noise: float = option(
        0.0, "Standard deviation of noise added to labelled images, which have 1.", expert=True, minimum=0
    )
    dropout: Optional[float] = option(None, "Dropout rate; default: the preset's.", expert=True, minimum=0, maximum=0.9)
    l2: Optional[float] = option(None, "Weight decay; default: the preset's.", expert=True, minimum=0)
    validation_number: int = option(500, "Images kept apart to measure the error.", expert=True, minimum=10)
    checkpoint_minutes: float = option(1.0, "Time between checkpoints.", unit="min", expert=True, minimum=0)

    def validate(self) -> None:
        super().validate()
        if not self.volume and not self.particles:
            raise ConfigError(
                "train: neither --volume nor --particles is given; give a map to simulate images from, or "
                "particles with poses."
            )
        if self.minutes is None and self.epochs is None and self.steps is None:
            raise ConfigError("train: none of --minutes, --epochs, --steps is given; give one.")
