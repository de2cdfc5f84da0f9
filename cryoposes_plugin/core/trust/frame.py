"""Whether poses, map and images belong together, tested on a sample of the largest optics group.

Poses near the given ones should explain nearly all of the images' signal (see `explained`). Where
they do not, the map is tried at other scales, and the best of all orientations are searched for.
If the poses found explain the signal, then the map is right, and what takes the given poses into
those found says what is wrong with them: one common transform, or none. If no poses explain it,
they are compared with those of a twin, images simulated from the map: if the twin's signal is
explained, then the images do not show this map.
"""

from __future__ import annotations

import logging
from typing import Optional, Tuple

import numpy as np

from ..fourier.points import FourierPoints
from ..geometry.symmetry import symmetric_distance_rad
from ..particles.batches import ParticleBatches
from ..particles.grids import Grid
from ..particles.images import ResampledImages
from ..refinement.multi_start import Refined
from ..refinement.observations import Observations, observe
from ..refinement.poses import Poses
from ..refinement.refinement import Refinement
from ..refinement.results import error_with_wrong_poses
from ..scores import BASIN_ERROR, ERROR_BOUND, EXPECTED_ERROR, WRONG_BASIN
from ..types import ParticleTable
from .common_frame import CommonFrame, common_frame
from .explained import Explained
from .sample_search import Found, SampleSearch
from .verdict import (
    BELONG,
    MOST,
    OTHER_FRAME,
    OTHER_HAND,
    OTHER_SCALE,
    RELATED,
    UNRELATED,
    UNTESTED,
    WRONG_POSES,
    FrameTest,
)

logger = logging.getLogger(__name__)

#: Number of images whose poses are tested, and how many of them are searched globally.
_SAMPLE, _SEARCHED = 192, 64
_FEWEST = 12
#: The test needs no finer images.
LARGEST_BOX_PX = 64
#: Poses that explain this share of the signal, and surely the second, are right.
_CLEAR, _LEAST_EXPLAINED = 0.8, 0.5
#: A pose is wrong if another one has a gain higher by this (see `multi_start`) and is so far away.
_GAP, _FAR_RAD, _FAR_PX = 30.0, np.deg2rad(10.0), 3.0
#: Shifts are searched within this share of the box.
REACH_SHARE = 0.15
#: Scales that are tried, and those beside a good one.
_SCALES = np.array([0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25])
_CLOSE_SCALES = np.array([0.96, 1.0, 1.04])
#: Another scale differs by this, ...
_LEAST_SCALE = 0.03
#: ... and raises the share of explained signal by this.
_LEAST_RISE = 0.1
#: Images do not show a map that explains less than this part of what it explains of a twin.
_TWIN_SHARE = 0.8
#: Images with a smaller scale, relative to the median, have no vote on the frame.
_LEAST_RELATIVE_SCALE = 0.5


def examine_frame(
    refinement: Refinement,
    rows: np.ndarray,
    given: Poses,
    refined: Poses,
    seed: int,
    resolution_angstrom: Optional[float] = None,
) -> FrameTest:
    """Test given poses of some particles of one optics group.

    Parameters
    ----------
    refinement : of the particles against the map.
    rows : (B,) particles, see `sample_rows`.
    given : a pose for each of them, shifts in pixels of the working grid.
    refined : what a refinement made of them; or poses to start from, one or more for each.
    seed : of the twin.
    resolution_angstrom : of the finest detail to use; None: all there is.
    """
    test = _Test(refinement, rows, given, refined, seed, resolution_angstrom)
    return test.result()


def marked_as_wrong(table: ParticleTable, group: np.ndarray) -> ParticleTable:
    """The particles, each with a pose that is certainly wrong.

    Parameters
    ----------
    table : with the scores of a refinement.
    group : (G, 3, 3) symmetry operations.
    """
    wrong = np.ones(len(table))
    error = error_with_wrong_poses(table.scores[BASIN_ERROR], wrong, group)
    scores = {WRONG_BASIN: wrong, EXPECTED_ERROR: error}
    if ERROR_BOUND in table.scores:
        scores[ERROR_BOUND] = np.full(len(table), 180.0)
    return table.replace(scores={**table.scores, **scores})


def sample_rows(refinement: Refinement, seed: int) -> np.ndarray:
    """Rows of particles to test, whose images are not blank."""
    rows = refinement.sample(refinement.groups[0], seed)
    rows = rows[np.random.default_rng([seed, 1]).permutation(len(rows))[:_SAMPLE]]
    refinement.images.read(rows)
    return rows[refinement.images.grey.informative(rows)]


class _Test:
    """The steps of the test; see `examine_frame` for the parameters."""

    def __init__(
        self,
        refinement: Refinement,
        rows: np.ndarray,
        given: Poses,
        refined: Poses,
        seed: int,
        resolution_angstrom: Optional[float],
    ):
        grid = refinement.grid
        if grid.box_size_px > LARGEST_BOX_PX:
            grid = grid.rescaled(LARGEST_BOX_PX)
        factor = refinement.grid.pixel_size_angstrom / grid.pixel_size_angstrom
        self.reach_px = refinement.settings.search_shift_px * factor

        self.grid, self.group, self.seed = grid, refinement.group, seed
        self.number = len(rows)
        self.given = Poses(given.particle, given.rotations, given.shifts_px * factor)
        self.start = Poses(refined.particle, refined.rotations, refined.shifts_px * factor)
        if self.number >= _FEWEST:
            last = grid.box_size_px // 2
            if resolution_angstrom is not None:
                finest = int(grid.field_of_view_angstrom / resolution_angstrom)
                last = min(last, max(1, finest))
            as_it_is = grid.box_size_px == refinement.grid.box_size_px
            self.search = SampleSearch(
                refinement.volume,
                refinement.observe(rows) if as_it_is else observed_on(refinement, grid, rows),
                grid,
                refinement.group,
                last,
                refinement.threads,
                refinement.likelihood if as_it_is else None,
            )

    def result(self) -> FrameTest:
        if self.number < _FEWEST:
            return self._verdict(UNTESTED)
        found = self.search.near(self.start, reach_px=self.reach_px)
        share = self.search.explained(found)
        logger.debug("near the given poses: explained %s", share)
        if _explains(share):
            frame = self._frame(self.given, found)
            # At low resolution, poses that went astray may explain much too.
            if frame is not None and frame.share > MOST and not self._scale_differs(found):
                return self._verdict(_name_of(frame), share, frame)
        return self._searched()

    def _scale_differs(self, found: Found) -> bool:
        scale, _ = _best_scale(self.search, found.refined.poses, _CLOSE_SCALES)
        return abs(scale - 1) > _LEAST_SCALE

    def _searched(self) -> FrameTest:
        """Other scales at the poses there are, all orientations, and those at other scales."""
        rows = np.arange(min(self.number, _SEARCHED))
        given = self.given.take(rows)
        search = self.search.of(self.search.observed.take(rows))
        near = search.near(self.start.take(self.start.particle < len(rows)), reach_px=self.reach_px)

        at_given = self._at_another_scale(search, given, near, near, given)
        if at_given is not None:
            return at_given
        found, wrong = self._anywhere(search, given, near)
        share = search.explained(found, best_of=True)
        logger.debug("at the best of all poses: explained %s, wrong %s", share, wrong)
        frame = self._frame(given, found)
        if frame is not None and not frame.same:
            # Votes show more wrong poses than gains do where noise is strong.
            wrong = float(self._far(found.refined, near.refined).mean())
        for poses in (found.refined.poses, given):
            test = self._at_another_scale(search, given, near, found, poses, everywhere=True)
            if test is not None:
                return test
        if share.known and share.share < _CLEAR:
            test = self._unexplained(search, share, given, found, frame, wrong)
            if test is not None:
                return test

        if not share.known:
            return self._verdict(UNTESTED, share)
        if wrong > MOST and (frame is None or frame.same):
            return self._verdict(WRONG_POSES, share, None, wrong)
        return self._verdict(_name_of(frame), share, frame, wrong)

    def _anywhere(self, search: SampleSearch, given: Poses, near: Found) -> Tuple[Found, float]:
        """The best of all poses, those near the given ones included, and the share of the latter
        that are wrong.
        """
        reach = REACH_SHARE * self.grid.box_size_px
        found = search.anywhere(given.shifts_px, reach)
        if not _explains(search.explained(found)) and found.spectra.last_shell > 0:
            found = search.anywhere(given.shifts_px, reach, found.spectra)
        if found.spectra.last_shell == 0:
            return found, 0.0
        # Both are compared with one noise.
        again = search.near(near.refined.poses, found.spectra, rounds=1).refined
        best = search.near(found.refined.poses, found.spectra, rounds=1).refined
        wrong = (best.gain > again.gain + _GAP) & self._far(best, again)
        chosen = best.better_of(again)
        return Found(chosen, search.spectra(chosen)), float(wrong.mean())

    def _far(self, one: Refined, other: Refined) -> np.ndarray:
        """(B,) bool: poses that differ by more than errors do."""
        turned = symmetric_distance_rad(one.rotations, other.rotations, self.group)
        moved = np.linalg.norm(one.shifts_px - other.shifts_px, axis=1)
        return (turned > _FAR_RAD) | (moved > _FAR_PX)

    def _at_another_scale(
        self,
        search: SampleSearch,
        given: Poses,
        near: Found,
        before: Found,
        poses: Poses,
        everywhere: bool = False,
    ) -> Optional[FrameTest]:
        """The verdict if the map explains clearly more at another scale.

        Parameters
        ----------
        search : the sample with the map as it is.
        given, near : poses of the sample, and what was found near them.
        before : the best poses at the scale of the map.
        poses : at which scales are compared.
        everywhere : whether poses are then searched for among all, or near these.
        """
        scale, rise = _best_scale(search, poses, _SCALES)
        if abs(scale - 1) <= _LEAST_SCALE or not rise > 0:
            return None
        scaled = search.at_scale(scale)
        if everywhere:
            found, _ = self._anywhere(scaled, given, near)
        else:
            found = scaled.near(poses)
        after = scaled.explained(found, best_of=everywhere)
        more = search.more_explained(before, scaled, found)
        logger.debug("at scale %.3f: explained %s, more by %s", scale, after, more)
        if not (_explains(after) and more.share > _LEAST_RISE and more.above(0.0)):
            return None

        scale *= _best_scale(scaled, found.refined.poses, _CLOSE_SCALES)[0]
        wrong = float(self._far(found.refined, near.refined).mean())
        return self._verdict(OTHER_SCALE, after, self._frame(given, found), wrong, scale)

    def _unexplained(
        self,
        search: SampleSearch,
        share: Explained,
        given: Poses,
        found: Found,
        frame: Optional[CommonFrame],
        wrong: float,
    ) -> Optional[FrameTest]:
        """The verdict if a twin of the images is explained far better; None if the map belongs to
        them and only explains less than most maps do.

        Parameters
        ----------
        search : the sample.
        share, found : the best poses, and what they explain.
        given : the given ones.
        frame : that they have in common with the given ones, or None.
        wrong : share of wrong poses.
        """
        twin, reach = search.twin(found, self.seed), REACH_SHARE * self.grid.box_size_px
        theirs = twin.anywhere(found.refined.shifts_px, reach)
        theirs = twin.anywhere(found.refined.shifts_px, reach, theirs.spectra)
        expected = twin.explained(theirs)
        logger.debug("twin: explained %s", expected)

        if not share.less_than(expected, _TWIN_SHARE):
            return self._verdict(UNTESTED, share) if share.below(_CLEAR) else None
        if frame is None:
            frame = self._frame(given, found, likeness=True)
            return self._verdict(UNRELATED if frame is None else RELATED, share, frame, wrong)
        if frame.same and not share.below(_LEAST_EXPLAINED):
            return None
        return self._verdict(RELATED, share, frame, wrong)

    def _frame(self, given: Poses, found: Found, likeness: bool = False) -> Optional[CommonFrame]:
        fits = found.refined.scale >= np.median(found.refined.scale) * _LEAST_RELATIVE_SCALE
        return common_frame(
            (given.rotations, given.shifts_px),
            (found.refined.rotations, found.refined.shifts_px),
            self.group,
            fits,
            likeness,
        )

    def _verdict(
        self,
        name: str,
        explained: Optional[Explained] = None,
        frame: Optional[CommonFrame] = None,
        wrong: Optional[float] = None,
        scale: float = 1.0,
    ) -> FrameTest:
        return FrameTest(
            name,
            self.number,
            explained,
            frame,
            wrong,
            scale,
            self.grid.pixel_size_angstrom,
            self.grid.field_of_view_angstrom,
        )


def _explains(share: Explained) -> bool:
    """Whether poses that explain so much are right."""
    return share.known and share.share > _CLEAR and share.above(_LEAST_EXPLAINED)


def _name_of(frame: Optional[CommonFrame]) -> str:
    if frame is None or frame.same:
        return BELONG
    return OTHER_HAND if frame.mirrored else OTHER_FRAME


def _best_scale(search: SampleSearch, poses: Poses, scales: np.ndarray) -> Tuple[float, float]:
    """The scale at which the map fits best at a pose for each image, by a parabola, and by how much
    twice the log likelihood rises; the scales are ascending, and 1 is one of them.
    """
    misfit = np.array(
        [(search if scale == 1 else search.at_scale(scale)).misfit(poses) for scale in scales]
    )
    row = int(np.argmin(misfit))
    rise = float(misfit[np.searchsorted(scales, 1.0)] - misfit[row])
    if not 0 < row < len(scales) - 1:
        return float(scales[row]), rise
    before, at, after = misfit[row - 1 : row + 2]
    step = 0.5 * (scales[row + 1] - scales[row - 1])
    return float(scales[row] + 0.5 * step * (before - after) / (before - 2 * at + after)), rise


def observed_on(refinement: Refinement, grid: Grid, rows: np.ndarray) -> Observations:
    """Images of one optics group on another grid than that of the refinement."""
    box, pixel = grid.box_size_px, grid.pixel_size_angstrom
    images = ResampledImages(refinement.table, box, pixel, refinement.images.grey.usual)
    batch = ParticleBatches(refinement.table, images).read_batch(rows)
    return observe(FourierPoints(box), *batch, pixel)
