"""The `reconstruct` command: a map, its half maps and their FSC from particles with poses."""

from __future__ import annotations

import logging
import time
from typing import Any, Dict, Tuple

import numpy as np

from ...core.fourier.masks import soft_sphere
from ...core.io.error_log import not_fatal
from ...core.io.mrc import write_volume
from ...core.io.names import HALF1_NAME, HALF2_NAME, PARTICLES_NAME, VOLUME_NAME
from ...core.io.star import write_particles
from ...core.maps.fsc import half_map_fsc, independence_statement
from ...core.maps.symmetry import warn_of_symmetry
from ..run_directory import RunDirectory
from .config import ReconstructConfig
from .inputs import Inputs, log_inputs, read_inputs
from .report import metrics_of, other_hand, reference_fsc, write_fsc, write_page

logger = logging.getLogger(__name__)

#: Diameter of the default mask, as a share of the box.
MASK_SHARE = 0.75


def check(config: ReconstructConfig) -> None:
    """Raise what can be known to be wrong before any long work."""
    config.validate()
    if config.method == "cgls":
        from ...core.reconstruction.cgls import require_astra

        require_astra()
    inputs = read_inputs(config)
    inputs.images.grey.check()
    if inputs.reference is not None:
        warn_of_symmetry(f"Reference {config.reference}", inputs.reference, config.symmetry)


def run(config: ReconstructConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write volume.mrc, half1.mrc, half2.mrc, fsc.csv, report.html, and particles.star if half sets were drawn."""
    inputs = read_inputs(config)
    log_inputs(inputs)
    start = time.monotonic()
    volume, half1, half2 = _maps(config, inputs)
    seconds = time.monotonic() - start
    statement = independence_statement(inputs.pose_sources(1), inputs.pose_sources(2))
    fsc = half_map_fsc(
        half1, half2, inputs.pixel_size_angstrom, _mask(config, inputs), statement, config.seed
    )
    for sentence in inputs.images.remarks():
        logger.warning("reconstruct: %s", sentence)
    reference = reference_fsc(inputs, volume)
    if other_hand(inputs, volume, reference):
        logger.warning(
            "The mirror of reference %s fits the reconstruction better than the reference: one of the two has the "
            "other hand.",
            config.reference,
        )
    metrics = metrics_of(inputs, fsc, reference, symmetry=config.symmetry, method=config.method)
    metrics["images_per_second"] = round(len(inputs.table) / max(seconds, 1e-9), 1)
    for name, data in ((HALF1_NAME, half1), (HALF2_NAME, half2), (VOLUME_NAME, volume)):
        write_volume(run.file(name), data, inputs.pixel_size_angstrom)
    if inputs.half_drawn:
        write_particles(run.file(PARTICLES_NAME), inputs.table.replace(random_subset=inputs.half))
    write_fsc(run, fsc, reference)
    with not_fatal(run.path, "its report"):
        write_page(run, inputs, fsc, volume, reference, metrics)
    logger.info(
        "Resolution at FSC 0.143: %.2f Å corrected, %.2f Å unmasked. %s",
        metrics["resolution_corrected_0143_angstrom"],
        metrics["resolution_unmasked_0143_angstrom"],
        statement,
    )
    return metrics


def _maps(config: ReconstructConfig, inputs: Inputs) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    if config.method == "fourier":
        from ...core.reconstruction.fourier_method import fourier_maps

        return fourier_maps(
            inputs,
            symmetry=config.symmetry,
            padding=config.padding,
            batch_size=config.batch_size,
            threads=config.threads,
        )
    return _cgls_maps(config, inputs)


def _cgls_maps(
    config: ReconstructConfig, inputs: Inputs
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    from ...core.reconstruction.cgls import AstraProjections, ImagingOperator, cgls

    def solve(rows: np.ndarray) -> np.ndarray:
        operator = ImagingOperator(
            inputs, rows, config.symmetry, config.batch_size, AstraProjections()
        )
        return cgls(operator, config.cgls_iterations, on_iteration=_log_iteration)

    everything = np.flatnonzero(~inputs.images.grey.blank)
    half1, half2 = (everything[inputs.half[everything] == half] for half in (1, 2))
    return solve(everything), solve(half1), solve(half2)


def _log_iteration(iteration: int, gradient: float) -> None:
    logger.info("cgls: iteration %d, gradient %.3g of the first", iteration, gradient)


def _mask(config: ReconstructConfig, inputs: Inputs) -> np.ndarray:
    share = MASK_SHARE * inputs.box_size_px * inputs.pixel_size_angstrom
    diameter = share if config.mask_diameter_angstrom is None else config.mask_diameter_angstrom
    return soft_sphere(inputs.box_size_px, diameter / 2 / inputs.pixel_size_angstrom)
