"""The best of several candidate poses of an image: a scan, then frequency marching with fewer and
fewer candidates.

Low frequencies have wide basins of convergence and little information, high frequencies the
opposite. So candidates are first compared up to the frequency that their own errors allow, each
over a grid of shifts. The best distinct ones are refined there, then up to higher and higher
frequencies; those that fall behind in likelihood are dropped.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple, Union

import numpy as np

from ..fourier.points import FourierPoints
from ..geometry.rotations import angular_distance_rad
from ..geometry.symmetry import symmetric_distance_rad
from ..likelihood.pose_likelihood import PARAMETERS, PoseLikelihood
from ..parallel import in_order
from .levenberg_marquardt import BOTH, FREE, TOLERANCE, Optima, Prior, levenberg_marquardt
from .observations import Observations
from .poses import Poses
from .reference_bank import ReferenceBank, SliceTable
from .search_grids import scan_shifts, stage_radii
from .spectra import Spectra
from .whitened_images import DefocusImages, WhitenedImages

#: Candidates closer than the first angle lead to the same basin; refined poses closer than the
#: second are the same.
_DISTINCT_CANDIDATES_RAD = np.deg2rad(7.0)
_DISTINCT_POSES_RAD = np.deg2rad(3.0)
#: A pose is dropped when the gain of another one is higher by this: a factor of e^-15 in
#: likelihood.
_GAP = 30.0
#: In the scan, candidates lie beside their peaks, so a gain may also be lower than the best by this
#: share of it.
_SCAN_SHARE = 0.6
#: Iterations of each stage but the last: only the basin must be found.
_ITERATIONS = 6
_LAST_ITERATIONS = 25
#: ... and the gain that is still expected may be this large.
_EARLY_TOLERANCE = 0.1
#: Number of images that a thread works on at once.
_AT_ONCE = 128
#: Mean square angle between two rotations drawn at random.
_ANY_ROTATION_RAD2 = np.pi**2 / 3 + 2


@dataclass(frozen=True)
class Settings:
    """How poses are searched.

    search_shift_px : the largest distance of a shift from that of its start. keep : number of poses
        that enter each
    stage; the last number holds for all further stages. prior : around the anchors of the starts.
        assign : "both", or "angles" or "shifts" alone.
    defocus_prior_angstrom : standard deviation of the change of the defocus, which is refined with
        the best pose; None: it is not.
    """

    search_shift_px: float = 8.0
    keep: Tuple[int, ...] = (8, 4, 2)
    prior: Prior = Prior()
    assign: str = BOTH
    defocus_prior_angstrom: Optional[float] = None

    @property
    def free(self) -> np.ndarray:
        """(5,) bool, the parameters of a pose that are refined."""
        return FREE[self.assign]


@dataclass(frozen=True)
class Refined:
    """The best pose of B images.

    rotations (B, 3, 3), shifts_px (B, 2), gain (B,), scale (B,), covariance (B, 5, 5) of (w, dt),
    basins (B,) distinct poses that competed to the end, wrong_basin (B,) probability that another
    one of these is right, converged (B,).
    """

    rotations: np.ndarray
    shifts_px: np.ndarray
    gain: np.ndarray
    scale: np.ndarray
    covariance: np.ndarray
    basins: np.ndarray
    wrong_basin: np.ndarray
    converged: np.ndarray

    @property
    def scale_error(self) -> np.ndarray:
        """(B,) standard error of the scale, 1 / sqrt(<m, m>); 0 where nothing fits."""
        return np.divide(
            self.scale, np.sqrt(self.gain), out=np.zeros_like(self.gain), where=self.gain > 0
        )

    def take(self, rows: Union[np.ndarray, slice]) -> Refined:
        return Refined(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    @property
    def poses(self) -> Poses:
        """One for each image."""
        return Poses(np.arange(len(self.gain)), self.rotations, self.shifts_px)

    def better_of(self, other: Refined) -> Refined:
        """Of each image, the pose of the higher gain of two."""
        number = len(self.gain)
        rows = np.arange(number) + np.where(other.gain > self.gain, number, 0)
        return joined([self, other]).take(rows)


class DefocusFit(NamedTuple):
    """Poses of B images, and the change of their defocus in Å with its standard error, (B,) each."""

    refined: Refined
    change: np.ndarray
    error: np.ndarray


class MultiStart:
    """Refines images of one optics group against a map.

    radius_px : of gyration of the density, in pixels of the images. group : (G, 3, 3) symmetry
        operations.
    slice_table : slices at the rotations of the starts that lie on a grid, see `Poses.on_grid`.
    """

    def __init__(
        self,
        likelihood: PoseLikelihood,
        points: FourierPoints,
        spectra: Spectra,
        radius_px: float,
        group: np.ndarray,
        settings: Settings,
        slice_table: Optional[SliceTable] = None,
    ):
        self.slice_table = slice_table
        self.likelihood, self.points, self.spectra = likelihood, points, spectra
        self.group, self.settings = group, settings
        self.radii = stage_radii(points.box_size_px, radius_px, spectra.last_shell)

    def refine(self, observed: Observations, starts: Poses) -> Refined:
        """The best pose of each image; every image has one start at least."""

        def work(rows: np.ndarray) -> Refined:
            return self._refine(observed.take(rows), _of_rows(starts, rows))

        return joined(self.likelihood.memory.parts(work, len(observed.coefficients)))

    def refine_in_parts(self, observed: Observations, starts: Poses, threads: int) -> Refined:
        """The same by several threads, 0: one for each core."""
        number = len(observed.coefficients)

        def work(rows: np.ndarray) -> Refined:
            return self.refine(observed.take(rows), _of_rows(starts, rows))

        size = min(_AT_ONCE, self.points.images_at_once)
        pieces = np.array_split(np.arange(number), -(-number // size))
        return joined([refined for _, refined in in_order(work, pieces, threads)])

    def search_globally(
        self, observed: Observations, shifts_px: np.ndarray, bank: ReferenceBank
    ) -> Refined:
        """The best pose of each image, from all orientations of a grid and shifts about the given
        ones (B, 2).
        """
        keep, reach = self.settings.keep[0], self.settings.search_shift_px
        radii = [radius for radius in self.radii if radius >= bank.radius] or self.radii[-1:]
        number = 2 * keep * len(self.group)

        def work(rows: np.ndarray) -> Refined:
            images = WhitenedImages(self.likelihood, observed.take(rows), self.points, self.spectra)
            poses, gain = bank.best(*images.coefficients, shifts_px[rows], reach, number)
            chosen = self._best_distinct(poses, gain, _DISTINCT_CANDIDATES_RAD, keep, _SCAN_SHARE)
            return self._march(images, poses.take(chosen), radii)

        return joined(self.likelihood.memory.parts(work, len(observed.coefficients)))

    def refine_defocus(self, images: DefocusImages, refined: Refined) -> DefocusFit:
        """Pose and defocus together, from refined poses; `settings` say within what prior."""
        prior = self.settings.defocus_prior_angstrom
        if prior is None:
            raise ValueError("expected a prior of the defocus in the settings, received None")
        optima = levenberg_marquardt(
            images.gram,
            refined.poses,
            _LAST_ITERATIONS,
            free=self.settings.free,
            further_precision=np.array([prior**-2.0]),
        )
        return _with_defocus(optima, refined, prior, self.settings.free)

    def _refine(self, observed: Observations, starts: Poses) -> Refined:
        images = WhitenedImages(self.likelihood, observed, self.points, self.spectra)
        return self._march(images, self._scan(images, starts), self.radii)

    def _march(self, images: WhitenedImages, poses: Poses, radii: List[float]) -> Refined:
        """Refine the poses up to each of the radii in turn; fewer and fewer of them are kept."""
        keep = self.settings.keep
        for stage, radius in enumerate(radii[:-1]):
            optima = self._optimize(images, poses, radius, _ITERATIONS, _EARLY_TOLERANCE)
            poses = self._rivals(optima, keep[min(stage + 1, len(keep) - 1)]).poses

        optima = self._optimize(images, poses, radii[-1], _LAST_ITERATIONS, TOLERANCE)
        rivals = self._rivals(optima, keep[min(len(radii), len(keep) - 1)])
        return _conclude(rivals, len(images), self._unknown_pose_covariance(), self.settings.free)

    def _optimize(
        self,
        images: WhitenedImages,
        poses: Poses,
        radius: float,
        iterations: int,
        tolerance: float,
    ) -> Optima:
        gram, settings = images.gram(radius), self.settings
        return levenberg_marquardt(
            gram, poses, iterations, settings.prior, tolerance, _GAP, settings.free
        )

    def _rivals(self, optima: Optima, keep: int) -> Optima:
        """The best distinct poses of each image."""
        return optima.take(
            self._best_distinct(optima.poses, optima.gain, _DISTINCT_POSES_RAD, keep, 0.0)
        )

    def _scan(self, images: WhitenedImages, starts: Poses) -> Poses:
        grid = scan_shifts(self.settings.search_shift_px, self.points.box_size_px, self.radii[0])
        gain, best = images.scan(starts, grid, self.radii[0], self.slice_table)
        poses = dataclasses.replace(starts, shifts_px=starts.shifts_px + grid[best])
        keep = self.settings.keep[0]
        return poses.take(
            self._best_distinct(poses, gain, _DISTINCT_CANDIDATES_RAD, keep, _SCAN_SHARE)
        )

    def _unknown_pose_covariance(self) -> np.ndarray:
        """(5, 5) covariance of a pose on which an image holds no information.

        Any rotation, and a shift within half of the box.
        """
        shift = (0.25 * self.points.box_size_px) ** 2
        return np.diag([*[_ANY_ROTATION_RAD2 / 3] * 3, shift, shift])

    def _best_distinct(
        self, poses: Poses, gain: np.ndarray, angle_rad: float, keep: int, share: float
    ) -> np.ndarray:
        """Indices of the best distinct poses of each image, sorted by image, best first.

        Parameters
        ----------
        poses, gain : B poses and the gain of each (B,).
        angle_rad : poses closer than this are one.
        keep : the largest number of poses of an image.
        share : a pose may lack this share of the best pose's gain, and `_GAP` beyond that.
        """
        order = np.lexsort((-gain, poses.particle))
        poses, gain = poses.take(order), gain[order]
        first = poses.starts_image
        start = np.flatnonzero(first)
        owner = np.cumsum(first) - 1
        best = gain[start][owner]
        open_ = gain >= (1 - share) * best - _GAP
        chosen = np.zeros(len(poses), dtype=bool)

        for _ in range(keep):
            # The first open pose of every image, best first.
            rows = np.flatnonzero(open_)
            if len(rows) == 0:
                break
            heads = rows[np.r_[True, owner[rows][1:] != owner[rows][:-1]]]
            chosen[heads] = True
            head_of = np.full(len(start), -1)
            head_of[owner[heads]] = heads
            against = head_of[owner[rows]]
            distance = self._distance(poses.rotations[rows], poses.rotations[against])
            open_[rows[distance < angle_rad]] = False
        return order[chosen]

    def _distance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (
            angular_distance_rad(a, b)
            if len(self.group) == 1
            else symmetric_distance_rad(a, b, self.group)
        )


def _of_rows(starts: Poses, rows: np.ndarray) -> Poses:
    """Those of consecutive images, counted from the first of them."""
    own = starts.take((starts.particle >= rows[0]) & (starts.particle <= rows[-1]))
    return dataclasses.replace(own, particle=own.particle - rows[0])


def joined(parts: List[Refined]) -> Refined:
    names = [field.name for field in dataclasses.fields(Refined)]
    return Refined(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _conclude(optima: Optima, number: int, unknown_pose: np.ndarray, free: np.ndarray) -> Refined:
    """The best pose of each image, and how surely it is the best.

    A pose at which the image has nothing of the map is no rival, and its covariance is
    `unknown_pose`.

    Parameters
    ----------
    optima : sorted by image, best first.
    number : of images.
    unknown_pose : (5, 5) covariance.
    free : (5,) bool; the covariance of the other parameters is 0.
    """
    first, owner = np.flatnonzero(optima.poses.starts_image), optima.poses.particle
    sign, log_determinant = np.linalg.slogdet(optima.normal)
    fits = (optima.scale > 0) & (sign > 0)
    covariance = np.where(
        fits[:, None, None], np.linalg.pinv(optima.normal, hermitian=True), unknown_pose
    ) * (free[:, None] & free)

    # Laplace's approximation of the probability of each basin.
    evidence = np.where(fits, 0.5 * optima.gain - 0.5 * log_determinant, -np.inf)
    evidence[~np.logical_or.reduceat(fits, first)[owner]] = 0.0
    highest = np.maximum.reduceat(evidence, first)
    weight = np.exp(evidence - highest[owner])
    share = weight[first] / np.add.reduceat(weight, first)

    best = optima.take(first)
    return Refined(
        best.poses.rotations,
        best.poses.shifts_px,
        best.gain,
        best.scale,
        covariance[first],
        np.bincount(owner, minlength=number),
        1.0 - share,
        best.converged & fits[first],
    )


def _with_defocus(
    optima: Optima, refined: Refined, prior_angstrom: float, free: np.ndarray
) -> DefocusFit:
    """The fit, with the covariance of the pose for an unknown defocus; images that fit nothing keep
    pose and defocus.
    """
    change = optima.further[:, 0]
    sign, _ = np.linalg.slogdet(optima.normal)
    fits = (optima.scale > 0) & (sign > 0) & (refined.gain > 0)
    # The units of the parameters differ by orders of magnitude.
    unit = 1 / np.sqrt(
        np.einsum("bii->bi", np.where(fits[:, None, None], optima.normal, np.eye(6)))
    )
    scaled = np.where(
        fits[:, None, None], optima.normal * unit[:, :, None] * unit[:, None, :], np.eye(6)
    )
    covariance = np.linalg.inv(scaled) * unit[:, :, None] * unit[:, None, :]
    pose = covariance[:, :PARAMETERS, :PARAMETERS] * (free[:, None] & free)

    def chosen(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        return np.where(fits.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    # The gain is that of the likelihood, without the penalty of the prior.
    gain = optima.gain + (change / prior_angstrom) ** 2
    moved = dataclasses.replace(
        refined,
        rotations=chosen(optima.poses.rotations, refined.rotations),
        shifts_px=chosen(optima.poses.shifts_px, refined.shifts_px),
        gain=chosen(gain, refined.gain),
        scale=chosen(optima.scale, refined.scale),
        covariance=chosen(pose, refined.covariance),
        converged=chosen(optima.converged, refined.converged),
    )
    error = np.sqrt(covariance[:, -1, -1])
    return DefocusFit(moved, chosen(change, np.zeros(1)), chosen(error, np.array([prior_angstrom])))
