"""The `simulate` command: y = C S P x + n, streamed into a stack that grows in order and can be
resumed.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from ...core.errors import InputError
from ...core.fourier.ctf import pack_ctf
from ...core.fourier.masks import circular_mask
from ...core.image_kinds import OTHER, PARTICLE
from ...core.imaging import draws
from ...core.imaging.astra_projector import require_cuda
from ...core.imaging.noise import normalise_background, simulate_noise
from ...core.io.error_log import not_fatal
from ...core.io.mrc import Stack, StackWriter
from ...core.io.names import PARTICLES_NAME, STACK_NAME
from ...core.io.star import write_particles
from ...core.io.star_optics import aberrations_of
from ...core.io.state_files import REDO, SIMULATION, PeriodicSave, read_json
from ...core.particles.contrast import warn_of_map
from ...core.progress import Progress
from ...core.types import Volume
from ...core.values import counted, integer, real
from ..imaging_inputs import write_densities
from ..run_directory import RunDirectory
from .config import SimulateConfig
from .inputs import (
    Draws,
    SimulationInputs,
    draw,
    particle_diameter_angstrom,
    particle_table,
    radii_px,
    read_inputs,
)
from .junk import OTHER_MOLECULES, other_molecules, with_junk

logger = logging.getLogger(__name__)

#: The mean signal variance of larger sets is measured on this many images, drawn without
#: repetition.
SIGNAL_SAMPLE = 2000
PIXELS_PER_BATCH = 2**19
#: Images in the report.
_SHOWN = 6


@dataclass
class _State:
    """State of an interrupted run: images on disk, noise, and sums over the particles among these
    for the metrics.
    """

    written: int = 0
    noise_variance: Optional[float] = None
    signal_variance: float = 0.0
    signal_variance_in_mask: float = 0.0


def check(config: SimulateConfig) -> None:
    """Raise every error that can be found before any long computation."""
    config.validate()
    if config.projector == "astra":
        require_cuda()
    for path, volume in zip(config.volume, read_inputs(config).volumes):
        warn_of_map(path, volume)


def run(config: SimulateConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.mrcs and particles.star with the true poses; returns the metrics.

    Image i is a function of the config and i alone: neither the batch nor an interruption changes
    it, on one machine with one number of threads.
    """
    inputs = read_inputs(config)
    coarsest = max(v.pixel_size_angstrom for v in inputs.volumes)
    if inputs.pixel_size_angstrom < 0.99 * coarsest:
        logger.warning(
            "The images hold no signal finer than the volume's %.3g Å (Nyquist).", 2 * coarsest
        )

    write_densities(run, inputs.volumes)

    state = _read_state(run, config.number)
    writer = _open_stack(config, inputs, state, run)
    drawn = draw(config, inputs)
    renderer = _Renderer(config, inputs, drawn)
    rate = _write_stack(renderer, writer, state, run) if writer else None

    metrics = _metrics(config, inputs, drawn, state, rate)
    with not_fatal(run.path, "its report"):
        _report(config, renderer, run, metrics)
    write_particles(run.file(PARTICLES_NAME), particle_table(run.file(STACK_NAME), inputs, drawn))
    return metrics


def _open_stack(
    config: SimulateConfig, inputs: SimulationInputs, state: _State, run: RunDirectory
) -> Optional[StackWriter]:
    """The stack with all its space allocated before anything is computed; None if it is complete
    already.
    """
    path = run.file(STACK_NAME)
    if state.written == config.number and path.is_file() and not path.is_symlink():
        return None
    return StackWriter(
        path, config.number, inputs.box_size_px, inputs.pixel_size_angstrom, resume_at=state.written
    )


def _write_stack(
    renderer: _Renderer, writer: StackWriter, state: _State, run: RunDirectory
) -> float:
    """Write the missing images and update `state`, in memory and on disk; returns images per
    second.
    """
    if state.noise_variance is None:
        state.noise_variance = renderer.noise_variance()
    if state.written:
        logger.info("Resuming at image %d of %d.", state.written + 1, writer.number)
    renderer.warm_up()
    progress = Progress(writer.number, "images", "simulate", done=state.written)

    def save_state() -> None:
        writer.flush()
        run.write_json(SIMULATION, vars(state))

    save = PeriodicSave(save_state, times_as_often=4.0)
    for images, signal, in_mask in renderer.batches(state.written, state.noise_variance):
        writer.append(images)
        state.written += len(images)
        state.signal_variance += float(signal.sum())
        state.signal_variance_in_mask += float(in_mask.sum())
        progress.advance(len(images))
        save.if_due()
    save.now()
    writer.finish()
    return progress.rate


def _read_state(run: RunDirectory, number: int) -> _State:
    path = run.file(SIMULATION)
    if not path.exists():
        return _State()
    values, names = (
        read_json(path, REDO),
        ("noise_variance", "signal_variance", "signal_variance_in_mask"),
    )
    written = integer(values.get("written"), f"{path}: written", REDO, 0, number)
    return _State(
        written, *(real(values.get(name), f"{path}: {name}", REDO, 0.0) for name in names)
    )


class _Renderer:
    """Makes the images of a simulation in batches of one size, so that nothing is traced twice."""

    def __init__(self, config: SimulateConfig, inputs: SimulationInputs, drawn: Draws):
        self.config, self.drawn = config, drawn
        self.box_size_px, self.pixel_size_angstrom = inputs.box_size_px, inputs.pixel_size_angstrom
        volumes, shown = list(inputs.volumes), drawn.volume_index.copy()
        if config.junk_fraction:
            other = np.flatnonzero(drawn.kind == OTHER)
            shown[other] = len(volumes) + other % OTHER_MOLECULES
            volumes += other_molecules(volumes, config.seed)

        self.volume_shown = shown
        model = _forward_model(config, inputs, volumes)
        found = [aberrations_of(group) for group in drawn.optics]
        self.models = [model.with_aberrations(a) if a.change_images else model for a in found]
        self.radius_px = radii_px(inputs)
        self.batch_size = max(1, min(config.number, PIXELS_PER_BATCH // self.box_size_px**2))
        self.ctf = None if drawn.ctf is None else pack_ctf(drawn.ctf)
        diameter = particle_diameter_angstrom(
            config, inputs.box_size_px, inputs.pixel_size_angstrom
        )
        self.mask = circular_mask(inputs.box_size_px, diameter / 2 / inputs.pixel_size_angstrom)

    def warm_up(self) -> None:
        self.signal(np.arange(1))

    def signal(self, rows: np.ndarray) -> np.ndarray:
        """Noise-free raw images (B, D, D) float32 of these rows, at most a batch of them."""
        kind = self.drawn.kind[rows]
        signal = self._projections(rows, self.drawn.rotations[rows])
        if (kind == PARTICLE).all():
            return signal
        radius_px = self.radius_px[self.drawn.volume_index[rows]]
        return with_junk(signal, kind, rows, radius_px, self.config.seed, self._projections)

    def _projections(self, rows: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """The molecules of these rows, at most a batch, at rotations (B, 3, 3)."""
        images = np.empty((len(rows), self.box_size_px, self.box_size_px), np.float32)
        first = np.array([self.models.index(model) for model in self.models])
        model_index = first[self.drawn.optics_index[rows]]
        for index in np.unique(model_index):
            own = np.flatnonzero(model_index == index)
            images[own] = self._images(self.models[index], rows[own], rotations[own])
        return images

    def _images(self, model: Any, rows: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """The same of rows with one model."""
        import tensorflow as tf

        padded = np.resize(rows, self.batch_size)
        images = model.images(
            tf.constant(self.volume_shown[padded], tf.int32),
            tf.constant(np.resize(rotations, (self.batch_size, 3, 3)), tf.float32),
            tf.constant(self.drawn.shifts_px[padded], tf.float32),
            None if self.ctf is None else tf.constant(self.ctf[padded]),
        )
        return images.numpy()[: len(rows)]

    def noise_variance(self) -> float:
        """Noise variance of the whole set: as configured, or the mean variance of the particles'
        signal divided by the SNR.
        """
        config = self.config
        if config.snr is None:
            return config.noise_variance or 0.0
        particles = np.flatnonzero(self.drawn.kind == PARTICLE)
        rows = particles[draws.draw_sample(len(particles), SIGNAL_SAMPLE, config.seed)]
        parts = np.split(rows, range(self.batch_size, len(rows), self.batch_size))
        variances = np.concatenate([_variances(self.signal(part)) for part in parts])
        if not variances.any():
            raise InputError(
                "simulate: the images hold no signal, so that an SNR cannot be defined; check that "
                "the volume's "
                "density lies at its centre and the box is large enough."
            )
        return float(variances.mean() / config.snr)

    def batches(
        self, first: int, noise_variance: float
    ) -> Iterator[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """From image `first` on: images (B, D, D), and of the particles among them the signals'
        variances over the box and inside the mask.
        """
        for start in range(first, self.config.number, self.batch_size):
            rows = np.arange(start, min(start + self.batch_size, self.config.number))
            signal = self.signal(rows)
            of_particles = signal[self.drawn.kind[rows] == PARTICLE]
            in_mask = of_particles[:, self.mask].astype(np.float64).var(axis=1)
            variances = _variances(of_particles), in_mask
            yield (self._finish(signal, rows, noise_variance), *variances)

    def _finish(self, images: np.ndarray, rows: np.ndarray, noise_variance: float) -> np.ndarray:
        """Add noise, then apply the processing: phase flip or multiplication by the CTF, and
        normalisation.
        """
        config = self.config
        if noise_variance > 0:
            noise = simulate_noise(config.seed, rows, self.box_size_px, config.noise_correlation_px)
            images = images + np.float32(math.sqrt(noise_variance)) * noise
        if self.ctf is not None and config.image_state != "raw":
            from ...core.imaging.forward_model import apply_image_state

            images = apply_image_state(
                images, self.ctf[rows], config.image_state, self.pixel_size_angstrom
            ).numpy()
        return (
            normalise_background(images, self.mask)
            if config.normalise and noise_variance > 0
            else images
        )


def _forward_model(config: SimulateConfig, inputs: SimulationInputs, volumes: List[Volume]):
    if config.projector == "astra":
        from ...core.imaging.astra_projector import AstraForwardModel

        return AstraForwardModel(volumes, inputs.box_size_px, inputs.pixel_size_angstrom)
    from ...core.imaging.forward_model import ForwardModel

    return ForwardModel(volumes, inputs.box_size_px, inputs.pixel_size_angstrom)


def _variances(images: np.ndarray) -> np.ndarray:
    """(B,) float64 variance of each image over its whole box."""
    return images.reshape(len(images), -1).var(axis=1, dtype=np.float64)


def _metrics(
    config: SimulateConfig,
    inputs: SimulationInputs,
    drawn: Draws,
    state: _State,
    rate: Optional[float],
) -> Dict[str, Any]:
    kinds = Counter(drawn.kind.tolist())
    particles, noise = kinds.pop(PARTICLE), state.noise_variance or 0.0
    signal, in_mask = state.signal_variance / particles, state.signal_variance_in_mask / particles

    return {
        "particles": config.number,
        **({"junk": sum(kinds.values()), "junk_by_kind": kinds} if kinds else {}),
        "box_size_px": inputs.box_size_px,
        "pixel_size_angstrom": inputs.pixel_size_angstrom,
        "images_per_second": rate,
        "signal_variance": signal,
        "signal_variance_in_mask": in_mask,
        "noise_variance": noise,
        "snr": signal / noise if noise else None,
        "snr_in_mask": in_mask / noise if noise else None,
        "signal_sample": min(particles, SIGNAL_SAMPLE) if config.snr is not None else None,
    }


def _caption(drawn: Draws, row: int) -> str:
    kind = drawn.kind[row]
    return f"id {row + 1}" + (f": {kind}" if kind != PARTICLE else "")


def _report(
    config: SimulateConfig, renderer: _Renderer, run: RunDirectory, metrics: Dict[str, Any]
) -> None:
    from ...core import plots
    from ..report import write_report

    rows = np.arange(min(_SHOWN, config.number))
    images = Stack(run.file(STACK_NAME)).read(rows)
    figures = {
        "images": (
            "The first images beside their noise-free signal, with the correlation of the two.",
            plots.particles_beside_reprojections(
                images, renderer.signal(rows), [_caption(renderer.drawn, i) for i in rows]
            ),
        ),
    }
    lead = f"{counted(config.number, 'image')} of {', '.join(config.volume)}."
    write_report(run.path, "Simulated particles", lead=lead, numbers=metrics, figures=figures)
