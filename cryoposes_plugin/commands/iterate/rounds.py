"""Rounds of refinement and reconstruction, each half of the particles with a map of its own.

Both halves start from one map, low-pass filtered. Everything finer in a half's map comes from the
images of that half, so the Fourier shell correlation of the two maps is independent beyond the
filter. The rounds end when that correlation stops improving.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...core.fourier.filters import low_pass
from ...core.fourier.masks import soft_sphere
from ...core.geometry.symmetry import symmetry_rotations
from ...core.io.error_log import not_fatal
from ...core.io.folder import Folder
from ...core.io.mrc import write_volume
from ...core.io.names import HALF1_NAME, HALF2_NAME, PARTICLES_NAME, VOLUME_NAME
from ...core.io.particle_files import read_particles, write_particle_results, write_particles
from ...core.io.state_files import remove_state
from ...core.maps.fsc import HalfMapFsc, half_map_fsc
from ...core.particles.grids import Grid, common_grid, working_grid
from ...core.particles.halves import half_sets
from ...core.reconstruction.fourier_method import Maps, fourier_maps
from ...core.reconstruction.particles import ReconstructionParticles
from ...core.refinement.multi_start import Settings
from ...core.refinement.network_starts import NetworkStarts, search_reach_px
from ...core.refinement.refinement import NoAgreement, Refinement, refine_all
from ...core.refinement.results import with_poses
from ...core.refinement.starts import CombinedStarts, GivenStarts, Starts
from ...core.scores import COVARIANCE, POSE_SOURCE
from ...core.types import ParticleTable, Volume
from ..infer.inputs import ModelInputs
from ..reconstruct import report
from ..reconstruct.views import measured_views, view_numbers

logger = logging.getLogger(__name__)

_MAP_NAMES = (VOLUME_NAME, HALF1_NAME, HALF2_NAME)
#: Default diameter of the mask on the references, as a share of the box: wider than the mask of
#: `reconstruct`, which only measures, since density cut off here would be lost to the next round.
_MASK_SHARE = 0.9
#: References are filtered at the resolution where the FSC of the half maps falls below this.
_REFERENCE_FSC = 0.143
#: The area under the FSC, in shells, must grow by this much for another round.
_LEAST_GROWTH_SHELLS = 0.1


@dataclass(frozen=True)
class RoundSettings:
    """How the rounds are done.

    low_pass_angstrom : resolution at which the starting volume is filtered.
    rounds : the largest number of rounds.
    symmetry : point group to impose.
    mask_diameter_angstrom : of the soft sphere that the references are masked with; None: 90 % of
        the box.
    mask : that they are masked with instead, on the grid of the images.
    working_box_px : box that larger images are binned to for the refinement; None: the default of
        `working_grid`.
    hypotheses, max_shift_px : with a network: the largest number of its orientations for each
        particle, and the largest shift in pixels of the images.
    batch_size : number of images worked on at once.
    seed : of the half sets, of samples and of random phases.
    threads : 0 takes all cores.
    """

    low_pass_angstrom: float
    rounds: int
    symmetry: str = "C1"
    mask_diameter_angstrom: Optional[float] = None
    mask: Optional[Volume] = None
    working_box_px: Optional[int] = None
    hypotheses: int = 64
    max_shift_px: float = 8.0
    batch_size: int = 256
    seed: int = 0
    threads: int = 0


@dataclass(frozen=True)
class Reference:
    """A map, and the resolution in Å at which it is filtered."""

    volume: Volume
    resolution_angstrom: float


@dataclass(frozen=True)
class Start:
    """The starting point of the rounds.

    table : particles with their half sets. half : (N,) half sets, 1 or 2. half_drawn : whether they
        were drawn here.
    given, volume : the starting volume as it was given, and filtered. group : (G, 3, 3) its
        symmetry. grid : on which images and maps are compared.
    network : proposes poses in every round, if there is one; otherwise the particles have poses.
    """

    table: ParticleTable
    half: np.ndarray
    half_drawn: bool
    given: Volume
    volume: Volume
    group: np.ndarray
    grid: Grid
    network: Optional[ModelInputs] = None


@dataclass(frozen=True)
class Round:
    """A finished round: its particles with their poses, its maps and the FSC of its half maps."""

    number: int
    table: ParticleTable
    maps: Maps
    fsc: HalfMapFsc

    @property
    def resolution_angstrom(self) -> float:
        """Where the FSC of the masked half maps falls below 0.143."""
        return self.fsc.resolution_angstrom("masked", _REFERENCE_FSC)

    @property
    def fsc_area_shells(self) -> float:
        """Area under the FSC of the masked half maps."""
        return float(np.clip(self.fsc.masked[1:], 0, None).sum())

    @property
    def metrics(self) -> Dict[str, float]:
        return {
            "round": self.number,
            "resolution_0143_angstrom": self.resolution_angstrom,
            "fsc_area_shells": self.fsc_area_shells,
        }


def make_start(
    table: ParticleTable,
    volume: Volume,
    settings: RoundSettings,
    network: Optional[ModelInputs] = None,
) -> Start:
    """Draw half sets unless the particles have them, and filter the starting volume.

    Parameters
    ----------
    table : particles, with poses unless there is a network.
    volume : to start from.
    settings : of the rounds.
    network : that proposes poses, with the same particles.
    """
    half, drawn = half_sets(table, settings.seed)
    pixel = volume.pixel_size_angstrom
    filtered = Volume(low_pass(volume.data, pixel, settings.low_pass_angstrom), pixel)
    return Start(
        table.replace(random_subset=half),
        half,
        drawn,
        volume,
        filtered,
        symmetry_rotations(settings.symmetry),
        working_grid(table, settings.working_box_px),
        network,
    )


def refine_in_rounds(
    settings: RoundSettings, folder: Folder, start: Start
) -> Tuple[Round, List[Dict[str, float]]]:
    """The best round, and the metrics of all rounds.

    Every round leaves its particles and maps in a folder of its own; an interrupted run continues
    after the last finished round.

    Raises
    ------
    NoAgreement : where images and starting volume have nothing in common.
    """
    first = Reference(start.volume, settings.low_pass_angstrom)
    table, references = start.table, (first, first)
    best: Optional[Round] = None
    history: List[Dict[str, float]] = []

    for number in range(1, settings.rounds + 1):
        try:
            table, maps = _round(settings, folder, start, number, table, references)
        except NoAgreement as error:
            if best is None:
                raise
            logger.warning("iterate: round %d ended the iteration: %s", number, error)
            break

        done = Round(number, table, maps, _fsc(settings, table, maps))
        history.append(done.metrics)
        logger.info("iterate: round %d: %.2f Å at FSC 0.143.", number, done.resolution_angstrom)
        if best is not None and done.fsc_area_shells < best.fsc_area_shells + _LEAST_GROWTH_SHELLS:
            break
        best, references = done, _references(settings, done)

    if best is None:
        raise ValueError(f"expected at least one round, received {settings.rounds}")
    return best, history


def write_best_round(
    settings: RoundSettings,
    folder: Folder,
    start: Start,
    best: Round,
    history: List[Dict[str, float]],
    told: Sequence[str] = (),
) -> Dict[str, Any]:
    """Write the maps, the particles, the FSC and the report of the best round; returns the metrics
    of the rounds.

    Parameters
    ----------
    settings, start : of the rounds.
    folder : of the results.
    best, history : what `refine_in_rounds` returned.
    told : notes for the report, before all others.
    """
    particles = ReconstructionParticles.on_common_grid(best.table, start.half)
    for name, data in zip(_MAP_NAMES, best.maps):
        write_volume(folder.file(name), data, particles.pixel_size_angstrom)
    # the rounds read their particles from STAR files, which hold no records
    table = best.table.replace(records=start.table.records)
    write_particle_results(folder, PARTICLES_NAME, table)
    report.write_fsc(folder, best.fsc, None)

    metrics = report.metrics_of(
        particles,
        best.fsc,
        None,
        half_drawn=start.half_drawn,
        symmetry=settings.symmetry,
        method="fourier",
    )
    mask = _mask(settings, particles.box_size_px, particles.pixel_size_angstrom)
    first, second = (half * mask for half in best.maps[1:])
    weights = (~particles.images.grey.blank).astype(np.float64)
    views = measured_views(particles.rotations, weights, settings.symmetry, first, second)
    metrics.update(
        view_numbers(views),
        rounds=len(history),
        best_round=best.number,
        low_pass_angstrom=settings.low_pass_angstrom,
    )
    with not_fatal(folder.path, "its report"):
        report.write_page(folder, particles, best.fsc, best.maps[0], None, views, metrics, told)
    return {**metrics, "history": history}


# ---- one round --------------------------------------------------------------------------------


def _round(
    settings: RoundSettings,
    folder: Folder,
    start: Start,
    number: int,
    table: ParticleTable,
    references: Tuple[Reference, Reference],
) -> Tuple[ParticleTable, Maps]:
    """Refined particles and maps; the particles are read from the round's file, whether it is new
    or not.
    """
    inside = folder.inside(f"round_{number:02d}")
    star = inside.file(PARTICLES_NAME)
    if not star.exists():
        for half in (1, 2):
            table = refine_half(settings, inside, start, number, table, references[half - 1], half)
        write_particles(star, table)
        remove_state(inside.path)
    table = read_particles(star, require=("poses",))

    maps = fourier_maps(
        ReconstructionParticles.on_common_grid(table, start.half),
        settings.symmetry,
        batch_size=settings.batch_size,
        threads=settings.threads,
        scratch=inside.path,
    )
    for name, data in zip(_MAP_NAMES, maps):
        write_volume(inside.file(name), data, common_grid(table)[1])
    return table, maps


def refine_half(
    settings: RoundSettings,
    folder: Folder,
    start: Start,
    number: int,
    table: ParticleTable,
    reference: Reference,
    half: int,
) -> ParticleTable:
    """The table with the poses of one half refined against its own reference.

    Parameters
    ----------
    settings, start : of all rounds.
    folder : of this round.
    number : of this round, from 1.
    table : all particles, with the poses of the round before.
    reference : made from the images of this half alone.
    half : 1 or 2.
    """
    rows = np.flatnonzero(start.half == half)
    particles = table.take(rows)
    starts, reach = _starts(settings, start, number, particles, rows)

    refinement = Refinement(
        particles,
        reference.volume,
        start.grid,
        starts,
        start.group,
        Settings(search_shift_px=reach),
        # beyond its filter, a reference contains only interpolation errors
        reference.resolution_angstrom,
        threads=settings.threads,
    )
    results = refine_all(
        refinement, folder.inside(f"half{half}"), settings.batch_size, settings.seed
    )
    refined = with_poses(
        particles,
        results,
        start.grid.pixel_size_angstrom,
        refinement.images.grey.blank,
        start.group,
    )
    return merge(table, rows, refined, f"refined:half{half}")


def first_starts(settings: RoundSettings, start: Start) -> Tuple[Starts, float]:
    """Poses of all particles that the first round starts from, and how far around their shifts it
    looks, in pixels of the working grid.
    """
    return _starts(settings, start, 1, start.table, np.arange(len(start.table)))


def _starts(
    settings: RoundSettings, start: Start, number: int, particles: ParticleTable, rows: np.ndarray
) -> Tuple[Starts, float]:
    """Poses to start from, and how far around their shifts to look, in pixels of the working grid."""
    scale = particles.pixel_size_angstrom / start.grid.pixel_size_angstrom
    sources: List[Starts] = []
    reach = 0.0

    network = start.network
    if network is not None:
        factor = network.model.card.pixel_size_angstrom / start.grid.pixel_size_angstrom
        sources.append(NetworkStarts(network.model, network, settings.hypotheses, factor, rows))
        largest = settings.max_shift_px * float(scale.min()) / factor
        reach = search_reach_px(network.model, largest) * factor

    if number > 1 or network is None:
        sources.append(GivenStarts.of_particles(particles, start.grid.pixel_size_angstrom))
    return (sources[0] if len(sources) == 1 else CombinedStarts(sources)), reach


def merge(
    table: ParticleTable, rows: np.ndarray, refined: ParticleTable, source: str
) -> ParticleTable:
    """The table with poses, scores and pose source of some rows replaced.

    Parameters
    ----------
    table : N particles.
    rows : (M,) the rows to replace.
    refined : M particles with poses and scores.
    source : what their poses come from.
    """

    def put(whole: Optional[np.ndarray], values: np.ndarray) -> np.ndarray:
        out = np.zeros((len(table), *values.shape[1:])) if whole is None else np.array(whole)
        out[rows] = values
        return out

    texts: Dict[str, Any] = {POSE_SOURCE: source}
    if COVARIANCE in refined.extra:
        texts[COVARIANCE] = refined.extra[COVARIANCE]

    def put_texts(name: str, values: Any) -> np.ndarray:
        whole = table.extra.get(name, np.full(len(table), "none", dtype=object))
        out = np.array(whole, dtype=object)
        out[rows] = values
        return out

    scores = {name: put(table.scores.get(name), v) for name, v in refined.scores.items()}
    return table.replace(
        rotations=put(table.rotations, np.asarray(refined.rotations)),
        shifts_px=put(table.shifts_px, np.asarray(refined.shifts_px)),
        scores={**table.scores, **scores},
        extra={**table.extra, **{name: put_texts(name, values) for name, values in texts.items()}},
    )


# ---- between rounds ---------------------------------------------------------------------------


def _mask(settings: RoundSettings, box: int, pixel: float) -> np.ndarray:
    if settings.mask is not None:
        return settings.mask.data
    diameter = settings.mask_diameter_angstrom or _MASK_SHARE * box * pixel
    return soft_sphere(box, diameter / 2 / pixel)


def _fsc(settings: RoundSettings, table: ParticleTable, maps: Maps) -> HalfMapFsc:
    box, pixel = common_grid(table)
    statement = (
        "Each half was refined against its own map; both started from one map filtered at "
        f"{settings.low_pass_angstrom:g} Å: independent beyond that."
    )
    mask = _mask(settings, box, pixel)
    return half_map_fsc(maps[1], maps[2], pixel, mask, statement, settings.seed)


def _references(settings: RoundSettings, done: Round) -> Tuple[Reference, Reference]:
    """The half maps, masked and filtered at the resolution that they share."""
    pixel, resolution = done.fsc.pixel_size_angstrom, done.resolution_angstrom
    mask = _mask(settings, done.fsc.box_size_px, pixel)
    filtered = (Volume(low_pass(half * mask, pixel, resolution), pixel) for half in done.maps[1:])
    first, second = (Reference(volume, resolution) for volume in filtered)
    return first, second
