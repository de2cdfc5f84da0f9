"""The options of `consensus`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ..comparison_config import comparison_join, comparison_symmetry
from ..config import COMPARISON, INPUT, Config, option


@dataclass(frozen=True)
class ConsensusConfig(Config):
    command: ClassVar[str] = "consensus"
    title: ClassVar[str] = "consensus of poses"
    description: ClassVar[str] = "keep the poses on which several estimates agree"
    place: ClassVar[int] = 115
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("particles", "others")

    particles: Optional[str] = option(
        None,
        "Particles with poses. The consensus is in the frame of these.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    others: Tuple[str, ...] = option(
        (),
        "Other estimates of the poses of these particles, one or more sets.",
        label="Other estimates",
        group=INPUT,
        path="STAR",
    )
    sigmas: float = option(
        3.0,
        "How far poses may differ, in standard deviations of their errors: a consensus is as likely "
        "as a normal variable this far from its mean, or likelier.",
        label="Largest difference",
        group=COMPARISON,
        unit="standard deviations",
        minimum=0.1,
        maximum=100,
    )
    pose: str = option(
        "mean",
        "Pose of the particles that agree. 'mean': weighted by the covariances. 'best': that of "
        "the set with the smallest expected error.",
        label="Pose of the consensus",
        group=COMPARISON,
        choices=("mean", "best"),
        titles={"mean": "weighted mean", "best": "the most certain"},
    )
    shared_errors: bool = option(
        True,
        "Estimates from the same images share the errors that the noise of the images makes, and "
        "their mean is no better than they are. Otherwise their errors count as independent, and "
        "the mean is better than each.",
        label="Errors are shared",
        group=COMPARISON,
    )
    symmetry: str = comparison_symmetry()
    registration: str = option(
        "none",
        "How the other sets are brought into the frame of the first. 'none': they are in it, which "
        "is right for poses of one map. 'rotation': by the best common rotation and displacement "
        "of the volume. 'rotation-and-hand': they may also have the other hand.",
        label="Registration",
        group=COMPARISON,
        choices=("none", "rotation", "rotation-and-hand"),
        titles={"rotation": "common rotation", "rotation-and-hand": "common rotation and hand"},
    )
    error_deg: Optional[float] = option(
        None,
        "Expected error (root mean square) of the orientations of sets that have no errors of "
        "their own, as those of other programs. Default: such sets are refused.",
        label="Error of sets without one",
        group=COMPARISON,
        unit="°",
        minimum=0.001,
        maximum=180,
    )
    error_angstrom: Optional[float] = option(
        None,
        "The same for the shifts. Default: the shifts of such sets are not compared.",
        label="Shift error of sets without one",
        group=COMPARISON,
        unit="Å",
        minimum=0.0001,
        maximum=1000,
    )
    join_by: str = comparison_join()

    def validate(self) -> None:
        """ConfigError for a combination that is not possible."""
        super().validate()
        if self.error_angstrom is not None and self.error_deg is None:
            raise ConfigError(
                "consensus: --error-angstrom is given without --error-deg; give both, or none."
            )
