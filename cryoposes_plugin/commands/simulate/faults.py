"""The faults of a simulation: what is true of the images, and what their file states instead."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict

import numpy as np

from ...core import image_truth
from ...core.fourier.ctf import with_defocus_changed
from ...core.imaging.faults.conformations import draw_motion
from ...core.imaging.faults.duplicates import draw_duplicates
from ...core.imaging.faults.ice import draw_gradients, draw_thickness, transmitted
from ...core.imaging.faults.neighbours import draw_neighbours
from ...core.imaging.faults.picks import draw_misplacements
from ...core.imaging.faults.spread import draw_bfactors, draw_defocus_errors, draw_scales
from ...core.imaging.faults.views import with_preferred_views
from ...core.io import star_labels
from .config import SimulateConfig
from .draws import Draws, draw_nominal
from .inputs import SimulationInputs, picker_distance_px

#: Voltage where neither the optics nor the options of a simulation say one.
_USUAL_VOLTAGE_KV = 300.0


def draw(config: SimulateConfig, inputs: SimulationInputs) -> Draws:
    """All draws of a simulation, a function of the config and its inputs alone."""
    drawn = draw_nominal(config, inputs)
    for fault in (_views, _centres, _contrast, _acquisition, _motion, _duplicates, _neighbours):
        drawn = fault(config, inputs, drawn)
    return drawn


def voltages_kv(drawn: Draws) -> np.ndarray:
    """(N,) voltage of each image."""
    return np.array([g.voltage_kv or _USUAL_VOLTAGE_KV for g in drawn.optics])[drawn.optics_index]


def _views(config: SimulateConfig, inputs: SimulationInputs, drawn: Draws) -> Draws:
    share = config.faults().preferred_share
    if not share:
        return drawn
    rotations, lies = with_preferred_views(
        drawn.rotations, share, config.pose_distribution(), config.seed
    )
    return drawn.changed({image_truth.PREFERRED: lies}, rotations=rotations)


def _centres(config: SimulateConfig, inputs: SimulationInputs, drawn: Draws) -> Draws:
    faults, pixel = config.faults(), inputs.pixel_size_angstrom
    if not faults.misplaced_share:
        return drawn
    mean_px = faults.misplaced_angstrom / pixel
    moved = draw_misplacements(faults.misplaced_share, mean_px, config.number, config.seed)
    truth = {image_truth.MISPLACED: pixel * np.linalg.norm(moved, axis=1)}
    return drawn.changed(truth, shifts_px=drawn.shifts_px + moved)


def _contrast(config: SimulateConfig, inputs: SimulationInputs, drawn: Draws) -> Draws:
    """Contrast, ice and exposure."""
    faults, n, seed = config.faults(), config.number, config.seed
    contrast, truth = np.ones(n), {}
    if faults.scale_spread:
        contrast = draw_scales(faults.scale_spread, n, seed)
    if faults.ice_thickness_angstrom:
        thickness = draw_thickness(faults.ice_thickness_angstrom, drawn.micrograph, seed)
        contrast = contrast * transmitted(thickness, voltages_kv(drawn))
        truth[image_truth.THICKNESS] = thickness

    changes = {}
    if faults.scale_spread or faults.ice_thickness_angstrom:
        changes["contrast"] = truth[image_truth.CONTRAST] = contrast
    if faults.ice_gradient:
        gradients = draw_gradients(faults.ice_gradient, drawn.micrograph, seed)
        changes["gradients"] = gradients
        truth.update(zip(image_truth.GRADIENT, gradients.T))
    if faults.dose_e_per_angstrom2:
        truth[image_truth.DOSE] = np.full(n, faults.dose_e_per_angstrom2)
    return drawn.changed(truth, **changes)


def _acquisition(config: SimulateConfig, inputs: SimulationInputs, drawn: Draws) -> Draws:
    """Errors of what the file states of CTF, pixel size and aberrations."""
    faults, n, seed = config.faults(), config.number, config.seed
    truth: Dict[str, np.ndarray] = {}
    changes: Dict[str, Any] = {}
    ctf = drawn.ctf
    if ctf is not None and (faults.defocus_error_angstrom or faults.bfactor_spread_angstrom2):
        error = draw_defocus_errors(faults.defocus_error_angstrom, n, seed)
        more = draw_bfactors(faults.bfactor_spread_angstrom2, n, seed)
        moved = with_defocus_changed(ctf, error)
        true = dataclasses.replace(moved, bfactor_angstrom2=ctf.bfactor_angstrom2 + more)
        changes.update(ctf=true, stated_ctf=ctf)
        truth.update(zip(image_truth.DEFOCUS, (true.defocus_u_angstrom, true.defocus_v_angstrom)))
        truth[image_truth.BFACTOR] = true.bfactor_angstrom2

    if faults.pixel_size_error:
        true_pixel = inputs.pixel_size_angstrom * (1 + faults.pixel_size_error)
        truth[image_truth.PIXEL_SIZE] = np.full(n, true_pixel)
    if config.withhold_aberrations:
        for label in star_labels.ABERRATIONS:
            values = [group.extra.get(label, "0") for group in drawn.optics]
            if any(label in group.extra for group in drawn.optics):
                column = np.array(values, dtype=object)[drawn.optics_index]
                truth[image_truth.true_column(label)] = column
        kept = [
            {k: v for k, v in group.extra.items() if k not in star_labels.ABERRATIONS}
            for group in drawn.optics
        ]
        changes["stated_optics"] = tuple(
            dataclasses.replace(group, extra=extra) for group, extra in zip(drawn.optics, kept)
        )
    return drawn.changed(truth, **changes)


def _motion(config: SimulateConfig, inputs: SimulationInputs, drawn: Draws) -> Draws:
    if not config.moving_part:
        return drawn
    motion = draw_motion(config.motion_deg, config.motion_angstrom, config.number, config.seed)
    shown = np.rad2deg(motion.angle_rad), motion.step_angstrom
    return drawn.changed(dict(zip(image_truth.MOTION, shown)), motion=motion)


def _duplicates(config: SimulateConfig, inputs: SimulationInputs, drawn: Draws) -> Draws:
    """Last of the draws: a duplicate has all of its source, but for a step of the centre."""
    fraction = config.faults().duplicate_fraction
    if not fraction:
        return drawn
    found = draw_duplicates(fraction, drawn.micrograph, config.shift_px, config.seed)
    drawn = drawn.take(found.source)
    of = np.where(found.source == np.arange(config.number), 0, found.source + 1)
    shifts = drawn.shifts_px + found.step_px
    return drawn.changed({image_truth.DUPLICATE_OF: of}, shifts_px=shifts, duplicates=found)


def _neighbours(config: SimulateConfig, inputs: SimulationInputs, drawn: Draws) -> Draws:
    """Counted here, and drawn again where they are shown."""
    if not config.faults().neighbours:
        return drawn
    numbers = [len(neighbours_of(config, inputs, drawn, row)[0]) for row in range(config.number)]
    return drawn.changed({image_truth.NEIGHBOURS: np.array(numbers)})


def neighbours_of(config: SimulateConfig, inputs: SimulationInputs, drawn: Draws, row: int):
    """Displacements (m, 2) of the neighbours of an image from its particle, and their rotations
    (m, 3, 3).

    Parameters
    ----------
    config, inputs : of the simulation.
    drawn : its draws.
    row : number of the image.
    """
    box = inputs.box_size_px
    nearest = picker_distance_px(config, box, inputs.pixel_size_angstrom)
    source = row if drawn.duplicates is None else int(drawn.duplicates.source[row])
    return draw_neighbours(config.faults().neighbours, nearest, box, config.seed, source)
