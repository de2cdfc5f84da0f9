"""What each command can be told: one frozen dataclass a command.

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

from .errors import ConfigError
from .types import IMAGE_STATES

SCHEMA_VERSION = 1
#: Environment variables that numerical libraries take their number of threads from, when they are loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")

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
):
    """A dataclass field with what a form and a command line need to know about it.

    `path` marks input files (digested into the manifest); `minimum` and `maximum` are inclusive.
    """
    metadata = dict(help=help, unit=unit, choices=choices, expert=expert, path=path, minimum=minimum, maximum=maximum)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """Base of all configs. `execution` fields say how to run, not what to compute: the digest leaves them out."""

    command: ClassVar[str] = ""
    required: ClassVar[Tuple[str, ...]] = ()
    execution: ClassVar[Tuple[str, ...]] = ("gpu",)

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


@dataclass(frozen=True)
class ImagingConfig(Config):
    """How images are formed, y = C S P x + n: shared by `simulate` and by training on simulated images."""

    box_size_px: Optional[int] = option(
        None, "Box size of the images; default: that of --like, else of the volume.", unit="px", minimum=8
    )
    pixel_size_angstrom: Optional[float] = option(
        None, "Pixel size of the images; default: that of --like, else of the volume.", unit="Å", minimum=0.01
    )
    like: Optional[str] = option(
        None,
        "A particle STAR file whose CTFs, acquisition, box and pixel size are taken; its poses are not used.",
        path=True,
    )
    shift_distribution: str = option(
        "gaussian",
        "Distribution of the particle's displacement from the centre, along x and y.",
        choices=("none", "gaussian", "triangular", "uniform"),
    )
    shift_px: float = option(
        1.5,
        "Standard deviation (gaussian) or half width (triangular, uniform) of the shift, in pixels of the image.",
        unit="px",
        minimum=0,
    )
    ctf: bool = option(True, "Apply a contrast transfer function.")
    defocus_range_angstrom: Tuple[float, float] = option(
        (8000.0, 25000.0), "Smallest and largest underfocus, drawn uniformly.", unit="Å"
    )
    astigmatism_angstrom: float = option(
        0.0, "Largest difference of the two defoci; the angle is uniform.", unit="Å", expert=True, minimum=0
    )
    phase_shift_deg: float = option(0.0, "Phase shift of a phase plate.", unit="°", expert=True)
    voltage_kv: float = option(300.0, "Acceleration voltage.", unit="kV", expert=True, minimum=1)
    spherical_aberration_mm: float = option(2.7, "Spherical aberration.", unit="mm", expert=True, minimum=0)
    amplitude_contrast: float = option(0.1, "Amplitude contrast.", expert=True, minimum=0, maximum=1)
    bfactor_angstrom2: float = option(0.0, "B-factor of the envelope exp(-B s^2 / 4).", unit="Å^2", expert=True)
    image_state: str = option(
        "raw",
        "Whether the images are left as recorded, phase-flipped or multiplied by their CTF.",
        choices=IMAGE_STATES,
        expert=True,
    )
    snr: Optional[float] = option(
        None,
        "Signal-to-noise ratio: mean over the set of the full-box variance of the "
        "CTF-modulated signal, over one noise variance for the whole set.",
        minimum=1e-6,
    )
    noise_variance: Optional[float] = option(
        None, "Noise variance per pixel, in units of the projected volume; alternative to --snr.", minimum=0
    )
    noise_correlation_px: float = option(
        0.0,
        "0: white noise. Else noise coloured by a Gaussian of this standard "
        "deviation mixed half and half with white noise.",
        unit="px",
        expert=True,
        minimum=0,
    )

    def validate(self) -> None:
        super().validate()
        low, high = self.defocus_range_angstrom
        if low > high:
            raise ConfigError(
                f"{self.command}: --defocus-range is {low:g} to {high:g} Å; give the smaller value first."
            )
        if self.snr is not None and self.noise_variance is not None:
            raise ConfigError(
                f"{self.command}: --snr {self.snr:g} and --noise-variance {self.noise_variance:g} exclude "
                "each other; give one of them."
            )


@dataclass(frozen=True)
class SimulateConfig(ImagingConfig):
    command: ClassVar[str] = "simulate"
    required: ClassVar[Tuple[str, ...]] = ("volume",)

    volume: Tuple[str, ...] = option((), "Volume (MRC) to project; several make a mixture in equal parts.", path=True)
    number: int = option(5000, "Number of images.", minimum=1)
    orientations: str = option(
        "uniform",
        "Distribution of orientations: uniform on SO(3), a HEALPix grid, uniform in the "
        "Euler angles (crowded at the poles), a half or quarter sphere of viewing "
        "directions, preferred views, or those of a particle set.",
        choices=("uniform", "healpix", "euler", "half-sphere", "quarter-sphere", "preferred", "particles"),
    )
    orientations_from: Optional[str] = option(
        None, "Particle STAR file that gives the poses (with 'particles').", path=True
    )
    preferred_directions_deg: Tuple[float, ...] = option(
        (0.0, 0.0), "Preferred viewing directions as rot, tilt, rot, tilt, ...", unit="°", expert=True
    )
    preferred_concentration: float = option(
        10.0, "Concentration kappa of the von Mises-Fisher distribution around preferred views.", expert=True, minimum=0
    )
    normalise: bool = option(
        True,
        "Scale and offset each image so that the background outside the particle has mean 0 "
        "and standard deviation 1, as RELION wants it (only where there is noise).",
    )
    particle_diameter_angstrom: Optional[float] = option(
        None, "Diameter outside which is background; default: 75 % of the box.", unit="Å", expert=True, minimum=1
    )
    projector: str = option(
        "fourier",
        "Fourier slices (TensorFlow, any machine) or ASTRA (real space, needs CUDA).",
        choices=("fourier", "astra"),
        expert=True,
    )

    def validate(self) -> None:
        super().validate()
        if self.orientations == "particles" and not self.orientations_from:
            raise ConfigError(
                "simulate: orientations 'particles' need --orientations-from, a particle STAR file with poses."
            )
        if len(self.preferred_directions_deg) % 2:
            raise ConfigError(
                f"simulate: --preferred-directions has {len(self.preferred_directions_deg)} angles; give "
                "pairs of rot and tilt."
            )
        if self.box_size_px is not None and self.box_size_px % 2:
            raise ConfigError(f"simulate: --box-size-px is {self.box_size_px}; give an even number (RELION needs it).")


@dataclass(frozen=True)
class TrainConfig(ImagingConfig):
    command: ClassVar[str] = "train"

    volume: Tuple[str, ...] = option((), "Volume(s) (MRC) whose projections are simulated while training.", path=True)
    particles: Optional[str] = option(None, "Particle STAR file whose poses are labels to learn from.", path=True)
    preset: str = option(
        "default",
        "Architecture and losses: 'default' is equivariant to in-plane rotation and fast on a "
        "CPU; 'cryoforum2023' is the network of Chung 2023, for a GPU.",
        choices=("default", "cryoforum2023"),
    )
    minutes: Optional[float] = option(
        10.0, "Training time; the rate over the first steps fixes the number of steps.", unit="min", minimum=0.01
    )
    epochs: Optional[int] = option(
        None, "Number of epochs instead of minutes; an epoch is --images-per-epoch images.", minimum=1
    )
    steps: Optional[int] = option(
        None, "Exact number of training steps instead of minutes or epochs.", expert=True, minimum=1
    )
    images_per_epoch: int = option(
        20000, "Images an epoch has when they are simulated on the fly.", expert=True, minimum=1
    )
    batch_size: int = option(128, "Images a step sees.", expert=True, minimum=2)
    learning_rate: Optional[float] = option(
        None, "Peak of the one-cycle learning rate; default: the preset's.", expert=True, minimum=0
    )
    model_box_size_px: Optional[int] = option(
        None,
        "Box at which the network works; default: 64 or smaller for 'default', 128 or smaller for 'cryoforum2023'.",
        unit="px",
        expert=True,
        minimum=16,
    )
    mask_diameter_angstrom: Optional[float] = option(
        None, "Diameter of the soft mask on each image; default: what the box holds.", unit="Å", minimum=1
    )
    symmetry: str = option("C1", "Point group of the volume (C1, C4, D2, T, O, I, ...).")
    ctf_correction: str = option(
        "phase-flip",
        "What is done to images with a CTF before the network sees them.",
        choices=("none", "phase-flip"),
        expert=True,
    )
    pair_sampling: str = option(
        "random",
        "How pairs for the distance loss are drawn: random, or equally many at every distance.",
        choices=("random", "stratified"),
        expert=True,
    )
    distance_weight: Optional[float] = option(
        None, "Weight of the pairwise distance loss; default: the preset's curriculum.", expert=True, minimum=0
    )
    augment_rotation: bool = option(True, "Turn labelled images in-plane.", expert=True)
    augment_mirror: bool = option(True, "Mirror labelled images (the view from the opposite side).", expert=True)
    augment_shift_px: float = option(
        1.0, "Standard deviation of extra shifts of labelled images.", unit="px", expert=True, minimum=0
    )
    augment_noise: float = option(
        0.0, "Standard deviation of noise added to labelled images, which have 1.", expert=True, minimum=0
    )
    dropout: Optional[float] = option(None, "Dropout rate; default: the preset's.", expert=True, minimum=0, maximum=0.9)
    l2: Optional[float] = option(None, "Weight decay; default: the preset's.", expert=True, minimum=0)
    validation_number: int = option(500, "Images kept apart to measure the error.", expert=True, minimum=10)
    checkpoint_minutes: float = option(1.0, "Time between checkpoints.", unit="min", expert=True, minimum=0)

    def validate(self) -> None:
        super().validate()
        if not self.volume and not self.particles:
            raise ConfigError(
                "train: neither --volume nor --particles is given; give a map to simulate images from, or "
                "particles with poses."
            )
        if self.minutes is None and self.epochs is None and self.steps is None:
            raise ConfigError("train: none of --minutes, --epochs, --steps is given; give one.")


@dataclass(frozen=True)
class InferConfig(Config):
    command: ClassVar[str] = "infer"
    required: ClassVar[Tuple[str, ...]] = ("model", "particles")

    model: Optional[str] = option(None, "Folder of a trained model (model.keras and model_card.json).", path=True)
    particles: Optional[str] = option(None, "Particle STAR file.", path=True)
    volume: Optional[str] = option(
        None, "Volume (MRC) that the shifts are measured against; without it the input's shifts are kept.", path=True
    )
    max_shift_px: float = option(
        8.0, "Largest shift looked for, in pixels of the model's images.", unit="px", expert=True, minimum=0
    )
    batch_size: int = option(256, "Images a batch.", expert=True, minimum=1)


@dataclass(frozen=True)
class FilterConfig(Config):
    command: ClassVar[str] = "filter"
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(None, "Particle STAR file with scores, as `infer` writes it.", path=True)
    score: str = option(
        "cryoposesTrace",
        "Column to filter by; larger magnitude is more certain.",
        choices=("cryoposesTrace", "cryoposesDispersion"),
    )
    keep_quantile: Optional[float] = option(
        0.75, "Share of the particles to keep, the most certain ones.", minimum=0, maximum=1
    )
    threshold: Optional[float] = option(
        None, "Keep particles whose score is this or less (more negative is more certain); used instead of the share."
    )


@dataclass(frozen=True)
class ReconstructConfig(Config):
    command: ClassVar[str] = "reconstruct"
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(None, "Particle STAR file with poses.", path=True)
    symmetry: str = option("C1", "Point group to impose (C1, C4, D2, T, O, I, ...).")
    mask_diameter_angstrom: Optional[float] = option(
        None, "Diameter of the soft sphere for the masked FSC; default: 75 % of the box.", unit="Å", minimum=1
    )
    reference: Optional[str] = option(None, "Volume (MRC) on the same frame, to compare with by FSC.", path=True)
    method: str = option(
        "fourier",
        "Fourier insertion with CTF weights, or CGLS with ASTRA (needs CUDA).",
        choices=("fourier", "cgls"),
        expert=True,
    )
    cgls_iterations: int = option(20, "Iterations of CGLS.", expert=True, minimum=1)
    padding: int = option(2, "Padding factor of the Fourier volume.", expert=True, minimum=1, maximum=4)
    batch_size: int = option(256, "Images a batch.", expert=True, minimum=1)


@dataclass(frozen=True)
class CompareConfig(Config):
    command: ClassVar[str] = "compare"
    required: ClassVar[Tuple[str, ...]] = ("truth", "estimate")

    truth: Optional[str] = option(None, "Particle STAR file with the poses to compare with.", path=True)
    estimate: Optional[str] = option(None, "Particle STAR file with the poses to judge.", path=True)
    symmetry: str = option("C1", "Point group: poses that it makes equal count as equal.")
    registration: str = option(
        "none",
        "Compare as they are, or after the best common rotation, or rotation and hand.",
        choices=("none", "rotation", "rotation-and-hand"),
    )


CONFIGS: Dict[str, Type[Config]] = {
    c.command: c for c in (SimulateConfig, TrainConfig, InferConfig, FilterConfig, ReconstructConfig, CompareConfig)
}
