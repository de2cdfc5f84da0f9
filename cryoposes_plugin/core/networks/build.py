"""Networks built from their description in a model card, and rotations and Bingham matrices from
their outputs.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import keras
import tensorflow as tf

from ..errors import InputError
from ..values import shown, shown_error
from .banjac2021 import BanjacArchitecture, build_banjac_encoder
from .cryoforum2023 import CryoforumArchitecture, build_cryoforum_encoder
from .lian2022 import LianArchitecture, build_lian_encoder
from .limits import check_network
from .polar import PolarArchitecture, build_polar_distances, build_polar_encoder
from .quaternions import bingham_of_angular_gaussian
from .representations import best_hypothesis

Outputs = Dict[str, tf.Tensor]


def build_network(description: Dict[str, Any], compute_dtype: str = "float32") -> keras.Model:
    """The network that a model card describes, with fresh weights; InputError if this version
    cannot build it.
    """
    kind, architecture = architecture_of(description)
    try:
        return _BUILDERS[kind][1](architecture, compute_dtype)
    except (TypeError, KeyError, ValueError) as error:
        raise _not_buildable(error) from error


def architecture_of(description: Dict[str, Any]) -> Tuple[str, Any]:
    """Kind and architecture as a model card describes them, checked, with nothing built; InputError
    if they are wrong.
    """
    check_network(description, "The network of the model card")
    values = dict(description)
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in _BUILDERS:
        raise InputError(
            f"The model card names a network of kind {shown(kind)}, and this version knows "
            "'polar', 'polar-distance', "
            "'cryoforum', 'lian' and 'banjac'; train a new model."
        )

    values = {name: _as_tuple(value) for name, value in values.items()}
    if kind == "polar-distance":
        values.pop("distance", None)
    try:
        return kind, _BUILDERS[kind][0](**values)
    except TypeError as error:
        raise _not_buildable(error) from error


def _not_buildable(error: Exception) -> InputError:
    return InputError(
        "The model card describes a network that this version cannot build "
        f"({shown_error(error)}); train a new model."
    )


#: Class of the architecture and function that builds the network, by kind.
_BUILDERS: Dict[str, Tuple[Callable, Callable]] = {
    "polar": (PolarArchitecture, build_polar_encoder),
    "polar-distance": (PolarArchitecture, build_polar_distances),
    "cryoforum": (CryoforumArchitecture, build_cryoforum_encoder),
    "lian": (LianArchitecture, build_lian_encoder),
    "banjac": (BanjacArchitecture, build_banjac_encoder),
}


def _as_tuple(value: Any) -> Any:
    """Lists of JSON as the tuples of the architectures."""
    return tuple(_as_tuple(part) for part in value) if isinstance(value, (list, tuple)) else value


def predicted_rotations(outputs: Outputs) -> tf.Tensor:
    """(B, 3, 3): the raw 9-D prediction if the network has one, otherwise the most probable
    hypothesis.
    """
    return outputs["matrix"] if "matrix" in outputs else best_hypothesis(outputs)[0]


def predicted_bingham_matrices(outputs: Outputs) -> tf.Tensor:
    """(B, 4, 4): of the most probable hypothesis, or with the same peak as the predicted angular
    Gaussian.
    """
    return (
        bingham_of_angular_gaussian(outputs["bingham"])
        if "matrix" in outputs
        else best_hypothesis(outputs)[1]
    )
