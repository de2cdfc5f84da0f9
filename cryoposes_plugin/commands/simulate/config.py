"""What `simulate` can be told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ...core.imaging.settings import PoseDistribution
from ..config import option
from ..imaging_config import ImagingConfig


@dataclass(frozen=True)
class SimulateConfig(ImagingConfig):
    command: ClassVar[str] = "simulate"
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("volume",)

    volume: Tuple[str, ...] = option(
        (),
        "Volume (MRC, or an atomic model: PDB, mmCIF) to project; several make a mixture in equal parts.",
        path=True,
    )
    number: int = option(
        5000, "How many images to make, of all volumes together.", minimum=1, maximum=10**7
    )
    orientations: str = option(
        "uniform",
        "Distribution of orientations: uniform on SO(3), a HEALPix grid, uniform in the "
        "Euler angles (crowded at the poles), a half or quarter sphere of viewing "
        "directions, preferred views, or those of a particle set.",
        choices=(
            "uniform",
            "healpix",
            "euler",
            "half-sphere",
            "quarter-sphere",
            "preferred",
            "particles",
        ),
        titles=(
            "uniform",
            "HEALPix grid",
            "uniform Euler angles",
            "half sphere",
            "quarter sphere",
            "preferred views",
            "those of particles",
        ),
    )
    orientations_from: Optional[str] = option(
        None, "Particle STAR file that gives the poses (with 'particles').", path=True
    )
    preferred_directions_deg: Tuple[float, ...] = option(
        (0.0, 0.0),
        "Preferred viewing directions as rot, tilt, rot, tilt, ...",
        unit="°",
        expert=True,
        minimum=-360,
        maximum=360,
    )
    preferred_concentration: float = option(
        10.0,
        "Concentration kappa of the von Mises-Fisher distribution around preferred views.",
        expert=True,
        minimum=0,
        maximum=1e6,
    )
    normalise: bool = option(
        True,
        "Scale and offset each image so that the background outside the particle has mean 0 "
        "and standard deviation 1, as RELION wants it (only where there is noise).",
    )
    particle_diameter_angstrom: Optional[float] = option(
        None,
        "Diameter outside which is background; default: 75 % of the box.",
        unit="Å",
        expert=True,
        minimum=1,
        maximum=1e5,
    )
    projector: str = option(
        "fourier",
        "Fourier slices (TensorFlow, any machine) or ASTRA (real space, needs CUDA).",
        choices=("fourier", "astra"),
        titles=("Fourier slices", "ASTRA"),
        expert=True,
    )

    def validate(self) -> None:
        super().validate()
        if self.orientations == "particles" and not self.orientations_from:
            raise ConfigError(
                "simulate: orientations 'particles' need --orientations-from, a particle STAR file with poses."
            )
        if self.orientations != "particles" and self.orientations_from:
            raise ConfigError(
                f"simulate: --orientations-from is given and --orientations is {self.orientations!r}; add "
                "--orientations particles, or leave the file out."
            )
        if len(self.preferred_directions_deg) % 2:
            raise ConfigError(
                f"simulate: --preferred-directions has {len(self.preferred_directions_deg)} angles; give "
                "pairs of rot and tilt."
            )
        if self.box_size_px is not None and self.box_size_px % 2:
            raise ConfigError(
                f"simulate: --box-size-px is {self.box_size_px}; give an even number (RELION needs it)."
            )

    def pose_distribution(self) -> PoseDistribution:
        return replace(
            super().pose_distribution(),
            orientations=self.orientations,
            preferred_directions_deg=self.preferred_directions_deg,
            preferred_concentration=self.preferred_concentration,
        )
