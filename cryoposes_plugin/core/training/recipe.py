"""Every choice of a training, resolved. Plain values, free of TensorFlow, which Scipion's GUI can
import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

LOSSES = ("geodesic", "chordal", "quaternion", "bingham", "matrix-fisher")
#: Of networks that give poses, and of those that give distances between images.
POSE_TRAINING_STYLES = ("single", "siamese", "siamese+auxiliary")
DISTANCE_TRAINING_STYLES = ("siamese", "landmarks")
TRAINING_STYLES = (*POSE_TRAINING_STYLES, "landmarks")
PAIR_SAMPLINGS = ("random", "stratified")
#: Whether some of the given labels are taken to be wrong.
LABEL_ERRORS = ("estimated", "none")
#: The representation whose numbers are the parameters of a likelihood.
REPRESENTATION_OF_LIKELIHOOD = {"bingham": "bingham10", "matrix-fisher": "svd9"}


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained. None: the network has no such choice.

    network : kind of network, see `networks.build`.
    batch_size : images per training step.
    learning_rate, schedule : peak of the learning rate and its schedule, see `training.schedules`.
    l2, dropout : weight decay and dropout rate.
    ctf_correction : before the network sees an image, see `networks.choices.CTF_CORRECTIONS`.
    pair_sampling : of the pairs of the distance loss, see `training.pair_sampling`.
    representation, pooling, filter_bank, heads : of the network; heads is the number of hypotheses
    per image.
    loss, training_style : see `LOSSES`, `POSE_TRAINING_STYLES`.
    regression_weight : w of Lian 2022, eq. 15.
    distance_weight : of the pairwise distance loss; None for the curriculum.
    feature_distance, features : kind of distance between features and their number, of networks
    that give distances between images and no poses.
    label_errors : whether given labels count by the probability that they are right, one of
    `LABEL_ERRORS`.
    """

    network: str
    batch_size: int
    learning_rate: float
    schedule: str
    l2: float
    dropout: float
    ctf_correction: str
    pair_sampling: str = "random"
    representation: Any = None
    pooling: Any = None
    filter_bank: Any = None
    heads: Any = None
    loss: Any = None
    training_style: Any = None
    regression_weight: Any = None
    distance_weight: Any = None
    feature_distance: Any = None
    features: Any = None
    label_errors: Any = None

    @property
    def gives_distances(self) -> bool:
        """Whether the network gives distances between images instead of poses."""
        return self.feature_distance is not None

    @property
    def possible_training_styles(self) -> Tuple[str, ...]:
        """Training styles that the network can be trained in."""
        if self.training_style is None:
            return ()
        return DISTANCE_TRAINING_STYLES if self.gives_distances else POSE_TRAINING_STYLES
