"""How images are formed: shared by simulation and by training on simulated images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ..core.errors import ConfigError
from ..core.imaging.settings import CtfDistribution, Imaging, PoseDistribution
from ..core.types import IMAGE_STATES
from .config import Config, option


@dataclass(frozen=True)
class ImagingConfig(Config):
    """How images are formed, y = C S P x + n: shared by `simulate` and by training on simulated images."""

    box_size_px: Optional[int] = option(
        None,
        "Box size of the images; default: that of --like, else of the volume.",
        unit="px",
        minimum=8,
        maximum=2048,
    )
    pixel_size_angstrom: Optional[float] = option(
        None,
        "Pixel size of the images; default: that of --like, else of the volume.",
        unit="Å",
        minimum=0.01,
        maximum=1000,
    )
    resolution_angstrom: Optional[float] = option(
        None,
        "Of volumes that are atomic models (PDB or mmCIF): the resolution of their density, whose transform falls to "
        "1/e there.",
        unit="Å",
        minimum=0.5,
        maximum=1000,
    )
    assembly: Optional[str] = option(
        None,
        "Of volumes that are atomic models: the biological assembly to build, by its name in the file, such as 1. "
        "Default: the atoms as they are.",
        expert=True,
    )
    like: Optional[str] = option(
        None,
        "A particle STAR file whose CTFs, acquisition, box and pixel size are taken; its poses are not used.",
        path=True,
    )
    shift_distribution: str = option(
        "gaussian",
        "Distribution of the particle's displacement from the centre, along x and y.",
        choices=("none", "gaussian", "triangular", "uniform"),
    )
    shift_px: float = option(
        1.5,
        "Standard deviation (gaussian) or half width (triangular, uniform) of the shift, in pixels of the image.",
        unit="px",
        minimum=0,
        maximum=1000,
    )
    ctf: bool = option(
        True,
        "Give each image a contrast transfer function; without one it shows the plain projection.",
    )
    defocus_range_angstrom: Tuple[float, float] = option(
        (8000.0, 25000.0), "Smallest and largest underfocus, drawn uniformly.", unit="Å"
    )
    astigmatism_angstrom: float = option(
        0.0,
        "Largest difference of the two defoci; the angle is uniform.",
        unit="Å",
        expert=True,
        minimum=0,
        maximum=1e5,
    )
    phase_shift_deg: float = option(
        0.0, "Phase shift of a phase plate.", unit="°", expert=True, minimum=-360, maximum=360
    )
    voltage_kv: float = option(300.0, "Acceleration voltage.", unit="kV", expert=True, minimum=1)
    spherical_aberration_mm: float = option(
        2.7, "Spherical aberration.", unit="mm", expert=True, minimum=0
    )
    amplitude_contrast: float = option(
        0.1, "Amplitude contrast.", expert=True, minimum=0, maximum=1
    )
    bfactor_angstrom2: float = option(
        0.0,
        "B-factor of the envelope exp(-B s^2 / 4).",
        unit="Å^2",
        expert=True,
        minimum=-500,
        maximum=1e5,
    )
    image_state: str = option(
        "raw",
        "Whether the images are left as recorded, phase-flipped or multiplied by their CTF.",
        choices=IMAGE_STATES,
        expert=True,
    )
    snr: Optional[float] = option(
        None,
        "Signal-to-noise ratio: the mean variance of the images' signal over the whole box, after the CTF, over the "
        "noise variance, which is one for the set. Cryo-EM particles have some 0.01 to 0.1 at full size, more when "
        "binned. Empty: a simulation adds no noise, a training measures the noise and its spectrum on --like.",
        minimum=1e-6,
        maximum=1e6,
    )
    noise_variance: Optional[float] = option(
        None,
        "Noise variance per pixel, in units of the projected volume; alternative to --snr.",
        minimum=0,
        maximum=1e24,
    )
    noise_correlation_px: float = option(
        0.0,
        "0: white noise. Else noise coloured by a Gaussian of this standard "
        "deviation mixed half and half with white noise.",
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
                f"{self.command}: --defocus-range is {low:g} to {high:g} Å; give the smaller value first."
            )
        if self.snr is not None and self.noise_variance is not None:
            raise ConfigError(
                f"{self.command}: --snr {self.snr:g} and --noise-variance {self.noise_variance:g} exclude "
                "each other; give one of them."
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
