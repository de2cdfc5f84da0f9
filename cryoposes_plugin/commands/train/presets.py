"""What each preset of `train` stands for, where the user chooses nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from ...core.training.choices import DISTANCE_TRAINING_STYLES, POSE_TRAINING_STYLES

#: The choice that leaves a matter to the preset.
BY_PRESET = "preset"


@dataclass(frozen=True)
class Preset:
    """A network and how it is trained. None: the network has no such choice.

    schedule : of the learning rate, see `training.schedules`. regression_weight : w of Lian 2022, eq. 15; a pair for
    particles without and with symmetry. feature_distance, features : of networks that give distances between images
    and no poses, see `models.feature_distances`.
    """

    network: str
    largest_box_px: int
    batch_size: int
    learning_rate: float
    schedule: str
    l2: float
    dropout: float
    ctf_correction: str
    representation: Optional[str] = None
    pooling: Optional[str] = None
    filter_bank: Optional[str] = None
    heads: Optional[int] = None
    loss: Optional[str] = None
    training_style: Optional[str] = None
    regression_weight: Optional[Tuple[float, float]] = None
    pair_sampling: str = "random"
    feature_distance: Optional[str] = None
    features: Optional[int] = None

    @property
    def gives_distances(self) -> bool:
        return self.feature_distance is not None

    @property
    def training_styles(self) -> Tuple[str, ...]:
        """Training styles that the network can be trained in."""
        if self.training_style is None:
            return ()
        return DISTANCE_TRAINING_STYLES if self.gives_distances else POSE_TRAINING_STYLES

    def value(self, name: str, symmetric: bool) -> Any:
        chosen = getattr(self, name)
        return (
            chosen[int(symmetric)] if name == "regression_weight" and chosen is not None else chosen
        )


PRESETS: Dict[str, Preset] = {
    "default": Preset(
        "polar",
        largest_box_px=64,
        batch_size=128,
        learning_rate=4e-3,
        schedule="one-cycle",
        l2=1e-2,
        dropout=0.0,
        ctf_correction="phase-flip",
    ),
    "cryoforum2023": Preset(
        "cryoforum",
        largest_box_px=128,
        batch_size=256,
        learning_rate=1e-3,
        schedule="one-cycle",
        l2=1e-3,
        dropout=0.3,
        ctf_correction="none",
        representation="bingham10",
        pooling="generalised-mean",
        filter_bank="low-pass",
        heads=1,
        loss="geodesic",
        training_style="siamese+auxiliary",
        regression_weight=(1.0, 1.0),
    ),
    # The paper found w = 0.8 best without symmetry, 0.1 with D2 and 0 with D7.
    "lian2022": Preset(
        "lian",
        largest_box_px=128,
        batch_size=24,
        learning_rate=5e-5,
        schedule="stepped",
        l2=1e-4,
        dropout=0.0,
        ctf_correction="none",
        representation="quaternion",
        heads=1,
        loss="quaternion",
        training_style="single",
        regression_weight=(0.8, 0.1),
    ),
    "distance": Preset(
        "polar-distance",
        largest_box_px=64,
        batch_size=128,
        learning_rate=4e-3,
        schedule="one-cycle",
        l2=1e-2,
        dropout=0.0,
        ctf_correction="phase-flip",
        training_style="landmarks",
        feature_distance="trace",
    ),
    "banjac2021": Preset(
        "banjac",
        largest_box_px=128,
        batch_size=128,
        learning_rate=1e-3,
        schedule="constant",
        l2=0.0,
        dropout=0.0,
        ctf_correction="none",
        pair_sampling="stratified",
        feature_distance="cosine",
        features=512,
    ),
}
