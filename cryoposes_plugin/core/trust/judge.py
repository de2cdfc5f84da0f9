"""Junk among the particles of a refinement, by a twin that goes through the same steps."""

from __future__ import annotations

import copy
import dataclasses
import logging
from typing import Callable, Dict, Optional, Tuple, Union

import numpy as np

from ..geometry.symmetry import symmetric_distance_rad
from ..io.folder import Folder
from ..io.names import DECOYS_NAME
from ..parallel import in_order
from ..particles.batches import batches
from ..particles.images import ResampledImages
from ..refinement import global_search
from ..refinement.multi_start import Refined
from ..refinement.refinement import RefinedBatch, Refinement
from ..refinement.results import Results, error_with_wrong_poses
from ..refinement.starts import Starts
from ..refinement.unfinished import UnfinishedResults
from ..scores import BASIN_ERROR, ERROR_BOUND, EXPECTED_ERROR, JUNK, WRONG_BASIN
from ..types import ParticleTable
from .junk import FEWEST_WRONG, HOPELESS, WRONG_POSE, JunkClassifier, JunkEstimate
from .twin import PARTICLE, Twin, simulate_twin, twin_spectra

logger = logging.getLogger(__name__)

#: A pose is wrong if it is off by more than this, and by this many expected errors.
_WRONG_DEG, _WRONG_ERRORS = 5.0, 5.0
#: Of the hopeless images, so many of the set, the most hopeful ones, are searched globally all the
#: same.
_ONE_IN_HOPELESS = 25
#: Fewer particles are not judged.
FEWEST_PARTICLES = 64
_SEARCHED_AT_ONCE = 32
#: Most decoys of each kind; fewer where all are searched globally.
_DECOYS_OF_KIND, _SEARCHED_DECOYS_OF_KIND = 80, 40
#: Shifts at which the best pose of a decoy is looked for, in radii of gyration.
_REACH_OF_DECOYS = 0.4
#: Level of the bound of the error.
_LEVEL = 0.9


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
        self._known: Optional[Tuple[Refinement, Twin, UnfinishedResults]] = None

    def hopeful(self, results: Results) -> np.ndarray:
        """(N,) bool: images whose global search may find the particle.

        results : before the global search.
        """
        _, twin, state = self._twin(results)
        classifier = self._classifier(twin, state.finish(0.0))
        junk = classifier.estimate(features(results, self._refinement.group)).probability
        chosen = junk < 1.0 - HOPELESS
        doubtful = global_search.doubtful(results.refined)
        hopeless = doubtful[~chosen[doubtful]]
        best = hopeless[np.argsort(junk[hopeless], kind="stable")]
        chosen[best[: len(junk) // _ONE_IN_HOPELESS]] = True
        return chosen

    def estimate(self, results: Results) -> JunkEstimate:
        """Junk among the particles, from their final poses."""
        refinement, twin, state = self._twin(results)
        if results.searched is not None and len(results.searched):
            self._search_twin(refinement, twin, state, results)
        return self._classifier(twin, state.finish(0.0)).estimate(
            features(results, self._refinement.group)
        )

    def scores(self, results: Results, estimate: JunkEstimate) -> Dict[str, np.ndarray]:
        """The columns that follow from the twin: junk, wrong poses, expected errors and their bound.

        Parameters
        ----------
        results : of the set.
        estimate : of its junk.
        """
        _, twin, state = self._twin(results)
        blank, group = self._refinement.images.grey.blank, self._refinement.group
        junk = np.where(blank, 1.0, estimate.probability)
        wrong = 1.0 - (1.0 - results.refined.wrong_basin) * (1.0 - estimate.wrong_pose)
        wrong = np.where(blank, 1.0, wrong)

        basin, error = (_expected_deg(r.refined) for r in (results, state.finish(0.0)))
        found = self._error_deg(twin, state.finish(0.0))[twin.is_particle]
        ratio = found / np.maximum(error[twin.is_particle], 1e-9)
        right = found <= np.maximum(_WRONG_DEG, _WRONG_ERRORS * error[twin.is_particle])
        return {
            JUNK: junk,
            WRONG_BASIN: 1.0 - (1.0 - wrong) * (1.0 - junk),
            EXPECTED_ERROR: error_with_wrong_poses(basin, wrong, group),
            BASIN_ERROR: basin,
            ERROR_BOUND: error_bound_deg(basin, wrong, ratio[right] if right.any() else ratio),
        }

    def _error_deg(self, twin: Twin, results: Results) -> np.ndarray:
        """(M,) true errors of the twin's poses; without meaning for decoys."""
        rotations = results.refined.rotations, np.asarray(twin.table.rotations)
        return np.rad2deg(symmetric_distance_rad(*rotations, self._refinement.group))

    def _twin(self, results: Results) -> Tuple[Refinement, Twin, UnfinishedResults]:
        if self._known is None:
            own = self._refinement
            reach = (own.global_settings or own.settings).search_shift_px
            number = _DECOYS_OF_KIND if self._searching else _SEARCHED_DECOYS_OF_KIND
            twin = simulate_twin(own, results, self._folder, self._seed, reach, number)
            logger.info(
                "refine: %d simulated images, %d of them junk, show what junk looks like.",
                len(twin.kind),
                np.count_nonzero(~twin.is_particle),
            )
            images = _images(own, twin)
            refinement = own.with_particles(twin.table, images, self._starts_of(twin.table))

            groups = np.unique(own.table.optics_index)
            names = [own.table.optics[group].name for group in groups]
            drawn = [groups[names.index(optics.name)] for optics in twin.table.optics]
            state = UnfinishedResults(
                self._folder,
                len(twin.table),
                twin_spectra(np.array(drawn), results),
                refinement.starts.score_shapes,
            )
            pieces = batches(twin.table, self._batch_size, 0)
            for rows, batch in in_order(
                lambda rows: refinement.refine(rows, state.spectra), pieces, own.threads
            ):
                _put(state, rows, batch)
            if not self._searching:
                self._search_decoys(refinement, twin, state)
            self._known = refinement, twin, state
        return self._known

    def _search_twin(
        self, refinement: Refinement, twin: Twin, state: UnfinishedResults, results: Results
    ) -> None:
        """The global search of the twin's doubtful images, by the same rule as that of the set."""
        first = state.finish(0.0)
        junk = self._classifier(twin, first).estimate(features(results, self._refinement.group))
        rows = global_search.doubtful(first.refined)
        rows = rows[junk.twin_probability[rows] < 1.0 - HOPELESS]
        if len(rows):
            _search(refinement, rows, state)

    @staticmethod
    def _search_decoys(refinement: Refinement, twin: Twin, state: UnfinishedResults) -> None:
        """Give decoys their best pose of all, as junk of a set with poses has it."""
        refinement = copy.copy(refinement)
        reach = _REACH_OF_DECOYS * refinement.radius_px
        refinement.global_settings = global_search.settings(reach)
        _search(refinement, np.flatnonzero(~twin.is_particle), state)

    def _classifier(self, twin: Twin, results: Results) -> JunkClassifier:
        group = self._refinement.group
        kind = twin.kind.astype(object)
        error, expected = self._error_deg(twin, results), _expected_deg(results.refined)
        wrong = twin.is_particle & (error > np.maximum(_WRONG_DEG, _WRONG_ERRORS * expected))
        if FEWEST_WRONG <= wrong.sum() <= twin.is_particle.sum() - FEWEST_WRONG:
            kind[wrong] = WRONG_POSE
        return JunkClassifier(features(results, group), kind.astype(str), self._seed)


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


def _expected_deg(refined: Refined) -> np.ndarray:
    variance = np.einsum("bii->bi", refined.covariance)
    return np.rad2deg(np.sqrt(variance[:, :3].sum(axis=1)))


def write_decoys(folder: Folder, estimate: JunkEstimate) -> None:
    """Write decoys.npz: the junk probabilities of the set and of the decoys, with their kinds."""
    decoys = ~np.isin(estimate.twin_kind, (PARTICLE, WRONG_POSE))
    with folder.atomic(DECOYS_NAME) as part, open(part, "wb") as handle:
        np.savez(
            handle,
            score_set=estimate.probability,
            score_decoys=estimate.twin_probability[decoys],
            kind_decoys=estimate.twin_kind[decoys].astype(str),
        )


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


def _search(refinement: Refinement, rows: np.ndarray, state: UnfinishedResults) -> None:
    """Search images globally, and keep what fits better."""
    gain = state.refined.gain.copy()
    pieces = [rows[part] for part in batches(refinement.table.take(rows), _SEARCHED_AT_ONCE, 0)]
    for part, batch in in_order(
        lambda part: refinement.search_globally(part, state.spectra), pieces, refinement.threads
    ):
        _put(state, part, batch, global_search.improved(gain[part], batch.refined))


def _put(
    state: UnfinishedResults,
    rows: np.ndarray,
    batch: RefinedBatch,
    which: Union[np.ndarray, slice] = slice(None),
) -> None:
    state.put(
        rows[which], batch.refined.take(which), batch.residual[which], batch.statistics[which]
    )
    state.put_scores(rows, batch.start_scores)


def _images(refinement: Refinement, twin: Twin) -> ResampledImages:
    """The twin's images; decoys do not change what grey values are usual."""
    grid, source = refinement.grid, refinement.images.grey.usual
    particles = ResampledImages(
        twin.table.take(twin.is_particle), grid.box_size_px, grid.pixel_size_angstrom
    )
    usual = dataclasses.replace(particles.grey.usual, gains_differ=source.gains_differ)
    return ResampledImages(twin.table, grid.box_size_px, grid.pixel_size_angstrom, usual)
