"""What `train` can be told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ...core.imaging.settings import PoseDistribution
from ...core.networks.choices import (
    CTF_CORRECTIONS,
    FEATURE_DISTANCES,
    FILTER_BANKS,
    POOLINGS,
    REPRESENTATIONS,
)
from ...core.training.choices import (
    LOSSES,
    PAIR_SAMPLINGS,
    REPRESENTATION_OF_LIKELIHOOD,
    TRAINING_STYLES,
)
from ..config import option
from ..imaging_config import ImagingConfig
from .presets import BY_PRESET, PRESETS, Preset

NO_NOISE_LEVEL = (
    "train: nothing says how noisy the simulated images shall be; give --snr, --noise-variance, or --like with "
    "particles to measure it on."
)
#: What only some networks can be told.
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
)


@dataclass(frozen=True)
class TrainConfig(ImagingConfig):
    command: ClassVar[str] = "train"
    image_fields: ClassVar[Tuple[str, ...]] = ("particles", "like")

    volume: Tuple[str, ...] = option(
        (),
        "Volumes (MRC, or atomic models) whose projections are simulated in training.",
        path=True,
    )
    particles: Optional[str] = option(
        None, "Particle STAR file whose poses are labels to learn from.", path=True
    )
    preset: str = option(
        "default",
        "Network and losses: 'default' is equivariant to in-plane rotation and fast on a CPU; 'cryoforum2023' and "
        "'lian2022' are those of Chung 2023 and Lian 2022, for a GPU. 'distance' and 'banjac2021' (Banjac 2021, for a "
        "GPU) learn distances between images instead of poses, for 'recover'.",
        choices=tuple(PRESETS),
    )
    minutes: Optional[float] = option(
        10.0,
        "Training time; more is better, with diminishing returns. The number of steps follows the rate, so that the "
        "time is kept.",
        unit="min",
        minimum=0.01,
        maximum=1e5,
    )
    epochs: Optional[int] = option(
        None,
        "Number of epochs instead of minutes; an epoch is --images-per-epoch images.",
        expert=True,
        minimum=1,
        maximum=10**6,
    )
    steps: Optional[int] = option(
        None,
        "Exact number of training steps instead of minutes or epochs.",
        expert=True,
        minimum=1,
        maximum=10**9,
    )
    images_per_epoch: int = option(
        20000,
        "Images an epoch has when they are simulated on the fly.",
        expert=True,
        minimum=1,
        maximum=10**9,
    )
    batch_size: Optional[int] = option(
        None,
        "Images that a step learns from; default: the preset's.",
        expert=True,
        minimum=2,
        maximum=10**5,
    )
    learning_rate: Optional[float] = option(
        None,
        "Peak of the learning rate; default: the preset's.",
        expert=True,
        minimum=0,
        maximum=10,
    )
    model_box_size_px: Optional[int] = option(
        None,
        "Box at which the network works; default: 64 or smaller for 'default', 128 or smaller for the others.",
        unit="px",
        expert=True,
        minimum=16,
        maximum=1024,
    )
    mask_diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the soft mask on each image, a little more than the particle's: less background is less noise. "
        "Default: what the box holds.",
        unit="Å",
        minimum=1,
        maximum=1e5,
    )
    symmetry: str = option("C1", "Point group of the volume (C1, C4, D2, T, O, I, ...).")
    orientations: str = option(
        "uniform",
        "Viewing directions of simulated projections: uniform on the sphere, or on its quarter y, z > 0, from which a "
        "particle of symmetry D2 has each view once. A network of distances needs that of such a particle.",
        choices=("uniform", "quarter-sphere"),
        expert=True,
    )
    representation: str = option(
        BY_PRESET,
        "What stands for a rotation: 'bingham10', a Bingham matrix; 'svd9', a matrix, whose nearest rotation is taken; "
        "'gram-schmidt6', two vectors; 'quaternion'; 'axis-angle'.",
        choices=(BY_PRESET, *REPRESENTATIONS),
        expert=True,
    )
    pooling: str = option(
        BY_PRESET,
        "How features are gathered over the image: 'generalised-mean', 'max', 'average' or 'max+average'.",
        choices=(BY_PRESET, *POOLINGS),
        expert=True,
    )
    filter_bank: str = option(
        BY_PRESET,
        "Blurred copies that the network sees beside the image: 'none', 'gaussian' or 'low-pass'.",
        choices=(BY_PRESET, *FILTER_BANKS),
        expert=True,
    )
    heads: Optional[int] = option(
        None,
        "Hypotheses for each image, trained winner-takes-all and weighted; default: the preset's.",
        expert=True,
        minimum=1,
        maximum=64,
    )
    loss: str = option(
        BY_PRESET,
        "Loss of a rotation: 'geodesic', the angle; 'chordal'; 'quaternion', 1 - <q, q'>^2; or the likelihood "
        "'bingham' of 'bingham10' or 'matrix-fisher' of 'svd9'.",
        choices=(BY_PRESET, *LOSSES),
        expert=True,
    )
    training_style: str = option(
        BY_PRESET,
        "'single' images, 'siamese' pairs, or pairs with their distance as an auxiliary loss, 'siamese+auxiliary'. Of "
        "--preset distance: distances between the images alone, 'siamese', or to known 'landmarks' of orientation too.",
        choices=(BY_PRESET, *TRAINING_STYLES),
        expert=True,
    )
    regression_weight: Optional[float] = option(
        None,
        "Weight w of the regression beside 1 - w of the difference of reprojections; default: the preset's.",
        expert=True,
        minimum=0,
        maximum=1,
    )
    ctf_correction: str = option(
        BY_PRESET,
        "What is done to images with a CTF before the network sees them: 'none', 'phase-flip' or 'premultiply'.",
        # Scipion stores the place of a choice: those of older versions keep theirs.
        choices=(*CTF_CORRECTIONS, BY_PRESET),
        expert=True,
    )
    pair_sampling: str = option(
        BY_PRESET,
        "How pairs for the distance loss are drawn: 'random', or equally many at every distance, 'stratified'.",
        # Scipion stores the place of a choice: those of older versions keep theirs.
        choices=(*PAIR_SAMPLINGS, BY_PRESET),
        expert=True,
    )
    feature_distance: str = option(
        BY_PRESET,
        "Distance of two images by their features: 'cosine', twice the angle between them; 'euclidean'; or 'trace', "
        "whose cosine is linear in their inner product.",
        choices=(BY_PRESET, *FEATURE_DISTANCES),
        expert=True,
    )
    features: Optional[int] = option(
        None,
        "Features of an image, for distances; default: the preset's.",
        expert=True,
        minimum=4,
        maximum=4096,
    )
    distance_weight: Optional[float] = option(
        None,
        "Weight of the pairwise distance loss; default: the preset's curriculum.",
        expert=True,
        minimum=0,
        maximum=1e6,
    )
    augment_rotation: bool = option(True, "Turn labelled images in-plane.", expert=True)
    augment_mirror: bool = option(
        True, "Mirror labelled images (the view from the opposite side).", expert=True
    )
    augment_shift_px: float = option(
        1.0,
        "Standard deviation of extra shifts of labelled images.",
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    augment_noise: float = option(
        0.0,
        "Standard deviation of noise added to labelled images, which have 1.",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    dropout: Optional[float] = option(
        None, "Dropout rate; default: the preset's.", expert=True, minimum=0, maximum=0.9
    )
    l2: Optional[float] = option(
        None, "Weight decay; default: the preset's.", expert=True, minimum=0, maximum=10
    )
    validation_number: int = option(
        500,
        "Images that are kept apart, to measure the error on.",
        expert=True,
        minimum=10,
        maximum=10**6,
    )
    checkpoint_minutes: float = option(
        1.0,
        "Time between checkpoints: what a run that is killed has to repeat at most.",
        unit="min",
        expert=True,
        minimum=0,
        maximum=1e5,
    )

    def validate(self) -> None:
        super().validate()
        if not self.volume and not self.particles:
            raise ConfigError(
                "train: neither --volume nor --particles is given; give a map to simulate images from, or "
                "particles with poses."
            )
        if self.minutes is None and self.epochs is None and self.steps is None:
            raise ConfigError("train: none of --minutes, --epochs, --steps is given; give one.")
        if self.orientations != "uniform" and not self.volume:
            raise ConfigError(
                f"train: --orientations is {self.orientations!r}, of simulated projections, and --volume is missing; "
                "leave it out, or give a map."
            )
        self._validate_network_choices()
        self._validate_losses()
        if self.preset_values.gives_distances:
            self._validate_distances()

    def check_noise(self) -> None:
        """Raise where simulated images have no noise level: what a run needs, and a config alone does not."""
        if self.volume and not self.like and self.snr is None and self.noise_variance is None:
            raise ConfigError(NO_NOISE_LEVEL)

    def pose_distribution(self) -> PoseDistribution:
        return replace(super().pose_distribution(), orientations=self.orientations)

    @property
    def preset_values(self) -> Preset:
        return PRESETS[self.preset]

    def chosen(self, name: str) -> Any:
        """The value of a field, the preset's where the user leaves it to the preset; None where there is none."""
        value = getattr(self, name)
        if value not in (None, BY_PRESET):
            return value
        return self.preset_values.value(name, symmetric=self.symmetry.strip().upper() != "C1")

    def _validate_network_choices(self) -> None:
        for name in _NETWORK_CHOICES:
            value = getattr(self, name)
            if value in (None, BY_PRESET) or getattr(self.preset_values, name) is not None:
                continue
            able = [
                preset for preset, values in PRESETS.items() if getattr(values, name) is not None
            ]
            raise ConfigError(
                f"train: --{name.replace('_', '-')} is {value!r} and the network of --preset {self.preset} has no such "
                f"choice; leave it out, or give --preset {' or '.join(able)}."
            )

    def _validate_losses(self) -> None:
        loss, representation, style = (
            self.chosen(name) for name in ("loss", "representation", "training_style")
        )
        needed = REPRESENTATION_OF_LIKELIHOOD.get(loss, representation)
        if representation != needed:
            raise ConfigError(
                f"train: --loss {loss} is the likelihood of --representation {needed}, and the representation is "
                f"{representation!r}; give --representation {needed} or another loss."
            )
        able = self.preset_values.training_styles
        if style is not None and style not in able:
            raise ConfigError(
                f"train: --training-style is {style!r} and --preset {self.preset} is trained as {' or '.join(able)}; "
                "give one of these."
            )
        if style in ("single", "siamese") and self.distance_weight:
            raise ConfigError(
                f"train: --distance-weight is {self.distance_weight:g} and --training-style {style!r} has no distance "
                "loss; leave it out, or give --training-style siamese+auxiliary."
            )
        sampling = self.chosen("pair_sampling")
        if style == "single" and sampling != "random":
            raise ConfigError(
                f"train: --pair-sampling is {sampling!r} and --training-style 'single' has no pairs; leave "
                "it out, or give --training-style siamese."
            )
        weight = self.chosen("regression_weight")
        if weight is not None and weight < 1 and len(self.volume) != 1:
            raise ConfigError(
                f"train: --regression-weight is {weight:g}, which compares reprojections of one map, and --volume "
                f"gives {len(self.volume)}; give one map, or --regression-weight 1."
            )

    def _validate_distances(self) -> None:
        if self.distance_weight is not None:
            raise ConfigError(
                f"train: --distance-weight is {self.distance_weight:g} and --preset {self.preset} learns nothing but "
                "distances; leave it out."
            )
        kind = self.chosen("feature_distance")
        if self.preset_values.network == "polar-distance" and kind != "trace":
            raise ConfigError(
                f"train: --feature-distance is {kind!r} and the features of --preset distance are made for 'trace'; "
                "leave it out, or give --preset banjac2021."
            )
        if self.symmetry.strip().upper() != "C1":
            raise ConfigError(
                f"train: --symmetry is {self.symmetry} and --preset {self.preset} learns distances, which do not tell "
                "rotations under a symmetry; give C1 (and --orientations quarter-sphere for D2) or --preset default."
            )
