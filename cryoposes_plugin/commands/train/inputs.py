"""Inputs of a training run: files are read and checked; grid, noise and image state are determined."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np

from ...core.errors import ConfigError, InputError
from ...core.fourier.shells import multiplicity
from ...core.geometry.symmetry import symmetry_rotations
from ...core.imaging import draws
from ...core.imaging.background import (
    Background,
    cropped_noise_amplitude,
    measure_background,
    noise_power_like,
    signal_variance,
)
from ...core.imaging.noise import noise_amplitude
from ...core.io.particle_files import read_particles
from ...core.particles.checks import check_fits_model, check_scale
from ...core.particles.grids import Grid
from ...core.particles.held_out import held_out
from ...core.particles.images import ParticleImages, ResampledImages
from ...core.training.recipe import Recipe
from ...core.types import CtfTable, ParticleTable, Volume
from ...core.values import counted
from ..imaging_inputs import read_densities
from ..plausibility import check_diameter
from ..simulate.inputs import image_grid
from .config import NO_NOISE_LEVEL, TrainConfig
from .parent import Parent, find_parent, with_parent
from .presets import PRESETS

logger = logging.getLogger(__name__)

#: Number of CTFs over which the mean power of the signal is computed.
_CTF_SAMPLE = 512
_FEWEST_LABELLED = 20
#: Largest share of the labelled particles that is held out.
_LARGEST_VALIDATION_SHARE = 0.2
#: Distance of the mask from the edge of the box, in pixels of the network's images.
_MASK_MARGIN_PX = 1.5


@dataclass(frozen=True)
class Noise:
    """Noise of raw simulated images.

    amplitude : (D, D // 2 + 1) float32 on the network's grid; the transform of white noise of
    variance 1 is multiplied by it.
    variance, snr : at the images' own pixel size; the SNR is None without noise.
    measured : level and spectrum in the images of --like, if they were measured.
    """

    amplitude: np.ndarray
    variance: float
    snr: Optional[float]
    measured: Optional[Background] = None


@dataclass(frozen=True)
class Plan:
    """Inputs of a training run.

    recipe : the choices of the training, resolved.
    grid, model_grid : of the user's images and of the network's: one field of view.
    simulated_state, labelled_state : of the images, see `types.IMAGE_STATES`. noise : of the raw
    simulated images.
    group : (G, 3, 3) symmetry rotations.
    held_out : (N,) bool, which of the labelled particles are not trained on. junk : images of no
    particle. parent : the model that is trained further.
    """

    recipe: Recipe
    volumes: Tuple[Volume, ...]
    like: Optional[ParticleTable]
    labelled: Optional[ParticleTable]
    grid: Grid
    model_grid: Grid
    mask_diameter_angstrom: float
    simulated_state: str
    labelled_state: str
    noise: Optional[Noise]
    group: np.ndarray
    held_out: Optional[np.ndarray] = None
    junk: Optional[ParticleTable] = None
    parent: Optional[Parent] = None

    @property
    def learned_from(self) -> np.ndarray:
        """(M,) rows of the labelled particles that are trained on."""
        return np.flatnonzero(~self.held_out) if self.held_out is not None else np.arange(0)

    @property
    def mask_radius_px(self) -> float:
        """In pixels of the network's images."""
        return 0.5 * self.mask_diameter_angstrom / self.model_grid.pixel_size_angstrom


def make_plan(config: TrainConfig) -> Plan:
    """Read and check everything; InputError or ConfigError if something is missing or does not fit."""
    recipe = config.recipe()
    group = symmetry_rotations(config.symmetry)
    needs_ctf = ("ctf",) if config.ctf else ()
    corrected = needs_ctf if recipe.ctf_correction != "none" else ()
    like = (
        read_particles(config.like, needs_ctf, config.images_from, config.passthrough)
        if config.like
        else None
    )
    labelled = None
    if config.particles:
        labelled = read_particles(
            config.particles, ("poses", *corrected), config.images_from, config.passthrough
        )

    volumes = read_densities(config, config.volume, like if like is not None else labelled)
    grid = image_grid(config, volumes, like if like is not None else labelled)
    parent = find_parent(config, recipe, grid, tuple(volumes))
    recipe = with_parent(config, recipe, parent)
    box = model_box_size_px(config, grid.box_size_px)
    model_grid = grid.rescaled(box if parent is None else parent.card.box_size_px)

    for path, volume in zip(config.volume, volumes):
        check_scale(path, volume, grid)
    held = None
    if labelled is not None:
        _check_labelled(config, labelled, grid, model_grid)
        held = held_out(labelled, _validation_number(config, len(labelled)), config.seed)
    junk = _junk(config, grid, model_grid, corrected)

    state = common_state(like, "--like") if like is not None else config.image_state
    noise = _noise(config, volumes, like, grid, model_grid, state) if volumes else None
    return Plan(
        recipe,
        volumes,
        like,
        labelled,
        grid,
        model_grid,
        _mask_diameter(config, grid, model_grid, volumes, parent),
        state,
        "raw" if labelled is None else common_state(labelled, "--particles"),
        noise,
        group,
        held,
        junk,
        parent,
    )


def _junk(
    config: TrainConfig, grid: Grid, model_grid: Grid, needs_ctf: Sequence[str]
) -> Optional[ParticleTable]:
    """Images of no particle, or None."""
    if not config.junk:
        return None
    table = read_particles(config.junk, needs_ctf, config.images_from, config.passthrough)
    check_fits_model(table, model_grid.pixel_size_angstrom, grid.field_of_view_angstrom)
    ParticleImages(table)
    return table


def model_box_size_px(config: TrainConfig, box_size_px: int) -> int:
    """Box at which the network works, even and no larger than that of the images."""
    box = config.model_box_size_px or min(PRESETS[config.preset].largest_box_px, box_size_px)
    if box > box_size_px:
        raise ConfigError(
            f"train: --model-box-size-px is {box} and the images have {box_size_px} px; give "
            f"{box_size_px} or less."
        )
    return box - box % 2


def _validation_number(config: TrainConfig, labelled: int) -> int:
    """Number of labelled particles that are held out."""
    return max(1, min(config.validation_number, int(_LARGEST_VALIDATION_SHARE * labelled)))


def _mask_diameter(
    config: TrainConfig,
    grid: Grid,
    model_grid: Grid,
    volumes: Sequence[Volume],
    parent: Optional[Parent],
) -> float:
    """As configured, or that of the model to start from, otherwise as large as fits into both the
    images and the widest volume.
    """
    largest = grid.field_of_view_angstrom - 2 * _MASK_MARGIN_PX * model_grid.pixel_size_angstrom
    diameter = config.mask_diameter_angstrom
    check_diameter(config.command, "mask_diameter_angstrom", diameter, grid.field_of_view_angstrom)
    widest = max([v.box_size_px * v.pixel_size_angstrom for v in volumes], default=largest)
    if parent is not None:
        widest = parent.card.mask_diameter_angstrom
    return min(diameter or widest, largest)


def _check_labelled(
    config: TrainConfig, table: ParticleTable, grid: Grid, model_grid: Grid
) -> None:
    if len(table) < _FEWEST_LABELLED:
        raise InputError(
            f"{config.particles} holds {counted(len(table), 'particle')}; training needs at least "
            f"{_FEWEST_LABELLED}, and a few thousand to work well."
        )
    check_fits_model(table, model_grid.pixel_size_angstrom, grid.field_of_view_angstrom)
    ParticleImages(table)


def common_state(table: ParticleTable, flag: str) -> str:
    """State of the images of a set; InputError if they are in several."""
    states = sorted({table.optics[i].image_state for i in np.unique(table.optics_index)})
    if len(states) > 1:
        raise InputError(
            f"The particles of {flag} are in different states ({', '.join(states)}); give "
            "particles of one state."
        )
    return states[0]


def _noise(
    config: TrainConfig,
    volumes: Sequence[Volume],
    like: Optional[ParticleTable],
    grid: Grid,
    model_grid: Grid,
    state: str,
) -> Noise:
    """Noise of the given SNR or variance, white or coloured as configured; otherwise with the
    spectrum of --like.
    """
    ctf = draws.draw_ctfs(config.imaging().ctf, _CTF_SAMPLE, config.seed, like)
    signal = signal_variance(volumes, ctf, grid.box_size_px, grid.pixel_size_angstrom)
    measured = None

    given = config.noise_variance if config.snr is None else signal / config.snr
    if given is not None:
        variance = given
        coloured = noise_amplitude(grid.box_size_px, config.noise_correlation_px)
        amplitude = np.sqrt(variance) * cropped_noise_amplitude(
            coloured, grid.box_size_px, model_grid.box_size_px
        )
    elif like is not None:
        power, measured = _measured_noise_power(config, volumes, ctf, like, grid, model_grid, state)
        variance = float(power.mean()) * (grid.box_size_px / model_grid.box_size_px) ** 2
        amplitude = np.sqrt(power[:, : model_grid.box_size_px // 2 + 1])
    else:
        raise ConfigError(NO_NOISE_LEVEL)

    snr = signal / variance if variance else None
    return Noise(amplitude.astype(np.float32), variance, snr, measured)


def _measured_noise_power(
    config: TrainConfig,
    volumes: Sequence[Volume],
    ctf: Optional[CtfTable],
    like: ParticleTable,
    grid: Grid,
    model_grid: Grid,
    state: str,
) -> Tuple[np.ndarray, Background]:
    """(D, D) power spectrum of the noise of raw images on the network's grid, and what was measured
    on --like.
    """
    check_fits_model(like, model_grid.pixel_size_angstrom, grid.field_of_view_angstrom)
    images = ResampledImages(like, *model_grid)
    # In the corners: if particles fill their box, a smaller circle would take signal for noise.
    background = measure_background(images, grid.field_of_view_angstrom, config.seed)
    return noise_power_like(volumes, ctf, images, state, background), background


def snr_of_network_images(plan: Plan, seed: int) -> Optional[float]:
    """SNR of the held-out images at the box and pixel size of the network: of labelled ones as
    measured, otherwise that of the simulation; None where it is unknown.

    That of images multiplied by their CTF is not comparable.
    """
    grid = plan.model_grid
    state = plan.simulated_state if plan.labelled is None else plan.labelled_state
    if state == "ctf-premultiplied":
        return None
    if plan.labelled is not None:
        images = ResampledImages(plan.labelled, *grid)
        try:
            return measure_background(images, grid.field_of_view_angstrom, seed).snr
        except InputError as error:
            logger.info("train: no expected errors, because the SNR is unknown: %s", error)
            return None

    noise = plan.noise
    if noise is None or not noise.snr:
        return None
    power = (noise.amplitude.astype(np.float64) ** 2).mean(axis=0)
    return noise.snr * noise.variance / np.average(power, weights=multiplicity(grid.box_size_px))


def log_measured_noise(plan: Plan) -> None:
    """Say which noise was measured on --like, if any."""
    measured = None if plan.noise is None else plan.noise.measured
    if measured is not None:
        logger.info(
            "train: the SNR of the images of --like is %.3g at %.3g Å/px; the power of their noise "
            "at the lowest "
            "frequency is %.2g times the mean power.",
            measured.snr,
            plan.model_grid.pixel_size_angstrom,
            measured.power[0, 0],
        )


def summary(plan: Plan) -> Dict[str, Any]:
    """Figures of the data for the model card and the metrics, as JSON."""
    numbers: Dict[str, Any] = {
        "box_size_px": plan.grid.box_size_px,
        "pixel_size_angstrom": plan.grid.pixel_size_angstrom,
        "volumes": len(plan.volumes),
        "labelled_particles": 0 if plan.labelled is None else len(plan.labelled),
        "junk_images": 0 if plan.junk is None else len(plan.junk),
    }
    if plan.noise is not None:
        numbers.update(snr=plan.noise.snr, noise_variance=plan.noise.variance)
    return numbers
