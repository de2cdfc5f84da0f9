"""The registry of scores: every column that the program writes about a particle's pose.

Forms, filter, plots, guides and the columns that other plugins are asked to keep are derived from
it. Scores belong to the pose that the particle has and are invalid for another one. This module
runs on Python 3.8, because Scipion's GUI imports it.
"""

from __future__ import annotations

from typing import Iterable, NamedTuple, Optional, Tuple, TypeVar

import numpy as np

ArrayOrNumber = TypeVar("ArrayOrNumber", float, np.ndarray)

LOW, HIGH, NEITHER = "low", "high", ""

#: Every column of this program begins with it.
PREFIX = "cryoposes"
#: The same for the attributes of a Scipion particle.
ATTRIBUTE_PREFIX = "_" + PREFIX
#: Text: where a pose comes from, such as "network:<digest of the model>" or "truth".
POSE_SOURCE = "cryoposesPoseSource"
#: For a network that is no better than chance: in the sentence about it, and at the end of the
#: source of its poses.
LEARNED_NOTHING, FROM_NOTHING = "has learned nothing", ",learned-nothing"
#: Text: the pose that the scores belong to (see `scored_pose`).
SCORED_POSE = "cryoposesScoredPose"
#: Text: what is true of a simulated image (see `image_truth`) begins with this. It belongs to the
#: image, not to a pose.
TRUTH = "cryoposesTrue"
#: Text: what a simulated image shows (see `image_kinds`).
TRUE_KIND = f"{TRUTH}Kind"
#: Text: the covariance of the pose (see `io.covariances`).
COVARIANCE = "cryoposesCovariance"
#: Text: the probabilities of all symmetry mates of the pose, with "/" between them.
MATE_PROBABILITIES = "cryoposesMateProbabilities"
#: Text: the id of the particle that a copy at a symmetry mate was made of.
EXPANDED_FROM = "cryoposesExpandedFrom"
#: Text: number of the set, and the id in it, that a particle of a merged set comes from.
MERGED_FROM = "cryoposesMergedFrom"
#: Text: whether several sets agree on the pose, or why they do not.
CONSENSUS = "cryoposesConsensus"
TEXTS = (
    POSE_SOURCE,
    SCORED_POSE,
    TRUE_KIND,
    COVARIANCE,
    MATE_PROBABILITIES,
    EXPANDED_FROM,
    MERGED_FROM,
    CONSENSUS,
)

#: The columns of the scores.
TRACE = "cryoposesTrace"
DISPERSION = "cryoposesDispersion"
EXPECTED_ERROR = "cryoposesExpectedErrorDeg"
WRONG_BASIN = "cryoposesWrongBasin"
IMAGE_RESIDUAL = "cryoposesResidual"
DISTANCE_RESIDUAL = "cryoposesDistanceResidualDeg"
OUTLIER_SCORE = "cryoposesOutlierScore"
SEARCH_CERTAINTY = "cryoposesSearchCertainty"
EXPECTED_SHIFT_ERROR = "cryoposesExpectedShiftErrorAngstrom"
ANGULAR_ERROR = "cryoposesAngularErrorDeg"
SHIFT_ERROR = "cryoposesShiftErrorAngstrom"
BASINS = "cryoposesBasins"
PARTICLE_SCALE = "cryoposesParticleScale"
MOVED = "cryoposesMovedDeg"
MOVED_SHIFT = "cryoposesMovedAngstrom"
JUNK = "cryoposesJunkProbability"
BASIN_ERROR = "cryoposesBasinErrorDeg"
DEFOCUS_CHANGE = "cryoposesDefocusChangeAngstrom"
DEFOCUS_ERROR = "cryoposesDefocusErrorAngstrom"
ERROR_BOUND = "cryoposesErrorBound90Deg"
WRONG_LABEL = "cryoposesWrongLabel"
MATE_PROBABILITY = "cryoposesMateProbability"
MATE_ENTROPY = "cryoposesMateEntropyBits"
MATE = "cryoposesMate"


class Score(NamedTuple):
    """A score of a particle's pose.

    name : column of a STAR file, without underscore. label : name in forms and plots, without unit.
    unit : "" if it has none. better : whether low or high values are more certain, NEITHER if the
    score does not rank. commands : that write it. help : one sentence.
    """

    name: str
    label: str
    unit: str
    better: str
    commands: Tuple[str, ...]
    help: str

    @property
    def title(self) -> str:
        """The label with its unit: "expected error (°)"."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def better_end(self) -> str:
        return {LOW: "lower is more certain", HIGH: "higher is more certain", NEITHER: ""}[
            self.better
        ]


_REFINING = ("infer", "refine", "iterate", "initial-volume")

#: In order of preference. Scipion stores the position of a choice, so new scores that rank are
#: added after the last one that does.
SCORES: Tuple[Score, ...] = (
    Score(
        TRACE,
        "network uncertainty, all directions",
        "",
        LOW,
        ("infer",),
        "Spread of the network's orientation distribution; a ranking score, not an angle.",
    ),
    Score(
        DISPERSION,
        "network uncertainty, worst direction",
        "",
        LOW,
        ("infer",),
        "The same spread along the least certain direction only; a ranking score, not an angle.",
    ),
    Score(
        EXPECTED_ERROR,
        "expected error",
        "°",
        LOW,
        _REFINING,
        "Root mean square error of the orientation, over the case that the pose is nearly correct "
        "and the case that it is wrong.",
    ),
    Score(
        WRONG_BASIN,
        "probability of a wrong pose",
        "",
        LOW,
        _REFINING,
        "Probability that the correct pose is a different one, or that the image does not show the "
        "particle.",
    ),
    Score(
        IMAGE_RESIDUAL,
        "residual",
        "",
        LOW,
        _REFINING,
        "Power of the image that volume and pose do not explain, divided by the noise power: 1 "
        "if only noise is left.",
    ),
    Score(
        DISTANCE_RESIDUAL,
        "residual of the distances",
        "°",
        LOW,
        ("recover",),
        "Root mean square difference between the given distances of the particle to others and the "
        "recovered ones.",
    ),
    Score(
        OUTLIER_SCORE,
        "outlier score",
        "",
        LOW,
        ("recover",),
        "Deviation of the distance residual from its median, in units of its spread; outliers "
        "are above 4.",
    ),
    Score(
        SEARCH_CERTAINTY,
        "posterior probability",
        "",
        HIGH,
        ("initial-volume",),
        "Posterior probability of the pose among all poses that the search for an initial volume "
        "tried.",
    ),
    Score(
        EXPECTED_SHIFT_ERROR,
        "expected shift error",
        "Å",
        LOW,
        _REFINING,
        "Root mean square error of the shift due to noise, if the pose is nearly correct.",
    ),
    Score(
        ANGULAR_ERROR,
        "angular error",
        "°",
        LOW,
        ("compare",),
        "Angle between the estimated and the true orientation.",
    ),
    Score(
        SHIFT_ERROR,
        "shift error",
        "Å",
        LOW,
        ("compare",),
        "Distance between the estimated and the true shift.",
    ),
    Score(
        JUNK,
        "probability of junk",
        "",
        LOW,
        ("infer", "refine", "recover", "initial-volume"),
        "Probability that the image does not show one centred particle: noise, another molecule, "
        "overlapping particles, a particle far off centre, an edge.",
    ),
    Score(
        BASIN_ERROR,
        "error in the basin",
        "°",
        LOW,
        _REFINING,
        "Root mean square error of the orientation due to noise, if the pose is nearly correct.",
    ),
    Score(
        ERROR_BOUND,
        "90 % bound of the error",
        "°",
        LOW,
        ("infer", "refine"),
        "Angle that the error of the orientation exceeds for one particle in ten.",
    ),
    Score(
        WRONG_LABEL,
        "probability of a wrong label",
        "",
        LOW,
        ("train",),
        "Probability that the pose from which a network learned has nothing to do with the image, as "
        "the network sees it.",
    ),
    Score(
        MATE_PROBABILITY,
        "probability of the symmetry mate",
        "",
        HIGH,
        ("relax-symmetry",),
        "Probability that the pose is the right one of its symmetry mates.",
    ),
    Score(
        MATE_ENTROPY,
        "entropy of the symmetry mates",
        "bits",
        LOW,
        ("relax-symmetry",),
        "Entropy of the probabilities of the symmetry mates: 0 if one of them is certain.",
    ),
    Score(
        BASINS,
        "distinct poses found",
        "",
        NEITHER,
        _REFINING,
        "Number of different poses in which the refinements of the particle ended.",
    ),
    Score(
        PARTICLE_SCALE,
        "particle scale",
        "",
        NEITHER,
        _REFINING,
        "Scale of the volume in the image, divided by the median scale of the set.",
    ),
    Score(
        MOVED,
        "rotation by the refinement",
        "°",
        NEITHER,
        ("infer", "refine"),
        "Angle between the given and the refined orientation.",
    ),
    Score(
        MOVED_SHIFT,
        "shift by the refinement",
        "Å",
        NEITHER,
        ("refine",),
        "Distance between the given and the refined shift.",
    ),
    Score(
        MATE,
        "number of the symmetry mate",
        "",
        NEITHER,
        ("relax-symmetry", "expand-symmetry"),
        "Which symmetry mate of the given pose the particle has; 0 is the given pose itself.",
    ),
    Score(
        DEFOCUS_CHANGE,
        "change of the defocus",
        "Å",
        NEITHER,
        ("refine",),
        "What the refinement added to both defocus values of the image.",
    ),
    Score(
        DEFOCUS_ERROR,
        "expected defocus error",
        "Å",
        NEITHER,
        ("refine",),
        "Standard error of the refined defocus, if the pose is nearly correct.",
    ),
)

#: Every column that other programs are asked to pass on.
COLUMNS: Tuple[str, ...] = (*(score.name for score in SCORES), *TEXTS)
_BY_NAME = {score.name: score for score in SCORES}
#: Columns of the scores that rank particles.
RANKING: Tuple[str, ...] = tuple(score.name for score in SCORES if score.better)


def is_text(name: str) -> bool:
    """Whether a column of this program is no score, but text that passes through."""
    return name in TEXTS or name.startswith(TRUTH)


def score_named(name: str) -> Score:
    """The registered score, or one named after its column if it is not registered."""
    return _BY_NAME.get(name, Score(name, name, "", NEITHER, (), ""))


def title_of(name: str) -> str:
    """The label of the score with this column, with its unit."""
    return score_named(name).title


def cost(name: str, values: ArrayOrNumber) -> ArrayOrNumber:
    """The values (a number or an array) with the sign that makes lower more certain."""
    return -values if score_named(name).better == HIGH else values


def best_ranking(names: Iterable[str], command: str = "") -> Optional[str]:
    """The column to rank by, preferably one that the command writes; None if no column ranks."""
    present = set(names)
    ranking = [score for score in SCORES if score.better and score.name in present]
    own = [score for score in ranking if command in score.commands]
    return next((score.name for score in (*own, *ranking)), None)
