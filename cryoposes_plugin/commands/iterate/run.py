"""The `iterate` command: refinement and reconstruction in turns, each half of the particles with a map of its own.

Both halves start from one map cut at a low resolution. Everything finer in a half's map comes from that half's images,
so the Fourier shell correlation of the two is independent beyond the cut. It ends when that correlation stops to grow.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...core.fourier.filters import low_pass
from ...core.fourier.masks import soft_sphere
from ...core.geometry.symmetry import symmetry_rotations
from ...core.io.error_log import not_fatal
from ...core.io.folder import Folder
from ...core.io.mrc import read_volume, write_volume
from ...core.io.names import HALF1_NAME, HALF2_NAME, PARTICLES_NAME, VOLUME_NAME
from ...core.io.star import read_particles, write_particles
from ...core.io.state_files import remove_state
from ...core.maps.fsc import HalfMapFsc, half_map_fsc
from ...core.maps.symmetry import warn_of_symmetry
from ...core.models.pose_model import PoseModel
from ...core.particles.batches import scan_images
from ...core.particles.checks import check_ctf, check_volume
from ...core.particles.contrast import warn_of_map
from ...core.particles.grids import Grid, common_grid, even_grid, working_grid
from ...core.particles.halves import half_sets
from ...core.particles.images import ResampledImages
from ...core.reconstruction.fourier_method import fourier_maps
from ...core.refinement.multi_start import Settings
from ...core.refinement.refinement import NoAgreement, Refinement, Starts, refine_all
from ...core.refinement.results import with_poses
from ...core.refinement.starts import CombinedStarts, GivenStarts
from ...core.scores import POSE_SOURCE
from ...core.types import ParticleTable, Volume
from ..infer.config import InferConfig
from ..infer.inputs import Inputs, read_inputs
from ..infer.refined import NetworkStarts, reach_px
from ..reconstruct import report as outputs
from ..reconstruct.config import ReconstructConfig
from ..reconstruct.inputs import Inputs as Particles
from ..run_directory import RunDirectory
from .config import IterateConfig

logger = logging.getLogger(__name__)

#: Diameter of the sphere that references are cut to, as a share of the box.
_MASK_SHARE = 0.9
#: References end where the half maps' FSC falls below this.
_REFERENCE_FSC = 0.143
#: The area under the FSC, in shells, has to grow by this for another round.
_LEAST_GROWTH_SHELLS = 0.1


@dataclass(frozen=True)
class Reference:
    """A map, and the resolution in Å at which it is cut."""

    volume: Volume
    resolution_angstrom: float


@dataclass(frozen=True)
class Start:
    """What an iteration starts from: particles with half sets, the starting volume, cut, and the network if any."""

    table: ParticleTable
    half: np.ndarray
    half_drawn: bool
    volume: Volume
    group: np.ndarray
    grid: Grid
    network: Optional[Inputs]


def check(config: IterateConfig) -> None:
    """Raise what can be known to be wrong before any long work."""
    config.validate()
    start = _read(config)
    scan_images(start.table)
    warn_of_map(config.volume, start.volume)
    warn_of_symmetry(f"Volume {config.volume}", start.volume, config.symmetry)


def run(config: IterateConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write volume.mrc, half1.mrc, half2.mrc, fsc.csv, particles.star and the report; returns the metrics.

    Every round leaves its particles and half maps in a folder; an interrupted run goes on after the last whole round.
    """
    start = _read(config)
    first = Reference(start.volume, config.low_pass_angstrom)
    table, references = start.table, (first, first)
    best, history = None, []
    for number in range(1, config.rounds + 1):
        try:
            table, maps = _round(config, run, start, number, table, references)
        except NoAgreement as error:
            if best is None:
                raise
            logger.warning("iterate: round %d ended the iteration: %s", number, error)
            break
        fsc = _fsc(config, table, maps)
        history.append(_row(number, fsc))
        logger.info(
            "iterate: round %d: %.2f Å at FSC 0.143.",
            number,
            history[-1]["resolution_0143_angstrom"],
        )
        if best is not None and history[-1]["fsc_area_shells"] < best[0] + _LEAST_GROWTH_SHELLS:
            break
        best = (history[-1]["fsc_area_shells"], number, table, maps, fsc)
        references = _references(config, fsc, maps)
    return _conclude(config, run, start, best, history)


def _read(config: IterateConfig) -> Start:
    group = symmetry_rotations(config.symmetry)
    network = None
    if config.model is not None:
        network = read_inputs(
            InferConfig(
                model=config.model, particles=config.particles, images_from=config.images_from
            ),
            PoseModel.load,
        )
    table = read_particles(config.particles, () if network else ("poses",), config.images_from)
    check_ctf(table, config.particles)
    volume = read_volume(config.volume)
    check_volume(config.volume, volume, table)
    half, drawn = half_sets(table, config.seed)
    box, pixel = even_grid(table, config.particles)
    config.check_images(box * pixel, pixel, volume.pixel_size_angstrom)
    low = Volume(
        low_pass(volume.data, volume.pixel_size_angstrom, config.low_pass_angstrom),
        volume.pixel_size_angstrom,
    )
    grid = working_grid(table, config.working_box_px)
    return Start(table.replace(random_subset=half), half, drawn, low, group, grid, network)


def _round(
    config: IterateConfig,
    run: RunDirectory,
    start: Start,
    number: int,
    table: ParticleTable,
    references: Tuple[Reference, Reference],
) -> Tuple[ParticleTable, Tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Refined particles and (full, half 1, half 2) maps; the particles are those of the round's file, new or not."""
    folder = run.inside(f"round_{number:02d}")
    star = folder.file(PARTICLES_NAME)
    if not star.exists():
        for half in (1, 2):
            table = _refine_half(config, folder, start, number, table, references[half - 1], half)
        write_particles(star, table)
        remove_state(folder.path)
    table = read_particles(star, require=("poses",))
    maps = fourier_maps(_reconstruction(config), _particles(start, table))
    for name, data in zip((VOLUME_NAME, HALF1_NAME, HALF2_NAME), maps):
        write_volume(folder.file(name), data, common_grid(table)[1])
    return table, maps


def _refine_half(
    config: IterateConfig,
    folder: Folder,
    start: Start,
    number: int,
    table: ParticleTable,
    reference: Reference,
    half: int,
) -> ParticleTable:
    """The table with the poses of one half refined against its own reference."""
    rows = np.flatnonzero(start.half == half)
    mine = table.take(rows)
    part = folder.inside(f"half{half}")
    starts, reach = _starts(config, start, number, mine, rows)
    settings = Settings(search_shift_px=reach)
    # Beyond its cut a reference has nothing but what interpolation leaks there.
    refinement = Refinement(
        mine,
        reference.volume,
        start.grid,
        starts,
        start.group,
        settings,
        reference.resolution_angstrom,
        start_grid=None if start.network is None else start.network.model.grid,
        threads=config.threads,
    )
    results, _ = refine_all(refinement, part, config.batch_size, config.seed)
    refined = with_poses(
        mine, results, start.grid.pixel_size_angstrom, refinement.images.grey.blank
    )
    return merge(table, rows, refined, f"refined:half{half}")


def _starts(
    config: IterateConfig, start: Start, number: int, mine: ParticleTable, rows: np.ndarray
) -> Tuple[Starts, float]:
    """Poses to start from, and how far around their shifts to look, in pixels of the working grid."""
    scale = mine.pixel_size_angstrom / start.grid.pixel_size_angstrom
    parts: List[Starts] = []
    reach = 0.0
    if start.network is not None:
        factor = start.network.model.card.pixel_size_angstrom / start.grid.pixel_size_angstrom
        parts.append(NetworkStarts(start.network, config.hypotheses, factor, rows))
        reach = (
            reach_px(start.network.model, config.max_shift_px * float(scale.min()) / factor)
            * factor
        )
    if number > 1 or start.network is None:
        shifts = (
            np.zeros((len(mine), 2)) if mine.shifts_px is None else mine.shifts_px * scale[:, None]
        )
        parts.append(GivenStarts(np.asarray(mine.rotations), shifts))
    return (parts[0] if len(parts) == 1 else CombinedStarts(parts)), reach


def merge(
    table: ParticleTable, rows: np.ndarray, part: ParticleTable, source: str
) -> ParticleTable:
    """The table with poses, scores and pose source of some rows replaced."""

    def put(whole: Optional[np.ndarray], values: np.ndarray) -> np.ndarray:
        out = np.zeros((len(table), *values.shape[1:])) if whole is None else np.array(whole)
        out[rows] = values
        return out

    sources = np.array(
        table.extra.get(POSE_SOURCE, np.full(len(table), "none", dtype=object)), dtype=object
    )
    sources[rows] = source
    return table.replace(
        rotations=put(table.rotations, np.asarray(part.rotations)),
        shifts_px=put(table.shifts_px, np.asarray(part.shifts_px)),
        scores={
            **table.scores,
            **{name: put(table.scores.get(name), v) for name, v in part.scores.items()},
        },
        extra={**table.extra, POSE_SOURCE: sources},
    )


def _reconstruction(config: IterateConfig) -> ReconstructConfig:
    return ReconstructConfig(
        particles=config.particles,
        symmetry=config.symmetry,
        batch_size=config.batch_size,
        seed=config.seed,
        threads=config.threads,
    )


def _particles(start: Start, table: ParticleTable) -> Particles:
    box, pixel = common_grid(table)
    return Particles(
        table, ResampledImages(table, box, pixel), box, pixel, start.half, start.half_drawn, None
    )


def _mask(config: IterateConfig, box: int, pixel: float) -> np.ndarray:
    diameter = config.mask_diameter_angstrom or _MASK_SHARE * box * pixel
    return soft_sphere(box, diameter / 2 / pixel)


def _fsc(config: IterateConfig, table: ParticleTable, maps) -> HalfMapFsc:
    box, pixel = common_grid(table)
    statement = (
        f"Each half was refined against its own map; both began with one map cut at {config.low_pass_angstrom:g} Å: "
        "independent beyond that."
    )
    return half_map_fsc(maps[1], maps[2], pixel, _mask(config, box, pixel), statement, config.seed)


def _row(number: int, fsc: HalfMapFsc) -> Dict[str, float]:
    return {
        "round": number,
        "resolution_0143_angstrom": fsc.resolution_angstrom("masked", _REFERENCE_FSC),
        "fsc_area_shells": float(np.clip(fsc.masked[1:], 0, None).sum()),
    }


def _references(config: IterateConfig, fsc: HalfMapFsc, maps) -> Tuple[Reference, Reference]:
    """The half maps, each cut at the resolution that they share and to the mask."""
    pixel = fsc.pixel_size_angstrom
    resolution = fsc.resolution_angstrom("masked", _REFERENCE_FSC)
    mask = _mask(config, fsc.box_size_px, pixel)
    cut = (Volume(low_pass(half * mask, pixel, resolution), pixel) for half in maps[1:])
    first, second = (Reference(volume, resolution) for volume in cut)
    return first, second


def _conclude(
    config: IterateConfig, run: RunDirectory, start: Start, best, history
) -> Dict[str, Any]:
    _, number, table, maps, fsc = best
    particles = _particles(start, table)
    pixel = particles.pixel_size_angstrom
    for name, data in zip((VOLUME_NAME, HALF1_NAME, HALF2_NAME), maps):
        write_volume(run.file(name), data, pixel)
    write_particles(run.file(PARTICLES_NAME), table)
    outputs.write_fsc(run, fsc, None)
    metrics = outputs.metrics_of(_reconstruction(config), particles, fsc, None)
    metrics.update(
        rounds=len(history), best_round=number, low_pass_angstrom=config.low_pass_angstrom
    )
    with not_fatal(run.path, "its report"):
        outputs.write_page(run, particles, fsc, maps[0], None, metrics)
    return {**metrics, "history": history}
