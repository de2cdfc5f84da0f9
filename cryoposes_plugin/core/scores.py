"""The registry of scores: every column that the program writes about a particle's pose, and what people call it.

Whatever lists scores (forms, filter, plots, guides, other plugins' columns) takes them from here. All of them belong to
the pose that a particle has: of another pose they say nothing. Plain enough for Python 3.8, because Scipion's GUI
imports it.
"""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple, Optional, Tuple

LOW, HIGH, NEITHER = "low", "high", ""

#: Of every one of our columns.
PREFIX = "cryoposes"
#: The same as attributes of a Scipion particle.
ATTRIBUTE_PREFIX = "_" + PREFIX
#: Text: what a pose came from, such as "network:<digest of the model>" or "truth".
POSE_SOURCE = "cryoposesPoseSource"
#: In the sentence on a network that is no better than chance, and at the end of the source of the poses it gives.
LEARNED_NOTHING, FROM_NOTHING = "has learned nothing", ",learned-nothing"
#: Text: the pose that the scores were given for (see `scored_pose`).
SCORED_POSE = "cryoposesScoredPose"
TEXTS = (POSE_SOURCE, SCORED_POSE)

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


class Score(NamedTuple):
    """name : column of a STAR file without underscore. label : in forms and plots, without the unit. unit : "" of what
    has none. better : the end at which a pose is the more certain, NEITHER of what does not rank. commands : who writes
    it. help : one sentence."""

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

#: In the order in which one is preferred to another. Scipion stores the place of a choice: new ones that rank go to
#: the end of those that do.
SCORES: Tuple[Score, ...] = (
    Score(
        TRACE,
        "network uncertainty, all directions",
        "",
        LOW,
        ("infer",),
        "How widely the network spreads its belief over the orientations; it ranks particles and is not an angle.",
    ),
    Score(
        DISPERSION,
        "network uncertainty, worst direction",
        "",
        LOW,
        ("infer",),
        "The same along the least certain direction alone; it ranks particles and is not an angle.",
    ),
    Score(
        EXPECTED_ERROR,
        "expected error",
        "°",
        LOW,
        _REFINING,
        "Root mean square error of the orientation that the noise leaves, if the pose is near the right one.",
    ),
    Score(
        WRONG_BASIN,
        "probability of a wrong pose",
        "",
        LOW,
        _REFINING,
        "How probable it is that the pose is another one altogether, or that the image shows no such particle.",
    ),
    Score(
        IMAGE_RESIDUAL,
        "residual",
        "",
        LOW,
        _REFINING,
        "Power that volume and pose leave in the image, over that of the noise: 1 where they leave nothing but noise.",
    ),
    Score(
        DISTANCE_RESIDUAL,
        "residual of the distances",
        "°",
        LOW,
        ("recover",),
        "How far the particle's distances to others are from those between the recovered orientations.",
    ),
    Score(
        OUTLIER_SCORE,
        "outlier score",
        "",
        LOW,
        ("recover",),
        "The residual of the distances in units of the set's spread about its median; outliers are above 4.",
    ),
    Score(
        SEARCH_CERTAINTY,
        "certainty of the search",
        "",
        HIGH,
        ("initial-volume",),
        "Posterior probability of the pose among all that the search for an initial volume tried.",
    ),
    Score(
        EXPECTED_SHIFT_ERROR,
        "expected error of the shift",
        "Å",
        LOW,
        _REFINING,
        "Root mean square error of the shift that the noise leaves, if the pose is near the right one.",
    ),
    Score(
        ANGULAR_ERROR,
        "angular error",
        "°",
        LOW,
        ("compare",),
        "Angle between the pose and the true one.",
    ),
    Score(
        SHIFT_ERROR,
        "shift error",
        "Å",
        LOW,
        ("compare",),
        "Distance between the shift and the true one.",
    ),
    Score(
        BASINS,
        "distinct poses found",
        "",
        NEITHER,
        _REFINING,
        "Number of different poses in which the refinements of this particle ended.",
    ),
    Score(
        PARTICLE_SCALE,
        "strength of the particle",
        "",
        NEITHER,
        _REFINING,
        "Scale of the volume in the image, over the median of the set.",
    ),
    Score(
        MOVED,
        "turned by the refinement",
        "°",
        NEITHER,
        ("infer", "refine"),
        "Angle between the pose that was given and the refined one.",
    ),
    Score(
        MOVED_SHIFT,
        "moved by the refinement",
        "Å",
        NEITHER,
        ("refine",),
        "Distance between the shift that was given and the refined one.",
    ),
)

#: Every column of ours that other programs are asked to pass on.
COLUMNS: Tuple[str, ...] = (*(score.name for score in SCORES), *TEXTS)
_BY_NAME = {score.name: score for score in SCORES}
#: Those that rank particles, by column.
RANKING: Tuple[str, ...] = tuple(score.name for score in SCORES if score.better)


def score_named(name: str) -> Score:
    """The registered score, or one that is called by its column: of a file of another version."""
    return _BY_NAME.get(name, Score(name, name, "", NEITHER, (), ""))


def title_of(name: str) -> str:
    """What people call the score with this column, with its unit."""
    return score_named(name).title


def cost(name: str, values: Any):
    """The values (a number or an array) with the sign that makes lower more certain."""
    return -values if score_named(name).better == HIGH else values


def best_ranking(names: Iterable[str], command: str = "") -> Optional[str]:
    """The score to rank by among these columns, those that the command writes first; None without any."""
    present = set(names)
    ranking = [score for score in SCORES if score.better and score.name in present]
    own = [score for score in ranking if command in score.commands]
    return next((score.name for score in (*own, *ranking)), None)
