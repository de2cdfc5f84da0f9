"""The description of a model: everything that is needed to use it, as JSON beside the weights."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import numpy as np

from ..errors import ConfigError, InputError
from ..geometry.symmetry import parse_symmetry
from ..io.files import read_object
from ..io.names import CARD_NAME, MODEL_NAME
from ..maps.likeness import DEGREES, RADII_ANGSTROM
from ..networks.choices import CTF_CORRECTIONS
from ..scores import LEARNED_NOTHING
from ..types import IMAGE_STATES
from ..values import check_pixel_size, integer, real, shown, text
from .error_calibration import ErrorCalibration

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
#: A rotation matrix of a card may be off by this.
_ROUNDING = 1e-4
_REMEDY = "give the model folder as `train` wrote it"
_CHOICES = {
    "ctf_correction": CTF_CORRECTIONS,
    "image_state": IMAGE_STATES,
    "gives": ("poses", "distances"),
}
_TABLES = (
    "network",
    "training",
    "data_digests",
    "validation",
    "versions",
    "error_calibration",
    "map_shape",
    "frame",
)


@dataclass(frozen=True)
class ModelCard:
    """Description of a trained model.

    box_size_px, pixel_size_angstrom : of the images that the network sees; their product is its
    field of view.
    mask_diameter_angstrom, ctf_correction : its preprocessing. image_state : of the images it was
    trained on.
    network : description for `networks.build.build_network`. training : images, steps, SNR, ...
    data_digests : SHA-256 by input file. validation : figures on held-out images.
    gives : "poses", or "distances" between images.
    error_calibration : errors expected of its poses, see `models.error_calibration`; empty if they
    are not known.
    map_shape : "amplitudes" of the map that it was trained on, see `maps.likeness`; empty if there
    are several, or none.
    frame : "turn" R (3, 3), if the network gives rotations A of another frame than its map's: in that
    of the map they are A R. Empty if the frames are one.
    """

    preset: str
    box_size_px: int
    pixel_size_angstrom: float
    mask_diameter_angstrom: float
    ctf_correction: str
    image_state: str
    symmetry: str
    network: Dict[str, Any]
    training: Dict[str, Any] = field(default_factory=dict)
    data_digests: Dict[str, str] = field(default_factory=dict)
    validation: Dict[str, float] = field(default_factory=dict)
    gives: str = "poses"
    seed: int = 0
    versions: Dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    error_calibration: Dict[str, Any] = field(default_factory=dict)
    map_shape: Dict[str, Any] = field(default_factory=dict)
    frame: Dict[str, Any] = field(default_factory=dict)

    @property
    def turn(self) -> np.ndarray:
        """(3, 3) R, see `frame`; the identity if the frames are one."""
        return np.array(self.frame.get("turn", np.eye(3)), dtype=np.float64)

    @property
    def expected_errors(self) -> Optional[ErrorCalibration]:
        """What is known of the errors of its poses."""
        return _error_calibration(self.error_calibration, "The model card's error_calibration")

    @property
    def field_of_view_angstrom(self) -> float:
        """Width of the images that the network sees."""
        return self.box_size_px * self.pixel_size_angstrom

    @property
    def quarter_sphere(self) -> bool:
        """Whether it was trained on viewing directions from a quarter of the sphere only, for a D2
        particle.
        """
        return self.training.get("orientations") == "quarter-sphere"

    @property
    def warnings(self) -> List[str]:
        """Warnings of the training that a user of the model must know."""
        found = self.training.get("warnings")
        return (
            [sentence for sentence in found if isinstance(sentence, str)]
            if isinstance(found, list)
            else []
        )

    @property
    def learned_nothing(self) -> bool:
        """Whether its errors are those of chance."""
        return any(LEARNED_NOTHING in sentence for sentence in self.warnings)

    def repeat_warnings(self, folder: Union[str, Path, None]) -> None:
        """Log the warnings of the training."""
        for sentence in self.warnings:
            logger.warning("Training of %s: %s", folder, sentence)

    @property
    def gives_distances(self) -> bool:
        """Whether it gives distances between images instead of poses."""
        return self.gives == "distances"

    def check_gives_poses(self, folder: Union[str, Path]) -> None:
        """InputError for a model that gives distances."""
        if self.gives_distances:
            raise InputError(
                f"Model {folder} gives distances between images and no poses; recover poses from "
                "them with "
                "`cryoposes recover --model`, or train with another preset."
            )

    def check_tells_rotations(self, folder: Union[str, Path, None]) -> None:
        """InputError for a model with symmetry, under which distances do not determine rotations."""
        if self.symmetry.strip().upper() != "C1":
            raise InputError(
                f"Model {folder} was trained for symmetry {self.symmetry}, under which distances "
                "do not determine "
                "rotations; use `cryoposes infer`."
            )

    def to_json(self) -> str:
        """The card as JSON."""
        return (
            json.dumps(_finite(dataclasses.asdict(self)), indent=2, sort_keys=True, allow_nan=False)
            + "\n"
        )

    @classmethod
    def read(cls, folder: Union[str, Path]) -> ModelCard:
        """Read the card of a model folder; InputError if it is missing, not JSON, of another schema
        or incomplete.
        """
        path = Path(folder) / CARD_NAME
        if not path.is_file():
            inside = Path(folder) / MODEL_NAME
            remedy = (
                f"its model is {inside}: give that" if (inside / CARD_NAME).is_file() else _REMEDY
            )
            raise InputError(f"{folder} holds no {CARD_NAME}; {remedy}.")

        values = read_object(path, f"Model card {path}", _REMEDY)
        version = values.get("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(
                f"Model card {path} has schema version {shown(version)}, and this version reads "
                f"{SCHEMA_VERSION}: train the model again with this version."
            )

        known = {f.name: f for f in dataclasses.fields(cls)}
        missing = [n for n, f in known.items() if n not in values and not _has_default(f)]
        unknown = sorted(set(values) - set(known))
        if missing or unknown:
            what = (
                f"lacks {missing[0]!r}" if missing else f"has {shown(unknown[0])}, which is unknown"
            )
            raise InputError(f"Model card {path} {what}; train the model again with this version.")
        for name, value in values.items():
            _check_entry(name, value, f"Model card {path}: {name}")
        return cls(**values)


def _check_entry(name: str, value: Any, what: str) -> None:
    """InputError for a value of another type, or that is not one of the choices."""
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise InputError(
                f"{what} is {shown(value)}, not one of {', '.join(_CHOICES[name])}; {_REMEDY}."
            )

    elif name == "symmetry":
        _check_symmetry(value, what)
    elif name in _TABLES:
        if not isinstance(value, dict):
            raise InputError(f"{what} is {shown(value)}, not a table; {_REMEDY}.")

    elif name == "pixel_size_angstrom":
        check_pixel_size(value, what, _REMEDY)
    elif name == "mask_diameter_angstrom":
        real(value, what, _REMEDY, 1.0, 1e6)
    elif name in ("box_size_px", "seed", "schema_version"):
        integer(
            value,
            what,
            _REMEDY,
            8 if name == "box_size_px" else 0,
            2048 if name == "box_size_px" else 2**63,
        )
    else:
        text(value, what, _REMEDY)

    if name == "validation":
        for key, number in value.items():
            if number is not None:
                real(number, f"{what}: {shown(key)}", _REMEDY)
    elif name == "error_calibration":
        _error_calibration(value, what)
    elif name == "map_shape" and value:
        _check_amplitudes(value.get("amplitudes"), what)
    elif name == "frame" and value:
        _check_turn(value.get("turn"), what)


def _check_amplitudes(value: Any, what: str) -> None:
    """InputError unless the value is a table of numbers as `maps.likeness` makes it."""
    spheres, degrees = len(RADII_ANGSTROM), len(DEGREES)
    rows = value if isinstance(value, list) else []
    if len(rows) != spheres or any(not isinstance(r, list) or len(r) != degrees for r in rows):
        raise InputError(
            f"{what} is not a table of {spheres} spheres and {degrees} degrees; {_REMEDY}."
        )
    for row in rows:
        for number in row:
            real(number, what, _REMEDY, 0.0, 1.0)


def _check_turn(value: Any, what: str) -> None:
    """InputError unless the value is a rotation matrix."""
    rows = value if isinstance(value, list) else []
    if len(rows) == 3 and all(isinstance(row, list) and len(row) == 3 for row in rows):
        turn = np.array([[real(x, what, _REMEDY, -1.001, 1.001) for x in row] for row in rows])
        if np.abs(turn @ turn.T - np.eye(3)).max() < _ROUNDING and np.linalg.det(turn) > 0:
            return
    raise InputError(f"{what} holds no rotation matrix; {_REMEDY}.")


def _error_calibration(values: Dict[str, Any], what: str) -> Optional[ErrorCalibration]:
    return ErrorCalibration.from_dict(values, what, _REMEDY) if values else None


def _check_symmetry(value: Any, what: str) -> None:
    try:
        parse_symmetry(text(value, what, _REMEDY))
    except ConfigError:
        raise InputError(
            f"{what} is {shown(value)}, which is not a point group; {_REMEDY}."
        ) from None


def _finite(value: Any) -> Any:
    """The value with null for numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _has_default(entry: dataclasses.Field) -> bool:
    return (
        entry.default is not dataclasses.MISSING or entry.default_factory is not dataclasses.MISSING
    )
