"""What all configs share: fields that describe themselves, validation, JSON and digest.

The metadata of a field is the single source of the command line's help and of the form's help. A config is
written as `config.json` into the run's folder; its digest says whether a run may be resumed.
Plain enough for Python 3.8, because Scipion's GUI imports it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional, Tuple, Type, TypeVar

from ..errors import ConfigError

SCHEMA_VERSION = 1
#: Environment variables that numerical libraries take their number of threads from, when they are loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

C = TypeVar("C", bound="Config")


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    choices: Tuple[str, ...] = (),
    expert: bool = False,
    path: bool = False,
    minimum: Optional[float] = None,
    maximum: Optional[float] = None,
    even: bool = False,
):
    """A dataclass field with what a form and a command line need to know about it.

    `path` marks input files (digested into the manifest); `minimum` and `maximum` are inclusive.
    """
    limits = dict(minimum=minimum, maximum=maximum, even=even)
    metadata = dict(help=help, unit=unit, choices=choices, expert=expert, path=path, **limits)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """Base of all configs. `execution` fields say how to run, not what to compute: the digest leaves them out."""

    command: ClassVar[str] = ""
    required: ClassVar[Tuple[str, ...]] = ()
    execution: ClassVar[Tuple[str, ...]] = ("gpu",)
    #: Whether each thread has a batch of its own, instead of all of them working on every operation together.
    thread_per_batch: ClassVar[bool] = False

    seed: int = option(
        0, "Seed of every random number of the run; the same seed gives the same result.", expert=True, minimum=0
    )
    threads: int = option(
        0, "CPU threads; 0 takes all cores. One and two threads differ in the last bits.", expert=True, minimum=0
    )
    gpu: str = option(
        "",
        "Ids of the GPUs to use, separated by commas; empty takes the first one if there is any, "
        "'none' computes on the CPU.",
        expert=True,
    )

    def validate(self) -> None:
        """Raise ConfigError for anything that can be known to be wrong without opening a file."""
        for name in self.required:
            if getattr(self, name) in (None, "", ()):
                raise ConfigError(f"{self.command}: --{name.replace('_', '-')} is missing; {_help(self, name)}")
        for f in dataclasses.fields(self):
            values = getattr(self, f.name)
            for value in values if isinstance(values, tuple) else (values,):
                self._validate_value(f, value)

    def _validate_value(self, f, value) -> None:
        choices, low, high = (f.metadata[k] for k in ("choices", "minimum", "maximum"))
        flag = "--" + f.name.replace("_", "-")
        if choices and value is not None and value not in choices:
            raise ConfigError(f"{self.command}: {flag} is {value!r}; choose one of {', '.join(choices)}.")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{self.command}: {flag} is {value}; give a finite number.")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if low is not None and value < low:
                raise ConfigError(f"{self.command}: {flag} is {value}; it must be at least {low}.")
            if high is not None and value > high:
                raise ConfigError(f"{self.command}: {flag} is {value}; it must be at most {high}.")
            if f.metadata["even"] and value % 2:
                raise ConfigError(f"{self.command}: {flag} is {value}; give an even number.")

    def input_paths(self) -> List[Path]:
        """Every input file or folder that the config names."""
        paths = []
        for f in dataclasses.fields(self):
            if f.metadata["path"]:
                value = getattr(self, f.name)
                paths += [Path(v) for v in (value if isinstance(value, tuple) else (value,)) if v]
        return paths

    def to_dict(self) -> Dict[str, Any]:
        return {"command": self.command, "schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls: Type[C], values: Dict[str, Any]) -> C:
        values = dict(values)
        command, version = values.pop("command", cls.command), values.pop("schema_version", SCHEMA_VERSION)
        if command != cls.command:
            raise ConfigError(f"This config is for the command {command!r}, not for {cls.command!r}.")
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"The config has schema version {version}; this version reads {SCHEMA_VERSION}: run the "
                "command anew with this version."
            )
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(
                f"{cls.command}: unknown parameter {unknown[0]!r} in the config; known are {', '.join(sorted(known))}."
            )
        arguments: Dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)

    @classmethod
    def from_json(cls: Type[C], text: str) -> C:
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"{cls.command}: the config is not JSON ({error}).") from error
        return cls.from_dict(values)

    def digest(self) -> str:
        """SHA-256 of what determines the result."""
        values = {k: v for k, v in self.to_dict().items() if k not in self.execution}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _help(config: Config, name: str) -> str:
    return next(f.metadata["help"] for f in dataclasses.fields(config) if f.name == name)


def field_type(cls: Type[Config], name: str):
    """(element type, is a tuple, may be None) of a field, for parsers and forms."""
    hint = typing.get_type_hints(cls)[name]
    args = typing.get_args(hint)
    optional = type(None) in args
    if optional:
        hint = next(a for a in args if a is not type(None))
        args = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return args[0], True, optional
    return hint, False, optional
