"""The asymmetric part of a map, from nothing: mates of the particles and the map, in turn.

The poses are right up to an operation of the group, and the symmetric map is known. What remains
of an image when its reprojection is subtracted shows the asymmetric part d at one of the mates of
its pose. Starting from mates drawn at random, d is reconstructed from the residual images, each at
all of its mates with weights p - 1/n, and the probabilities p are computed from d. All of it is done
at low resolution, where d has most of its power.

An image must not be compared with a map that it has gone into: it would find its own noise at the
mate that it had before. So the images are divided into folds, and those of each fold are compared
with the map of the others.
"""

from __future__ import annotations

import copy
import logging
from typing import List, NamedTuple, Optional, Tuple

import numpy as np
from scipy.special import softmax

from ..fourier.masks import soft_sphere
from ..fourier.points import FourierPoints
from ..fourier.resampling import projected_density, resample_volume
from ..fourier.shells import shell_index
from ..fourier.slices import SliceSampler
from ..geometry.subgroups import Cosets, contains
from ..likelihood.pose_likelihood import PoseLikelihood
from ..maps.fsc import fourier_shell_correlation
from ..maps.symmetry import turned
from ..particles.batches import ParticleBatches, batches
from ..reconstruction.fourier_inversion import FourierGrid, Inversion
from ..refinement.calibration import reprojections
from ..refinement.observations import observe
from ..refinement.refinement import Refinement
from ..refinement.results import Results
from ..types import Volume
from .mates import asymmetry_amplitude

logger = logging.getLogger(__name__)

#: Number of parts of a half set; the map for each is made of the others.
FOLDS = 5
#: The rounds end when fewer particles than this share change their mate.
_SETTLED = 0.005
#: Least weight of a shell whose two maps do not correlate.
_LEAST_FILTER = 0.1
_IMAGES_AT_ONCE = 512
#: Largest number of images of a half set that are searched: they are held in memory, some 5 kB each.
LARGEST_SEARCH = 50_000
#: Largest amplitude of the asymmetric part that is looked for, in units of the spread of its overlap.
_LARGEST_AMPLITUDE = 20.0


class _SamplePoints(FourierPoints):
    """The samples of a `SliceSampler` as the points of images of a given box.

    cells : (P,) area of each in units of that of a whole frequency.
    """

    def __init__(self, sampler: SliceSampler, box_size_px: int):
        self.sampler, self.box_size_px = sampler, box_size_px
        self.frequencies = np.stack([sampler.kx, sampler.ky], axis=1)
        self.radius = np.hypot(sampler.kx, sampler.ky)
        self.shell = np.rint(self.radius).astype(np.intp)
        self.number_of_shells = box_size_px // 2 + 1
        self.cells = sampler.density_weight / np.maximum(self.radius, 0.25)

    def transform(self, images: np.ndarray) -> np.ndarray:
        return self.sampler.transform(images, np.zeros((len(images), 2)))


class Residuals(NamedTuple):
    """What N images hold beyond the symmetric map, whitened and centred: y = c x(A^T k) + n.

    samples : (N, P) complex64 y. modulation : (N, P) float32 c. rotations : (N, 3, 3) A.
    """

    samples: np.ndarray
    modulation: np.ndarray
    rotations: np.ndarray

    def take(self, rows: np.ndarray) -> Residuals:
        return Residuals(*(values[rows] for values in self))


class FoundMates(NamedTuple):
    """Of N particles: probabilities (N, n) of the mates, the map of each fold on the grid of the
    search and the fold (N,) of each particle, rounds, and mean information in nats.

    An image that was not searched went into no map and may be compared with any.
    """

    probability: np.ndarray
    volumes: List[Volume]
    fold: np.ndarray
    rounds: int
    information_nats: float


class MateSearch:
    """Finds the mates of particles and the asymmetric part of their map.

    Parameters
    ----------
    refinement, results : of the particles, against the symmetric map.
    cosets : of the subgroup.
    resolution_angstrom : of the finest detail of the asymmetric part that is used.
    mask_diameter_angstrom : of the sphere in which it lies.
    focus : map from 0 to 1, where it lies; None: in the sphere.
    """

    def __init__(
        self,
        refinement: Refinement,
        results: Results,
        cosets: Cosets,
        resolution_angstrom: float,
        mask_diameter_angstrom: float,
        focus: Optional[Volume] = None,
    ):
        self.refinement, self.results, self.cosets = refinement, results, cosets
        grid = refinement.grid
        last = max(spectra.last_shell for spectra in results.spectra.values())
        radius = min(max(int(grid.field_of_view_angstrom / resolution_angstrom), 3), last)
        self.grid = grid.rescaled(min(2 * radius + 4, grid.box_size_px))
        self.sampler = SliceSampler(grid.box_size_px, radius + 0.5)
        self._points = _SamplePoints(self.sampler, grid.box_size_px)
        self._low_points = _SamplePoints(self.sampler, self.grid.box_size_px)

        box, pixel = self.grid
        self.mask = soft_sphere(box, mask_diameter_angstrom / 2 / pixel, edge_px=2.0)
        if focus is not None:
            self.mask = resample_volume(focus.data, focus.pixel_size_angstrom, box, pixel)

    def residuals(self, rows: np.ndarray) -> Residuals:
        """Of some particles, in their order."""
        refinement = self.refinement
        table, images = refinement.table, refinement.images
        pixel = refinement.grid.pixel_size_angstrom
        likelihood = PoseLikelihood(refinement.volume, self._points, pixel)
        number = len(self._points)
        samples = np.zeros((len(rows), number), np.complex64)
        modulation = np.zeros((len(rows), number), np.float32)

        for part in batches(table.take(rows), _IMAGES_AT_ONCE):
            own = rows[part]
            spectra = self.results.spectra[int(table.optics_index[own[0]])]
            batch = ParticleBatches(table, images).read_batch(own)
            observed = observe(self._points, *batch, pixel)
            y, c = observed.whitened(self._points, spectra)

            at = self.results.refined.take(own)
            scale = at.scale[:, None].astype(np.float32)
            model = reprojections(likelihood, self._points, c, at.rotations, at.shifts_px)
            samples[part] = (y - scale * model) * self._points.phases(-at.shifts_px)
            modulation[part] = scale * c

        return Residuals(samples, modulation, self.results.refined.rotations[rows])

    def find(self, images: Residuals, rounds: int, starts: int, seed: int) -> FoundMates:
        """Mates of the images of a half set: of several starts, the one whose maps tell most of the
        mates.

        Parameters
        ----------
        images : N of them.
        rounds : the largest number for each start.
        starts : number of times that mates are drawn at random.
        seed : of the first mates and of the folds.
        """
        tried = [self._from_start(images, rounds, seed, start) for start in range(starts)]
        return max(tried, key=lambda found: found.information_nats)

    def _from_start(self, images: Residuals, rounds: int, seed: int, start: int) -> FoundMates:
        rng = np.random.default_rng([seed, start, 29])
        number, mates = len(images.samples), len(self.cosets)
        fold = rng.permutation(np.arange(number) % FOLDS)
        mate = rng.integers(mates, size=number)
        probability = np.eye(mates)[mate]
        volumes: List[Volume] = []
        information, done, changed = 0.0, 0, 1.0

        while done < rounds and changed >= _SETTLED:
            volumes = self.volumes(images, probability, fold)
            probability, information = self.compare(images, volumes, fold)
            before, mate = mate, probability.argmax(axis=1)
            done, changed = done + 1, float(np.mean(before != mate))
        logger.info(
            "relax-symmetry: start %d settled in %d rounds, %.3f bits an image.",
            start + 1,
            done,
            information / np.log(2),
        )
        return FoundMates(probability, volumes, fold, done, information)

    def volumes(self, images: Residuals, probability: np.ndarray, fold: np.ndarray) -> List[Volume]:
        """The asymmetric part for each fold, from the images of the others, masked and filtered.

        Parameters
        ----------
        images : N of them.
        probability : (N, n) of their mates.
        fold : (N,) of each image.
        """
        grids = [self._summed(images, probability, np.flatnonzero(fold == f)) for f in range(FOLDS)]
        total = _sum(grids)
        halves = [self._inverted(_sum(grids[half::2])) for half in (0, 1)]
        # Both halves are smaller than the sets that the filter is for: it is on the safe side.
        fsc = fourier_shell_correlation(halves[0], halves[1])
        fsc = np.clip(fsc, 0.0, 1.0)
        # the last value is for the corners of the box
        weight = np.append(np.maximum(2 * fsc / (1 + fsc), _LEAST_FILTER), 0.0)
        weight = weight[np.minimum(shell_index(len(self.mask)), len(fsc))]

        found = []
        for grid in grids:
            others = copy.copy(total)
            others.sums = total.sums - grid.sums
            spectrum = np.fft.rfftn(self._inverted(others)) * weight
            data = np.fft.irfftn(spectrum, s=self.mask.shape).astype(np.float32)
            found.append(Volume(data, self.grid.pixel_size_angstrom))
        return found

    def compare(
        self, images: Residuals, volumes: List[Volume], fold: np.ndarray
    ) -> Tuple[np.ndarray, float]:
        """(N, n) probabilities of the mates with the volume of each image's fold, and the mean
        information in nats.

        Parameters
        ----------
        images : N of them.
        volumes : the asymmetric part for each fold.
        fold : (N,).
        """
        shape = len(images.samples), len(self.cosets)
        overlap, power = np.zeros(shape), np.zeros(shape)
        for number, volume in enumerate(volumes):
            likelihood = PoseLikelihood(volume, self._low_points, volume.pixel_size_angstrom)
            rows = np.flatnonzero(fold == number)
            for start in range(0, len(rows), _IMAGES_AT_ONCE):
                part = rows[start : start + _IMAGES_AT_ONCE]
                for k, turn in enumerate(self.cosets.representatives):
                    slices = likelihood.slices(images.rotations[part] @ turn, len(self._points))
                    model = images.modulation[part] * slices
                    product = (model.conj() * images.samples[part]).real
                    overlap[part, k] = product @ self._low_points.cells
                    power[part, k] = np.abs(model) ** 2 @ self._low_points.cells

        # In units in which the amplitude is of order one.
        overlap -= overlap.mean(axis=1, keepdims=True)
        spread = float(np.std(overlap))
        if spread == 0:
            return np.full(shape, 1 / shape[1]), 0.0
        gain, typical = 2 * overlap / spread, power.mean(axis=1) / spread**2
        found = asymmetry_amplitude(gain, typical, _LARGEST_AMPLITUDE)
        sharpness = max(found.value / found.dispersion, 1.0)
        return softmax(0.5 * sharpness * gain, axis=1), found.information_nats

    def references(self, symmetric: Volume, found: FoundMates, turn: np.ndarray) -> List[Volume]:
        """The whole map for each fold on the grid of the refinement.

        Parameters
        ----------
        symmetric : the symmetric map.
        found : of a half set.
        turn : (3, 3) operation of the group by which the asymmetric part is turned.
        """
        box, pixel = self.refinement.grid
        base = projected_density(symmetric, box, pixel)
        # a density of the same transform in another box
        unit = np.float32((self.grid.box_size_px / box) ** 3)
        maps = []
        for volume in found.volumes:
            data = turned(volume.data, turn, order=3)
            part = resample_volume(data, volume.pixel_size_angstrom, box, pixel)
            maps.append(Volume(base + unit * part, pixel))
        return maps

    def _summed(self, images: Residuals, probability: np.ndarray, rows: np.ndarray) -> FourierGrid:
        grid = FourierGrid(self.grid.box_size_px)
        share = 1.0 / len(self.cosets)
        for start in range(0, len(rows), _IMAGES_AT_ONCE):
            part = rows[start : start + _IMAGES_AT_ONCE]
            own = images.take(part)
            numerator = own.modulation * own.samples
            weight = np.float32(share) * own.modulation**2
            for k, c in enumerate(self.cosets.representatives):
                excess = (probability[part, k] - share).astype(np.float32)[:, None]
                for h in self.cosets.subgroup:
                    grid.insert(excess * numerator, weight, own.rotations @ (c @ h), self.sampler)
        return grid

    def _inverted(self, grid: FourierGrid) -> np.ndarray:
        return Inversion(grid).volume() * self.mask


def _sum(grids: List[FourierGrid]) -> FourierGrid:
    total = copy.copy(grids[0])
    total.sums = np.sum([grid.sums for grid in grids], axis=0)
    return total


def best_turn(first: FoundMates, second: FoundMates, cosets: Cosets) -> Tuple[np.ndarray, float]:
    """The operation of the group by which the asymmetric part of the second half set agrees best with
    that of the first, and their correlation then.

    Each half set was begun with mates of its own. Only operations g with g H = H g keep the
    symmetry of the subgroup.

    Parameters
    ----------
    first, second : of the half sets.
    cosets : of the subgroup.
    """
    a, b = (np.mean([v.data for v in found.volumes], axis=0) for found in (first, second))
    turns = [
        g for g in cosets.representatives if contains(cosets.subgroup, g @ cosets.subgroup @ g.T)
    ]
    agreement = [float(np.corrcoef(a.ravel(), turned(b, g, order=3).ravel())[0, 1]) for g in turns]
    best = int(np.argmax(agreement))
    return turns[best], agreement[best]


def sample_of(rows: np.ndarray, seed: int) -> np.ndarray:
    """Those of the sorted rows of a half set that are searched: all, or a sample."""
    if len(rows) <= LARGEST_SEARCH:
        return rows
    return np.sort(np.random.default_rng([seed, 31]).choice(rows, LARGEST_SEARCH, replace=False))
