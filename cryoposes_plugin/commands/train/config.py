"""The options of `train`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ...core.imaging.settings import PoseDistribution
from ...core.networks.choices import (
    CTF_CORRECTIONS,
    FEATURE_DISTANCES,
    FILTER_BANKS,
    POOLINGS,
    REPRESENTATIONS,
)
from ...core.training.recipe import (
    LABEL_ERRORS,
    LOSSES,
    PAIR_SAMPLINGS,
    TRAINING_STYLES,
    Recipe,
)
from ..config import (
    AUGMENTATION,
    COMPUTATION,
    INPUT,
    LABELLED,
    LOSS,
    NETWORK,
    NOISE,
    OPTIMISER,
    POSES,
    TRAINING_LENGTH,
    VALIDATION,
    option,
)
from ..imaging_config import ImagingConfig
from .cluster import cluster_of
from .presets import BY_PRESET, PRESETS
from .recipe import check_recipe, recipe_of

NO_NOISE_LEVEL = (
    "train: the noise level of the simulated images is not given; give --snr, --noise-variance, or "
    "--like with particles on which it can be measured."
)
_CHOSEN_BY_NETWORK = "chosen by the network"


@dataclass(frozen=True)
class TrainConfig(ImagingConfig):
    command: ClassVar[str] = "train"
    title: ClassVar[str] = "train pose network"
    description: ClassVar[str] = "train a network that estimates poses and their uncertainty"
    place: ClassVar[int] = 30
    image_fields: ClassVar[Tuple[str, ...]] = ("particles", "like", "junk")
    last_bits: ClassVar[Tuple[str, ...]] = ("distribute",)
    advanced: ClassVar[Tuple[str, ...]] = (
        "box_size_px",
        "pixel_size_angstrom",
        "resolution_angstrom",
        "shift_distribution",
        "shift_px",
        "ctf",
        "defocus_range_angstrom",
        "noise_variance",
    )

    volume: Tuple[str, ...] = option(
        (),
        "Volumes whose projections are simulated during the training: maps (MRC) or atomic models "
        "(PDB, mmCIF). All poses that the network gives are in the frame of the volumes and have "
        "their hand.",
        label="Volumes",
        group=INPUT,
        path="MRC",
    )
    like: Optional[str] = option(
        None,
        "The particles to which the network will be applied. The simulated images take their "
        "CTFs, acquisition parameters, box size and pixel size from them, and their noise (level "
        "and spectrum) unless --snr is given. Poses of these particles are not used.",
        label="Particles to imitate",
        group=INPUT,
        path="STAR",
    )
    particles: Optional[str] = option(
        None,
        "Particles with poses to learn from, instead of simulated images or in addition to them. "
        "Poses may be off by a few degrees, and some of them wrong: see --label-errors.",
        label="Particles with known poses",
        group=INPUT,
        path="STAR",
    )
    junk: Optional[str] = option(
        None,
        "Images that show no particle, or a bad one, such as rejected 2D classes. The network "
        "learns to be uncertain of such images. For the network 'default' only.",
        label="Examples of junk",
        group=INPUT,
        path="STAR",
    )
    from_model: Optional[str] = option(
        None,
        "Train this model further instead of a fresh network: for other noise, for another "
        "conformation, or for a relative. Network, symmetry, field of view and box must be the "
        "same. Without symmetry the map may be turned against that of the model. A fifth of the time "
        "of a fresh network is enough.",
        label="Model to start from",
        group=INPUT,
        path="FOLDER",
    )
    model_library: Optional[str] = option(
        None,
        "Folder of models. Of those that fit, the one whose map is likest is trained further, if "
        "the maps are alike, however they are turned; the log says which.",
        label="Folder of models to choose from",
        group=INPUT,
        expert=True,
    )
    symmetry: str = option(
        "C1",
        "Point group of the volumes (C1, C4, D2, T, O, I, ...).",
        label="Symmetry",
        group=INPUT,
    )
    preset: str = option(
        "default",
        "Network architecture, with the loss and the training schedule that suit it.\n"
        "'default' is equivariant to in-plane rotation and fast on a CPU. Start with this one.\n"
        "'cryoforum2023' and 'lian2022' are published networks, which need a GPU.\n"
        "'distance' and 'banjac2021' learn distances between images instead of poses, from which "
        "`recover` finds the poses, also without a volume. 'banjac2021' needs a GPU.",
        label="Network",
        group=NETWORK,
        choices=tuple(PRESETS),
        titles={
            "default": "equivariant network (default)",
            "cryoforum2023": "cryoFORUM (Chung 2023)",
            "lian2022": "Lian 2022",
            "distance": "distances, equivariant network",
            "banjac2021": "distances (Banjac 2021)",
        },
    )
    model_box_size_px: Optional[int] = option(
        None,
        "Box size to which images are scaled for the network. A larger box shows finer detail and "
        "takes longer. Default: at most 64 for 'default' and 'distance', at most 128 for the "
        "other networks.",
        label="Box size of the network",
        group=NETWORK,
        unit="px",
        expert=True,
        minimum=16,
        maximum=1024,
    )
    mask_diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the soft mask on each image. Choose it slightly larger than the particle: "
        "less background means less noise. Default: the largest circle in the box.",
        label="Mask diameter",
        alias="--mask-diameter",
        group=NETWORK,
        unit="Å",
        expert=True,
        minimum=1,
        maximum=1e5,
    )
    ctf_correction: str = option(
        BY_PRESET,
        "What is done to images with a CTF before the network sees them.",
        label="CTF correction",
        group=NETWORK,
        choices=(BY_PRESET, *CTF_CORRECTIONS),
        titles={
            BY_PRESET: _CHOSEN_BY_NETWORK,
            "phase-flip": "flip the phases",
            "premultiply": "multiply by the CTF",
        },
        expert=True,
    )
    filter_bank: str = option(
        BY_PRESET,
        "Low-pass filtered copies of the image that the network sees beside the image.",
        label="Filter bank",
        group=NETWORK,
        choices=(BY_PRESET, *FILTER_BANKS),
        titles={
            BY_PRESET: _CHOSEN_BY_NETWORK,
            "gaussian": "Gaussian",
            "low-pass": "low-pass filters",
        },
        expert=True,
    )
    pooling: str = option(
        BY_PRESET,
        "How features are pooled over the image.",
        label="Pooling",
        group=NETWORK,
        choices=(BY_PRESET, *POOLINGS),
        titles={
            BY_PRESET: _CHOSEN_BY_NETWORK,
            "generalised-mean": "generalised mean",
            "max": "maximum",
            "max+average": "maximum and average",
        },
        expert=True,
    )
    representation: str = option(
        BY_PRESET,
        "What the network predicts in order to describe a rotation.",
        label="Representation of rotations",
        group=NETWORK,
        choices=(BY_PRESET, *REPRESENTATIONS),
        titles={
            BY_PRESET: _CHOSEN_BY_NETWORK,
            "bingham10": "Bingham matrix (10-D)",
            "svd9": "rotation matrix (9-D, SVD)",
            "gram-schmidt6": "two vectors (6-D, Gram-Schmidt)",
            "quaternion": "quaternion (4-D)",
            "axis-angle": "axis and angle (3-D)",
        },
        expert=True,
    )
    heads: Optional[int] = option(
        None,
        "Number of poses that the network predicts for each image, each with a weight. Only the "
        "best one of an image is trained (winner takes all). Several help if views are ambiguous. "
        "Default: chosen by the network.",
        label="Hypotheses of the network",
        group=NETWORK,
        expert=True,
        minimum=1,
        maximum=64,
    )
    features: Optional[int] = option(
        None,
        "Number of features per image, for networks of distances. Default: chosen by the network.",
        label="Number of features",
        group=NETWORK,
        expert=True,
        minimum=4,
        maximum=4096,
    )
    feature_distance: str = option(
        BY_PRESET,
        "How a network of distances compares the features of two images: 'cosine', twice the "
        "angle between them; 'euclidean'; or 'trace', a distance whose cosine is linear in their "
        "inner product.",
        label="Distance between features",
        group=NETWORK,
        choices=(BY_PRESET, *FEATURE_DISTANCES),
        titles={BY_PRESET: _CHOSEN_BY_NETWORK, "euclidean": "Euclidean"},
        expert=True,
    )
    dropout: Optional[float] = option(
        None,
        "Dropout rate. Default: chosen by the network.",
        label="Dropout rate",
        group=NETWORK,
        expert=True,
        minimum=0,
        maximum=0.9,
    )
    minutes: Optional[float] = option(
        10.0,
        "How long to train. Longer training makes the poses more accurate, with diminishing "
        "returns: 10 minutes are enough for a first look. The number of steps follows from the "
        "measured speed, so that the time is kept.",
        label="Training time",
        group=TRAINING_LENGTH,
        unit="min",
        minimum=0.01,
        maximum=1e5,
    )
    epochs: Optional[int] = option(
        None,
        "Train for this number of epochs, however long it takes. An epoch has --images-per-epoch "
        "images.",
        label="Number of epochs",
        group=TRAINING_LENGTH,
        expert=True,
        minimum=1,
        maximum=10**6,
    )
    steps: Optional[int] = option(
        None,
        "Train for exactly this number of steps, however long it takes.",
        label="Number of steps",
        group=TRAINING_LENGTH,
        expert=True,
        minimum=1,
        maximum=10**9,
    )
    images_per_epoch: int = option(
        20000,
        "Number of images in an epoch if they are simulated.",
        label="Images per epoch",
        group=TRAINING_LENGTH,
        expert=True,
        minimum=1,
        maximum=10**9,
    )
    checkpoint_minutes: float = option(
        1.0,
        "Time between checkpoints. A run that is killed and resumed repeats at most this much.",
        label="Time between checkpoints",
        group=TRAINING_LENGTH,
        unit="min",
        expert=True,
        minimum=0,
        maximum=1e5,
    )
    loss: str = option(
        BY_PRESET,
        "Loss of a predicted rotation, for the networks 'cryoforum2023' and 'lian2022' only. The "
        "likelihoods belong to a representation: 'bingham' to 'bingham10', and 'matrix-fisher' "
        "to 'svd9'.",
        label="Loss of the rotation",
        group=LOSS,
        choices=(BY_PRESET, *LOSSES),
        titles={
            BY_PRESET: _CHOSEN_BY_NETWORK,
            "geodesic": "angle (geodesic)",
            "chordal": "chordal distance",
            "quaternion": "quaternion, 1 - <q, q'>^2",
            "bingham": "Bingham likelihood",
            "matrix-fisher": "matrix Fisher likelihood",
        },
        expert=True,
    )
    training_style: str = option(
        BY_PRESET,
        "What a training step compares: single images ('single'), pairs of images ('siamese'), or "
        "pairs with an additional loss on their distance ('siamese+auxiliary'). Networks of "
        "distances learn from pairs of images alone ('siamese'), or also from distances to "
        "orientations on a grid ('landmarks').",
        label="Training style",
        group=LOSS,
        choices=(BY_PRESET, *TRAINING_STYLES),
        titles={
            BY_PRESET: _CHOSEN_BY_NETWORK,
            "single": "single images",
            "siamese": "pairs of images",
            "siamese+auxiliary": "pairs with a distance loss",
        },
        expert=True,
    )
    pair_sampling: str = option(
        BY_PRESET,
        "How pairs for the distance loss are drawn: at random, or with equal numbers at all "
        "distances.",
        label="Pair sampling",
        group=LOSS,
        choices=(BY_PRESET, *PAIR_SAMPLINGS),
        titles={BY_PRESET: _CHOSEN_BY_NETWORK, "stratified": "equal numbers at all distances"},
        expert=True,
    )
    distance_weight: Optional[float] = option(
        None,
        "Weight of the additional loss on distances between pairs. Default: a schedule chosen by "
        "the network.",
        label="Weight of the distance loss",
        group=LOSS,
        expert=True,
        minimum=0,
        maximum=1e6,
    )
    regression_weight: Optional[float] = option(
        None,
        "Weight w of the loss of the rotation; the difference between reprojections has the "
        "weight 1 - w (Lian 2022). Default: chosen by the network.",
        label="Weight of the rotation loss",
        group=LOSS,
        expert=True,
        minimum=0,
        maximum=1,
    )
    batch_size: Optional[int] = option(
        None,
        "Number of images per training step. Reduce it if memory runs out. Default: chosen by the "
        "network.",
        label="Batch size",
        group=OPTIMISER,
        expert=True,
        minimum=2,
        maximum=10**5,
    )
    learning_rate: Optional[float] = option(
        None,
        "Peak of the learning rate. Reduce it if the loss jumps or grows. Default: chosen by the "
        "network.",
        label="Learning rate",
        group=OPTIMISER,
        expert=True,
        minimum=0,
        maximum=10,
    )
    l2: Optional[float] = option(
        None,
        "Weight decay. Default: chosen by the network.",
        label="Weight decay",
        group=OPTIMISER,
        expert=True,
        minimum=0,
        maximum=10,
    )
    simulated_share: float = option(
        0.5,
        "Share of the training images that is simulated, if both volumes and particles with known "
        "poses are given.",
        label="Share of simulated images",
        group=LABELLED,
        expert=True,
        minimum=0.01,
        maximum=0.99,
    )
    label_errors: str = option(
        BY_PRESET,
        "Whether poses of the given particles may be wrong. 'estimated': poses that contradict what "
        "the network has learned from the others count less; their share is estimated, and the "
        "probability that a pose is wrong is written for each particle. 'none': all poses count "
        "the same. 'estimated' is for the network 'default' only.",
        label="Wrong poses",
        group=LABELLED,
        choices=(BY_PRESET, *LABEL_ERRORS),
        titles={BY_PRESET: _CHOSEN_BY_NETWORK, "none": "none are wrong"},
        expert=True,
    )
    even_views: bool = option(
        True,
        "Show particles of rare views more often, and those of frequent views less, by up to a "
        "factor of four, so that preferred views do not rule the training.",
        label="Even out the views",
        group=LABELLED,
        expert=True,
    )
    augment_rotation: bool = option(
        True,
        "Rotate particles with known poses in-plane, by random angles.",
        label="Rotate in-plane",
        group=AUGMENTATION,
        expert=True,
    )
    augment_mirror: bool = option(
        True,
        "Mirror particles with known poses. The mirror image is the view from the opposite side.",
        label="Mirror",
        group=AUGMENTATION,
        expert=True,
    )
    augment_shift_px: float = option(
        1.0,
        "Standard deviation of additional shifts of particles with known poses.",
        label="Additional shifts",
        group=AUGMENTATION,
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    augment_noise: float = option(
        0.0,
        "Standard deviation of noise that is added to particles with known poses, whose own noise "
        "has the standard deviation 1.",
        label="Additional noise",
        group=AUGMENTATION,
        expert=True,
        minimum=0,
        maximum=1000,
    )
    validation_number: int = option(
        500,
        "Number of held-out images on which the error is measured.",
        label="Validation images",
        group=VALIDATION,
        expert=True,
        minimum=10,
        maximum=10**6,
    )
    snr: Optional[float] = option(
        None,
        "Signal-to-noise ratio of the simulated images: variance of the signal over the whole box, "
        "after the CTF, divided by the variance of the noise. Default: level and spectrum of the "
        "noise are measured on --like, which is usually best. Cryo-EM particles have about 0.01 "
        "to 0.1 at full size, and more when binned.",
        label="SNR",
        group=NOISE,
        minimum=1e-6,
        maximum=1e6,
    )
    orientations: str = option(
        "uniform",
        "Viewing directions of the simulated images: uniform on the sphere, or on the quarter of "
        "it with y, z > 0, which holds each view of a particle with D2 symmetry once. Networks of "
        "distances need the quarter sphere for such a particle.",
        label="Viewing directions",
        group=POSES,
        choices=("uniform", "quarter-sphere"),
        titles={"quarter-sphere": "quarter sphere"},
        expert=True,
    )

    distribute: str = option(
        "none",
        "Whether each batch is shared out: among the GPUs of this machine ('gpus'; all, or those of "
        "--gpu), or among processes on several machines, each with all of its GPUs ('workers'). "
        "The batch, and so the training, is the same as on one device. Processes are started with "
        "srun, or find each other by TF_CONFIG; all get the same command.",
        label="Share out the training",
        group=COMPUTATION,
        choices=("none", "gpus", "workers"),
        titles={"none": "no", "gpus": "among GPUs", "workers": "among processes"},
        expert=True,
    )

    def follows(self) -> bool:
        return self.distribute == "workers" and cluster_of(os.environ).place > 0

    def validate(self) -> None:
        super().validate()
        if not self.volume and not self.particles:
            raise ConfigError(
                "train: neither --volume nor --particles is given; give a map to simulate images "
                "from, or particles with poses."
            )
        if self.minutes is None and self.epochs is None and self.steps is None:
            raise ConfigError("train: none of --minutes, --epochs, --steps is given; give one.")

        if self.orientations != "uniform" and not self.volume:
            raise ConfigError(
                f"train: --orientations is {self.orientations!r}, which is for simulated images, "
                "but --volume is missing; leave it out, or give a map."
            )
        if self.model_library and self.from_model:
            raise ConfigError(
                "train: both --from-model and --model-library are given; leave one of them out."
            )
        if self.model_library and len(self.volume) != 1:
            raise ConfigError(
                "train: --model-library is searched for the model of the likest map, and --volume "
                f"gives {len(self.volume)}; give one map, or --from-model."
            )
        recipe = self.recipe()
        check_recipe(self, recipe)
        if self.junk and recipe.network != "polar":
            raise ConfigError(
                f"train: --junk is given, and --preset {self.preset} has no classifier over "
                "orientations that could learn from it; leave it out, or give --preset default."
            )

    def check_noise(self) -> None:
        """ConfigError if simulated images have no noise level, which only a run needs."""
        if self.volume and not self.like and self.snr is None and self.noise_variance is None:
            raise ConfigError(NO_NOISE_LEVEL)

    def pose_distribution(self) -> PoseDistribution:
        return replace(super().pose_distribution(), orientations=self.orientations)

    def recipe(self) -> Recipe:
        """The choices of this training, the preset's where the user makes none."""
        return recipe_of(self)
