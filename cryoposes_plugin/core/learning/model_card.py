"""What a model says about itself: all that is needed to use it, as JSON beside the weights."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict

from ..errors import InputError

CARD_NAME = "model_card.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ModelCard:
    """Description of a trained model.

    box_size_px, pixel_size_angstrom : of the images that the network sees; their product is its field of view.
    mask_diameter_angstrom, ctf_correction : its preprocessing. image_state : of the images it was trained on.
    network : what `presets.build_network` rebuilds it from. training : images, steps, SNR, ...
    data_digests : SHA-256 by input file. validation : errors on images kept apart, degrees.
    gives : "poses", or "distances" between images.
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

    @property
    def field_of_view_angstrom(self) -> float:
        return self.box_size_px * self.pixel_size_angstrom

    @property
    def knows_a_quarter(self) -> bool:
        """Whether it was trained on the views of a D2 particle from a quarter of the sphere alone."""
        return self.training.get("orientations") == "quarter-sphere"

    @property
    def gives_distances(self) -> bool:
        return self.gives == "distances"

    def check_gives_poses(self, folder) -> None:
        """InputError for a model of distances."""
        if self.gives_distances:
            raise InputError(
                f"Model {folder} gives distances between images and no poses; recover poses from them with "
                "`cryoposes recover --model`, or train with another preset."
            )

    def check_tells_rotations(self, folder) -> None:
        """InputError where rotations do not follow from distances: under a symmetry."""
        if self.symmetry.strip().upper() != "C1":
            raise InputError(
                f"Model {folder} was trained for symmetry {self.symmetry}, under which distances do not tell "
                "rotations; use `cryoposes infer`."
            )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def read(cls, folder) -> ModelCard:
        """The card of a model folder; InputError where it is missing, no JSON, of another schema or incomplete."""
        path = Path(folder) / CARD_NAME
        if not path.is_file():
            raise InputError(f"{folder} holds no {CARD_NAME}; give the model folder that `train` wrote.")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is no JSON ({error}); give the model folder that `train` wrote.") from error
        version = values.get("schema_version") if isinstance(values, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(
                f"Model card {path} has schema version {version}, and this version reads {SCHEMA_VERSION}: train the "
                "model again with this version."
            )
        known = {f.name: f for f in dataclasses.fields(cls)}
        missing = [n for n, f in known.items() if n not in values and not _has_default(f)]
        unknown = sorted(set(values) - set(known))
        if missing or unknown:
            what = f"lacks {missing[0]!r}" if missing else f"has {unknown[0]!r}, which is unknown"
            raise InputError(f"Model card {path} {what}; train the model again with this version.")
        return cls(**values)


def _has_default(entry: dataclasses.Field) -> bool:
    return entry.default is not dataclasses.MISSING or entry.default_factory is not dataclasses.MISSING
