"""What all configs share: options that describe themselves, validation, JSON and a digest.

An option is declared once. The command line and Scipion's form are both made from its metadata.
A config is written to the folder of the run as `config.json`; its digest decides whether the run
may be resumed. Scipion's GUI imports this module, so it must work with Python 3.8.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    List,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
)

from ..core.errors import ConfigError
from ..core.io.names import CS_SUFFIX
from ..core.values import CHECKS, parse_object, shown
from .plausibility import check_option

SCHEMA_VERSION = 1
#: Environment variables from which numerical libraries read their number of threads when loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# Headings of `--help` and of the forms.
INPUT = "Input"
IMAGE_SIZE = "Image size"
POSES = "Poses"
CTF = "CTF"
NOISE = "Noise"
BACKGROUND = "Background"
FAULTS = "Faults of real images"
NETWORK = "Network"
TRAINING_LENGTH = "Training length"
LOSS = "Loss"
OPTIMISER = "Optimiser"
LABELLED = "Particles with known poses"
AUGMENTATION = "Augmentation"
VALIDATION = "Validation"
SEARCH = "Search"
REFINEMENT = "Refinement"
RECONSTRUCTION = "Reconstruction"
DISTANCES = "Distances"
RECOVERY = "Recovery"
FILTER = "Filter"
COMPARISON = "Comparison"
FORECAST = "Forecast"
COMPUTATION = "Computation"

C = TypeVar("C", bound="Config")


def option(
    default: Any,
    help: str,
    *,
    label: str,
    group: str,
    alias: str = "",
    unit: str = "",
    length: Optional[int] = None,
    choices: Tuple[str, ...] = (),
    titles: Optional[Mapping[str, str]] = None,
    expert: bool = False,
    path: str = "",
    minimum: Optional[float] = None,
    maximum: Optional[float] = None,
    even: bool = False,
):
    """A dataclass field with everything that the command line and the form say about it.

    Parameters
    ----------
    default : value if the user gives none; None where the help says what happens then.
    help : what the option does, when to change it, and typical values where the user must decide.
        Options are named as on the command line (`--snr`), commands in backquotes (`infer`), and
        choices in quotes ('none'); a form puts its own labels in their place.
    label : name in the form, without the unit.
    group : heading in `--help` and in the form, one of the constants of this module.
    alias : a shorter flag for the command line, such as "--pixel-size".
    unit : shown after the label and the help.
    length : number of values of an option that takes several; None for any number.
    choices : values that are allowed.
    titles : readable names of those choices that are not readable themselves.
    expert : shown with the advanced options only.
    path : kind of an input file or folder ("STAR", "MRC", ...), which is recorded in the manifest.
    minimum, maximum : limits, both inclusive.
    even : whether the number must be even.
    """
    metadata = dict(
        help=help,
        label=label,
        group=group,
        alias=alias,
        unit=unit,
        length=length,
        choices=choices,
        titles=tuple((titles or {}).get(choice, choice) for choice in choices),
        expert=expert,
        path=path,
        minimum=minimum,
        maximum=maximum,
        even=even,
    )

    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """Base of all configs."""

    command: ClassVar[str] = ""
    #: Name of the protocol in Scipion; empty for a command without a protocol.
    title: ClassVar[str] = ""
    #: One clause for the command line.
    description: ClassVar[str] = ""
    #: Position in lists of commands, which follow the order of the work.
    place: ClassVar[int] = 0
    required: ClassVar[Tuple[str, ...]] = ()
    #: Fields that say how to compute and not what: left out of the digest.
    execution: ClassVar[Tuple[str, ...]] = ("gpu", "digest_images")
    #: Fields that change nothing but the last bits of the result: a run may be resumed with others.
    last_bits: ClassVar[Tuple[str, ...]] = ()
    #: Fields with STAR files whose images the command reads.
    image_fields: ClassVar[Tuple[str, ...]] = ()
    #: Inherited fields that are advanced options in this command.
    advanced: ClassVar[Tuple[str, ...]] = ()
    #: Whether each thread works on a batch of its own, instead of all threads on each operation.
    thread_per_batch: ClassVar[bool] = False

    seed: int = option(
        0,
        "Seed of all random numbers. The same input and the same seed give the same result.",
        label="Random seed",
        group=COMPUTATION,
        expert=True,
        minimum=0,
        maximum=2**31 - 1,
    )
    threads: int = option(
        0,
        "Number of CPU threads; 0 uses all cores. Results of runs with different numbers of "
        "threads may differ in the last digits.",
        label="CPU threads",
        group=COMPUTATION,
        expert=True,
        minimum=0,
        maximum=1024,
    )
    gpu: str = option(
        "",
        "Ids of the GPUs to use, separated by commas. If empty, the first GPU is used, if any. "
        "'none': compute on the CPU.",
        label="GPU ids",
        group=COMPUTATION,
        expert=True,
    )
    images_from: Optional[str] = option(
        None,
        "Folder that relative stack names (rlnImageName, blob/path) in particle files refer to. "
        "Default: the folder of the file, else the working directory, else the project of RELION "
        "or cryoSPARC above the file. Set it if stacks of the same name exist in several of these "
        "places.",
        label="Folder of the images",
        group=INPUT,
        expert=True,
    )
    passthrough: Optional[str] = option(
        None,
        "cryoSPARC's passthrough file, if the particles are in a .cs file that lacks some of their "
        "fields (such as the images or the CTF); joined by uid.",
        label="Passthrough file",
        group=INPUT,
        expert=True,
        path="CS",
    )
    digest_images: bool = option(
        False,
        "Record a checksum of every image stack, however large. By default only the first 1 GiB "
        "is checksummed, and size and modification time are recorded for the rest. With "
        "checksums, a run can be resumed after its stacks were copied. Every stack is read once.",
        label="Checksum all images",
        group=INPUT,
        expert=True,
    )

    def validate(self) -> None:
        """Raise ConfigError for everything that is known to be wrong without opening a file."""
        for name in self.required:
            if getattr(self, name) in (None, "", ()):
                label = option_named(type(self), name).metadata["label"]
                raise ConfigError(
                    f"{self.command}: --{name.replace('_', '-')} is missing; give the "
                    f"{label[:1].lower()}{label[1:]}."
                )

        others = [p for p in self.input_paths() if p != Path(self.passthrough or "")]
        if self.passthrough and not any(p.suffix == CS_SUFFIX for p in others):
            raise ConfigError(
                f"{self.command}: --passthrough is given, but no .cs file that it belongs to; "
                "leave it out."
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

    def follows(self) -> bool:
        """Whether this process only works for a run whose results another process writes."""
        return False

    def input_paths(self) -> List[Path]:
        """All input files and folders that the config names."""
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
        """The config with these values.

        Parameters
        ----------
        values : option -> value, as `to_dict` gives them.
        source : where the values come from, for error messages.

        Raises
        ------
        ConfigError : for another command or version, an unknown option, or a value of wrong type.
        """
        values = dict(values)
        command, version = (
            values.pop("command", cls.command),
            values.pop("schema_version", SCHEMA_VERSION),
        )
        if command != cls.command:
            raise ConfigError(
                f"{source[0].upper()}{source[1:]} is for the command {shown(command)}, not for "
                f"{cls.command!r}; give the config of a {cls.command!r} run."
            )
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"{cls.command}: {source} has schema version {shown(version)}, and this program "
                f"reads version {SCHEMA_VERSION}; run the command again with this program."
            )

        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(
                f"{cls.command}: unknown parameter {shown(unknown[0])} in {source}; the known "
                f"parameters are {', '.join(sorted(known))}."
            )

        said = {k: f"{cls.command}: {k} in {source}" for k in values}
        return cls(**{k: _typed(cls, k, v, said[k]) for k, v in values.items()})

    @classmethod
    def from_json(cls: Type[C], text: str, source: str = "the config") -> C:
        values = parse_object(text, f"{cls.command}: {source}", error=ConfigError)
        return cls.from_dict(values, source)

    def digest(self) -> str:
        """SHA-256 of everything that determines the result."""
        values = {
            k: v for k, v in self.to_dict().items() if k not in (*self.execution, *self.last_bits)
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _limit(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def _typed(cls: Type[Config], name: str, value: Any, what: str) -> Any:
    """The value in the field's type: a list becomes a tuple, a whole number a float.

    Raises ConfigError if the value has another type; `what` names it in the message.
    """
    kind, several, optional = field_type(cls, name)
    check, remedy = CHECKS[kind], "correct it, or leave it out"
    if value is None and optional:
        return None
    if not several:
        return check(value, what, remedy, error=ConfigError)
    length = option_named(cls, name).metadata["length"]
    if not isinstance(value, (list, tuple)) or length not in (None, len(value)):
        wanted = "a list" if length is None else f"a list of {length}"
        raise ConfigError(f"{what} is {shown(value)}, not {wanted}; {remedy}.")
    return tuple(check(v, what, remedy, error=ConfigError) for v in value)


def option_named(cls: Type[Config], name: str):
    """The dataclass field of an option."""
    return cls.__dataclass_fields__[name]


def is_expert(cls: Type[Config], name: str) -> bool:
    """Whether an option is shown with the advanced options of this command only."""
    return option_named(cls, name).metadata["expert"] or name in cls.advanced


def options_by_group(cls: Type[Config]) -> Dict[str, List[str]]:
    """Names of all options by group: those that the command declares itself come first."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    declared = [name for base in cls.__mro__ for name in vars(base).get("__annotations__", {})]
    groups: Dict[str, List[str]] = {}
    for name in dict.fromkeys(declared):
        if name in fields:
            groups.setdefault(fields[name].metadata["group"], []).append(name)
    return groups


_hints: Callable[[Any], Dict[str, Any]] = lru_cache(maxsize=None)(typing.get_type_hints)


def field_type(cls: Type[Config], name: str):
    """(type of one value, whether there are several, whether None is allowed) of a field."""
    hint = _hints(cls)[name]
    args = typing.get_args(hint)
    optional = type(None) in args
    if optional:
        hint = next(a for a in args if a is not type(None))
        args = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return args[0], True, optional
    return hint, False, optional
