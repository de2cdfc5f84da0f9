"""The twin of a run: images simulated from its map with the set's CTFs, noise spectrum, amplitude
and spread of scales, and decoys, which are junk made of the same map and noise.

What goes through the same steps as the set shows what right poses, and what junk, look like for
these images: no quantile of the set itself is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Tuple

import numpy as np
import scipy.fft

from ..conventions import rotations_about_z
from ..fourier.points import FourierPoints
from ..fourier.shells import shell_index
from ..geometry.sampling import random_rotations
from ..image_kinds import EDGE, OFF_CENTRE, OTHER, OVERLAP, PARTICLE, SCRAMBLED
from ..imaging.junk import displaced, edge, projections_of_another
from ..io.folder import Folder
from ..io.mrc import StackWriter
from ..io.names import DECOYS_NAME
from ..io.state_files import TWIN
from ..refinement.calibration import reprojections
from ..refinement.fit_statistics import NAMES, OCTAVES, octaves
from ..refinement.observations import ctf_at_points
from ..refinement.refinement import Refinement
from ..refinement.results import Results
from ..refinement.scales import scale_spread, typical_scale
from ..refinement.spectra import Spectra
from ..twin_size import PROPORTIONS, twin_numbers
from ..types import OpticsGroup, ParticleTable

#: The kinds of decoys.
DECOYS: Tuple[str, ...] = tuple(PROPORTIONS)
#: Distances of a neighbour, and of a particle that is off centre, in radii of gyration; a particle
#: within this multiple of the search of shifts is not far off centre.
_NEIGHBOUR, _OFF, _BEYOND_SEARCH = (0.9, 2.6), (0.7, 2.0), 1.3
_SECOND_NEIGHBOUR = 0.3
#: A neighbour is seen if its power in the box is so many times that of the noise of one coefficient;
#: of one that is seen less, usual particles have as much in their corners. It never takes more than
#: this share of its power.
_SEEN, _MOST_HIDDEN = 65.0, 0.5
#: Phantoms that stand for other molecules.
_PHANTOMS = 3
_SLICES_FOR_SPECTRUM = 64
#: Number of images that are made at once, and that in units of `FourierPoints.images_at_once`.
_AT_ONCE, _TIMES_AT_ONCE = 1024, 4
#: Standard deviation over median absolute deviation of a normal distribution.
_MAD_TO_SIGMA = 1.4826
#: A spread of the noise counts where its variance exceeds that of sampling by this share, and by so
#: many standard errors.
_LEAST_SPREAD, _SPREAD_ERRORS = 0.25, 3.0
#: Standard error of the median absolute deviation of one normal number, in standard deviations.
_MAD_ERROR = 1.17


@dataclass(frozen=True)
class Twin:
    """Simulated images: kind (M,) of each, PARTICLE or one of DECOYS; the table has the true poses of
    the particles, in the pixels of the working grid; spectra of its optics groups.
    """

    table: ParticleTable
    kind: np.ndarray
    spectra: Mapping[int, Spectra]

    @property
    def is_particle(self) -> np.ndarray:
        """(M,) bool."""
        return self.kind == PARTICLE


def simulate_twin(
    refinement: Refinement,
    results: Results,
    folder: Folder,
    seed: int,
    max_shift_px: float,
    most_of_kind: int,
) -> Twin:
    """Write the images of the twin of a refined set.

    Parameters
    ----------
    refinement : of the set.
    results : poses and spectra.
    folder : of the run: the stack is part of its state.
    seed : of all draws.
    max_shift_px : the largest shift that a particle is searched at, in pixels of the working grid.
    most_of_kind : largest number of decoys of a kind whose proportion is 1.
    """
    rng = np.random.default_rng([seed, 13])
    numbers = twin_numbers(len(refinement.table), most_of_kind)
    kind = np.repeat(list(numbers), list(numbers.values()))
    draw = Draw.of(refinement, results, len(kind), rng)
    path = folder.file(TWIN)
    return simulated(refinement, results.spectra, draw, kind, path, max_shift_px, rng)


def simulated(
    refinement: Refinement,
    spectra: Mapping[int, Spectra],
    draw: Draw,
    kind: np.ndarray,
    path: Path,
    max_shift_px: float,
    rng: np.random.Generator,
) -> Twin:
    """Write images to a stack.

    Parameters
    ----------
    refinement : of the set, against the map that is shown.
    spectra : amplitude and noise by optics group of the set.
    draw : what the images are like.
    kind : (M,) of each, PARTICLE or one of DECOYS.
    path : of the stack.
    max_shift_px : the largest shift that a particle is searched at, in pixels of the working grid.
    rng : of what is not in the draw.
    """
    number, grid = len(kind), refinement.grid
    groups, group_of_twin = np.unique(draw.group, return_inverse=True)
    spectra = {i: spectra[int(group)] for i, group in enumerate(groups)}
    place = np.empty(number, np.int64)
    writer = StackWriter(path, number, grid.box_size_px, grid.pixel_size_angstrom)
    for group, own_spectra in spectra.items():
        maker = _Maker(refinement, own_spectra, draw, max_shift_px, rng)
        rows = np.flatnonzero(group_of_twin == group)
        pieces = -(-len(rows) // min(_AT_ONCE, _TIMES_AT_ONCE * refinement.points.images_at_once))
        for own in (rows[first::pieces] for first in range(pieces)):  # each has all kinds
            place[own] = writer.written + np.arange(len(own))
            writer.append(maker.images(own, kind[own]))
    writer.finish()

    table = ParticleTable(
        ids=np.arange(1, number + 1),
        stack_paths=(path,),
        stack_index=np.zeros(number, np.int64),
        slice_index=place,
        optics=tuple(_optics(refinement, int(group)) for group in groups),
        optics_index=group_of_twin,
        rotations=draw.rotations,
        shifts_px=draw.shifts_px,
        ctf=None if refinement.table.ctf is None else refinement.table.ctf.take(draw.rows),
    )
    return Twin(table, kind, spectra)


def _optics(refinement: Refinement, group: int) -> OpticsGroup:
    known, grid = refinement.table.optics[group], refinement.grid
    return OpticsGroup(
        known.name,
        grid.pixel_size_angstrom,
        grid.box_size_px,
        known.voltage_kv,
        known.spherical_aberration_mm,
        known.amplitude_contrast,
    )


@dataclass(frozen=True)
class Draw:
    """What the images are like: rows (M,) of the set whose CTF each has, its group, pose and scale,
    and by how much the logarithm of its noise power differs from the usual one, (M, shells).
    """

    rows: np.ndarray
    group: np.ndarray
    rotations: np.ndarray
    shifts_px: np.ndarray
    scale: np.ndarray
    log_noise_power: np.ndarray

    @classmethod
    def of(
        cls, refinement: Refinement, results: Results, number: int, rng: np.random.Generator
    ) -> Draw:
        """The CTFs, views and shifts of sure poses of the set, and scales that spread like theirs.

        Parameters
        ----------
        refinement, results : of the set.
        number : of images.
        rng : of the draw.
        """
        refined = results.refined
        usable = np.flatnonzero(~refinement.images.grey.blank)
        sure = usable if results.sure is None else np.intersect1d(usable, results.sure)
        right = sure if len(sure) else usable

        place = rng.integers(len(right), size=number)
        rows = right[place]
        shifts = refined.shifts_px[right]
        middle = np.median(shifts, axis=0)
        spread = _MAD_TO_SIGMA * np.median(np.abs(shifts - middle), axis=0)
        turn = rotations_about_z(rng.uniform(0, 2 * np.pi, number))
        scales = refined.scale[right], refined.scale_error[right]
        centre = typical_scale(*scales)
        deviation = scale_spread(*scales, centre)
        return cls(
            rows,
            refinement.table.optics_index[rows],
            turn @ refined.rotations[rows],
            middle + spread * rng.standard_normal((number, 2)),
            centre * np.exp(deviation * rng.standard_normal(number)),
            noise_deviations(refinement.points, results.statistics[right])[place],
        )


class _Maker:
    """Makes images of one optics group."""

    def __init__(
        self,
        refinement: Refinement,
        spectra: Spectra,
        draw: Draw,
        max_shift_px: float,
        rng: np.random.Generator,
    ):
        self._refinement, self._spectra, self._draw, self._rng = refinement, spectra, draw, rng
        self._points, self._max_shift_px = refinement.points, max_shift_px
        self._amplitude = spectra.amplitude[self._points.shell].astype(np.float32)

    def images(self, own: np.ndarray, kind: np.ndarray) -> np.ndarray:
        """(m, D, D) of the rows `own` of the draw, (m,) kinds."""
        signal = np.zeros((len(own),) + (self._points.box_size_px,) * 2, np.float32)
        shows = np.isin(kind, (PARTICLE, OVERLAP, OFF_CENTRE, SCRAMBLED))
        if shows.any():
            signal[shows] = self._projections(own[shows], self._draw.rotations[own[shows]])

        height = float(signal[kind == PARTICLE].std()) if (kind == PARTICLE).any() else 1.0
        for name, make in (
            (OVERLAP, self._with_neighbours),
            (OFF_CENTRE, self._off_centre),
            (SCRAMBLED, self._scrambled),
            (OTHER, self._of_others),
        ):
            chosen = kind == name
            if chosen.any():
                signal[chosen] = make(own[chosen], signal[chosen])
        for i in np.flatnonzero(kind == EDGE):
            signal[i] = height * edge(self._points.box_size_px, self._rng)
        for part in self._points.parts(len(own)):
            signal[part] += self._noise(own[part])
        return signal

    def _projections(self, own: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """Noise-free images at the draw's shifts."""
        points, draw = self._points, self._draw
        images = np.empty((len(own),) + (points.box_size_px,) * 2, np.float32)
        for part in self._points.parts(len(own)):
            some, ctf = own[part], self._ctf(own[part])
            given = self._refinement.likelihood, points, ctf, rotations[part]
            model = reprojections(*given, draw.shifts_px[some])
            scale = draw.scale[some, None].astype(np.float32)
            images[part] = points.images(scale * self._amplitude * model)
        return images

    def _ctf(self, own: np.ndarray) -> np.ndarray:
        table, rows = self._refinement.table, self._draw.rows[own]
        ctf = None if table.ctf is None else table.ctf.take(rows)
        pixel = self._refinement.grid.pixel_size_angstrom
        return ctf_at_points(self._points, ctf, len(own), pixel)

    def _noise(self, own: np.ndarray) -> np.ndarray:
        box, number = self._points.box_size_px, len(own)
        variance = self._spectra.noise_variance.copy()
        variance[0] = variance[1]
        # The corners of the transform, and Nyquist, have the noise of the last whole shell.
        shell = np.minimum(shell_index(box, 2), box // 2 - 1)
        amplitude = np.sqrt(variance[shell] / box**2).astype(np.float32)
        gain = np.exp(0.5 * self._draw.log_noise_power[own]).astype(np.float32)
        white = self._rng.standard_normal((number, box, box)).astype(np.float32)
        return scipy.fft.irfft2(scipy.fft.rfft2(white) * amplitude * gain[:, shell], s=(box, box))

    def _with_neighbours(self, own: np.ndarray, signal: np.ndarray) -> np.ndarray:
        for share in (1.0, _SECOND_NEIGHBOUR):
            there = self._rng.random(len(own)) < share
            others = self._projections(own, random_rotations(len(own), self._rng))
            least = self._share_seen(others)
            for image, other, seen in zip(signal, others, there):
                image += seen * self._beside(other, least)
        return signal

    def _share_seen(self, images: np.ndarray) -> float:
        """The share of their power that must lie in the box for them to be seen."""
        noise = np.maximum(self._spectra.noise_variance[self._points.shell], 1e-300)
        transforms = (self._points.transform(image[None])[0] for image in images)
        power = float(np.mean([2 * (np.abs(values) ** 2 / noise).sum() for values in transforms]))
        return min(_SEEN / max(power, 1e-300), _MOST_HIDDEN)

    def _beside(self, image: np.ndarray, least_visible: float) -> np.ndarray:
        radius = self._refinement.radius_px
        return displaced(image, _NEIGHBOUR, radius, self._rng, least_visible)

    def _off_centre(self, own: np.ndarray, signal: np.ndarray) -> np.ndarray:
        radius = self._refinement.radius_px
        nearest = max(_OFF[0], _BEYOND_SEARCH * self._max_shift_px / radius)
        return self._moved(signal, (nearest, max(_OFF[1], 1.2 * nearest)))

    def _scrambled(self, own: np.ndarray, signal: np.ndarray) -> np.ndarray:
        coefficients = self._points.transform(signal)
        phases = np.exp(2j * np.pi * self._rng.random(coefficients.shape))
        return self._points.images((coefficients * phases).astype(np.complex64))

    def _of_others(self, own: np.ndarray, signal: np.ndarray) -> np.ndarray:
        """Projections of phantoms of the map's size, with its spectrum."""
        points, rng = self._points, self._rng
        slices = self._refinement.likelihood.slices(
            random_rotations(_SLICES_FOR_SPECTRUM, rng), len(points)
        )
        power = points.shell_means((np.abs(slices) ** 2).mean(axis=0))

        out = np.zeros_like(signal)
        for part in np.array_split(np.arange(len(own)), min(_PHANTOMS, len(own))):
            radius = self._refinement.radius_px
            images = projections_of_another(points.box_size_px, radius, len(part), rng)
            coefficients = points.transform(images)
            given = points.shell_means((np.abs(coefficients) ** 2).mean(axis=0))
            gain = np.sqrt(power / np.maximum(given, 1e-30))[points.shell]
            scale = self._draw.scale[own[part], None]
            changed = scale * gain * self._amplitude * self._ctf(own[part]) * coefficients
            out[part] = points.images(changed.astype(np.complex64))
        return out

    def _moved(self, images: np.ndarray, distances: Tuple[float, float]) -> np.ndarray:
        """Images moved by distances in radii of gyration."""
        radius = self._refinement.radius_px
        return np.stack([displaced(image, distances, radius, self._rng) for image in images])


def noise_deviations(points: FourierPoints, statistics: np.ndarray) -> np.ndarray:
    """(N, shells) by how much the logarithm of the noise power of each image differs from the median.

    Ice and background make the noise of real images differ at low frequencies. The residual powers
    are shrunk by the part of their variance that sampling explains; 0 where it explains all.

    Parameters
    ----------
    points : of the images.
    statistics : (N, F) of fits that are right, see `fit_statistics`.
    """
    number = np.maximum(octaves(points).sum(axis=1), 1)
    first = NAMES.index(f"log_residual_power_{OCTAVES[0][0]}")
    power = statistics[:, first : first + len(OCTAVES)]
    deviation = power - np.median(power, axis=0)
    spread = _MAD_TO_SIGMA * np.median(np.abs(deviation), axis=0)
    # Of images of equal noise, 1 in each octave; the octaves vary together.
    variance = spread**2 * number
    error = 2 * _MAD_ERROR / np.sqrt(max(power.size, 1))
    if variance.mean() - 1.0 < max(_LEAST_SPREAD, _SPREAD_ERRORS * error):
        return np.zeros((len(statistics), points.number_of_shells))

    own = deviation * np.sqrt(np.maximum(1.0 - 1.0 / np.maximum(variance, 1e-9), 0.0))
    middle = [np.log2(low * high) / 2 for low, high in OCTAVES]
    shell = np.log2(np.maximum(np.arange(points.number_of_shells), 1))
    at = [*middle, middle[-1] + 1]
    return np.array([np.interp(shell, at, [*values, 0.0]) for values in own])


def write_decoys(
    folder: Folder, of_set: np.ndarray, of_decoys: np.ndarray, kind: np.ndarray
) -> None:
    """Write decoys.npz.

    Parameters
    ----------
    folder : of the run.
    of_set : (N,) probabilities of junk of the images of the set.
    of_decoys : (M,) of the decoys.
    kind : (M,) of the decoys.
    """
    with folder.atomic(DECOYS_NAME) as part, open(part, "wb") as handle:
        np.savez(handle, score_set=of_set, score_decoys=of_decoys, kind_decoys=kind.astype(str))
