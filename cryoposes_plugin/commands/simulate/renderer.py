"""The images of a simulation: signal, what lies around it, noise, background, processing."""

from __future__ import annotations

import math
from typing import Iterator, List, Tuple, Union

import numpy as np

from ...core.errors import InputError
from ...core.fourier.ctf import pack_ctf
from ...core.fourier.masks import circular_mask
from ...core.image_kinds import OTHER, PARTICLE
from ...core.imaging import draws
from ...core.imaging.astra_projector import AstraForwardModel
from ...core.imaging.faults.conformations import Motion, pose_of_part, split
from ...core.imaging.faults.damage import after_exposure
from ...core.imaging.faults.duplicates import noise_of_duplicates
from ...core.imaging.faults.ice import ramps
from ...core.imaging.faults.spectrum import noise_amplitude_like
from ...core.imaging.image_model import ImageModel, brought_to_state
from ...core.imaging.junk import moved_by
from ...core.imaging.noise import coloured_noise, noise_amplitude, normalise_background
from ...core.imaging.variances import variances
from ...core.io.star_optics import aberrations_of
from ...core.parallel import in_order
from ...core.particles.grids import Grid
from ...core.types import Volume
from .config import SimulateConfig
from .draws import Draws
from .faults import neighbours_of, voltages_kv
from .inputs import SimulationInputs, particle_diameter_angstrom, radii_px
from .junk import OTHER_MOLECULES, other_molecules, with_junk

#: The mean signal variance of larger sets is measured on this many images, drawn without
#: repetition.
SIGNAL_SAMPLE = 2000
#: Of the images that a thread makes at a time: the numbers in the making stay in its cache.
PIXELS_PER_BATCH = 2**17


class Renderer:
    """Makes the images of a simulation in batches, each by one thread."""

    def __init__(self, config: SimulateConfig, inputs: SimulationInputs, drawn: Draws):
        self.config, self.inputs, self.drawn = config, inputs, drawn
        faults = config.faults()
        self.box_size_px, self.pixel_size_angstrom = inputs.box_size_px, inputs.pixel_size_angstrom
        volumes, shown = list(inputs.volumes), drawn.volume_index.copy()
        number = np.arange(config.number)
        self.source = number if drawn.duplicates is None else drawn.duplicates.source
        if faults.junk_fraction:
            other = np.flatnonzero(drawn.kind == OTHER)
            shown[other] = len(volumes) + self.source[other] % OTHER_MOLECULES
            volumes += other_molecules(volumes, config.seed)

        self.volume_shown = shown
        self.parts = []
        if inputs.mask_of_part is not None:
            self.parts = [split(volume, inputs.mask_of_part) for volume in inputs.volumes]
            volumes = [p.rest for p in self.parts] + volumes[len(self.parts) :]
            self.first_part = len(volumes)
            volumes += [p.part for p in self.parts]
        if faults.dose_e_per_angstrom2:
            voltage = float(voltages_kv(drawn)[0])
            volumes = [after_exposure(v, faults.dose_e_per_angstrom2, voltage) for v in volumes]
        true_pixel = self.pixel_size_angstrom * (1 + faults.pixel_size_error)
        model = _forward_model(config, inputs.box_size_px, true_pixel, volumes)
        found = [aberrations_of(group) for group in drawn.optics]
        self.models: List[Union[ImageModel, AstraForwardModel]] = [
            model.with_aberrations(a) if isinstance(model, ImageModel) else model for a in found
        ]
        self.radius_px = radii_px(inputs)
        self.batch_size = max(1, min(config.number, PIXELS_PER_BATCH // self.box_size_px**2))
        self.ctf = None if drawn.ctf is None else pack_ctf(drawn.ctf)
        diameter = particle_diameter_angstrom(
            config, inputs.box_size_px, inputs.pixel_size_angstrom
        )
        grid = Grid(inputs.box_size_px, inputs.pixel_size_angstrom)
        self.noise_amplitude = (
            noise_amplitude(inputs.box_size_px, config.noise_correlation_px)
            if inputs.noise is None
            else noise_amplitude_like(inputs.noise, grid, config.seed)
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
        seeds = [(self.config.seed, int(source)) for source in self.source[rows]]
        return with_junk(signal, kind, rows, radius_px, seeds, self._projections)

    def scene(self, signal: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Noise-free images (B, D, D) with the neighbours of these rows beside the signal."""
        if not self.config.faults().neighbours:
            return signal
        found = [neighbours_of(self.config, self.inputs, self.drawn, int(row)) for row in rows]
        owner = np.repeat(np.arange(len(rows)), [len(places) for places, _ in found])
        places, rotations = (np.concatenate(arrays) for arrays in zip(*found))
        steps, out = np.rint(places).astype(np.int64), signal.copy()
        for start in range(0, len(owner), self.batch_size):
            own = slice(start, start + self.batch_size)
            images = self._projections(rows[owner[own]], rotations[own])
            for image, i, (x, y) in zip(images, owner[own], steps[own]):
                out[i] += moved_by(image, int(x), int(y), np.zeros_like(image))
        return out

    def _projections(self, rows: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """The molecules of these rows, at most a batch, at rotations (B, 3, 3)."""
        shown, shifts = self.volume_shown[rows], self.drawn.shifts_px[rows]
        images = self._rendered(rows, shown, rotations, shifts)
        whole, motion = np.flatnonzero(shown < len(self.parts)), self.drawn.motion
        if motion is not None and len(whole):
            moved = self._pose_of_part(motion, rows[whole], rotations[whole], shifts[whole])
            images[whole] += self._rendered(rows[whole], shown[whole] + self.first_part, *moved)
        if self.drawn.contrast is not None:
            images *= self.drawn.contrast[rows, None, None].astype(np.float32)
        return images

    def _pose_of_part(
        self, motion: Motion, rows: np.ndarray, rotations: np.ndarray, shifts_px: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Rotations and shifts of the moving part in these rows, whose particles have these."""
        motion = Motion(*(values[rows] for values in motion))
        centres = np.stack([part.centre_angstrom for part in self.parts])[self.volume_shown[rows]]
        turned, moved = pose_of_part(rotations, motion, np.array(self.config.motion_axis), centres)
        true_pixel = self.pixel_size_angstrom * (1 + self.config.faults().pixel_size_error)
        return turned, shifts_px + moved / true_pixel

    def _rendered(
        self, rows: np.ndarray, shown: np.ndarray, rotations: np.ndarray, shifts_px: np.ndarray
    ) -> np.ndarray:
        """(B, D, D) images of volumes shown, at poses, with the CTFs and the optics of rows."""
        images = np.empty((len(rows), self.box_size_px, self.box_size_px), np.float32)
        first = np.array([self.models.index(model) for model in self.models])
        model_index = first[self.drawn.optics_index[rows]]
        for index in np.unique(model_index):
            own = np.flatnonzero(model_index == index)
            ctf = None if self.ctf is None else self.ctf[rows[own]]
            images[own] = self.models[index].images(shown[own], rotations[own], shifts_px[own], ctf)
        return images

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
        found = np.concatenate([variances(self.signal(part), self.mask)[0] for part in parts])
        if not found.any():
            raise InputError(
                "simulate: the images hold no signal, so that an SNR cannot be defined; check that "
                "the volume's "
                "density lies at its centre and the box is large enough."
            )
        return float(found.mean() / config.snr)

    def batches(
        self, first: int, end: int, noise_variance: float
    ) -> Iterator[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """From image `first` to before `end`: images (B, D, D), and of the particles among them the
        signals' variances over the box and inside the mask.
        """

        def made(start: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
            rows = np.arange(start, min(start + self.batch_size, end))
            signal = self.signal(rows)
            found = variances(signal, self.mask)[:, self.drawn.kind[rows] == PARTICLE]
            images = self._finish(self.scene(signal, rows), rows, noise_variance)
            return images, *found

        starts = range(first, end, self.batch_size)
        # One thread at a time can use the GPU.
        threads = 1 if self.config.projector == "astra" else self.config.threads
        for _, batch in in_order(made, starts, threads):
            yield batch

    def _finish(self, images: np.ndarray, rows: np.ndarray, noise_variance: float) -> np.ndarray:
        """Add noise, then apply the processing: phase flip or multiplication by the CTF, and
        normalisation.
        """
        config = self.config
        if noise_variance > 0:
            background = self._background(rows)
            background *= np.float32(math.sqrt(noise_variance))
            background += images
            images = background
        if self.ctf is not None and config.image_state != "raw":
            images = brought_to_state(
                images, self.ctf[rows], config.image_state, self.pixel_size_angstrom
            )
        return (
            normalise_background(images, self.mask)
            if config.normalise and noise_variance > 0
            else images
        )

    def _background(self, rows: np.ndarray) -> np.ndarray:
        """(B, D, D) float32 noise of variance 1, and the gradients of the ice."""
        noise = self._noise(rows)
        copies, duplicates = np.flatnonzero(self.source[rows] != rows), self.drawn.duplicates
        if duplicates is not None and len(copies):
            step, of_source = (
                duplicates.step_px[rows[copies]],
                self._noise(self.source[rows[copies]]),
            )
            noise[copies] = noise_of_duplicates(noise[copies], of_source, step)
        if self.drawn.gradients is not None:
            noise += ramps(self.drawn.gradients[rows], self.box_size_px)
        return noise

    def _noise(self, numbers: np.ndarray) -> np.ndarray:
        return coloured_noise(self.config.seed, numbers, self.box_size_px, self.noise_amplitude)


def _forward_model(
    config: SimulateConfig, box_size_px: int, pixel_size_angstrom: float, volumes: List[Volume]
) -> Union[ImageModel, AstraForwardModel]:
    kind = AstraForwardModel if config.projector == "astra" else ImageModel
    return kind(volumes, box_size_px, pixel_size_angstrom)
