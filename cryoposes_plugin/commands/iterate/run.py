"""The `iterate` command: rounds of refinement and reconstruction from a low-resolution map (see
`rounds`).
"""

from __future__ import annotations

import logging
from typing import Any, Dict, Tuple

from ...core.geometry.symmetry import parse_symmetry
from ...core.io.mrc import read_volume
from ...core.io.particle_files import read_particles
from ...core.maps.symmetry import warn_of_symmetry
from ...core.maps.volume_mask import masked_volume
from ...core.models.pose_model import PoseModel
from ...core.particles.batches import scan_images
from ...core.particles.checks import check_ctf, check_volume
from ...core.particles.contrast import warn_of_map
from ...core.particles.grids import even_grid
from ...core.refinement.refinement import NoAgreement
from ..infer.inputs import read_model_inputs
from ..mask_input import read_mask
from ..run_directory import RunDirectory
from .config import IterateConfig
from .first_test import examine_start, start_notes
from .rounds import RoundSettings, Start, make_start, refine_in_rounds, write_best_round

logger = logging.getLogger(__name__)


def check(config: IterateConfig) -> None:
    """Raise every error that can be found before any long work."""
    config.validate()
    _, start = _read(config)
    scan_images(start.table)
    warn_of_map(config.volume, start.volume)
    warn_of_symmetry(f"Volume {config.volume}", start.volume, config.symmetry)


def run(config: IterateConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write volume.mrc, half1.mrc, half2.mrc, fsc.csv, particles.star and the report; returns the
    metrics.
    """
    settings, start = _read(config)
    frame = examine_start(settings, start)
    told = start_notes(config.volume, frame, start.network is not None)
    for note in told:
        logger.log(logging.WARNING if frame.alarming else logging.INFO, "iterate: %s", note)
    try:
        best, history = refine_in_rounds(settings, run, start)
    except NoAgreement as error:
        raise NoAgreement(" ".join([str(error), *(told if frame.alarming else [])])) from error
    metrics = write_best_round(settings, run, start, best, history, told)
    return {**metrics, **frame.metrics()}


def _read(config: IterateConfig) -> Tuple[RoundSettings, Start]:
    parse_symmetry(config.symmetry)
    network = None
    if config.model is not None:
        network = read_model_inputs(
            PoseModel.load,
            config.model,
            config.particles,
            config.images_from,
            passthrough=config.passthrough,
        )

    table = read_particles(
        str(config.particles),
        () if network else ("poses",),
        config.images_from,
        config.passthrough,
    )
    check_ctf(table, config.particles)
    volume = read_volume(str(config.volume))
    check_volume(str(config.volume), volume, table)
    grid = even_grid(table, str(config.particles))
    pixel = grid.pixel_size_angstrom
    config.check_images(grid.field_of_view_angstrom, pixel, volume.pixel_size_angstrom)
    mask = read_mask(config.mask, table, grid)
    if mask is not None:
        volume = masked_volume(volume, mask)

    settings = RoundSettings(
        low_pass_angstrom=config.low_pass_angstrom,
        rounds=config.rounds,
        symmetry=config.symmetry,
        mask_diameter_angstrom=config.mask_diameter_angstrom,
        mask=mask,
        working_box_px=config.working_box_px,
        hypotheses=config.hypotheses,
        max_shift_px=config.max_shift_px,
        batch_size=config.batch_size,
        seed=config.seed,
        threads=config.threads,
    )
    return settings, make_start(table, volume, settings, network)
