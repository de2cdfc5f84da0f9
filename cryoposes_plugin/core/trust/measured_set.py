"""What the images of a set are like: amplitude of the map, noise, scales and shifts, measured on a
sample at poses that belong to the map. These are the given poses, or, if there are none or they are
wrong, the best of all orientations.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Optional

import numpy as np

from ..errors import InputError
from ..geometry.sampling import random_rotations
from ..io.folder import Folder
from ..particles.grids import Grid
from ..refinement.calibration import SAMPLE
from ..refinement.multi_start import Settings
from ..refinement.poses import Poses
from ..refinement.refinement import NoAgreement, Refinement, refine_all
from ..refinement.results import Results
from ..refinement.starts import GivenStarts
from ..types import ParticleTable, Volume
from .frame import LARGEST_BOX_PX, REACH_SHARE, examine_frame, observed_on, sample_rows
from .sample_search import SampleSearch
from .verdict import OTHER_SCALE, RELATED, UNRELATED, FrameTest

logger = logging.getLogger(__name__)

#: Images that are compared with all orientations.
_SEARCHED = 192
_BATCH = 128


#: Verdicts with which nothing can be measured.
_OTHER_MAP = (OTHER_SCALE, RELATED, UNRELATED)


class MeasuredSet(NamedTuple):
    """A sample of a set at poses that belong to the map.

    refinement, results : of the sample. frame : the test whether map and images belong together.
    given : whether the poses are those that were given.
    """

    refinement: Refinement
    results: Results
    frame: FrameTest
    given: bool


class _Measure:
    """The parameters of `measure_set`."""

    def __init__(
        self,
        table: ParticleTable,
        volume: Volume,
        grid: Grid,
        group: np.ndarray,
        folder: Folder,
        seed: int,
        threads: int,
    ):
        self.volume, self.grid, self.group = volume, grid, group
        self.folder, self.seed, self.threads = folder, seed, threads
        rows = np.random.default_rng([seed, 19]).permutation(len(table))[:SAMPLE]
        self.sample = table.take(np.sort(rows))

    def refinement(self, table: ParticleTable, starts: GivenStarts) -> Refinement:
        return Refinement(
            table,
            self.volume,
            self.grid,
            starts,
            self.group,
            Settings(),
            threads=self.threads,
            judged=True,
        )

    def _at(self, table: ParticleTable, starts: GivenStarts, name: str, given: bool) -> MeasuredSet:
        """Refined poses of particles, tested; raises NoAgreement."""
        refinement = self.refinement(table, starts)
        results = refine_all(refinement, self.folder.inside(name), _BATCH, self.seed)
        rows = sample_rows(refinement, self.seed)
        refined = results.refined.take(rows).poses
        # Poses that were found belong to the map by themselves, so that the test is told of others.
        known = starts(rows).poses if given else _random(refined, self.seed)
        frame = examine_frame(refinement, rows, known, refined, self.seed)
        return MeasuredSet(refinement, results, frame, given)

    def given_starts(self) -> GivenStarts:
        """The poses of the sample; shifts that are missing are zero."""
        table = self.sample
        if table.rotations is None:
            table = table.replace(rotations=np.tile(np.eye(3), (len(table), 1, 1)))
        return GivenStarts.of_particles(table, self.grid.pixel_size_angstrom)

    def at_given_poses(self) -> MeasuredSet:
        """At the poses of the sample."""
        return self._at(self.sample, self.given_starts(), "given", given=True)

    def searched(self) -> MeasuredSet:
        """At the best of all orientations of some images of the largest optics group."""
        starts = self.given_starts()
        refinement = self.refinement(self.sample, starts)
        rows = sample_rows(refinement, self.seed)[:_SEARCHED]
        poses = self._anywhere(refinement, rows, starts(rows).poses.shifts_px)
        found = GivenStarts(poses.rotations, poses.shifts_px)
        return self._at(self.sample.take(rows), found, "searched", given=False)

    def _anywhere(self, refinement: Refinement, rows: np.ndarray, shifts_px: np.ndarray) -> Poses:
        """The best of all orientations at shifts near the given ones, in pixels of the grid."""
        grid = self.grid
        if grid.box_size_px > LARGEST_BOX_PX:
            grid = grid.rescaled(LARGEST_BOX_PX)
        factor = self.grid.pixel_size_angstrom / grid.pixel_size_angstrom
        observed = observed_on(refinement, grid, rows)
        last = grid.box_size_px // 2
        search = SampleSearch(self.volume, observed, grid, self.group, last, self.threads)

        logger.info("%d images are compared with all orientations of the map.", len(rows))
        reach = REACH_SHARE * grid.box_size_px
        found = search.anywhere(shifts_px * factor, reach)
        if found.spectra.last_shell > 0:
            found = search.anywhere(shifts_px * factor, reach, found.spectra)
        poses = found.refined.poses
        return Poses(poses.particle, poses.rotations, poses.shifts_px / factor)


def measure_set(
    table: ParticleTable,
    volume: Volume,
    grid: Grid,
    group: np.ndarray,
    folder: Folder,
    seed: int,
    threads: int = 0,
) -> MeasuredSet:
    """Measure a set on a sample of its images.

    Parameters
    ----------
    table : particles, with or without poses.
    volume : the map.
    grid : on which images and map are compared.
    group : (G, 3, 3) symmetry operations.
    folder : for the state of the work.
    seed : of the sample.
    threads : 0 takes all cores.

    Raises
    ------
    NoAgreement : images and map have nothing in common.
    InputError : they belong to another map, or to the map at another scale.
    """
    measure = _Measure(table, volume, grid, group, folder, seed, threads)
    measured = _at_given(measure)
    if measured is None:
        measured = measure.searched()
    frame = measured.frame
    if frame.verdict in _OTHER_MAP or frame.refined_are_wrong:
        raise InputError(frame.statement("The poses", "the map"))
    return measured


def _random(poses: Poses, seed: int) -> Poses:
    """Poses with random orientations."""
    rotations = random_rotations(len(poses), np.random.default_rng([seed, 29]))
    return Poses(poses.particle, rotations, poses.shifts_px)


def _at_given(measure: _Measure) -> Optional[MeasuredSet]:
    """At the given poses; None where there are none, or most are wrong."""
    if measure.sample.rotations is None:
        return None
    try:
        measured = measure.at_given_poses()
    except NoAgreement as error:
        logger.warning("The given poses are not used: %s", error)
        return None

    if measured.frame.refined_are_wrong and measured.frame.verdict not in _OTHER_MAP:
        statement = measured.frame.statement("The given poses", "the map")
        logger.warning("The given poses are not used: %s", statement)
        return None
    return measured
