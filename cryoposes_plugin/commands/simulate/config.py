"""The options of `simulate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ...core.imaging.settings import PoseDistribution
from ..config import BACKGROUND, COMPUTATION, CTF, INPUT, POSES, option
from ..imaging_config import ImagingConfig


@dataclass(frozen=True)
class SimulateConfig(ImagingConfig):
    command: ClassVar[str] = "simulate"
    title: ClassVar[str] = "simulate projections"
    description: ClassVar[str] = (
        "simulate particle images of one or several volumes, with CTF, shifts and noise"
    )
    place: ClassVar[int] = 10
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("volume",)

    volume: Tuple[str, ...] = option(
        (),
        "Volumes to project: maps (MRC) or atomic models (PDB, mmCIF). Several volumes make a "
        "mixture in equal parts; the class number of each particle says which one it shows.",
        label="Volumes",
        group=INPUT,
        path="MRC",
    )
    number: int = option(
        5000,
        "Number of images to simulate, of all volumes together.",
        label="Number of images",
        group=INPUT,
        minimum=1,
        maximum=10**7,
    )
    junk_fraction: float = option(
        0.0,
        "Fraction of the images that show no single, centred particle, in random order and in equal "
        "parts: noise alone, another molecule of about the same size and the same spectrum, a "
        "particle with a neighbour, a particle far off centre, an edge of carbon. The column "
        "cryoposesTrueKind says which; the shift of a particle off centre says where it is.",
        label="Fraction of junk",
        group=INPUT,
        minimum=0,
        maximum=0.95,
    )
    orientations: str = option(
        "uniform",
        "Distribution of the orientations: uniform over all rotations; a HEALPix grid; uniform in "
        "the Euler angles, which crowds the poles; viewing directions on a half or a quarter "
        "sphere; preferred views; or the poses of a particle set.",
        label="Orientations",
        group=POSES,
        choices=(
            "uniform",
            "healpix",
            "euler",
            "half-sphere",
            "quarter-sphere",
            "preferred",
            "particles",
        ),
        titles={
            "healpix": "HEALPix grid",
            "euler": "uniform Euler angles",
            "half-sphere": "half sphere",
            "quarter-sphere": "quarter sphere",
            "preferred": "preferred views",
            "particles": "those of particles",
        },
    )
    orientations_from: Optional[str] = option(
        None,
        "Particles whose poses are used if --orientations is 'particles', in their order. If more "
        "images are wanted, the poses are used again.",
        label="Particles with known poses",
        group=POSES,
        path="STAR",
    )
    preferred_directions_deg: Tuple[float, ...] = option(
        (0.0, 0.0),
        "Preferred viewing directions as pairs of rot and tilt: rot tilt rot tilt ...",
        label="Preferred views",
        alias="--preferred-directions",
        group=POSES,
        unit="°",
        expert=True,
        minimum=-360,
        maximum=360,
    )
    preferred_concentration: float = option(
        10.0,
        "Concentration kappa of the von Mises-Fisher distribution around each preferred view. "
        "The larger, the narrower.",
        label="Concentration of the views",
        group=POSES,
        expert=True,
        minimum=0,
        maximum=1e6,
    )
    beam_tilt_mrad: Tuple[float, ...] = option(
        (),
        "Beam tilt along x and y, which is written to the optics groups. RELION finds 0.1 to 0.5 "
        "mrad where the microscope is well aligned, and more with image shift.",
        label="Beam tilt (x y)",
        alias="--beam-tilt",
        group=CTF,
        unit="mrad",
        expert=True,
        minimum=-20,
        maximum=20,
    )
    magnification_anisotropy: float = option(
        0.0,
        "How much more the images are magnified in one direction than across it, for example 0.02. "
        "The matrix is written to the optics groups.",
        label="Anisotropy of the magnification",
        group=CTF,
        expert=True,
        minimum=0,
        maximum=0.2,
    )
    magnification_angle_deg: float = option(
        30.0,
        "Direction of the larger magnification, from x towards y.",
        label="Direction of the larger magnification",
        group=CTF,
        unit="°",
        expert=True,
        minimum=-360,
        maximum=360,
    )
    odd_zernike: Tuple[float, ...] = option(
        (),
        "Coefficients of odd aberrations as in RELION's _rlnOddZernike, to which the beam tilt is "
        "added.",
        label="Odd aberrations",
        group=CTF,
        unit="rad",
        expert=True,
        minimum=-1e6,
        maximum=1e6,
    )
    even_zernike: Tuple[float, ...] = option(
        (),
        "Coefficients of even aberrations as in RELION's _rlnEvenZernike.",
        label="Even aberrations",
        group=CTF,
        unit="rad",
        expert=True,
        minimum=-1e6,
        maximum=1e6,
    )
    normalise: bool = option(
        True,
        "Scale and offset the grey values of each image so that the background has mean 0 and "
        "standard deviation 1, as RELION expects. Only done if there is noise.",
        label="Normalise the background",
        group=BACKGROUND,
    )
    particle_diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the circle outside which there is background. Default: 75 % of the box.",
        label="Particle diameter",
        alias="--particle-diameter",
        group=BACKGROUND,
        unit="Å",
        expert=True,
        minimum=1,
        maximum=1e5,
    )
    projector: str = option(
        "fourier",
        "How projections are computed: by Fourier slices with TensorFlow, on any machine, or in "
        "real space with ASTRA, which needs a CUDA device.",
        label="Projector",
        group=COMPUTATION,
        choices=("fourier", "astra"),
        titles={"fourier": "Fourier slices", "astra": "ASTRA"},
        expert=True,
    )

    def validate(self) -> None:
        super().validate()
        if self.orientations == "particles" and not self.orientations_from:
            raise ConfigError(
                "simulate: --orientations is 'particles' and --orientations-from is missing; give "
                "particles with poses."
            )

        if self.orientations != "particles" and self.orientations_from:
            raise ConfigError(
                f"simulate: --orientations-from is given and --orientations is "
                f"{self.orientations!r}; give --orientations particles, or leave the particles out."
            )

        if self.junk_fraction and not (self.snr or self.noise_variance):
            raise ConfigError(
                f"simulate: --junk-fraction is {self.junk_fraction:g} and there is no noise, so "
                "that images without a particle would be blank; give --snr."
            )
        if len(self.preferred_directions_deg) % 2:
            raise ConfigError(
                f"simulate: --preferred-directions has {len(self.preferred_directions_deg)} "
                "angles; give pairs of rot and tilt."
            )
        if self.box_size_px is not None and self.box_size_px % 2:
            raise ConfigError(
                f"simulate: --box-size-px is {self.box_size_px}; give an even number, which RELION "
                "requires."
            )

        if len(self.beam_tilt_mrad) not in (0, 2):
            raise ConfigError(
                f"simulate: --beam-tilt-mrad has {len(self.beam_tilt_mrad)} values; give two, "
                "along x and along y."
            )
        if self.even_zernike and not self.ctf:
            raise ConfigError(
                "simulate: --even-zernike is given with --no-ctf; even aberrations change the CTF: "
                "leave one of them out."
            )

    def pose_distribution(self) -> PoseDistribution:
        return replace(
            super().pose_distribution(),
            orientations=self.orientations,
            preferred_directions_deg=self.preferred_directions_deg,
            preferred_concentration=self.preferred_concentration,
        )
