"""Inputs of a simulation: files read and checked, box and pixel size determined, all draws made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...core.errors import ConfigError, InputError
from ...core.fourier.aberrations import even_columns
from ...core.image_kinds import PARTICLE, kinds_as_text
from ...core.imaging import draws
from ...core.imaging.padding import check_memory
from ...core.io import star_labels
from ...core.io.star import read_particles
from ...core.io.star_optics import aberrations_of
from ...core.maps.size import radius_of_gyration_angstrom
from ...core.particles.grids import Grid
from ...core.scores import POSE_SOURCE, TRUE_KIND
from ...core.types import CtfTable, OpticsGroup, ParticleTable, Volume
from ..imaging_config import ImagingConfig
from ..imaging_inputs import read_densities
from ..plausibility import check_diameter, check_field_of_view
from .config import SimulateConfig
from .junk import KINDS, OTHER_MOLECULES, SMALLEST_BOX_PX, off_centre_px

#: Box sizes and pixel sizes count as equal within this.
_TOLERANCE = 1e-3
_PARTICLES_PER_MICROGRAPH = 100
_COLUMNS_PER_MICROGRAPH = 10
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


@dataclass(frozen=True)
class Draws:
    """The random draws for images 0 to N - 1: arrays of length N, see `types.ParticleTable`.

    kind : what each image shows, see `core.image_kinds`; a pose is drawn for junk too.
    off_centre_px : (N, 2) displacement of particles far off centre, which is part of their shift.
    """

    kind: np.ndarray
    volume_index: np.ndarray
    rotations: np.ndarray
    shifts_px: np.ndarray
    ctf: Optional[CtfTable]
    optics: Tuple[OpticsGroup, ...]
    optics_index: np.ndarray
    off_centre_px: np.ndarray


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
    check_memory((*volumes, *_other_molecules(config, volumes)), box, pixel)
    if config.projector == "astra" and (_columns(config) or (like and _aberrated(like.optics))):
        raise ConfigError(
            "simulate: the projector 'astra' makes no beam tilt, aberrations or anisotropic "
            "magnification; choose the projector 'fourier'."
        )
    return SimulationInputs(volumes, box, pixel, like, poses)


def _other_molecules(config: SimulateConfig, volumes: Sequence[Volume]) -> Tuple[Volume, ...]:
    """Volumes as large as those of the other molecules."""
    if not config.junk_fraction:
        return ()
    smallest = min(volume.box_size_px for volume in volumes)
    if smallest < SMALLEST_BOX_PX:
        raise ConfigError(
            f"simulate: --junk-fraction is {config.junk_fraction:g} and the volume's box is "
            f"{smallest} px; other molecules need at least {SMALLEST_BOX_PX} px."
        )
    return tuple(volumes[i % len(volumes)] for i in range(OTHER_MOLECULES))


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


def draw(config: SimulateConfig, inputs: SimulationInputs) -> Draws:
    """Draw volume, pose, CTF and optics group of every image, a function of the config and its
    inputs alone.
    """
    n, seed = config.number, config.seed
    if inputs.poses is not None:
        rotations, shifts = draws.poses_of_particles(inputs.poses, n, inputs.pixel_size_angstrom)
    else:
        rotations, shifts = draws.draw_poses(config.pose_distribution(), n, seed)
    ctf, optics, optics_index = _draw_ctf_and_optics(config, inputs)
    volume_index = draws.draw_volumes(len(inputs.volumes), n, seed)
    kind = draws.draw_kinds(KINDS, config.junk_fraction, n, seed)
    radius_px = radii_px(inputs)[volume_index]
    off_centre = off_centre_px(kind, radius_px, inputs.box_size_px, seed)
    return Draws(kind, volume_index, rotations, shifts, ctf, optics, optics_index, off_centre)


def radii_px(inputs: SimulationInputs) -> np.ndarray:
    """(V,) radii of gyration of the volumes, in pixels of the images."""
    radii = [radius_of_gyration_angstrom(volume) for volume in inputs.volumes]
    return np.array(radii) / inputs.pixel_size_angstrom


def _draw_ctf_and_optics(config: SimulateConfig, inputs: SimulationInputs):
    n, box, pixel, state = (
        config.number,
        inputs.box_size_px,
        inputs.pixel_size_angstrom,
        config.image_state,
    )
    like = inputs.like
    if like is None:
        acquisition = (config.voltage_kv, config.spherical_aberration_mm, config.amplitude_contrast)
        optics = OpticsGroup(
            "simulated", pixel, box, *acquisition, image_state=state, extra=_columns(config)
        )
        ctf = draws.draw_ctfs(config.imaging().ctf, n, config.seed)
        return _with_even(ctf, (optics,), np.zeros(n, dtype=np.int64))

    # Poses and CTFs from one file belong together: particle by particle. Else the CTFs are
    # shuffled.
    twin = _same_file(config.like, config.orientations_from)
    rows = np.arange(n) % len(like) if twin else draws.like_rows(len(like), n, config.seed)
    # Effects that the forward model does not include must not be listed for the new images.
    groups = tuple(
        dataclasses.replace(
            o,
            pixel_size_angstrom=pixel,
            box_size_px=box,
            image_state=state,
            extra={**_aberration_columns(o), **_columns(config)},
            sign=1,
        )
        for o in like.optics
    )

    ctf = like.ctf.take(rows) if config.ctf and like.ctf is not None else None
    return _with_even(ctf, groups, like.optics_index[rows])


def _with_even(
    ctf: Optional[CtfTable], groups: Tuple[OpticsGroup, ...], group_index: np.ndarray
) -> Tuple[Optional[CtfTable], Tuple[OpticsGroup, ...], np.ndarray]:
    """The same with the even aberrations of the groups in the CTF."""
    if ctf is not None:
        even = even_columns([aberrations_of(group) for group in groups], group_index)
        ctf = dataclasses.replace(ctf, even_zernike=even)
    return ctf, groups, group_index


def _aberrated(groups: Sequence[OpticsGroup]) -> bool:
    return any(aberrations_of(group).change_images for group in groups)


def _aberration_columns(group: OpticsGroup) -> Dict[str, str]:
    return {k: text for k, text in group.extra.items() if k in star_labels.ABERRATIONS}


def _columns(config: SimulateConfig) -> Dict[str, str]:
    """The columns of the aberrations and the magnification of a config."""
    columns = dict(zip(star_labels.BEAM_TILT, map(str, config.beam_tilt_mrad)))
    for label, values in (
        (star_labels.ODD_ZERNIKE, config.odd_zernike),
        (star_labels.EVEN_ZERNIKE, config.even_zernike),
    ):
        if values:
            columns[label] = f"[{','.join(map(str, values))}]"
    if config.magnification_anisotropy:
        angle, half = (
            np.deg2rad(config.magnification_angle_deg),
            config.magnification_anisotropy / 2,
        )
        axis = np.array([np.cos(angle), np.sin(angle)])
        matrix = (1 - half) * np.eye(2) + 2 * half * np.outer(axis, axis)
        texts = [f"{value:.9f}" for value in matrix.ravel()]
        columns.update(zip(star_labels.MAGNIFICATION_MATRIX, texts))

    return columns


def _same_file(a: Optional[str], b: Optional[str]) -> bool:
    return a is not None and b is not None and Path(a).resolve() == Path(b).resolve()


def particle_table(stack: Path, inputs: SimulationInputs, drawn: Draws) -> ParticleTable:
    """The simulated particles with their true poses: ids 1 to N, in the order of the stack, on
    made-up micrographs.
    """
    n = len(drawn.rotations)
    number = np.arange(n)
    place, micrograph = number % _PARTICLES_PER_MICROGRAPH, number // _PARTICLES_PER_MICROGRAPH
    x, y = place % _COLUMNS_PER_MICROGRAPH, place // _COLUMNS_PER_MICROGRAPH
    box = inputs.box_size_px

    extra = {
        star_labels.COORDINATE_X: np.char.mod("%.1f", (x + 0.5) * box).astype(object),
        star_labels.COORDINATE_Y: np.char.mod("%.1f", (y + 0.5) * box).astype(object),
        star_labels.MICROGRAPH_NAME: np.char.mod("simulated_%06d.mrc", micrograph + 1).astype(
            object
        ),
        POSE_SOURCE: np.full(n, "truth", dtype=object),
    }
    if (drawn.kind != PARTICLE).any():
        extra[TRUE_KIND] = kinds_as_text(drawn.kind)
    if len(inputs.volumes) > 1:
        extra[star_labels.CLASS_NUMBER] = np.char.mod("%d", drawn.volume_index + 1).astype(object)

    return ParticleTable(
        ids=number + 1,
        stack_paths=(stack,),
        stack_index=np.zeros(n, dtype=np.int64),
        slice_index=number,
        optics=drawn.optics,
        optics_index=drawn.optics_index,
        rotations=drawn.rotations,
        shifts_px=drawn.shifts_px + drawn.off_centre_px,
        ctf=drawn.ctf,
        extra=extra,
    )
