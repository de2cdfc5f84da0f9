"""What all configs share: fields that describe themselves, validation, JSON and digest.

The metadata of a field is the single source of the command line's help and of the form's help. A config is
written as `config.json` into the run's folder; its digest says whether a run may be resumed.
Plain enough for Python 3.8, because Scipion's GUI imports it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, List, Optional, Tuple, Type, TypeVar

from ..core.errors import ConfigError
from ..core.plausibility import check_option
from ..core.values import CHECKS, parse_object, shown

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
    titles: Tuple[str, ...] = (),
    expert: bool = False,
    path: bool = False,
    minimum: Optional[float] = None,
    maximum: Optional[float] = None,
    even: bool = False,
):
    """A dataclass field with what a form and a command line need to know about it.

    `titles` is what a form calls the choices, by default as they are. `path` marks input files (digested into the
    manifest); `minimum` and `maximum` are inclusive.
    """
    limits = dict(minimum=minimum, maximum=maximum, even=even)
    metadata = dict(
        help=help,
        unit=unit,
        choices=choices,
        titles=titles or choices,
        expert=expert,
        path=path,
        **limits,
    )
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """Base of all configs. `execution` fields say how to run, not what to compute: the digest leaves them out."""

    command: ClassVar[str] = ""
    required: ClassVar[Tuple[str, ...]] = ()
    execution: ClassVar[Tuple[str, ...]] = ("gpu", "digest_images")
    #: Fields that change the last bits of the result and nothing else, so that a run may go on with others.
    last_bits: ClassVar[Tuple[str, ...]] = ()
    #: Fields with STAR files whose images the command reads.
    image_fields: ClassVar[Tuple[str, ...]] = ()
    #: Whether each thread has a batch of its own, instead of all of them working on every operation together.
    thread_per_batch: ClassVar[bool] = False

    seed: int = option(
        0,
        "Seed of every random number of the run; the same seed gives the same result.",
        expert=True,
        minimum=0,
        maximum=2**31 - 1,
    )
    threads: int = option(
        0,
        "CPU threads; 0 takes all cores. One and two threads differ in the last bits.",
        expert=True,
        minimum=0,
        maximum=1024,
    )
    gpu: str = option(
        "",
        "Ids of the GPUs to use, separated by commas; empty takes the first one if there is any, "
        "'none' computes on the CPU.",
        expert=True,
    )
    images_from: Optional[str] = option(
        None,
        "Folder that the relative stack names (rlnImageName) of particle STAR files begin in. Default: the STAR file's "
        "own folder, else the working directory, else RELION's project above the STAR file; where several files would "
        "fit, this option decides.",
        expert=True,
    )
    digest_images: bool = option(
        False,
        "Record what the image stacks hold, however large they are (else up to 1 GiB in all, and size and time of the "
        "rest): stacks that were only copied or touched then serve. It reads every stack once.",
        expert=True,
    )

    def validate(self) -> None:
        """Raise ConfigError for anything that can be known to be wrong without opening a file."""
        for name in self.required:
            if getattr(self, name) in (None, "", ()):
                raise ConfigError(
                    f"{self.command}: --{name.replace('_', '-')} is missing; {_help(self, name)}"
                )
        for f in dataclasses.fields(self):
            values = getattr(self, f.name)
            flag = f"{self.command}: --{f.name.replace('_', '-')}"
            _typed(type(self), f.name, values, flag)
            check_option(self.command, f.name, values)
            for value in values if isinstance(values, tuple) else (values,):
                self._validate_value(f, value)

    def _validate_value(self, f, value) -> None:
        choices, low, high = (f.metadata[k] for k in ("choices", "minimum", "maximum"))
        flag = "--" + f.name.replace("_", "-")
        if choices and value is not None and value not in choices:
            raise ConfigError(
                f"{self.command}: {flag} is {value!r}; choose one of {', '.join(choices)}."
            )
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if low is not None and value < low:
                raise ConfigError(
                    f"{self.command}: {flag} is {shown(value)}; it must be at least {_limit(low)}."
                )
            if high is not None and value > high:
                raise ConfigError(
                    f"{self.command}: {flag} is {shown(value)}; it must be at most {_limit(high)}."
                )
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
        return {
            "command": self.command,
            "schema_version": SCHEMA_VERSION,
            **dataclasses.asdict(self),
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls: Type[C], values: Dict[str, Any], source: str = "the config") -> C:
        """source : where the values are from, for the sentences of ConfigError."""
        values = dict(values)
        command, version = (
            values.pop("command", cls.command),
            values.pop("schema_version", SCHEMA_VERSION),
        )
        if command != cls.command:
            raise ConfigError(
                f"{source[0].upper()}{source[1:]} is for the command {shown(command)}, not for {cls.command!r}."
            )
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"{cls.command}: {source} has schema version {shown(version)}; this version reads {SCHEMA_VERSION}: "
                "run the command anew with this version."
            )
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(
                f"{cls.command}: unknown parameter {shown(unknown[0])} in {source}; known are "
                f"{', '.join(sorted(known))}."
            )
        said = {k: f"{cls.command}: {k} in {source}" for k in values}
        return cls(**{k: _typed(cls, k, v, said[k]) for k, v in values.items()})

    @classmethod
    def from_json(cls: Type[C], text: str, source: str = "the config") -> C:
        values = parse_object(text, f"{cls.command}: {source}", error=ConfigError)
        return cls.from_dict(values, source)

    def digest(self) -> str:
        """SHA-256 of what determines the result."""
        values = {
            k: v for k, v in self.to_dict().items() if k not in (*self.execution, *self.last_bits)
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _limit(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def _help(config: Config, name: str) -> str:
    return next(f.metadata["help"] for f in dataclasses.fields(config) if f.name == name)


def _typed(cls: Type[Config], name: str, value: Any, what: str) -> Any:
    """The value as the field's type has it: a list as a tuple, a whole number as a float; ConfigError if it is none."""
    kind, several, optional = field_type(cls, name)
    check, remedy = CHECKS[kind], "correct it, or leave it out"
    if value is None and optional:
        return None
    if not several:
        return check(value, what, remedy, error=ConfigError)
    length = field_length(cls, name)
    if not isinstance(value, (list, tuple)) or length not in (None, len(value)):
        wanted = "a list" if length is None else f"a list of {length}"
        raise ConfigError(f"{what} is {shown(value)}, not {wanted}; {remedy}.")
    return tuple(check(v, what, remedy, error=ConfigError) for v in value)


def field_length(cls: Type[Config], name: str) -> Optional[int]:
    """How many values a field of several has, None where any number."""
    args = typing.get_args(_hints(cls)[name])
    return None if Ellipsis in args else len(args)


_hints: Callable[[Any], Dict[str, Any]] = lru_cache(maxsize=None)(typing.get_type_hints)


def field_type(cls: Type[Config], name: str):
    """(element type, is a tuple, may be None) of a field, for parsers and forms."""
    hint = _hints(cls)[name]
    args = typing.get_args(hint)
    optional = type(None) in args
    if optional:
        hint = next(a for a in args if a is not type(None))
        args = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return args[0], True, optional
    return hint, False, optional
