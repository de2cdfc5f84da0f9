"""A model on disk: `model.keras` and `model_card.json` in one folder."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any, Optional, Tuple, Union

import keras

from ..errors import UNREADABLE, InputError
from ..io.folder import atomic_path
from ..io.mrc import write_volume
from ..io.names import CARD_NAME, VOLUME_NAME
from ..memory import require_memory
from ..networks.build import architecture_of, build_network
from ..networks.limits import least_weights
from ..types import Volume
from .model_card import ModelCard
from .preprocessing import Preprocessing
from .weights_file import check_finite, check_weights, weights_bytes

logger = logging.getLogger(__name__)

WEIGHTS_NAME = "model.keras"
PathLike = Union[str, Path]


def read_network(folder: PathLike) -> Tuple[ModelCard, keras.Model]:
    """Rebuild the network from the card and read its weights; nothing in the folder is executed.

    InputError for a folder, card or weights that do not fit.
    """
    card = ModelCard.read(folder)
    path = Path(folder) / WEIGHTS_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} holds no {WEIGHTS_NAME}; give the model folder that `train` wrote."
        )
    check_size(card, path)

    network = build_network(card.network)
    check_weights(path, sum(variable.value.numpy().nbytes for variable in network.weights))

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network.load_weights(path)
    except UNREADABLE as error:
        logger.debug("Loading %s failed: %s", path, error)
        raise InputError(
            f"{path} does not hold the weights of the network that its card describes; give the "
            "model "
            "folder as `train` wrote it."
        ) from error
    check_finite(network, path)
    return card, network


def check_size(card: ModelCard, path: Path) -> None:
    """InputError if the network of the card is incomplete or larger than its weights, before memory
    is allocated.
    """
    kind, architecture = architecture_of(card.network)
    _check_whole(card, kind, architecture, f"The card of model {path.parent}")
    need, there = 4 * least_weights(kind, architecture), weights_bytes(path)
    if need > there:
        raise InputError(
            f"The card of model {path.parent} describes a network of at least {need} bytes, and "
            f"{path.name} holds "
            f"{there}; give the model folder as `train` wrote it."
        )
    require_memory(3 * there, f"Model {path.parent}")


def _check_whole(card: ModelCard, kind: str, architecture: Any, subject: str) -> None:
    """InputError if an entry is missing, which would give another network, or contradicts the rest
    of the card.
    """
    needed = {**architecture.to_dict(), **({"distance": ""} if kind == "polar-distance" else {})}
    missing = sorted(set(needed) - set(card.network))
    if missing:
        raise InputError(
            f"{subject} lacks {missing[0]!r} of its network; give the model folder as `train` "
            "wrote it."
        )

    if (
        card.gives_distances != ("distance" in card.network)
        or card.box_size_px != architecture.box_size_px
    ):
        raise InputError(
            f"{subject} says that it gives {card.gives} of images of {card.box_size_px} px, and "
            "its network is of kind "
            f"{kind!r} for {architecture.box_size_px} px; give the model folder as `train` wrote "
            "it."
        )


def write_network(
    folder: PathLike, card: ModelCard, network: keras.Model, volume: Optional[Volume] = None
) -> None:
    """Write model.keras, model_card.json and volume.mrc; the folder appears whole or not at all.

    Parameters
    ----------
    folder : of the model.
    card, network : the model.
    volume : the coarse map of its training, if there is one.
    """
    with atomic_path(folder) as part:
        part.mkdir(parents=True)
        network.save(part / WEIGHTS_NAME)
        (part / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
        if volume is not None:
            write_volume(part / VOLUME_NAME, volume.data, volume.pixel_size_angstrom)


def preprocessing_of(card: ModelCard) -> Preprocessing:
    """Preprocessing of images for the network of a card."""
    return Preprocessing(
        card.box_size_px, card.pixel_size_angstrom, card.mask_diameter_angstrom, card.ctf_correction
    )
