"""Refinement of a particle set against a map: first the spectra of each optics group, then the
poses in batches.
"""

from __future__ import annotations

import copy
import logging
import threading
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import InputError
from ..fourier.ctf import with_defocus_changed
from ..fourier.points import FourierPoints
from ..io.folder import Folder
from ..io.state_files import PeriodicSave
from ..likelihood.pose_likelihood import PoseLikelihood
from ..maps.size import radius_of_gyration_angstrom
from ..parallel import in_order
from ..particles.batches import ParticleBatches, batches
from ..particles.chunks import ChunkedWork, Divide, undivided
from ..particles.contrast import image_contrast, map_contrast
from ..particles.grids import Grid
from ..particles.images import ResampledImages
from ..progress import Progress
from ..scores import DEFOCUS_CHANGE, DEFOCUS_ERROR
from ..types import ParticleTable, Volume
from . import global_search
from .calibration import SAMPLE, agreement, calibrate
from .fit_statistics import NAMES, fit_statistics
from .multi_start import MultiStart, Refined, Settings
from .observations import Observations, ctf_at_points, observe
from .reference_bank import ReferenceBank, SliceTable
from .results import Results
from .search_grids import first_shell, stage_radii
from .spectra import Spectra, first_spectra
from .starts import StartingPoses, Starts
from .unfinished import UnfinishedResults
from .whitened_images import DefocusImages

logger = logging.getLogger(__name__)

#: Number of images on which `agreement` is tested, and its least value for images and map that
#: belong together.
AGREEMENT_SAMPLE, AGREEMENT = 128, 5.0
#: Fewer shells carry no information on the orientation: only the grey levels agree there.
_FEWEST_AGREEING = 3
#: A group with fewer particles takes the spectra of a larger one.
_FEWEST_FOR_OWN_SPECTRA = 30
#: Number of images in a batch of the global search.
_SEARCHED_AT_ONCE = 32


class NoAgreement(InputError):
    """Images and volume have nothing in common."""


class InvertedContrast(InputError):
    """Protein is white in the images and negative in the volume, or the reverse."""


class RefinedBatch(NamedTuple):
    """Poses of B particles.

    residual : (B,) mean |y - s m|^2 per degree of freedom, 1 where nothing but noise is left.
    statistics : (B, F), see `fit_statistics`; F = 0 if they were not asked for.
    start_scores : scores of the starts, (B, ...) by name.
    """

    refined: Refined
    residual: np.ndarray
    statistics: np.ndarray
    start_scores: Mapping[str, np.ndarray]


class Refinement:
    """Finds poses of a table's particles.

    Parameters
    ----------
    table : particles; their poses are not used.
    volume : in the frame of the starting poses.
    grid : on which images and volume are compared.
    starts : gives the poses to start from.
    group : (G, 3, 3) symmetry operations of the volume.
    settings : of the search about the starts.
    resolution_angstrom : of the finest detail to use; None: as far as images and volume agree.
    global_settings : how doubtful poses are compared with all orientations, see `global_search`;
        None: not at all.
    threads : that work on batches of their own; 0: one for each core.
    judged : whether the fits get the statistics by which junk is told.
    """

    def __init__(
        self,
        table: ParticleTable,
        volume: Volume,
        grid: Grid,
        starts: Starts,
        group: np.ndarray,
        settings: Settings,
        resolution_angstrom: Optional[float] = None,
        global_settings: Optional[Settings] = None,
        threads: int = 0,
        judged: bool = False,
    ):
        self.table, self.volume, self.grid, self.starts = table, volume, grid, starts
        self.group, self.settings, self.global_settings = group, settings, global_settings
        self.threads, self.judged = threads, judged
        self._map_contrast = map_contrast(volume.data)
        self.points = FourierPoints(grid.box_size_px)
        self.likelihood = PoseLikelihood(volume, self.points, grid.pixel_size_angstrom)
        self.images = ResampledImages(table, grid.box_size_px, grid.pixel_size_angstrom)
        self.radius_px = radius_of_gyration_angstrom(volume) / grid.pixel_size_angstrom

        view = grid.field_of_view_angstrom
        self._last_shell = self.points.number_of_shells - 1
        if resolution_angstrom is not None:
            self._last_shell = min(self._last_shell, max(1, int(view / resolution_angstrom)))
        self._first_shell = first_shell(view, self._last_shell)

        slices = None if starts.grid is None else SliceTable(self.likelihood, starts.grid)
        self._slice_table = slices
        self._bank: List[ReferenceBank] = []  # shared with `with_particles`
        self._lock = threading.Lock()

    @property
    def groups(self) -> List[int]:
        """Optics groups that have particles, the largest first."""
        groups, sizes = np.unique(self.table.optics_index, return_counts=True)
        return [int(group) for group in groups[np.argsort(-sizes, kind="stable")]]

    def observe(self, rows: np.ndarray) -> Observations:
        """Images of rows of one optics group."""
        particles = ParticleBatches(self.table, self.images)
        shape = (len(rows), len(self.points))
        observed = Observations(np.empty(shape, np.complex64), np.empty(shape, np.float32))
        for part in self.points.parts(len(rows)):
            batch = particles.read_batch(rows[part])
            some = observe(self.points, *batch, self.grid.pixel_size_angstrom)
            observed.coefficients[part] = some.coefficients
            observed.modulation[part] = some.modulation
        return observed

    def calibrate(self, seed: int) -> Dict[int, Spectra]:
        """Measure amplitude and noise of every optics group on a sample of its particles.

        A small group takes the spectra of a larger one, scaled to the power of its own images.
        Raises NoAgreement for a group whose images have nothing in common with the map.
        """
        spectra: Dict[int, Spectra] = {}
        power: Dict[int, float] = {}  # of the groups that were measured
        for group in self.groups:
            rows, observed = self._not_blank(self.sample(group, seed))
            size = np.count_nonzero(self.table.optics_index == group)
            larger = next((g for g in power if self._alike(g, group)), None)
            if size < _FEWEST_FOR_OWN_SPECTRA and larger is not None:
                spectra[group] = spectra[larger].times(observed.power / power[larger])
                continue
            spectra[group], power[group] = self._measured(group, rows, observed), observed.power
        return spectra

    def _measured(self, group: int, rows: np.ndarray, observed: Observations) -> Spectra:
        """Spectra of an optics group, on a sample of its images."""
        first = first_spectra(self.points, observed.coefficients, self._first_shell)
        starts = self.starts(rows).poses
        spectra = calibrate(self._search, observed, starts, first, self._last_shell, self.threads)
        if spectra.last_shell < _FEWEST_AGREEING or self._disagree(spectra, observed, rows):
            raise self._no_agreement(group)
        logger.info(
            "refine: optics group %s: map and images agree up to %.3g Å.",
            self.table.optics[group].name,
            self.grid.field_of_view_angstrom / spectra.last_shell,
        )
        return spectra

    def _no_agreement(self, group: int) -> InputError:
        """The reason: inverted contrast if images and map show it, otherwise what to check."""
        subject = (
            f"The particles of optics group {self.table.optics[group].name} have nothing in common "
            "with the volume"
        )
        contrast, (_, skewness) = (
            image_contrast(self.table, self.images.grey, group),
            self._map_contrast,
        )

        if contrast.opposite_to(skewness):
            return InvertedContrast(
                f"{subject} at any pose that was tried, and their contrasts are opposite: the "
                f"particles are {'darker' if contrast.effect < 0 else 'brighter'} than their "
                f"background by {abs(contrast.significance):.0f} standard errors "
                f"({contrast.number} images), and the skewness of the volume is {skewness:.1f}; "
                "multiply the one in which protein is negative by -1."
            )
        return NoAgreement(
            f"{subject} at any pose that was tried; check that the map belongs to them, that "
            "protein is white in the images, and their pixel size."
        )

    def _alike(self, group: int, other: int) -> bool:
        """Whether the images of two optics groups are in the same state."""
        optics = self.table.optics
        return optics[group].image_state == optics[other].image_state

    def _disagree(self, spectra: Spectra, observed: Observations, rows: np.ndarray) -> bool:
        few = slice(0, AGREEMENT_SAMPLE)
        starts = self.starts(rows[few]).poses
        return agreement(self._search(spectra), observed.take(few), starts) < AGREEMENT

    def sample(self, group: int, seed: int) -> np.ndarray:
        """Rows of some particles of an optics group."""
        rows = np.flatnonzero(self.table.optics_index == group)
        return np.sort(np.random.default_rng([seed, group]).permutation(rows)[:SAMPLE])

    def _not_blank(self, rows: np.ndarray) -> Tuple[np.ndarray, Observations]:
        """Those of the rows of an optics group whose images are not blank, and these images;
        InputError if all are blank.
        """
        observed = self.observe(rows)
        informative = self.images.grey.informative(rows)
        if not informative.any():
            raise InputError(
                "The images of optics group "
                f"{self.table.optics[self.table.optics_index[rows[0]]].name} are blank: none of "
                f"{len(rows)} has any contrast; give the stack that contains the particles, or "
                "remove them."
            )
        if informative.all():
            return rows, observed
        return rows[informative], observed.take(informative)

    def refine(self, rows: np.ndarray, spectra: Mapping[int, Spectra]) -> RefinedBatch:
        """The best poses of rows of one optics group, from their starts."""
        own = spectra[int(self.table.optics_index[rows[0]])]
        observed, starts = self.observe(rows), self.starts(rows)
        search = self._search(own)
        refined = search.refine(observed, starts.poses)
        if self.settings.defocus_prior_angstrom is None or self.table.ctf is None:
            return self._judged(refined, observed, own, starts)

        ctf, pixel = self.table.ctf.take(rows), self.grid.pixel_size_angstrom
        images = DefocusImages(self.likelihood, self.points, own, observed.coefficients, ctf, pixel)
        fit = search.refine_defocus(images, refined)
        changed = with_defocus_changed(ctf, fit.change)
        modulation = ctf_at_points(self.points, changed, len(rows), pixel)
        scores = {**starts.scores, DEFOCUS_CHANGE: fit.change, DEFOCUS_ERROR: fit.error}
        return self._judged(
            fit.refined,
            Observations(observed.coefficients, modulation),
            own,
            starts._replace(scores=scores),
        )

    @property
    def score_shapes(self) -> Dict[str, Tuple[int, ...]]:
        """Shape of each score that comes with the pose of an image, by name."""
        shapes = dict(self.starts.score_shapes)
        if self.settings.defocus_prior_angstrom is not None:
            shapes.update({DEFOCUS_CHANGE: (), DEFOCUS_ERROR: ()})
        return shapes

    def search_globally(self, rows: np.ndarray, spectra: Mapping[int, Spectra]) -> RefinedBatch:
        """As `refine`, from all orientations; only the shifts are those of the starts."""
        own = spectra[int(self.table.optics_index[rows[0]])]
        observed, starts = self.observe(rows), self.starts(rows)
        shifts_px = starts.poses.shifts_px[starts.poses.starts_image]
        search = self._search(own, self.global_settings)
        refined = search.search_globally(observed, shifts_px, self.bank())
        return self._judged(refined, observed, own, starts)

    def with_particles(
        self, table: ParticleTable, images: ResampledImages, starts: Starts
    ) -> Refinement:
        """The same for other particles, against the same map."""
        other = copy.copy(self)
        other.table, other.images, other.starts = table, images, starts
        return other

    def bank(self) -> ReferenceBank:
        """All orientations of the map; made when it is first needed."""
        with self._lock:
            if not self._bank:
                first = stage_radii(self.grid.box_size_px, self.radius_px, self._last_shell)[0]
                bank = ReferenceBank(self.likelihood, self.points, first, self.threads)
                self._bank.append(bank)
            return self._bank[0]

    def _judged(
        self, refined: Refined, observed: Observations, own: Spectra, starts: StartingPoses
    ) -> RefinedBatch:
        common = self.points, own, observed, refined
        statistics = np.zeros((len(refined.gain), 0))
        if self.judged:
            statistics = fit_statistics(self.likelihood, *common, self.radius_px)
        return RefinedBatch(refined, residuals(*common), statistics, starts.scores)

    def _search(self, spectra: Spectra, settings: Optional[Settings] = None) -> MultiStart:
        settings = settings or self.settings
        return MultiStart(
            self.likelihood,
            self.points,
            spectra,
            self.radius_px,
            self.group,
            settings,
            self._slice_table,
        )


def residuals(
    points: FourierPoints, spectra: Spectra, observed: Observations, refined: Refined
) -> np.ndarray:
    """(B,) chi-square per degree of freedom; orientation, shift and scale take six.

    Parameters
    ----------
    points : of images and map.
    spectra : of the optics group.
    observed : B images.
    refined : their poses.
    """
    y, _ = observed.whitened(points, spectra)
    used = 2 * np.count_nonzero(spectra.amplitude[points.shell] > 0)
    power = np.einsum("bp,bp->b", y.real, y.real) + np.einsum("bp,bp->b", y.imag, y.imag)
    return (power - refined.gain) / max(used - 6, 1)


def refine_all(
    refinement: Refinement,
    folder: Folder,
    batch_size: int,
    seed: int,
    hopeful: Optional[Callable[[Results], np.ndarray]] = None,
    divide: Divide = undivided,
) -> Results:
    """Refine all particles; continues where an interrupted run in the same folder stopped.

    Parameters
    ----------
    refinement : of the particles.
    folder : where the state of the work is saved.
    batch_size : the largest number of particles that are worked on at once by a thread.
    seed : of the sample on which spectra are measured.
    hopeful : (N,) bool from the results before the global search: images that may show the map, so
        that a global search of a doubtful pose can gain; default: all.
    divide : may do the work in chunks.
    """
    number, shapes = len(refinement.table), refinement.score_shapes
    shells = refinement.points.number_of_shells
    statistics = len(NAMES) if refinement.judged else 0
    state = UnfinishedResults.load(folder, number, refinement.groups, shells, shapes, statistics)
    if state is None:
        state = UnfinishedResults(folder, number, refinement.calibrate(seed), shapes, statistics)
    done = min(state.rows_done, number)
    if done:
        logger.info("Resuming after %d of %d particles.", done, number)

    def refine_part(state: UnfinishedResults, rows: np.ndarray) -> Iterator[np.ndarray]:
        return refine_rows(refinement, state, batch_size, state.rows_done, rows)

    left = np.concatenate([np.zeros(0, np.int64), *batches(refinement.table, batch_size, done)])
    work = _chunked("poses", refinement, state, left, batch_size, refine_part)
    rate = divide(work)
    if rate is None:
        pieces = refine_rows(refinement, state, batch_size, done)
        rate = _work_off(pieces, state, Progress(number, "particles", "refine", done=done))

    if state.sure is None:
        state.sure = np.setdiff1d(np.arange(number), global_search.doubtful(state.refined))
    if refinement.global_settings is not None:
        _search_doubtful_globally(refinement, state, hopeful, divide)
    return state.finish(rate)


def _search_doubtful_globally(
    refinement: Refinement,
    state: UnfinishedResults,
    hopeful: Optional[Callable[[Results], np.ndarray]],
    divide: Divide,
) -> None:
    """Compare the images of doubtful poses with all orientations, and take what fits better."""
    if state.searched is None:
        rows = global_search.doubtful(state.refined)
        if hopeful is not None and len(rows):
            rows = rows[hopeful(state.finish(0.0))[rows]]
        state.searched = rows
        state.save()
    searched, done = state.searched, state.rows_done - len(refinement.table)
    if len(searched):
        logger.info(
            "refine: the images of %d doubtful poses are compared with all orientations.",
            len(searched),
        )

    def search_part(state: UnfinishedResults, rows: np.ndarray) -> Iterator[np.ndarray]:
        return search_rows(refinement, state, np.arange(len(rows)), state.rows_done, rows)

    parts = batches(refinement.table.take(searched), _SEARCHED_AT_ONCE, done)
    left = searched[np.concatenate([np.zeros(0, np.int64), *parts])]
    work = _chunked("search", refinement, state, left, _SEARCHED_AT_ONCE, search_part)
    if divide(work) is None:
        pieces = search_rows(refinement, state, searched, done)
        _work_off(pieces, state, Progress(len(searched), "particles", "global search", done=done))


def _chunked(
    name: str,
    refinement: Refinement,
    state: UnfinishedResults,
    rows: np.ndarray,
    step: int,
    work_on: Callable[[UnfinishedResults, np.ndarray], Iterator[np.ndarray]],
) -> ChunkedWork:
    """Work on rows whose results are added to the state.

    Parameters
    ----------
    name, rows, step : see `ChunkedWork`.
    refinement, state : of all particles.
    work_on : does the rows of a state of their own; yields the places in it of each batch.
    """

    def do(folder: Folder, rows: np.ndarray) -> None:
        part = state.part(folder, rows)
        progress = Progress(len(rows), "particles", name, done=part.rows_done)
        _work_off(work_on(part, rows), part, progress)
        part.save()

    def take(folder: Folder, rows: np.ndarray) -> None:
        state.put_part(rows, state.part(folder, rows))
        state.rows_done += len(rows)

    last = name != "poses" or refinement.global_settings is None
    return ChunkedWork(
        name, rows, refinement.table.ids, state.save, do, take, refinement.images, last, step
    )


def _work_off(pieces: Iterator[np.ndarray], state: UnfinishedResults, progress: Progress) -> float:
    """Do all pieces, and save their results now and then; returns the particles per second."""
    save = PeriodicSave(state.save)
    for rows in pieces:
        progress.advance(len(rows))
        state.rows_done += len(rows)
        save.if_due()
    return progress.rate


def refine_rows(
    refinement: Refinement,
    state: UnfinishedResults,
    batch_size: int,
    done: int = 0,
    rows: Optional[np.ndarray] = None,
) -> Iterator[np.ndarray]:
    """Refine all particles of a state but the first `done`; yields the places in the state of each
    batch.

    Parameters
    ----------
    refinement : of the particles.
    state : of their results.
    batch_size : the largest number of particles of a batch.
    done : see `batches`.
    rows : (M,) of the particles that the state is of; default: all.
    """
    table = refinement.table if rows is None else refinement.table.take(rows)
    own = np.arange(len(table)) if rows is None else rows
    batch_size = min(batch_size, refinement.points.images_at_once)
    pieces = batches(table, batch_size, done)
    for places, batch in in_order(
        lambda places: refinement.refine(own[places], state.spectra), pieces, refinement.threads
    ):
        _put(state, places, batch, np.ones(len(places), dtype=bool))
        yield places


def search_rows(
    refinement: Refinement,
    state: UnfinishedResults,
    searched: np.ndarray,
    done: int = 0,
    rows: Optional[np.ndarray] = None,
) -> Iterator[np.ndarray]:
    """Search some particles globally and keep what fits better; yields the places of each batch.

    Parameters
    ----------
    refinement : of the particles.
    state : of their results.
    searched : places of the particles in the state.
    done : see `batches`.
    rows : (M,) of the particles that the state is of; default: all.
    """
    own = np.arange(len(refinement.table)) if rows is None else rows
    table = refinement.table.take(own[searched])
    pieces = [searched[part] for part in batches(table, _SEARCHED_AT_ONCE, done)]
    for places, batch in in_order(
        lambda places: refinement.search_globally(own[places], state.spectra),
        pieces,
        refinement.threads,
    ):
        better = global_search.improved(state.refined.gain[places], batch.refined)
        _put(state, places, batch, better)
        yield places


def _put(
    state: UnfinishedResults, rows: np.ndarray, batch: RefinedBatch, chosen: np.ndarray
) -> None:
    """The scores of all rows of a batch, and the poses of the chosen ones (B,) bool."""
    state.put(
        rows[chosen], batch.refined.take(chosen), batch.residual[chosen], batch.statistics[chosen]
    )
    state.put_scores(rows, batch.start_scores)
