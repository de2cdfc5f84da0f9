"""The `reconstruct` command: a map, its half maps and their FSC from particles with poses."""

from __future__ import annotations

import logging
import time
from typing import Any, Dict, List, Tuple

import numpy as np

from ...core.fourier.resampling import resample_volume
from ...core.io.error_log import not_fatal
from ...core.io.folder import Folder
from ...core.io.mrc import write_volume
from ...core.io.names import HALF1_NAME, HALF2_NAME, PARTICLES_NAME, VOLUME_NAME
from ...core.io.particle_files import write_particle_results
from ...core.maps.fsc import half_map_fsc, independence_statement
from ...core.maps.symmetry import warn_of_symmetry
from ...core.particles.chunks import ChunkedWork
from ...core.particles.grids import common_grid
from ...core.reconstruction.half_set_sums import HalfSetSums
from ...core.reconstruction.particles import ReconstructionParticles
from ..run_directory import RunDirectory
from .config import ReconstructConfig
from .inputs import log_inputs, read_inputs
from .report import has_other_hand, metrics_of, reference_fsc, write_fsc, write_page
from .views import measured_views, view_numbers
from .weighting import weight_numbers

logger = logging.getLogger(__name__)

#: Fourier sums of a chunk.
_SUMS = "sums.npz"


def check(config: ReconstructConfig) -> None:
    """Raise every error that can be found before any long work."""
    config.validate()
    if config.method == "cgls":
        from ...core.reconstruction.cgls import require_astra

        require_astra()
    inputs = read_inputs(config)
    inputs.particles.images.grey.check()
    if inputs.reference is not None:
        warn_of_symmetry(f"Reference {config.reference}", inputs.reference, config.symmetry)


def run(config: ReconstructConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write the map, the half maps, fsc.csv and report.html; returns the metrics.

    particles.star is written as well if half sets were drawn.
    """
    inputs = read_inputs(config)
    particles = inputs.particles
    log_inputs(particles)

    start = time.monotonic()
    box, pixel = inputs.grid
    # Images are sums over voxels along the beam: there are fewer of larger ones.
    density = np.float32(common_grid(particles.table).pixel_size_angstrom / pixel)
    maps = [resample_volume(data, pixel, box, pixel) for data in _maps(config, run, particles)]
    for data in maps:
        data *= density
    volume, half1, half2 = maps
    seconds = time.monotonic() - start

    statement = independence_statement(particles.pose_sources(1), particles.pose_sources(2))
    mask = inputs.mask
    fsc = half_map_fsc(half1, half2, pixel, mask, statement, config.seed)
    weights = (~particles.images.grey.blank).astype(np.float64)
    if particles.weights is not None:
        weights *= particles.weights.probability**2
    views = measured_views(
        particles.rotations, weights, config.symmetry, half1 * mask, half2 * mask
    )
    for sentence in particles.images.remarks():
        logger.warning("reconstruct: %s", sentence)
    reference = reference_fsc(inputs.reference, volume)
    if has_other_hand(inputs.reference, volume, reference):
        logger.warning(
            "The mirror image of reference %s fits the reconstruction better than the reference "
            "itself: one of the two has the opposite hand.",
            config.reference,
        )

    metrics = metrics_of(
        particles,
        fsc,
        reference,
        half_drawn=inputs.half_drawn,
        symmetry=config.symmetry,
        method=config.method,
    )
    metrics.update(view_numbers(views))
    resolution = metrics["resolution_corrected_0143_angstrom"]
    metrics.update(weight_numbers(particles.weights, config.weights, resolution))
    metrics["images_per_second"] = round(len(particles) / max(seconds, 1e-9), 1)
    for name, data in ((HALF1_NAME, half1), (HALF2_NAME, half2), (VOLUME_NAME, volume)):
        write_volume(run.file(name), data, pixel)
    if inputs.half_drawn:
        table = particles.table.replace(random_subset=particles.half)
        write_particle_results(run, PARTICLES_NAME, table)
    write_fsc(run, fsc, reference)
    with not_fatal(run.path, "its report"):
        write_page(run, particles, fsc, volume, reference, views, metrics)

    logger.info(
        "Resolution at FSC 0.143: %.2f Å corrected, %.2f Å unmasked. %s",
        metrics["resolution_corrected_0143_angstrom"],
        metrics["resolution_unmasked_0143_angstrom"],
        statement,
    )
    logger.info("Views: %s", metrics["views_statement"])
    if particles.weights is not None:
        logger.info("%s", metrics["weights_statement"])
    return metrics


def _maps(
    config: ReconstructConfig, run: RunDirectory, particles: ReconstructionParticles
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    if config.method == "cgls":
        return _cgls_maps(config, particles)
    from ...core.reconstruction.fourier_method import fourier_maps, fourier_sums, maps_of

    def sums_of(rows: np.ndarray) -> HalfSetSums:
        return fourier_sums(
            particles,
            config.symmetry,
            rows,
            padding=config.padding,
            batch_size=config.batch_size,
            threads=config.threads,
        )

    everything = np.arange(len(particles))
    parts: List[HalfSetSums] = []

    def do(folder: Folder, rows: np.ndarray) -> None:
        sums_of(rows).save(folder.file(_SUMS))

    def take(folder: Folder, rows: np.ndarray) -> None:
        if parts:
            parts[0].add_file(folder.file(_SUMS))
        else:
            parts.append(HalfSetSums.load(folder.file(_SUMS)))

    ids, images = particles.table.ids, particles.images
    divided = run.divide(ChunkedWork("sums", everything, ids, lambda: None, do, take, images))
    if divided is not None:
        return maps_of(parts[0], config.threads)
    return fourier_maps(
        particles,
        config.symmetry,
        padding=config.padding,
        batch_size=config.batch_size,
        threads=config.threads,
        scratch=run.path,
    )


def _cgls_maps(
    config: ReconstructConfig, particles: ReconstructionParticles
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    from ...core.reconstruction.cgls import AstraProjections, ImagingOperator, cgls

    def solve(rows: np.ndarray) -> np.ndarray:
        operator = ImagingOperator(
            particles, rows, config.symmetry, config.batch_size, AstraProjections()
        )
        return cgls(operator, config.cgls_iterations, on_iteration=_log_iteration)

    everything = np.flatnonzero(~particles.images.grey.blank)
    half1, half2 = (everything[particles.half[everything] == half] for half in (1, 2))
    return solve(everything), solve(half1), solve(half2)


def _log_iteration(iteration: int, gradient: float) -> None:
    logger.info("cgls: iteration %d, gradient %.3g of the initial one", iteration, gradient)
