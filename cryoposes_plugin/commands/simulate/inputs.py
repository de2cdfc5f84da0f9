"""Inputs of a simulation: files read and checked, box and pixel size determined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ...core.errors import ConfigError, InputError
from ...core.imaging.faults.conformations import split
from ...core.io.mrc import read_volume
from ...core.io.particle_files import read_particles
from ...core.io.star_optics import aberrations_of
from ...core.maps.size import radius_of_gyration_angstrom
from ...core.maps.volume_mask import check_mask
from ...core.particles.grids import Grid
from ...core.types import ParticleTable, Volume
from ..imaging_config import ImagingConfig
from ..imaging_inputs import read_densities
from ..plausibility import check_diameter, check_field_of_view
from .config import SimulateConfig
from .junk import SMALLEST_BOX_PX

#: Box sizes and pixel sizes count as equal within this.
_TOLERANCE = 1e-3
#: Default diameter of the particle, as a share of the box.
DEFAULT_DIAMETER_SHARE = 0.75


@dataclass(frozen=True)
class SimulationInputs:
    """Files of a simulation, read and found consistent."""

    volumes: Tuple[Volume, ...]
    box_size_px: int
    pixel_size_angstrom: float
    like: Optional[ParticleTable]
    poses: Optional[ParticleTable]
    mask_of_part: Optional[np.ndarray] = None
    noise: Optional[ParticleTable] = None


def read_inputs(config: SimulateConfig) -> SimulationInputs:
    """Read the volumes and particle sets of a config; InputError or ConfigError if they do not fit
    together.
    """
    like = None
    if config.like:
        like = read_particles(
            config.like, ("ctf",) if config.ctf else (), config.images_from, config.passthrough
        )
    volumes = read_densities(config, config.volume, like)
    poses = None
    if config.orientations == "particles":
        poses = read_particles(
            str(config.orientations_from), ("poses",), config.images_from, config.passthrough
        )
    box, pixel = image_grid(config, volumes, like)
    if config.image_state != "raw" and not config.ctf:
        raise ConfigError(
            f"simulate: --image-state is {config.image_state!r} and --no-ctf is given; images "
            "without a CTF are 'raw'."
        )

    check_diameter(
        config.command, "particle_diameter_angstrom", config.particle_diameter_angstrom, box * pixel
    )
    mask = _mask_of_part(config, volumes)
    _check_other_molecules(config, volumes)
    noise = None
    if config.noise_like:
        noise = read_particles(config.noise_like, (), config.images_from, config.passthrough)
    distance = picker_distance_px(config, box, pixel)
    if config.faults().neighbours and distance >= math.sqrt(2) * box:
        raise ConfigError(
            f"simulate: --picker-distance-angstrom is {distance * pixel:g} Å and the images are "
            f"{box * pixel:.0f} Å wide, so that no neighbour could be seen; give a shorter one."
        )
    if config.projector == "astra" and (has_aberrations(config) or (like and _aberrated(like))):
        raise ConfigError(
            "simulate: the projector 'astra' makes no beam tilt, aberrations or anisotropic "
            "magnification; choose the projector 'fourier'."
        )
    return SimulationInputs(volumes, box, pixel, like, poses, mask, noise)


def has_aberrations(config: SimulateConfig) -> bool:
    """Whether the config itself asks for a tilt, an aberration or an unequal magnification."""
    faults = config.faults()
    asked = (faults.beam_tilt_mrad, config.odd_zernike, config.even_zernike)
    return any(map(any, asked)) or bool(faults.magnification_anisotropy)


def _aberrated(table: ParticleTable) -> bool:
    return any(aberrations_of(group).change_images for group in table.optics)


def _mask_of_part(config: SimulateConfig, volumes: Sequence[Volume]) -> Optional[np.ndarray]:
    """(D, D, D) mask of the moving part, which belongs to all volumes."""
    if not config.moving_part:
        return None
    subject, mask = f"simulate: the mask {config.moving_part}", read_volume(config.moving_part)
    check_mask(config.moving_part, mask)
    for volume in volumes:
        found, wanted = ((v.box_size_px, round(v.pixel_size_angstrom, 3)) for v in (mask, volume))
        if found != wanted:
            raise ConfigError(
                f"{subject} has {found[0]} px of {found[1]:g} Å and a volume has {wanted[0]} px of "
                f"{wanted[1]:g} Å; give the mask on the grid of the volumes."
            )
        split(volume, mask.data)
    return mask.data


def _check_other_molecules(config: SimulateConfig, volumes: Sequence[Volume]) -> None:
    """Raise ConfigError if volumes are too small to make other molecules of."""
    fraction = config.faults().junk_fraction
    smallest = min(volume.box_size_px for volume in volumes)
    if fraction and smallest < SMALLEST_BOX_PX:
        raise ConfigError(
            f"simulate: --junk-fraction is {fraction:g} and the volume's box is "
            f"{smallest} px; other molecules need at least {SMALLEST_BOX_PX} px."
        )


def image_grid(
    config: ImagingConfig, volumes: Sequence[Volume], like: Optional[ParticleTable]
) -> Grid:
    """Of the images: as configured, else those of `like`, else of the volumes."""
    if like is not None:
        groups = [like.optics[i] for i in np.unique(like.optics_index)]
        boxes, pixels, source = (
            [o.box_size_px for o in groups],
            [o.pixel_size_angstrom for o in groups],
            "--like",
        )
    else:
        boxes, pixels, source = (
            [v.box_size_px for v in volumes],
            [v.pixel_size_angstrom for v in volumes],
            "the volumes",
        )

    box = config.box_size_px or int(
        _common(boxes, "box sizes", source, "px", "--box-size-px", config.command)
    )
    pixel = config.pixel_size_angstrom or _common(
        pixels, "pixel sizes", source, "Å", "--pixel-size-angstrom", config.command
    )
    if box % 2:
        raise ConfigError(
            f"{config.command}: the images would have the box of {source}, {box} px; give an even "
            f"box with --box-size-px, such as {box + 1} (RELION needs it even)."
        )
    if volumes:
        check_field_of_view(
            config.command, box, pixel, max(v.box_size_px * v.pixel_size_angstrom for v in volumes)
        )

    return Grid(box, float(pixel))


def _common(
    values: List[float], what: str, source: str, unit: str, flag: str, command: str
) -> float:
    if not values:
        raise InputError(
            f"{command}: neither a volume nor --like gives the {what} of the images; give {flag}."
        )
    if max(values) - min(values) > _TOLERANCE * max(values):
        raise ConfigError(
            f"{command}: {source} have {what} from {min(values):g} to {max(values):g} {unit}; say "
            f"with {flag} which one the images shall have."
        )
    return values[0]


def particle_diameter_angstrom(
    config: SimulateConfig, box_size_px: int, pixel_size_angstrom: float
) -> float:
    """Diameter outside which is background."""
    return (
        config.particle_diameter_angstrom
        or DEFAULT_DIAMETER_SHARE * box_size_px * pixel_size_angstrom
    )


def picker_distance_px(
    config: SimulateConfig, box_size_px: int, pixel_size_angstrom: float
) -> float:
    """Minimum distance of neighbours."""
    distance = config.picker_distance_angstrom or particle_diameter_angstrom(
        config, box_size_px, pixel_size_angstrom
    )
    return distance / pixel_size_angstrom


def radii_px(inputs: SimulationInputs) -> np.ndarray:
    """(V,) radii of gyration of the volumes, in pixels of the images."""
    radii = [radius_of_gyration_angstrom(volume) for volume in inputs.volumes]
    return np.array(radii) / inputs.pixel_size_angstrom
