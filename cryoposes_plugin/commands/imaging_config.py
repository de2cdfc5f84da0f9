"""How images are formed: the options that `simulate` and `train` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ..core.errors import ConfigError
from ..core.imaging.settings import CtfDistribution, Imaging, PoseDistribution
from ..core.types import IMAGE_STATES
from .config import CTF, IMAGE_SIZE, INPUT, NOISE, POSES, Config, option


@dataclass(frozen=True)
class ImagingConfig(Config):
    """How images are formed: y = C S P x + n, with CTF C, shift S, projection P and noise n."""

    like: Optional[str] = option(
        None,
        "Particles that the images should resemble: their CTFs, acquisition parameters, box size "
        "and pixel size are used. Their poses are not used.",
        label="Particles to imitate",
        group=INPUT,
        path="STAR",
    )
    box_size_px: Optional[int] = option(
        None,
        "Box size of the images. Default: that of --like if it is given, otherwise that of the "
        "volume.",
        label="Box size",
        alias="--box-size",
        group=IMAGE_SIZE,
        unit="px",
        minimum=8,
        maximum=2048,
    )
    pixel_size_angstrom: Optional[float] = option(
        None,
        "Pixel size of the images. Default: that of --like if it is given, otherwise that of the "
        "volume.",
        label="Pixel size",
        alias="--pixel-size",
        group=IMAGE_SIZE,
        unit="Å",
        minimum=0.01,
        maximum=1000,
    )
    resolution_angstrom: Optional[float] = option(
        None,
        "For atomic models only (PDB or mmCIF): the resolution of the density that is computed "
        "from the atoms. Its Fourier transform falls to 1/e at this resolution.",
        label="Resolution of atomic models",
        group=IMAGE_SIZE,
        unit="Å",
        minimum=0.5,
        maximum=1000,
    )
    assembly: Optional[str] = option(
        None,
        "For atomic models only: the biological assembly to build, by its name in the file, for "
        "example 1. Default: the atoms as they are listed.",
        label="Biological assembly",
        group=IMAGE_SIZE,
        expert=True,
    )
    shift_distribution: str = option(
        "gaussian",
        "Distribution of the particle's offset from the image centre, in x and in y.",
        label="Distribution of the shifts",
        group=POSES,
        choices=("none", "gaussian", "triangular", "uniform"),
        titles={"gaussian": "Gaussian"},
    )
    shift_px: float = option(
        1.5,
        "Standard deviation (Gaussian) or half width (triangular, uniform) of the shifts, in "
        "pixels of the image.",
        label="Size of the shifts",
        group=POSES,
        unit="px",
        minimum=0,
        maximum=1000,
    )
    ctf: bool = option(
        True,
        "Apply a contrast transfer function (CTF) to each image. Otherwise the images are plain "
        "projections.",
        label="Apply a CTF",
        group=CTF,
    )
    defocus_range_angstrom: Tuple[float, float] = option(
        (8000.0, 25000.0),
        "Smallest and largest underfocus. The defocus of each image is drawn uniformly between "
        "them. Not used if --like provides CTFs.",
        label="Underfocus",
        alias="--defocus-range",
        group=CTF,
        unit="Å",
        length=2,
    )
    astigmatism_angstrom: float = option(
        0.0,
        "Largest difference between the two defocus values of an image. It is drawn uniformly "
        "from 0 to this value, and the angle of the astigmatism from all angles.",
        label="Largest astigmatism",
        group=CTF,
        unit="Å",
        expert=True,
        minimum=0,
        maximum=1e5,
    )
    phase_shift_deg: float = option(
        0.0,
        "Phase shift of a phase plate; 0 without one.",
        label="Phase shift",
        group=CTF,
        unit="°",
        expert=True,
        minimum=-360,
        maximum=360,
    )
    voltage_kv: float = option(
        300.0,
        "Acceleration voltage of the microscope.",
        label="Voltage",
        alias="--voltage",
        group=CTF,
        unit="kV",
        expert=True,
        minimum=1,
    )
    spherical_aberration_mm: float = option(
        2.7,
        "Spherical aberration of the microscope.",
        label="Spherical aberration",
        alias="--cs",
        group=CTF,
        unit="mm",
        expert=True,
        minimum=0,
    )
    amplitude_contrast: float = option(
        0.1,
        "Fraction of amplitude contrast; 0.07 to 0.1 is usual for particles in ice.",
        label="Amplitude contrast",
        group=CTF,
        expert=True,
        minimum=0,
        maximum=1,
    )
    bfactor_angstrom2: float = option(
        0.0,
        "B-factor of the envelope exp(-B s^2 / 4), where s is the spatial frequency; 0 for no "
        "envelope.",
        label="B-factor",
        group=CTF,
        unit="Å^2",
        expert=True,
        minimum=-500,
        maximum=1e5,
    )
    image_state: str = option(
        "raw",
        "Whether the images are left as recorded, phase-flipped, or multiplied by their CTF.",
        label="CTF correction of the images",
        group=CTF,
        choices=IMAGE_STATES,
        titles={"raw": "none (as recorded)", "ctf-premultiplied": "multiplied by the CTF"},
        expert=True,
    )
    snr: Optional[float] = option(
        None,
        "Signal-to-noise ratio: variance of the signal over the whole box, after the CTF, divided "
        "by the variance of the noise. Cryo-EM particles have about 0.01 to 0.1 at full size, and "
        "more when binned. Default: no noise.",
        label="SNR",
        group=NOISE,
        minimum=1e-6,
        maximum=1e6,
    )
    noise_variance: Optional[float] = option(
        None,
        "Noise variance per pixel, in squared units of the projected volume. Give this or --snr, "
        "not both.",
        label="Noise variance",
        group=NOISE,
        minimum=0,
        maximum=1e24,
    )
    noise_correlation_px: float = option(
        0.0,
        "0: white noise. Otherwise half of the noise is white, and half is smoothed by a Gaussian "
        "of this standard deviation.",
        label="Correlation length of the noise",
        group=NOISE,
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )

    def validate(self) -> None:
        super().validate()
        low, high = self.defocus_range_angstrom
        if low > high:
            raise ConfigError(
                f"{self.command}: --defocus-range is {low:g} to {high:g} Å; give the smaller "
                "value first."
            )
        if self.snr is not None and self.noise_variance is not None:
            raise ConfigError(
                f"{self.command}: --snr {self.snr:g} and --noise-variance {self.noise_variance:g} "
                "exclude each other; give one of them."
            )

    def imaging(self) -> Imaging:
        """How images are drawn."""
        ctf = CtfDistribution(
            self.defocus_range_angstrom,
            self.astigmatism_angstrom,
            self.phase_shift_deg,
            self.voltage_kv,
            self.spherical_aberration_mm,
            self.amplitude_contrast,
            self.bfactor_angstrom2,
        )
        return Imaging(self.pose_distribution(), ctf if self.ctf else None)

    def pose_distribution(self) -> PoseDistribution:
        """Distribution of poses: uniform orientations unless a command offers others."""
        return PoseDistribution(shifts=self.shift_distribution, shift_px=self.shift_px)
