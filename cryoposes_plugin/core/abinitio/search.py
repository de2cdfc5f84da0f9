"""Volume and poses from a random start: stochastic expectation maximisation, with falling noise and
more and more shells.

Each iteration draws a few poses for every image from their posterior given the volume
(`expectation`), on a randomly rotated grid, and reconstructs the volume from the images at all
poses drawn. Two measures avoid wrong optima. At first only the lowest shells are used. And the
noise is assumed to be at least a share of the images' power that falls from one to a few per cent
(deterministic annealing: Rose 1998). At the beginning all poses are about equally likely and the
volume is nearly round; as the noise falls, the strongest shape appears first.

Expectation maximisation over orientations is due to Sigworth 1998 and Scheres 2012, the stochastic
ab-initio method to Punjani et al. 2017. Here each step is an exact sum over a grid with few
coefficients, computed by matrix products.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import numpy as np
from scipy import ndimage

from ..conventions import centre
from ..fourier.masks import soft_sphere
from ..fourier.points import FourierPoints
from ..fourier.shells import shell_means
from ..fourier.slices import SliceSampler
from ..geometry.sampling import random_rotations
from ..likelihood.pose_likelihood import PoseLikelihood
from ..maps.size import bright_part
from ..reconstruction.fourier_inversion import FourierGrid, Inversion
from ..refinement.search_grids import SHIFT_STEP, shift_grid
from ..types import Volume
from .expectation import (
    Alternative,
    Comparison,
    Neighbourhoods,
    PoseDraws,
    best_rotations,
    junk_evidence,
    sample_poses,
)
from .mates import HalfTurns, parents, quarter_grid, whole_grid
from .working_images import WorkingImages

#: Diameter of the density, as a share of the box of the search. That box is cut to the diameter of
#: the particle with a small margin, so the particle fills more of it than of the images.
_MASK_SHARE = 0.84
_MASK_EDGE_PX = 3.0
_SLICES_AT_ONCE = 1024


@dataclass(frozen=True)
class Stage:
    """Iterations up to a shell of the field of view on a HEALPix grid of an order. Meanwhile the
    lower bound of the noise falls from one share of the images' power to another. `local`: shifts
    are searched only near those found before. `junk`: images may show something else.
    """

    last_shell: int
    order: int
    iterations: int
    first_floor: float
    last_floor: float
    local: bool = False
    junk: bool = False

    def floors(self) -> np.ndarray:
        return np.geomspace(self.first_floor, self.last_floor, self.iterations)

    @property
    def cost(self) -> float:
        """Relative cost of all iterations; the constant accounts for the reconstructions."""
        return self.iterations * (self.last_shell**2 * 8**self.order + 5000.0)


#: Each start goes through `SHAPE`; `DETAIL` then reaches the shells from which a refinement can
#: start.
SHAPE = (Stage(3, 1, 5, 1.0, 0.3), Stage(4, 1, 10, 0.5, 0.1), Stage(5, 2, 10, 0.3, 0.03, junk=True))
DETAIL = (
    Stage(7, 2, 8, 0.3, 0.02, local=True, junk=True),
    Stage(10, 3, 3, 0.05, 0.02, local=True, junk=True),
)
#: A grid of this order or finer is compared only around so many rotations of the next coarser one,
#: the likeliest up to a shell at which that is fine enough.
_PRUNED_ORDER, _KEPT_ROTATIONS, _PRUNING_SHELL = 3, 128, 7
#: Share of images that show no particle, at first and within limits.
_FIRST_JUNK_SHARE, _LEAST_JUNK_SHARE, _MOST_JUNK_SHARE = 0.1, 0.005, 0.8
#: Of an image in the volume; not zero, so that there is a volume where all images are junk.
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class SearchState:
    """The state of a search: the volume (D, D, D), the noise of each shell, approximate shifts
    (N, 2), and the share of images that show something else.
    """

    volume: np.ndarray
    noise_variance: np.ndarray
    shifts_px: np.ndarray
    junk_share: float = _FIRST_JUNK_SHARE


@dataclass(frozen=True)
class SearchResult:
    """The state after an iteration, the likeliest pose of each image with its certainty (see
    `PoseDraws`), its probability of junk, the mean log likelihood per image, and the share of the
    particles' power that the volume explains up to the stage's last shell.
    """

    state: SearchState
    rotations: np.ndarray
    shifts_px: np.ndarray
    certainty: np.ndarray
    junk: np.ndarray
    log_likelihood: float
    explained: float


class Search:
    """The search on N images. max_shift_px : largest shift, in pixels of the images. draws : number
    of poses drawn per image.
    """

    def __init__(self, images: WorkingImages, max_shift_px: float, draws: int):
        self.images, self.max_shift_px, self.draws = images, max_shift_px, draws
        self.box = images.box_size_px
        self.points = FourierPoints(self.box)
        self._mask = soft_sphere(self.box, _MASK_SHARE * self.box / 2, _MASK_EDGE_PX)
        y, _ = images.observations(self.points, len(self.points))
        self.power = self.points.shell_means((np.abs(y) ** 2).mean(axis=0))

    def of(self, rows: np.ndarray) -> Search:
        """The search on some of the images."""
        return Search(self.images.take(rows), self.max_shift_px, self.draws)

    def start(self, rng: np.random.Generator) -> SearchState:
        """A reconstruction from the images at random poses, which is nearly round."""
        number = len(self.images)
        back = BackProjection(self.images, SHAPE[0].last_shell)
        volume = back.volume(
            np.arange(number), random_rotations(number, rng), np.zeros((number, 2)), np.ones(number)
        )
        return SearchState(volume * self._mask, self.power.copy(), np.zeros((number, 2)))

    def run(
        self,
        stage: Stage,
        state: SearchState,
        rng: np.random.Generator,
        on_iteration: Callable[[SearchResult], None] = lambda found: None,
    ) -> SearchResult:
        """Run all iterations of a stage; a local stage starts from the shifts that the stage before
        it found.

        Parameters
        ----------
        stage : grids, resolution and number of iterations. state : where to start; it is not
            changed.
        rng : source of the random numbers.
        on_iteration : called with what has been found after each iteration.
        """
        if not stage.local:
            state = dataclasses.replace(state, shifts_px=np.zeros_like(state.shifts_px))
        comparison = SliceComparison(self.images, self.points, stage, self.max_shift_px)
        back = BackProjection(self.images, stage.last_shell)
        for floor in stage.floors():
            found = self._iterate(comparison, back, state, floor, rng)
            state = found.state
            on_iteration(found)
        return dataclasses.replace(
            found, state=dataclasses.replace(state, shifts_px=found.shifts_px)
        )

    def _iterate(
        self,
        comparison: SliceComparison,
        back: BackProjection,
        state: SearchState,
        floor: float,
        rng: np.random.Generator,
    ) -> SearchResult:
        noise = np.maximum(state.noise_variance, floor * self.power)
        slices = comparison.slices(state.volume, random_rotations(1, rng))
        drawn = comparison.draw(slices, state, noise, self.draws, rng)
        shifts = comparison.moved(state.shifts_px[drawn.image], drawn.shift)
        rotations = slices.rotations[drawn.rotation]
        weights = np.maximum(1 - drawn.junk, _LEAST_WEIGHT)[drawn.image]

        left, all_power = comparison.residual_power(
            slices.values, drawn.rotation, drawn.image, shifts, weights
        )
        volume = back.volume(drawn.image, rotations, shifts, weights)
        share = np.clip(drawn.junk.mean(), _LEAST_JUNK_SHARE, _MOST_JUNK_SHARE)
        return SearchResult(
            SearchState(
                _centred(volume * self._mask),
                np.where(left > 0, left, self.power),
                state.shifts_px,
                float(share) if comparison.stage.junk else state.junk_share,
            ),
            slices.rotations[drawn.best_rotation],
            comparison.moved(state.shifts_px, drawn.best_shift),
            drawn.certainty,
            drawn.junk,
            float(drawn.log_likelihood.mean()),
            1.0 - float(comparison.total(left) / comparison.total(all_power)),
        )

    def taken_over(self, state: SearchState, rng: np.random.Generator) -> SearchState:
        """The state of a search on other images, with shifts of these."""
        stage = SHAPE[-1]
        state = dataclasses.replace(state, shifts_px=np.zeros((len(self.images), 2)))
        comparison = SliceComparison(self.images, self.points, stage, self.max_shift_px)
        noise = np.maximum(state.noise_variance, stage.last_floor * self.power)
        slices = comparison.slices(state.volume, random_rotations(1, rng))
        drawn = comparison.draw(slices, state, noise, 1, rng)
        shifts = comparison.moved(state.shifts_px, drawn.best_shift)
        return dataclasses.replace(state, shifts_px=shifts)


def likeliest_poses(
    images: WorkingImages, state: SearchState, max_shift_px: float, rng: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rotations (N, 3, 3), shifts (N, 2), certainties (N,) and probabilities of junk (N,) of images
    for a fixed volume.

    Shifts are found on the coarser grid of rotations of `DETAIL`, then rotations on its finest.

    Parameters
    ----------
    images : N working images.
    state : of the search; its volume is not changed.
    max_shift_px : longest shift.
    rng : source of the random orientation of the grids.
    """
    points = FourierPoints(images.box_size_px)
    state = dataclasses.replace(state, shifts_px=np.zeros((len(images), 2)))
    for stage in (dataclasses.replace(DETAIL[0], local=False), DETAIL[-1]):
        comparison = SliceComparison(images, points, stage, max_shift_px)
        slices = comparison.slices(state.volume, random_rotations(1, rng))
        drawn = comparison.draw(slices, state, state.noise_variance, 1, rng)
        shifts = comparison.moved(state.shifts_px, drawn.best_shift)
        state = dataclasses.replace(state, shifts_px=shifts)
    return slices.rotations[drawn.best_rotation], shifts, drawn.certainty, drawn.junk


@dataclass(frozen=True)
class Slices:
    """Slices (Q, P) complex64 of a volume at a quarter of the rotations (4 Q, 3, 3) of a grid (see
    `mates`); for a fine grid also those of the coarser one around whose best rotations it is
    compared.
    """

    rotations: np.ndarray
    values: np.ndarray
    coarse: Optional[np.ndarray]


class SliceComparison:
    """Compares images with slices of a volume, up to the last shell of a stage."""

    def __init__(
        self, images: WorkingImages, points: FourierPoints, stage: Stage, max_shift_px: float
    ):
        self.stage, self.points, self.box = stage, points, images.box_size_px
        number = points.within(stage.last_shell)
        self.frequencies, self._shell = points.frequencies[:number], points.shell[:number]
        self._y, self._c = images.observations(points, number)
        self._turns = HalfTurns(self.frequencies)
        step = SHIFT_STEP * self.box / stage.last_shell
        self._max_shift_px = max_shift_px
        self._shift_grid = shift_grid(1.5 * step if stage.local else max_shift_px, step)

    def slices(self, volume: np.ndarray, turn: np.ndarray) -> Slices:
        """At the grid of the stage, turned by a rotation (1, 3, 3)."""
        likelihood = PoseLikelihood(Volume(volume, 1.0), self.points, 1.0)
        order, number = self.stage.order, len(self.frequencies)
        coarse = None
        if order >= _PRUNED_ORDER:
            few = self.points.within(min(_PRUNING_SHELL, self.stage.last_shell))
            coarse = likelihood.slices(quarter_grid(order - 1) @ turn, few)
        values = likelihood.slices(quarter_grid(order) @ turn, number)
        return Slices(whole_grid(order) @ turn, values, coarse)

    def draw(
        self,
        slices: Slices,
        state: SearchState,
        noise_variance: np.ndarray,
        draws: int,
        rng: np.random.Generator,
    ) -> PoseDraws:
        """Draw poses from the posterior; shifts are relative to the current ones.

        Parameters
        ----------
        slices : of the volume (see `slices`).
        state : current shifts of the images, and the share of junk.
        noise_variance : (number_of_shells,) E|n|^2.
        draws : poses to draw for each image.
        rng : source of the random numbers.
        """
        y = self._y * self._waves(state.shifts_px)
        noise = noise_variance[self._shell]
        near = None if slices.coarse is None else self._near(y, slices.coarse, noise)
        alternative = None
        if self.stage.junk:
            power = self._shell_means((np.abs(slices.values) ** 2).mean(axis=0))[self._shell]
            evidence = junk_evidence(y, self._c, noise, power)
            alternative = Alternative(state.junk_share, evidence)
        return sample_poses(self._compared(y, slices.values, noise), draws, rng, alternative, near)

    def _near(self, y: np.ndarray, coarse: np.ndarray, noise: np.ndarray) -> Neighbourhoods:
        best = best_rotations(self._compared(y, coarse, noise), _KEPT_ROTATIONS)
        return Neighbourhoods(parents(self.stage.order), best)

    def _compared(self, y: np.ndarray, slices: np.ndarray, noise: np.ndarray) -> Comparison:
        """At the points of the slices."""
        few = slices.shape[1]
        return Comparison(
            y[:, :few],
            self._c[:, :few],
            slices,
            self.frequencies[:few],
            self._shift_grid,
            self.box,
            noise[:few],
        )

    def moved(self, shifts_px: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Shifts (B, 2) plus the grid shifts (B,) that `draw` has found, limited to the largest
        length.
        """
        sum_px = shifts_px + self._shift_grid[step]
        length = np.linalg.norm(sum_px, axis=1, keepdims=True)
        return sum_px * np.minimum(1.0, self._max_shift_px / np.maximum(length, 1e-9))

    def residual_power(
        self,
        slices: np.ndarray,
        rotation: np.ndarray,
        image: np.ndarray,
        shifts_px: np.ndarray,
        weights: np.ndarray,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """(number_of_shells,) weighted means of |y - c exp(-2 pi i k.t / D) x|^2 and of |y|^2 over
        poses; 0 beyond the last shell.

        Parameters
        ----------
        slices : (Q, P) of the quarter grid.
        rotation : (B,) row of each pose in the whole grid.
        image : (B,) row of each pose.
        shifts_px : (B, 2).
        weights : (B,), not all zero.
        """
        left, power = np.zeros((2, len(self.frequencies)))
        for at in range(0, len(image), _SLICES_AT_ONCE):
            part = slice(at, at + _SLICES_AT_ONCE)
            rows = image[part]
            mate, row = np.divmod(rotation[part], len(slices))
            model = self._c[rows] * self._turns.mates(slices[row], mate)
            model *= self._waves(shifts_px[part]).conj()
            left += weights[part] @ np.abs(self._y[rows] - model) ** 2
            power += weights[part] @ np.abs(self._y[rows]) ** 2
        left, power = (self._shell_means(sums / weights.sum()) for sums in (left, power))
        return left, power

    def _shell_means(self, values: np.ndarray) -> np.ndarray:
        """(P,) -> (number_of_shells,), over the points in use; 0 beyond the last shell."""
        return shell_means(values, self._shell, self.points.number_of_shells)

    def total(self, spectrum: np.ndarray) -> float:
        """Sum of a power spectrum (number_of_shells,) over the coefficients in use."""
        return float(spectrum[self._shell].sum())

    def _waves(self, shifts_px: np.ndarray) -> np.ndarray:
        """(B, P) complex64 that undoes the shifts."""
        return _waves(shifts_px, self.frequencies.T, self.box)


class BackProjection:
    """Volumes from images at any number of poses each, up to a shell."""

    def __init__(self, images: WorkingImages, last_shell: int):
        self.box = images.box_size_px
        self.sampler = SliceSampler(self.box, last_shell + 1)
        self._numerator, self._weight = images.samples(self.sampler)
        self._plane = np.stack([self.sampler.kx, self.sampler.ky])

    def volume(
        self, image: np.ndarray, rotations: np.ndarray, shifts_px: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """(D, D, D) from images at poses.

        Parameters
        ----------
        image : (B,) row of each pose.
        rotations, shifts_px : (B, 3, 3) and (B, 2).
        weights : (B,) of the poses.
        """
        grid = FourierGrid(self.box)
        for at in range(0, len(image), _SLICES_AT_ONCE):
            part = slice(at, at + _SLICES_AT_ONCE)
            share = weights[part, None].astype(np.float32)
            numerator = share * self._numerator[image[part]]
            numerator *= _waves(shifts_px[part], self._plane, self.box)
            grid.insert(numerator, share * self._weight[image[part]], rotations[part], self.sampler)
        return Inversion(grid).volume()


def _waves(shifts_px: np.ndarray, frequencies: np.ndarray, box_size_px: int) -> np.ndarray:
    """(B, P) complex64 exp(2 pi i k.t / D) of shifts (B, 2) at (2, P) frequencies."""
    angle = (2 * np.pi / box_size_px * shifts_px).astype(np.float32) @ frequencies
    out = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=out.real)
    np.sin(angle, out=out.imag)
    return out


def _centred(volume: np.ndarray) -> np.ndarray:
    """The volume rolled by whole voxels, so that its bright part has its centre of mass at D // 2."""
    weight = bright_part(volume)
    if not weight.any():
        return volume
    shift = np.rint(centre(len(volume)) - np.array(ndimage.center_of_mass(weight))).astype(int)
    return np.roll(volume, tuple(shift), axis=(0, 1, 2))
