"""Junk among the particles of a refinement, by a twin that goes through the same steps."""

from __future__ import annotations

import dataclasses
import logging
from typing import Callable, Dict, Iterator, NamedTuple, Optional

import numpy as np

from ..geometry.symmetry import symmetric_distance_rad
from ..image_kinds import PARTICLE
from ..io.folder import Folder
from ..particles.images import ResampledImages
from ..refinement import global_search
from ..refinement.refinement import Refinement, refine_rows, search_rows
from ..refinement.results import (
    Results,
    basin_errors,
    error_with_wrong_poses,
    with_covariance,
)
from ..refinement.starts import Starts
from ..refinement.unfinished import UnfinishedResults
from ..scores import (
    BASIN_ERROR,
    ERROR_BOUND,
    EXPECTED_ERROR,
    EXPECTED_SHIFT_ERROR,
    JUNK,
    WRONG_BASIN,
)
from ..twin_size import DECOYS_OF_KIND
from ..types import ParticleTable
from .junk import FEWEST_WRONG, HOPELESS, WRONG_POSE, JunkClassifier, JunkEstimate
from .magnification import Magnification, measure_magnification, with_magnification
from .twin import Twin, simulate_twin, write_decoys
from .twin_test import TwinTest, compared_with_twin

logger = logging.getLogger(__name__)

#: A pose is wrong if it is off by more than this, and by this many expected errors.
_WRONG_DEG, _WRONG_ERRORS = 5.0, 5.0
#: Of the hopeless images, so many of the set, the most hopeful ones, are searched globally all the
#: same.
_ONE_IN_HOPELESS = 25
#: Most decoys of each kind where all are searched globally.
_SEARCHED_DECOYS_OF_KIND = 40
#: Shifts at which the best pose of a decoy is looked for, in radii of gyration.
_REACH_OF_DECOYS = 0.4
#: Below this probability of junk an image is likely to show the particle.
_LIKELY = 0.5
#: Level of the bound of the error.
_LEVEL = 0.9


class _Looked(NamedTuple):
    """A twin whose images were refined, the state of its results, and what was learned from it."""

    refinement: Refinement
    twin: Twin
    state: UnfinishedResults
    classifier: JunkClassifier


class Judged(NamedTuple):
    """A refined set after its twin.

    Attributes
    ----------
    table : the particles with the scores that follow from the twin.
    results : with the covariances that the twin's errors have.
    junk : among the particles.
    magnification : by how much that of images and map differs.
    twin_test : of the likely particles against those of the twin.
    """

    table: ParticleTable
    results: Results
    junk: JunkEstimate
    magnification: Magnification
    twin_test: TwinTest


class Judge:
    """Tells junk of a set that is being refined.

    Parameters
    ----------
    refinement : of the set.
    starts_of : makes the starts of the twin's particles from their table.
    folder : of the run.
    batch_size : number of images that a thread works on at once.
    seed : of the twin and the classifier.
    """

    def __init__(
        self,
        refinement: Refinement,
        starts_of: Callable[[ParticleTable], Starts],
        folder: Folder,
        batch_size: int,
        seed: int,
    ):
        self._refinement, self._starts_of = refinement, starts_of
        self._folder, self._batch_size, self._seed = folder, batch_size, seed
        self._searching = refinement.global_settings is not None
        self._known: Optional[_Looked] = None

    def hopeful(self, results: Results) -> np.ndarray:
        """(N,) bool: images whose global search may find the particle.

        results : before the global search.
        """
        looked = self._looked(results)
        junk = looked.classifier.estimate(self._features(results)).probability
        chosen = junk < 1.0 - HOPELESS
        doubtful = global_search.doubtful(results.refined)
        hopeless = doubtful[~chosen[doubtful]]
        best = hopeless[np.argsort(junk[hopeless], kind="stable")]
        chosen[best[: len(junk) // _ONE_IN_HOPELESS]] = True
        return chosen

    def judged(self, table: ParticleTable, results: Results) -> Judged:
        """The set after its twin; writes decoys.npz.

        Parameters
        ----------
        table : at the refined poses.
        results : of the set, with its final poses.
        """
        estimate = self.estimate(results)
        decoys = ~np.isin(estimate.twin_kind, (PARTICLE, WRONG_POSE))
        write_decoys(
            self._folder,
            estimate.probability,
            estimate.twin_probability[decoys],
            estimate.twin_kind[decoys],
        )

        looked = self._looked(results)
        twin, of_twin = looked.twin, looked.state.finish(0.0)
        test = self._twin_test(results, of_twin, estimate)
        if test.unlike:
            logger.warning("%s", test.sentence)
        excess = self._excess_of_errors(twin, of_twin)
        magnification = self._magnification(results, estimate)
        results, of_twin = (_with_errors(r, excess) for r in (results, of_twin))
        if magnification.differs:
            logger.warning("%s", magnification.sentence)
            results = with_magnification(self._refinement, results, magnification)
        scores = self._scores(results, estimate, twin, of_twin)
        table = with_covariance(table, results, self._refinement.grid.pixel_size_angstrom)
        table = table.replace(scores={**table.scores, **scores})
        return Judged(table, results, estimate, magnification, test)

    def estimate(self, results: Results) -> JunkEstimate:
        """Junk among the particles, from their final poses."""
        looked, given = self._looked(results), self._features(results)
        classifier = looked.classifier
        if results.searched is not None and len(results.searched):
            # The twin's doubtful images are searched by the same rule as the set's.
            junk = classifier.estimate(given).twin_probability
            rows = global_search.doubtful(looked.state.refined)
            rows = rows[junk[rows] < 1.0 - HOPELESS]
            if len(rows):
                _exhaust(search_rows(looked.refinement, looked.state, rows))
                classifier = self._classifier(looked.twin, looked.state.finish(0.0))
        return classifier.estimate(given)

    def _magnification(self, results: Results, junk: JunkEstimate) -> Magnification:
        """Measured on likely particles whose poses are beyond doubt, if there are any."""
        likely = ~self._refinement.images.grey.blank & (junk.probability < _LIKELY)
        rows = np.flatnonzero(likely)
        sure = rows if results.sure is None else np.intersect1d(rows, results.sure)
        if not len(sure):
            return Magnification(0.0, np.inf)
        return measure_magnification(self._refinement, results, sure, self._seed)

    def _twin_test(self, results: Results, of_twin: Results, estimate: JunkEstimate) -> TwinTest:
        likely = ~self._refinement.images.grey.blank & (estimate.probability < _LIKELY)
        of_kind = {kind: np.count_nonzero(estimate.twin_kind == kind) for kind in estimate.shares}
        weight = np.array([estimate.shares[k] / of_kind[k] for k in estimate.twin_kind])
        weight[estimate.twin_probability >= _LIKELY] = 0.0
        features_of_set = self._features(results)[likely]
        return compared_with_twin(features_of_set, self._features(of_twin), weight, self._seed)

    def _excess_of_errors(self, twin: Twin, of_twin: Results) -> np.ndarray:
        """(2,) root mean square of true over expected errors of the twin's rotations and shifts,
        without poses that are wrong; 1 where most of them are.

        The inverse of the normal matrix is a lower bound, which errors exceed as the noise grows.
        """
        shifts_px = of_twin.refined.shifts_px
        moved = np.linalg.norm(shifts_px - np.asarray(twin.table.shifts_px), axis=1)
        found = np.stack([self._error_deg(twin, of_twin), moved])
        expected = np.stack(basin_errors(of_twin.refined))
        ratios = (found / np.maximum(expected, 1e-9))[:, twin.is_particle]
        near = (ratios < _WRONG_ERRORS).all(axis=0)
        if 2 * near.sum() <= len(near):
            return np.ones(2)
        return np.sqrt((ratios[:, near] ** 2).mean(axis=1))

    def _scores(
        self, results: Results, estimate: JunkEstimate, twin: Twin, of_twin: Results
    ) -> Dict[str, np.ndarray]:
        """Columns: junk, wrong poses, expected errors and their bound.

        Parameters
        ----------
        results, of_twin : of the set and of the twin, with the errors of the twin.
        estimate : of junk.
        twin : with the true poses.
        """
        blank, group = self._refinement.images.grey.blank, self._refinement.group
        junk = np.where(blank, 1.0, estimate.probability)
        wrong = 1.0 - (1.0 - results.refined.wrong_basin) * (1.0 - estimate.wrong_pose)
        wrong = np.where(blank, 1.0, wrong)

        basin, shift_px = basin_errors(results.refined)
        error = basin_errors(of_twin.refined)[0][twin.is_particle]
        found = self._error_deg(twin, of_twin)[twin.is_particle]
        ratio, right = found / np.maximum(error, 1e-9), ~_are_wrong(found, error)
        return {
            JUNK: junk,
            WRONG_BASIN: 1.0 - (1.0 - wrong) * (1.0 - junk),
            EXPECTED_ERROR: error_with_wrong_poses(basin, wrong, group),
            BASIN_ERROR: basin,
            EXPECTED_SHIFT_ERROR: self._refinement.grid.pixel_size_angstrom * shift_px,
            ERROR_BOUND: error_bound_deg(basin, wrong, ratio[right] if right.any() else ratio),
        }

    def _error_deg(self, twin: Twin, results: Results) -> np.ndarray:
        """(M,) true errors of the twin's poses; without meaning for decoys."""
        rotations = results.refined.rotations, np.asarray(twin.table.rotations)
        return np.rad2deg(symmetric_distance_rad(*rotations, self._refinement.group))

    def _looked(self, results: Results) -> _Looked:
        """The twin after the first look; made once."""
        if self._known is None:
            own = self._refinement
            reach = (own.global_settings or own.settings).search_shift_px
            number = DECOYS_OF_KIND if self._searching else _SEARCHED_DECOYS_OF_KIND
            twin = simulate_twin(own, results, self._folder, self._seed, reach, number)
            logger.info(
                "refine: %d simulated images, %d of them junk, show what junk looks like.",
                len(twin.kind),
                np.count_nonzero(~twin.is_particle),
            )

            starts = self._starts_of(twin.table)
            refinement = own.with_particles(twin.table, _images(own, twin), starts)
            state = UnfinishedResults(
                self._folder,
                len(twin.table),
                twin.spectra,
                refinement.score_shapes,
                results.statistics.shape[1],
            )
            _exhaust(refine_rows(refinement, state, self._batch_size))
            if not self._searching:
                # Junk of a set with poses has the best pose of all.
                refinement.global_settings = global_search.settings(
                    _REACH_OF_DECOYS * refinement.radius_px
                )
                _exhaust(search_rows(refinement, state, np.flatnonzero(~twin.is_particle)))
            classifier = self._classifier(twin, state.finish(0.0))
            self._known = _Looked(refinement, twin, state, classifier)
        return self._known

    def _classifier(self, twin: Twin, results: Results) -> JunkClassifier:
        error, expected = self._error_deg(twin, results), basin_errors(results.refined)[0]
        wrong = twin.is_particle & _are_wrong(error, expected)
        kind = twin.kind.astype(object)
        if FEWEST_WRONG <= wrong.sum() <= twin.is_particle.sum() - FEWEST_WRONG:
            kind[wrong] = WRONG_POSE
        return JunkClassifier(self._features(results), kind.astype(str), self._seed)

    def _features(self, results: Results) -> np.ndarray:
        return features(results, self._refinement.group)


def error_bound_deg(
    basin_error_deg: np.ndarray, wrong: np.ndarray, ratio: np.ndarray
) -> np.ndarray:
    """(N,) angle that the error exceeds with a probability of 10 %: a conformal bound (Vovk et al.
    2005) from the ratios of true to expected errors of the twin; 180° where a wrong pose is likelier.

    Parameters
    ----------
    basin_error_deg : (N,) expected errors in the right basin.
    wrong : (N,) probability of a wrong pose.
    ratio : (M,) true over expected error of the twin's particles in the right basin.
    """
    missing = (1.0 - _LEVEL - wrong) / np.maximum(1.0 - wrong, 1e-12)
    rank = np.ceil((len(ratio) + 1) * (1.0 - np.clip(missing, 0.0, 1.0)))
    place = np.clip(rank, 1, len(ratio)).astype(int) - 1
    bound = np.minimum(np.sort(ratio)[place] * basin_error_deg, 180.0)
    return np.where(missing > 0, bound, 180.0)


def _with_errors(results: Results, factors: np.ndarray) -> Results:
    """Results whose expected errors of rotations and shifts are multiplied by factors (2,)."""
    factor = np.repeat(factors, (3, 2))
    covariance = results.refined.covariance * factor[:, None] * factor
    refined = dataclasses.replace(results.refined, covariance=covariance)
    return dataclasses.replace(results, refined=refined)


def features(results: Results, group: np.ndarray) -> np.ndarray:
    """(N, F) features by which junk is told: the statistics of the fits, shifts, rivals, and what
    the network said.

    Parameters
    ----------
    results : of N particles.
    group : (G, 3, 3) symmetry operations.
    """
    refined, network = results.refined, results.start_scores
    columns = [
        results.statistics,
        np.linalg.norm(refined.shifts_px, axis=1)[:, None],
        refined.wrong_basin[:, None],
        refined.basins[:, None],
        results.residual[:, None],
    ]
    if "rotations" in network:
        turned = symmetric_distance_rad(refined.rotations, network["rotations"], group)
        columns += [turned[:, None], network["trace"][:, None], network["dispersion"][:, None]]
    return np.concatenate(columns, axis=1)


def _are_wrong(error_deg: np.ndarray, expected_deg: np.ndarray) -> np.ndarray:
    """(N,) bool: poses whose error is no matter of noise."""
    return error_deg > np.maximum(_WRONG_DEG, _WRONG_ERRORS * expected_deg)


def _exhaust(batches_done: Iterator[np.ndarray]) -> None:
    """Do all of the work; the twin needs no progress and no saved state."""
    for _ in batches_done:
        pass


def _images(refinement: Refinement, twin: Twin) -> ResampledImages:
    """The twin's images; decoys do not change what grey values are usual."""
    grid, source = refinement.grid, refinement.images.grey.usual
    particles = ResampledImages(
        twin.table.take(twin.is_particle), grid.box_size_px, grid.pixel_size_angstrom
    )
    usual = dataclasses.replace(particles.grey.usual, gains_differ=source.gains_differ)
    return ResampledImages(twin.table, grid.box_size_px, grid.pixel_size_angstrom, usual)
