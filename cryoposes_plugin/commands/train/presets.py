"""The presets of `train`: a recipe for each published or built-in network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional

from ...core.training.recipe import Recipe

#: The choice that leaves a matter to the preset.
BY_PRESET = "preset"


@dataclass(frozen=True)
class Preset:
    """A recipe, used as it is where the user chooses nothing else.

    largest_box_px : box at which the network works, unless the images are smaller.
    regression_weight_with_symmetry : replaces that of the recipe for symmetric particles.
    """

    recipe: Recipe
    largest_box_px: int
    regression_weight_with_symmetry: Optional[float] = None


PRESETS: Dict[str, Preset] = {
    "default": Preset(
        Recipe(
            "polar",
            batch_size=128,
            learning_rate=4e-3,
            schedule="one-cycle",
            l2=1e-2,
            dropout=0.0,
            ctf_correction="phase-flip",
            label_errors="estimated",
        ),
        largest_box_px=64,
    ),
    "cryoforum2023": Preset(
        Recipe(
            "cryoforum",
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
            regression_weight=1.0,
        ),
        largest_box_px=128,
    ),
    # The paper found w = 0.8 best without symmetry, 0.1 with D2 and 0 with D7.
    "lian2022": Preset(
        Recipe(
            "lian",
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
            regression_weight=0.8,
        ),
        largest_box_px=128,
        regression_weight_with_symmetry=0.1,
    ),
    "distance": Preset(
        Recipe(
            "polar-distance",
            batch_size=128,
            learning_rate=4e-3,
            schedule="one-cycle",
            l2=1e-2,
            dropout=0.0,
            ctf_correction="phase-flip",
            training_style="landmarks",
            feature_distance="trace",
        ),
        largest_box_px=64,
    ),
    "banjac2021": Preset(
        Recipe(
            "banjac",
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
        largest_box_px=128,
    ),
}
