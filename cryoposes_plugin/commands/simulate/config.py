"""The options of `simulate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ...core.imaging.faults.settings import Faults
from ...core.imaging.settings import PoseDistribution
from ..chunked_config import ChunkedConfig
from ..config import BACKGROUND, COMPUTATION, CTF, FAULTS, INPUT, NOISE, POSES, option
from ..imaging_config import ImagingConfig
from .presets import NONE, PRESETS, chosen_faults


@dataclass(frozen=True)
class SimulateConfig(ChunkedConfig, ImagingConfig):
    command: ClassVar[str] = "simulate"
    title: ClassVar[str] = "simulate projections"
    description: ClassVar[str] = (
        "simulate particle images of one or several volumes, with CTF, shifts and noise"
    )
    place: ClassVar[int] = 10
    execution: ClassVar[Tuple[str, ...]] = (*ChunkedConfig.execution, "threads")
    required: ClassVar[Tuple[str, ...]] = ("volume",)

    volume: Tuple[str, ...] = option(
        (),
        "Volumes to project: maps (MRC) or atomic models (PDB, mmCIF). Several volumes make a "
        "mixture in equal parts; the class number of each particle says which one it shows.",
        label="Volumes",
        group=INPUT,
        path="MRC",
    )
    volume_weights: Tuple[float, ...] = option(
        (),
        "Shares of the volumes in the mixture, one for each, of any sum. Default: equal parts.",
        label="Shares of the volumes",
        group=INPUT,
        expert=True,
        minimum=0,
        maximum=1e9,
    )
    number: int = option(
        5000,
        "Number of images to simulate, of all volumes together.",
        label="Number of images",
        group=INPUT,
        minimum=1,
        maximum=10**7,
    )
    junk_fraction: Optional[float] = option(
        None,
        "Fraction of the images that show no single, centred particle, in random order and in equal "
        "parts: noise alone, another molecule of about the same size and the same spectrum, a "
        "particle with a neighbour, a particle far off centre, an edge of carbon. The column "
        "cryoposesTrueKind says which; the shift of a particle off centre says where it is. "
        "Default: 0, unless the preset has another.",
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
        "mrad where the microscope is well aligned, and more with image shift. Default: none, unless "
        "the preset has one.",
        label="Beam tilt (x y)",
        alias="--beam-tilt",
        group=CTF,
        unit="mrad",
        expert=True,
        minimum=-20,
        maximum=20,
    )
    magnification_anisotropy: Optional[float] = option(
        None,
        "How much more the images are magnified in one direction than across it, for example 0.02. "
        "The matrix is written to the optics groups. Default: 0, unless the preset has another.",
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
    withhold_aberrations: bool = option(
        False,
        "The images have beam tilt, aberrations and anisotropic magnification, but the optics "
        "groups do not state them, as before they were measured. Columns of their own hold them.",
        label="Withhold the aberrations",
        group=CTF,
        expert=True,
    )
    noise_like: Optional[str] = option(
        None,
        "Particles, or empty places of micrographs, whose noise has the spectrum that the noise of "
        "the images shall have. It is measured outside the circle in their box.",
        label="Images with the noise to imitate",
        group=NOISE,
        path="STAR",
    )
    preset: str = option(
        NONE,
        "A set of faults at the sizes that are usual in real images. Each can be changed or set to "
        "0 by its own option. What is true of each image is written to columns that begin with "
        "cryoposesTrue.",
        label="Faults",
        group=FAULTS,
        choices=tuple(PRESETS),
        titles={NONE: "none but those below", "realistic": "those of real images"},
    )
    preferred_share: Optional[float] = option(
        None,
        "Share of the particles that lie in the preferred views, whatever the orientations of the "
        "others.",
        label="Share in preferred views",
        group=FAULTS,
        expert=True,
        minimum=0,
        maximum=1,
    )
    misplaced_share: Optional[float] = option(
        None,
        "Share of the particles whose centre the picker missed: the tail of its law, beside the "
        "core of the shifts.",
        label="Share of misplaced centres",
        group=FAULTS,
        expert=True,
        minimum=0,
        maximum=1,
    )
    misplaced_angstrom: Optional[float] = option(
        None,
        "Mean distance of misplaced centres, exponentially distributed (20 Å unless given).",
        label="Distance of misplaced centres",
        group=FAULTS,
        unit="Å",
        expert=True,
        minimum=0,
        maximum=1e5,
    )
    duplicate_fraction: Optional[float] = option(
        None,
        "Fraction of the images that show the particle of another image again, with its noise, "
        "some pixels off.",
        label="Fraction of duplicates",
        group=FAULTS,
        expert=True,
        minimum=0,
        maximum=0.9,
    )
    neighbours: Optional[float] = option(
        None,
        "Mean number of other particles on an area as large as the box; none of them is nearer "
        "than the minimum distance of the picker.",
        label="Neighbours",
        group=FAULTS,
        expert=True,
        minimum=0,
        maximum=20,
    )
    picker_distance_angstrom: Optional[float] = option(
        None,
        "Minimum distance of the picker. Default: the particle diameter.",
        label="Minimum distance of neighbours",
        group=FAULTS,
        unit="Å",
        expert=True,
        minimum=1,
        maximum=1e5,
    )
    scale_spread: Optional[float] = option(
        None,
        "Standard deviation of the logarithm of the particles' contrast.",
        label="Spread of the contrast",
        group=FAULTS,
        expert=True,
        minimum=0,
        maximum=3,
    )
    bfactor_spread_angstrom2: Optional[float] = option(
        None,
        "Particles have B-factors above the stated one: the absolute value of a normal number of "
        "this standard deviation.",
        label="Spread of the B-factors",
        group=FAULTS,
        unit="Å^2",
        expert=True,
        minimum=0,
        maximum=1e5,
    )
    defocus_error_angstrom: Optional[float] = option(
        None,
        "Standard deviation of the true defocus from the stated one, particle by particle.",
        label="Error of the defocus",
        group=FAULTS,
        unit="Å",
        expert=True,
        minimum=0,
        maximum=1e4,
    )
    pixel_size_error: Optional[float] = option(
        None,
        "Relative error of the pixel size: the true one is the stated one times 1 + this.",
        label="Error of the pixel size",
        group=FAULTS,
        expert=True,
        minimum=-0.2,
        maximum=0.2,
    )
    ice_thickness_angstrom: Optional[float] = option(
        None,
        "Mean thickness of the ice, uniform from half to 1.5 times of it over the micrographs. "
        "Electrons that lose energy in it give no contrast.",
        label="Thickness of the ice",
        group=FAULTS,
        unit="Å",
        expert=True,
        minimum=0,
        maximum=1e4,
    )
    ice_gradient: Optional[float] = option(
        None,
        "Standard deviation of the rise of the background from one side of the box to the other, "
        "along x and y, in standard deviations of the noise. Half of its variance is shared by the "
        "images of a micrograph.",
        label="Gradient of the ice",
        group=FAULTS,
        expert=True,
        minimum=0,
        maximum=100,
    )
    dose_e_per_angstrom2: Optional[float] = option(
        None,
        "Exposure of the images, which were summed with dose weights: radiation damage takes away "
        "the more of the signal the finer it is.",
        label="Exposure",
        group=FAULTS,
        unit="e/Å^2",
        expert=True,
        minimum=0,
        maximum=500,
    )
    moving_part: Optional[str] = option(
        None,
        "Mask (MRC, from 0 to 1, on the grid of the volumes) of a part that moves as a rigid body, "
        "differently in each particle.",
        label="Mask of a moving part",
        group=FAULTS,
        path="MRC",
    )
    motion_deg: float = option(
        10.0,
        "Largest angle by which the part turns in either direction, about an axis through its "
        "centre of mass; uniform.",
        label="Largest angle of the motion",
        group=FAULTS,
        unit="°",
        expert=True,
        minimum=0,
        maximum=180,
    )
    motion_angstrom: float = option(
        0.0,
        "Largest distance by which the part moves in either direction along the axis; uniform.",
        label="Largest step of the motion",
        group=FAULTS,
        unit="Å",
        expert=True,
        minimum=0,
        maximum=1e4,
    )
    motion_axis: Tuple[float, ...] = option(
        (0.0, 0.0, 1.0),
        "Axis of the motion (x y z) in the frame of the volume, of any length.",
        label="Axis of the motion",
        group=FAULTS,
        expert=True,
        minimum=-1e9,
        maximum=1e9,
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

        self._validate_faults()
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

    def _validate_faults(self) -> None:
        faults, noise = self.faults(), bool(self.snr or self.noise_variance)
        if faults.junk_fraction and not noise:
            raise ConfigError(
                f"simulate: --junk-fraction is {faults.junk_fraction:g} and there is no noise, so "
                "that images without a particle would be blank; give --snr."
            )
        if faults.ice_gradient and not noise:
            raise ConfigError(
                f"simulate: --ice-gradient is {faults.ice_gradient:g} standard deviations of the "
                "noise and there is no noise; give --snr."
            )
        if self.noise_like and not noise:
            raise ConfigError(
                "simulate: --noise-like is given and there is no noise; give its level with --snr."
            )
        if self.noise_like and self.noise_correlation_px:
            raise ConfigError(
                "simulate: --noise-like and --noise-correlation-px exclude each other; give one of "
                "them."
            )

        weights = self.volume_weights
        if weights and len(weights) != len(self.volume):
            raise ConfigError(
                f"simulate: --volume-weights has {len(weights)} values and there are "
                f"{len(self.volume)} volumes; give one weight for each."
            )
        if weights and not any(weights):
            raise ConfigError("simulate: --volume-weights are all 0; give one that is not.")
        for name in ("defocus_error_angstrom", "bfactor_spread_angstrom2"):
            if getattr(self, name) and not self.ctf:
                raise ConfigError(
                    f"simulate: --{name.replace('_', '-')} is given with --no-ctf, and changes the "
                    "CTF alone; leave one of them out."
                )
        if faults.preferred_share and self.orientations == "particles":
            raise ConfigError(
                f"simulate: --preferred-share is {faults.preferred_share:g} and the poses are those "
                "of particles; give --preferred-share 0, or other --orientations."
            )
        if len(self.motion_axis) != 3 or not any(self.motion_axis):
            raise ConfigError(
                f"simulate: --motion-axis is {' '.join(map(str, self.motion_axis))}; give three "
                "numbers, not all of them 0."
            )
        if self.moving_part and not (self.motion_deg or self.motion_angstrom):
            raise ConfigError(
                "simulate: --moving-part is given, and --motion-deg and --motion-angstrom are 0; "
                "give one of them, or leave the part out."
            )

    def faults(self) -> Faults:
        """Those of the preset, changed by the options that are given."""
        return chosen_faults(self.preset, vars(self))

    def pose_distribution(self) -> PoseDistribution:
        return replace(
            super().pose_distribution(),
            orientations=self.orientations,
            preferred_directions_deg=self.preferred_directions_deg,
            preferred_concentration=self.preferred_concentration,
        )
