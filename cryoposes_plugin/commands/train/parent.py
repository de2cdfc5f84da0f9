"""The model from which a training starts: given, or the likest of a folder of models."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...core.errors import ConfigError, InputError
from ...core.geometry.rotations import angular_distance_rad
from ...core.io.names import CARD_NAME
from ...core.io.provenance import digest_path
from ...core.maps.alignment import align_maps, correlation_in_place
from ...core.maps.likeness import likeness, sphere_amplitudes
from ...core.models.coarse_map import coarse_map, read_coarse_map
from ...core.models.model_card import ModelCard
from ...core.particles.grids import Grid
from ...core.training.recipe import Recipe
from ...core.types import Volume
from .config import TrainConfig

logger = logging.getLogger(__name__)

#: Largest relative difference of the fields of view of a model and of the images.
_SAME_VIEW = 0.01
#: A model of a library is used if the maps are at least so alike; relatives are at 0.9.
LEAST_LIKENESS = 0.8
#: Peak of the learning rate, over that of a fresh network.
_FURTHER = 0.125
#: Maps are aligned up to this shell of their coarse box. They are of one kind if they correlate by
#: this, and lie otherwise if they correlate so much better.
_LAST_SHELL, LEAST_CORRELATION, _BETTER = 12, 0.7, 0.05
_MOST_MODELS, _MOST_ANCESTORS = 1000, 16


@dataclass(frozen=True)
class Parent:
    """A model to start from, with its card."""

    folder: Path
    card: ModelCard

    def provenance(self) -> List[str]:
        """Fingerprints of this model and of those that it started from itself, newest first."""
        before = self.card.training.get("parents")
        lines = before if isinstance(before, list) else []
        known = [line for line in lines if isinstance(line, str)]
        return [digest_path(self.folder), *known][:_MOST_ANCESTORS]


def find_parent(
    config: TrainConfig, recipe: Recipe, grid: Grid, volumes: Tuple[Volume, ...]
) -> Optional[Parent]:
    """The model of the config, checked; None to start with a fresh network.

    Parameters
    ----------
    config, recipe : of the training.
    grid : of the images.
    volumes : whose projections are simulated.

    Raises
    ------
    InputError, ConfigError : for a model that cannot be read, or is for something else.
    """
    if config.from_model:
        parent = Parent(Path(config.from_model), ModelCard.read(config.from_model))
        why = misfit(parent.card, config, recipe, grid)
        if why:
            raise ConfigError(
                f"train: --from-model {config.from_model} {why}; give another model, or leave it "
                "out to start with a fresh network."
            )
        return parent
    if config.model_library:
        return _likest(config, recipe, grid, volumes)
    return None


def misfit(card: ModelCard, config: TrainConfig, recipe: Recipe, grid: Grid) -> str:
    """Why a network cannot be trained further for these images, or "".

    Parameters
    ----------
    card : of the network.
    config, recipe : of the training.
    grid : of the images.
    """
    view = card.field_of_view_angstrom
    box = config.model_box_size_px or card.box_size_px

    if card.learned_nothing:
        return "has learned nothing"
    if card.preset != config.preset:
        return f"is a network of --preset {card.preset}, not {config.preset}"
    if card.symmetry.strip().upper() != config.symmetry.strip().upper():
        return f"is for symmetry {card.symmetry}, not {config.symmetry}"
    if box != card.box_size_px or box > grid.box_size_px:
        wanted = min(box, grid.box_size_px)
        return f"works at a box of {card.box_size_px} px, not of {wanted} px"
    if abs(grid.field_of_view_angstrom / view - 1.0) > _SAME_VIEW:
        return (
            f"sees images that are {view:.4g} Å wide ({card.box_size_px} px of "
            f"{card.pixel_size_angstrom:.4g} Å), and these are "
            f"{grid.field_of_view_angstrom:.4g} Å wide"
        )
    return _other_network(card, recipe)


def _other_network(card: ModelCard, recipe: Recipe) -> str:
    from ...core.training.components import network_description

    radius = 0.5 * card.mask_diameter_angstrom / card.pixel_size_angstrom
    wanted = network_description(recipe, card.box_size_px, radius)
    # The polar grid is that of the model, whatever the mask is now.
    for name in sorted(set(wanted) | set(card.network)):
        there, asked = (_as_json(d.get(name)) for d in (card.network, wanted))
        if there != asked and name not in ("outer_radius_px", "radii"):
            return f"has a network with {name} {there}, and {asked} is asked for"
    return ""


def with_parent(config: TrainConfig, recipe: Recipe, parent: Optional[Parent]) -> Recipe:
    """The recipe with the model's correction of the CTF and, unless the user gives one, a lower
    peak of the learning rate.
    """
    if parent is None:
        return recipe
    rate = recipe.learning_rate * (_FURTHER if config.learning_rate is None else 1.0)
    correction = parent.card.ctf_correction
    return dataclasses.replace(recipe, ctf_correction=correction, learning_rate=rate)


def map_shape(volumes: Tuple[Volume, ...]) -> Dict[str, Any]:
    """What a model card says of the shape of the map, if there is one map."""
    if len(volumes) != 1:
        return {}
    return {"amplitudes": np.round(sphere_amplitudes(volumes[0]), 4).tolist()}


def turn_of_maps(parent: Parent, volumes: Tuple[Volume, ...]) -> Optional[np.ndarray]:
    """R (3, 3) that takes a rotation A of the network to A R in the frame of the map; None if the
    frames are one.

    The map is aligned with the one that the network knows. With a symmetry, whose axes are the same
    for both, with another network than the default, and without a map of the model, the frames are
    taken for one.
    """
    card, known = parent.card, parent.card.turn if parent.card.frame else None
    turns = card.network["kind"] == "polar" and card.symmetry.strip().upper() == "C1"
    theirs = read_coarse_map(parent.folder, card.field_of_view_angstrom)
    if theirs is None or len(volumes) != 1 or not turns:
        return known
    ours = coarse_map(volumes[0], card.field_of_view_angstrom)
    found = align_maps(ours, theirs, _LAST_SHELL, hands=("same",))
    angle = float(np.rad2deg(angular_distance_rad(found.rotation, np.eye(3))))
    in_place = correlation_in_place(ours, theirs, _LAST_SHELL)
    if found.correlation < max(LEAST_CORRELATION, in_place + _BETTER):
        if in_place < LEAST_CORRELATION:
            logger.warning(
                "train: the map is not like that of model %s in any orientation (correlation "
                "%.2f); training further may take as long as a fresh network.",
                parent.folder,
                max(found.correlation, in_place),
            )
        return known

    logger.info(
        "train: the map is turned by %.1f° against that of model %s (correlation %.2f, as they lie "
        "%.2f); the network is trained in the frame of the model, and gives poses in that of the "
        "map.",
        angle,
        parent.folder,
        found.correlation,
        in_place,
    )
    return found.rotation if known is None else known @ found.rotation


def ranked_models(folder: Path, volume: Volume) -> List[Tuple[float, Parent]]:
    """The models in a folder with the likeness of their maps to a volume, the likest first; 0 for
    those whose cards do not say it.

    A model that cannot be read is left out, with a warning. InputError for a path that is no
    folder.
    """
    if not folder.is_dir():
        raise InputError(f"--model-library {folder} is not a folder; give the folder of models.")
    shape, found = sphere_amplitudes(volume), []
    for path in sorted(folder.rglob(CARD_NAME))[:_MOST_MODELS]:
        try:
            card = ModelCard.read(path.parent)
        except InputError as error:
            logger.warning("%s", error)
            continue

        known = card.map_shape.get("amplitudes")
        alike = 0.0 if known is None else likeness(shape, np.array(known))
        found.append((alike, Parent(path.parent, card)))
    return sorted(found, key=lambda pair: -pair[0])


def _likest(
    config: TrainConfig, recipe: Recipe, grid: Grid, volumes: Tuple[Volume, ...]
) -> Optional[Parent]:
    """The model of the library whose map is likest, if one is like enough."""
    models = ranked_models(Path(str(config.model_library)), volumes[0])
    fitting = [pair for pair in models if not misfit(pair[1].card, config, recipe, grid)]
    best, parent = fitting[0] if fitting else (0.0, None)
    if parent is not None and best >= LEAST_LIKENESS:
        logger.info(
            "train: starts from %s, the likest of the %d of %d models in %s that fit; likeness of "
            "the maps %.2f.",
            parent.folder,
            len(fitting),
            len(models),
            config.model_library,
            best,
        )
        return parent

    logger.warning(
        "train: no model in %s is of a map like this one (%d of %d fit the images%s); a fresh "
        "network is trained.",
        config.model_library,
        len(fitting),
        len(models),
        f", the best likeness is {best:.2f}" if fitting else "",
    )
    return None


def _as_json(value: Any) -> Any:
    """Tuples as the lists of a model card."""
    return [_as_json(part) for part in value] if isinstance(value, (list, tuple)) else value
