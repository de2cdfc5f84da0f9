"""Refinement of a particle set against a map: a grid to work on, spectra of each optics group, then batch by batch."""

from __future__ import annotations

import logging
import threading
from typing import Callable, Dict, Optional, Tuple

import numpy as np

from ..errors import InputError
from ..fourier.points import FourierPoints
from ..io.folder import Folder
from ..io.state_files import PeriodicSave
from ..maps.size import radius_of_gyration_px
from ..parallel import in_order
from ..particles.batches import batches
from ..particles.contrast import image_contrast, map_contrast
from ..particles.grids import Grid
from ..particles.images import ResampledImages
from ..progress import Progress
from ..types import ParticleTable, Volume
from . import global_search as second_look
from .calibration import SAMPLE, agreement, calibrate
from .levenberg_marquardt import Poses
from .likelihood import PoseLikelihood
from .multi_start import MultiStart, Refined, Settings
from .observations import Observations, observe
from .reference_bank import Everywhere
from .results import Results, load
from .slice_table import SliceTable
from .spectra import Spectra, first_spectra
from .stages import stage_radii

logger = logging.getLogger(__name__)

#: Before the noise is known, only frequencies up to this are looked at, in Å ...
_FIRST_RESOLUTION_ANGSTROM = 20.0
#: ... and in any case so many shells.
_FEWEST_SHELLS = 8

#: Images and map belong together if `agreement` on so many of the images is at least this.
AGREEMENT_SAMPLE, AGREEMENT = 128, 5.0
#: Fewer shells hold no orientation: what agrees there is a difference of level.
_FEWEST_AGREEING = 3
#: An optics group with fewer particles measures no spectra of its own where a larger one has.
_FEWEST_OF_ITS_OWN = 30
_AGAIN_AT_ONCE = 32

#: rows of the table -> starting poses, `particle` counting within the rows; shifts in pixels of the working grid
Starts = Callable[[np.ndarray], Poses]


class NoAgreement(InputError):
    """Images and volume have nothing in common."""


class InvertedContrast(InputError):
    """Protein is white in the images and negative in the volume, or the reverse."""


class Refinement:
    """Finds poses of a table's particles.

    Parameters
    ----------
    table : particles; their poses are not used. volume : in the frame of the starting poses.
    starts : gives the poses to start from.
    group : (G, 3, 3) symmetry operations of the volume. resolution_angstrom : of the finest detail to use, or None.
    again : how doubtful poses are compared with all orientations, see `second_look`; None for no second look.
    start_grid : (G, 3, 3) rotations that `Poses.on_grid` of the starts counts, or None.
    threads : that work on batches of their own; 0: one for each core.
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
        again: Optional[Settings] = None,
        start_grid: Optional[np.ndarray] = None,
        threads: int = 0,
    ):
        self.table, self.grid, self.starts = table, grid, starts
        self.group, self.settings, self.again = group, settings, again
        self.threads = threads
        self._map_contrast = map_contrast(volume.data)
        self.points = FourierPoints(grid.box_size_px)
        self.likelihood = PoseLikelihood(volume, self.points, grid.pixel_size_angstrom)
        self.images = ResampledImages(table, grid.box_size_px, grid.pixel_size_angstrom)
        self.radius_px = (
            radius_of_gyration_px(volume.data)
            * volume.pixel_size_angstrom
            / grid.pixel_size_angstrom
        )
        view = grid.field_of_view_angstrom
        self._last_shell = self.points.number_of_shells - 1
        if resolution_angstrom is not None:
            self._last_shell = min(self._last_shell, max(1, int(view / resolution_angstrom)))
        self._first_shell = min(
            max(_FEWEST_SHELLS, int(view / _FIRST_RESOLUTION_ANGSTROM)), self._last_shell
        )
        self.spectra: Dict[int, Spectra] = {}
        self._everywhere: Optional[Everywhere] = None
        self._lock = threading.Lock()
        self._slice_table = None if start_grid is None else SliceTable(self.likelihood, start_grid)

    def observe(self, rows: np.ndarray) -> Observations:
        """Images of rows of one optics group."""
        table = self.table
        ctf = None if table.ctf is None else table.ctf.take(rows)
        state = table.optics[table.optics_index[rows[0]]].image_state
        return observe(
            self.points, self.images.read(rows), ctf, state, self.grid.pixel_size_angstrom
        )

    def calibrate(self, seed: int) -> None:
        """Measure amplitude and noise of every optics group on a sample of its particles, the largest group first.

        A group of a few particles takes those of a larger one, at the power of its own images. NoAgreement for a group
        whose images have nothing in common with the map.
        """
        groups, sizes = np.unique(self.table.optics_index, return_counts=True)
        order = np.argsort(-sizes, kind="stable")
        power: Dict[int, float] = {}  # of the groups that were measured
        for group, size in zip(groups[order], sizes[order]):
            if int(group) in self.spectra:
                continue
            rows = self._telling(self.sample(int(group), seed))
            observed = self.observe(rows)
            larger = next((g for g in power if self._alike(g, int(group))), None)
            if size < _FEWEST_OF_ITS_OWN and larger is not None:
                self.spectra[int(group)] = self.spectra[larger].times(
                    observed.power / power[larger]
                )
                continue
            first = first_spectra(self.points, observed.coefficients, self._first_shell)
            spectra = calibrate(
                self._search, observed, self.starts(rows), first, self._last_shell, self.threads
            )
            if spectra.last_shell < _FEWEST_AGREEING or self._disagree(spectra, observed, rows):
                raise self._no_agreement(int(group))
            logger.info(
                "refine: optics group %s: map and images agree up to %.3g Å.",
                self.table.optics[group].name,
                self.grid.field_of_view_angstrom / spectra.last_shell,
            )
            self.spectra[int(group)], power[int(group)] = spectra, observed.power

    def _no_agreement(self, group: int) -> InputError:
        """Why: the contrast where images and map tell that one of them is inverted, else what there is to check."""
        subject = f"The particles of optics group {self.table.optics[group].name} have nothing in common with the volume"
        contrast, (_, skewness) = (
            image_contrast(self.table, self.images.grey, group),
            self._map_contrast,
        )
        if contrast.opposite_to(skewness):
            return InvertedContrast(
                f"{subject} at any pose that was tried, and their contrast is opposite to its: the particles are "
                f"{'darker' if contrast.effect < 0 else 'brighter'} than their background by "
                f"{abs(contrast.significance):.0f} standard errors ({contrast.number} images), and the skewness of the "
                f"volume is {skewness:.1f}; multiply the one of which protein is negative by -1."
            )
        return NoAgreement(
            f"{subject} at any pose that was tried; check that the map belongs to them, that protein is white in "
            "the images, and their pixel size."
        )

    def _alike(self, group: int, other: int) -> bool:
        """Whether the images of two optics groups are in the same state."""
        optics = self.table.optics
        return optics[group].image_state == optics[other].image_state

    def _disagree(self, spectra: Spectra, observed: Observations, rows: np.ndarray) -> bool:
        few = slice(0, AGREEMENT_SAMPLE)
        return (
            agreement(self._search(spectra), observed.take(few), self.starts(rows[few])) < AGREEMENT
        )

    def sample(self, group: int, seed: int) -> np.ndarray:
        """Rows of some particles of an optics group."""
        rows = np.flatnonzero(self.table.optics_index == group)
        return np.sort(np.random.default_rng([seed, group]).permutation(rows)[:SAMPLE])

    def _telling(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows of an optics group whose images are not blank; InputError if all are."""
        self.images.read(rows)
        tells = self.images.grey.tells(rows)
        if not tells.any():
            raise InputError(
                f"The images of optics group {self.table.optics[self.table.optics_index[rows[0]]].name} are blank: "
                f"none of {len(rows)} has any contrast; give the stack that holds the particles, or remove them."
            )
        return rows[tells]

    def refine(self, rows: np.ndarray) -> Tuple[Refined, np.ndarray]:
        """The best poses of rows of one optics group, and the residual of each: mean |y - s m|^2 per degree of freedom,
        1 where nothing but noise is left."""
        spectra = self.spectra[int(self.table.optics_index[rows[0]])]
        observed = self.observe(rows)
        refined = self._search(spectra).refine(observed, self.starts(rows))
        return refined, residuals(self.points, spectra, observed, refined)

    def refine_everywhere(self, rows: np.ndarray) -> Tuple[Refined, np.ndarray]:
        """As `refine`, from all orientations; only the shifts are those of the starts."""
        spectra = self.spectra[int(self.table.optics_index[rows[0]])]
        observed, starts = self.observe(rows), self.starts(rows)
        shifts_px = starts.shifts_px[starts.starts_image]
        refined = self._search(spectra, self.again).refine_everywhere(
            observed, shifts_px, self._all_orientations()
        )
        return refined, residuals(self.points, spectra, observed, refined)

    def _all_orientations(self) -> Everywhere:
        with self._lock:
            if self._everywhere is None:
                first = stage_radii(self.grid.box_size_px, self.radius_px, self._last_shell)[0]
                self._everywhere = Everywhere(self.likelihood, self.points, first, self.threads)
            return self._everywhere

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
    """(B,) chi-square per degree of freedom; pose, shift and scale take six."""
    y, _ = observed.whitened(points, spectra)
    used = 2 * np.count_nonzero(spectra.amplitude[points.shell] > 0)
    power = np.einsum("bp,bp->b", y.real, y.real) + np.einsum("bp,bp->b", y.imag, y.imag)
    return (power - refined.gain) / max(used - 6, 1)


def refine_all(
    refinement: Refinement,
    run: Folder,
    batch_size: int,
    seed: int,
    filled: Optional[Dict[str, np.ndarray]] = None,
) -> Tuple[Results, float]:
    """Results of all particles, and particles a second; goes on where an interrupted run stood.

    filled : arrays that the starts fill in on the way; they are saved and restored too.
    """
    number, filled = len(refinement.table), filled or {}
    results, refinement.spectra, before = load(run, number, filled) or (
        Results.empty(number),
        {},
        {},
    )
    for name, values in before.items():
        filled[name][:] = values
    done = min(results.rows_done, number)
    if done:
        logger.info("Resuming after %d of %d particles.", done, number)
    refinement.calibrate(seed)
    save = PeriodicSave(lambda: results.save(run, refinement.spectra, filled))
    progress = Progress(number, "particles", "refine", done=done)
    parts = batches(refinement.table, batch_size, done)
    for rows, found in in_order(refinement.refine, parts, refinement.threads):
        results.put(rows, *found)
        progress.advance(len(rows))
        results.rows_done += len(rows)
        save.if_due()
    if refinement.again is not None:
        _look_again(refinement, results, save)
    return results, progress.rate


def _look_again(refinement: Refinement, results: Results, save: PeriodicSave) -> None:
    """The second look, whose rows are counted after those of the first."""
    if results.again is None:
        results.again = second_look.doubtful(results.refined)
        save.now()
    again = results.again
    if again is None or not len(again):
        return
    logger.info("refine: %d particles are looked at again, from all orientations.", len(again))
    done = results.rows_done - len(refinement.table)
    parts = [again[part] for part in batches(refinement.table.take(again), _AGAIN_AT_ONCE, done)]
    progress = Progress(len(again), "particles", "second look", done=done)
    for rows, (refined, residual) in in_order(
        refinement.refine_everywhere, parts, refinement.threads
    ):
        better = second_look.improved(results.refined.gain[rows], refined)
        results.put(rows[better], refined.take(better), residual[better])
        progress.advance(len(rows))
        results.rows_done += len(rows)
        save.if_due()
