"""The draws of a simulation: what each image shows, what is true of it, and what its file states."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ...core.fourier.aberrations import even_columns
from ...core.imaging import draws
from ...core.imaging.faults.conformations import Motion
from ...core.imaging.faults.duplicates import Duplicates
from ...core.io import star_labels
from ...core.io.star_optics import aberrations_of
from ...core.types import CtfTable, OpticsGroup
from .config import SimulateConfig
from .inputs import SimulationInputs, radii_px
from .junk import KINDS, off_centre_px

#: On made-up micrographs.
_PARTICLES_PER_MICROGRAPH = 100


@dataclass(frozen=True)
class Draws:
    """The random draws for images 0 to N - 1: arrays of length N, see `types.ParticleTable`.

    kind : what each image shows, see `core.image_kinds`; a pose is drawn for junk too.
    off_centre_px : (N, 2) displacement of particles far off centre, which is part of their shift.
    micrograph : number of each image's micrograph, whose names are `micrograph_names`.
    contrast : factor of the signal; None for 1.
    gradients : (N, 2) of the background, see `faults.ice`; None for none.
    motion : of the moving part, if there is one.
    duplicates : which images show the particle of another one; None for none.
    stated_ctf, stated_optics : what the file says, where it is not what is true.
    truth : the columns of what is true.
    """

    kind: np.ndarray
    volume_index: np.ndarray
    rotations: np.ndarray
    shifts_px: np.ndarray
    ctf: Optional[CtfTable]
    optics: Tuple[OpticsGroup, ...]
    optics_index: np.ndarray
    off_centre_px: np.ndarray
    micrograph: np.ndarray
    micrograph_names: np.ndarray
    contrast: Optional[np.ndarray] = None
    gradients: Optional[np.ndarray] = None
    motion: Optional[Motion] = None
    duplicates: Optional[Duplicates] = None
    stated_ctf: Optional[CtfTable] = None
    stated_optics: Optional[Tuple[OpticsGroup, ...]] = None
    truth: Dict[str, np.ndarray] = field(default_factory=dict)

    def changed(self, truth: Optional[Dict[str, np.ndarray]] = None, **changes: Any) -> Draws:
        """The same with some draws replaced, and columns of the truth added."""
        return dataclasses.replace(self, truth={**self.truth, **(truth or {})}, **changes)

    def take(self, rows: np.ndarray) -> Draws:
        """The images of these rows (N,), which become images 0 to N - 1, on their micrographs."""
        taken: Dict[str, Any] = {
            name: None if value is None else value[rows]
            for name, value in vars(self).items()
            if value is None or isinstance(value, np.ndarray) and name != "micrograph_names"
        }
        if self.motion is not None:
            taken["motion"] = Motion(*(values[rows] for values in self.motion))
        for name in ("ctf", "stated_ctf"):
            value = getattr(self, name)
            taken[name] = None if value is None else value.take(rows)
        truth = {label: values[rows] for label, values in self.truth.items()}
        return dataclasses.replace(self, **taken, truth=truth)


def draw_nominal(config: SimulateConfig, inputs: SimulationInputs) -> Draws:
    """Draw volume, pose, CTF and optics group of every image, a function of the config and its
    inputs alone, without faults but junk.
    """
    n, seed = config.number, config.seed
    if inputs.poses is not None:
        rotations, shifts = draws.poses_of_particles(inputs.poses, n, inputs.pixel_size_angstrom)
    else:
        rotations, shifts = draws.draw_poses(config.pose_distribution(), n, seed)
    ctf, optics, optics_index = _draw_ctf_and_optics(config, inputs)
    volume_index = draws.draw_volumes(len(inputs.volumes), n, seed, config.volume_weights)
    kind = draws.draw_kinds(KINDS, config.faults().junk_fraction, n, seed)

    off_centre = off_centre_px(kind, radii_px(inputs)[volume_index], inputs.box_size_px, seed)
    return Draws(
        kind,
        volume_index,
        rotations,
        shifts,
        ctf,
        optics,
        optics_index,
        off_centre,
        *_micrographs(config, inputs),
    )


def _micrographs(config: SimulateConfig, inputs: SimulationInputs) -> Tuple[np.ndarray, np.ndarray]:
    """(N,) numbers of the micrographs and their names: those of the CTFs that are imitated, or
    made-up ones.
    """
    like = inputs.like
    if like is not None and config.ctf and star_labels.MICROGRAPH_NAME in like.extra:
        shown = like.extra[star_labels.MICROGRAPH_NAME][_rows_of_like(config, len(like))]
        names, index = np.unique(shown.astype(str), return_inverse=True)
        return index, names
    micrograph = np.arange(config.number) // _PARTICLES_PER_MICROGRAPH
    return micrograph, np.char.mod("simulated_%06d.mrc", np.arange(micrograph[-1] + 1) + 1)


def _rows_of_like(config: SimulateConfig, available: int) -> np.ndarray:
    """(N,) which particles are imitated. Poses and CTFs from one file belong together: particle by
    particle. Else the CTFs are shuffled.
    """
    n = config.number
    if _same_file(config.like, config.orientations_from):
        return np.arange(n) % available
    return draws.like_rows(available, n, config.seed)


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

    rows = _rows_of_like(config, len(like))
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


def _aberration_columns(group: OpticsGroup) -> Dict[str, str]:
    return {k: text for k, text in group.extra.items() if k in star_labels.ABERRATIONS}


def _columns(config: SimulateConfig) -> Dict[str, str]:
    """The columns of the aberrations and the magnification of a config."""
    faults = config.faults()
    columns = dict(zip(star_labels.BEAM_TILT, map(str, faults.beam_tilt_mrad)))
    for label, values in (
        (star_labels.ODD_ZERNIKE, config.odd_zernike),
        (star_labels.EVEN_ZERNIKE, config.even_zernike),
    ):
        if values:
            columns[label] = f"[{','.join(map(str, values))}]"
    if faults.magnification_anisotropy:
        angle, half = (
            np.deg2rad(config.magnification_angle_deg),
            faults.magnification_anisotropy / 2,
        )
        axis = np.array([np.cos(angle), np.sin(angle)])
        matrix = (1 - half) * np.eye(2) + 2 * half * np.outer(axis, axis)
        texts = [f"{value:.9f}" for value in matrix.ravel()]
        columns.update(zip(star_labels.MAGNIFICATION_MATRIX, texts))

    return columns


def _same_file(a: Optional[str], b: Optional[str]) -> bool:
    return a is not None and b is not None and Path(a).resolve() == Path(b).resolve()
