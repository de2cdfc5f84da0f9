"""The recipe of a training: the choices of the user, and otherwise those of the preset."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...core.training.recipe import REPRESENTATION_OF_LIKELIHOOD, Recipe
from .presets import BY_PRESET, PRESETS

if TYPE_CHECKING:
    from .config import TrainConfig

#: Choices that only some networks have.
_NETWORK_CHOICES = (
    "representation",
    "pooling",
    "filter_bank",
    "heads",
    "loss",
    "training_style",
    "regression_weight",
    "feature_distance",
    "features",
    "label_errors",
)
#: Entries of a recipe that the preset alone decides.
_OF_PRESET = ("network", "schedule")


def recipe_of(config: TrainConfig) -> Recipe:
    """Resolve every choice; `check_recipe` tells whether they go together."""
    preset = PRESETS[config.preset]
    recipe = preset.recipe
    symmetric = config.symmetry.strip().upper() != "C1"
    if symmetric and preset.regression_weight_with_symmetry is not None:
        weight = preset.regression_weight_with_symmetry
        recipe = dataclasses.replace(recipe, regression_weight=weight)

    names = [f.name for f in dataclasses.fields(Recipe) if f.name not in _OF_PRESET]
    values = {name: getattr(config, name) for name in names}
    chosen = {name: value for name, value in values.items() if value not in (None, BY_PRESET)}
    return dataclasses.replace(recipe, **chosen)


def check_recipe(config: TrainConfig, recipe: Recipe) -> None:
    """ConfigError for choices that do not go together."""
    _check_network_choices(config)
    _check_losses(config, recipe)
    if recipe.gives_distances:
        _check_distances(config, recipe)


def _check_network_choices(config: TrainConfig) -> None:
    own = PRESETS[config.preset].recipe
    for name in _NETWORK_CHOICES:
        value = getattr(config, name)
        if value in (None, BY_PRESET) or getattr(own, name) is not None:
            continue
        able = [n for n, preset in PRESETS.items() if getattr(preset.recipe, name) is not None]
        raise ConfigError(
            f"train: --{name.replace('_', '-')} is {value!r}, and the network of --preset "
            f"{config.preset} has no such choice; leave it out, or give --preset "
            f"{' or '.join(able)}."
        )


def _check_losses(config: TrainConfig, recipe: Recipe) -> None:
    loss, representation, style = recipe.loss, recipe.representation, recipe.training_style
    needed = REPRESENTATION_OF_LIKELIHOOD.get(loss or "", representation)
    if representation != needed:
        raise ConfigError(
            f"train: --loss {loss} is the likelihood of --representation {needed}, and the "
            f"representation is {representation!r}; give --representation {needed} or another "
            "loss."
        )

    able = recipe.possible_training_styles
    if style is not None and style not in able:
        raise ConfigError(
            f"train: --training-style is {style!r}, and --preset {config.preset} is trained as "
            f"{' or '.join(able)}; give one of these."
        )
    if style in ("single", "siamese") and config.distance_weight:
        raise ConfigError(
            f"train: --distance-weight is {config.distance_weight:g}, and --training-style "
            f"{style!r} has no distance loss; leave it out, or give --training-style "
            "siamese+auxiliary."
        )

    if style == "single" and recipe.pair_sampling != "random":
        raise ConfigError(
            f"train: --pair-sampling is {recipe.pair_sampling!r}, and --training-style 'single' "
            "has no pairs; leave it out, or give --training-style siamese."
        )

    weight = recipe.regression_weight
    if weight is not None and weight < 1 and len(config.volume) != 1:
        raise ConfigError(
            f"train: --regression-weight is {weight:g}, which compares reprojections of one map, "
            f"and --volume gives {len(config.volume)}; give one map, or --regression-weight 1."
        )


def _check_distances(config: TrainConfig, recipe: Recipe) -> None:
    if config.distance_weight is not None:
        raise ConfigError(
            f"train: --distance-weight is {config.distance_weight:g}, and --preset "
            f"{config.preset} learns only distances; leave it out."
        )

    if recipe.network == "polar-distance" and recipe.feature_distance != "trace":
        raise ConfigError(
            f"train: --feature-distance is {recipe.feature_distance!r}, and the features of "
            "--preset distance are made for 'trace'; leave it out, or give --preset banjac2021."
        )

    if config.symmetry.strip().upper() != "C1":
        raise ConfigError(
            f"train: --symmetry is {config.symmetry}, and --preset {config.preset} learns "
            "distances, which do not determine the rotations of a symmetric particle; give C1 "
            "(and --orientations quarter-sphere for D2) or --preset default."
        )
