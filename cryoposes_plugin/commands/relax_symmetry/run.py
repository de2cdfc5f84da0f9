"""The `relax-symmetry` command: each particle at the best of its symmetry mates."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ...core.errors import InputError
from ...core.io.error_log import not_fatal
from ...core.io.ids import warn_of_copies
from ...core.io.mrc import write_volume
from ...core.io.names import HALF1_NAME, HALF2_NAME, PARTICLES_NAME, VOLUME_NAME
from ...core.io.particle_files import write_particle_results
from ...core.io.provenance import digest_path
from ...core.likelihood.pose_likelihood import PoseLikelihood
from ...core.particles.batches import scan_images
from ...core.particles.contrast import warn_of_map
from ...core.particles.halves import draw_half_sets, half_sets
from ...core.pseudosymmetry.mates import (
    Amplitude,
    MateFits,
    asymmetry_amplitude,
    fit_mates,
    in_rows,
    mate_probabilities,
)
from ...core.pseudosymmetry.own_noise import OwnNoise, own_noise
from ...core.pseudosymmetry.scored import with_best_mates
from ...core.pseudosymmetry.search import FOLDS, MateSearch, best_turn, sample_of
from ...core.pseudosymmetry.split_maps import SplitMap, has_symmetry, split_map
from ...core.reconstruction.fourier_method import fourier_maps
from ...core.reconstruction.particles import ReconstructionParticles
from ...core.refinement.multi_start import Settings
from ...core.refinement.refinement import Refinement, refine_all
from ...core.refinement.results import Results, write_covariance
from ...core.refinement.starts import GivenStarts
from ...core.scores import POSE_SOURCE
from ...core.types import ParticleTable
from ..report import write_report
from ..run_directory import RunDirectory
from .config import FROM_IMAGES, RelaxSymmetryConfig
from .inputs import RelaxationInputs, read_inputs
from .report import figures_of, metrics_of, note_of_own_noise, notes_of

logger = logging.getLogger(__name__)

#: Default diameter of the mask, as a share of the box.
_MASK_SHARE = 0.75
#: Box in which noise is looked for, at least.
_SMALLEST_BOX_PX = 16


class Relaxed(NamedTuple):
    """Fits of all particles at their mates, their half sets, and what a search in the images found:
    rounds and agreement of the half sets (0 without a search). own_noise: without a search, whether
    the volume holds the noise of the particles.
    """

    fits: MateFits
    half: np.ndarray
    rounds: int
    agreement: float
    own_noise: Optional[OwnNoise] = None


def check(config: RelaxSymmetryConfig) -> None:
    """Raise every error that can be found before any long work."""
    config.validate()
    inputs = read_inputs(config)
    scan_images(inputs.table)
    warn_of_map(config.volume, inputs.volume)
    warn_of_copies(inputs.table)
    if config.asymmetry_from != FROM_IMAGES:
        _require_asymmetry(config, inputs)
    else:
        half_sets(inputs.table, config.seed)


def run(config: RelaxSymmetryConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.star, covariance.npz and the report, and the maps of a search in the images;
    returns the metrics.

    An interrupted run continues after the last saved batches of the refinement against the
    symmetric map, and ends with the same result.
    """
    inputs = read_inputs(config)
    split = _split(inputs)
    refinement = _refinement(config, inputs, split)
    results = refine_all(refinement, run, config.batch_size, config.seed)
    search = config.asymmetry_from == FROM_IMAGES
    relaxed = (_from_images if search else _from_volume)(config, inputs, split, refinement, results)

    fits = relaxed.fits
    amplitude = asymmetry_amplitude(fits.gain, fits.power)
    probability = mate_probabilities(fits.gain, amplitude)
    table = with_best_mates(refinement, results, fits, probability, inputs.cosets)
    table = _with_sources(config, table, relaxed)
    moved = dataclasses.replace(results, refined=fits.refined)
    write_particle_results(run, PARTICLES_NAME, table)
    write_covariance(run, table, moved, inputs.grid.pixel_size_angstrom)
    if search:
        _write_maps(config, run, inputs, table, relaxed)

    return _report(config, run, inputs, table, probability, amplitude, relaxed)


def _split(inputs: RelaxationInputs) -> SplitMap:
    focus = None if inputs.focus is None else inputs.focus.data
    return split_map(inputs.volume, inputs.cosets, focus)


def _require_asymmetry(config: RelaxSymmetryConfig, inputs: RelaxationInputs) -> None:
    if has_symmetry(inputs.volume.data, inputs.cosets):
        raise InputError(
            f"Volume {config.volume} has the symmetry {config.pseudo_symmetry} itself, so it cannot "
            "tell mates apart; give a volume without it, or --asymmetry-from images."
        )


def _refinement(
    config: RelaxSymmetryConfig, inputs: RelaxationInputs, split: SplitMap
) -> Refinement:
    """Of the given poses, against the symmetric map."""
    table = inputs.table
    return Refinement(
        table,
        split.symmetric,
        inputs.grid,
        GivenStarts.of_particles(table, inputs.grid.pixel_size_angstrom),
        inputs.cosets.group,
        Settings(search_shift_px=0.0),
        config.resolution_angstrom,
        threads=config.threads,
    )


def _from_volume(
    config: RelaxSymmetryConfig,
    inputs: RelaxationInputs,
    split: SplitMap,
    refinement: Refinement,
    results: Results,
) -> Relaxed:
    """All particles at their mates in the given volume."""
    pixel = inputs.grid.pixel_size_angstrom
    likelihood = PoseLikelihood(split.whole, refinement.points, pixel)
    rows = np.arange(len(inputs.table))
    fits = fit_mates(refinement, results, likelihood, inputs.cosets, rows)

    # Detail beyond which images and map do not agree would only add noise.
    shell = max(spectra.last_shell for spectra in results.spectra.values())
    noise = own_noise(
        split,
        inputs.focus,
        inputs.cosets,
        _imposed(config),
        inputs.table,
        draw_half_sets(inputs.table.ids, config.seed),
        inputs.grid.rescaled(max(2 * shell, _SMALLEST_BOX_PX)),
        config.threads,
    )
    return Relaxed(fits, np.zeros(len(rows), np.int64), 0, 0.0, noise)


def _from_images(
    config: RelaxSymmetryConfig,
    inputs: RelaxationInputs,
    split: SplitMap,
    refinement: Refinement,
    results: Results,
) -> Relaxed:
    """The same with maps that a search in the images gives, each half set for itself."""
    half, _ = half_sets(inputs.table, config.seed)
    box, pixel = inputs.grid
    diameter = config.mask_diameter_angstrom or _MASK_SHARE * box * pixel
    resolution = config.search_resolution_angstrom
    search = MateSearch(refinement, results, inputs.cosets, resolution, diameter, inputs.focus)
    rows = [np.flatnonzero(half == number) for number in (1, 2)]
    searched = [sample_of(own, config.seed) for own in rows]
    found = [
        search.find(search.residuals(own), config.rounds, config.starts, config.seed + number)
        for number, own in enumerate(searched)
    ]
    turn, agreement = best_turn(found[0], found[1], inputs.cosets)
    logger.info("relax-symmetry: the half sets' asymmetric parts correlate by %.2f.", agreement)

    parts: List[Tuple[np.ndarray, MateFits]] = []
    for own, some, one, turned in zip(rows, searched, found, (np.eye(3), turn)):
        fold = np.arange(len(own)) % FOLDS
        fold[np.isin(own, some)] = one.fold
        for number, volume in enumerate(search.references(split.symmetric, one, turned)):
            mine = own[fold == number]
            if not len(mine):
                continue
            likelihood = PoseLikelihood(volume, refinement.points, pixel)
            parts.append((mine, fit_mates(refinement, results, likelihood, inputs.cosets, mine)))
    fits = in_rows(*zip(*parts))
    return Relaxed(fits, half, max(one.rounds for one in found), agreement)


def _with_sources(
    config: RelaxSymmetryConfig, table: ParticleTable, relaxed: Relaxed
) -> ParticleTable:
    source = f"refined:{digest_path(str(config.volume))[:12]}"
    sources = np.full(len(table), source, dtype=object)
    if config.asymmetry_from == FROM_IMAGES:
        sources = np.array([f"refined:half{half}" for half in relaxed.half], dtype=object)
        table = table.replace(random_subset=relaxed.half)
    return table.replace(extra={**table.extra, POSE_SOURCE: sources})


def _imposed(config: RelaxSymmetryConfig) -> str:
    """The symmetry of maps: that of the particle, with its axes in the pseudo-symmetry."""
    return f"{config.symmetry} in {config.pseudo_symmetry}"


def _write_maps(
    config: RelaxSymmetryConfig,
    run: RunDirectory,
    inputs: RelaxationInputs,
    table: ParticleTable,
    relaxed: Relaxed,
) -> None:
    """volume.mrc, half1.mrc and half2.mrc from the particles at their mates."""
    particles = ReconstructionParticles.on_common_grid(table, relaxed.half)
    maps = fourier_maps(
        particles,
        _imposed(config),
        batch_size=config.batch_size,
        threads=config.threads,
        scratch=run.path,
    )
    for name, data in zip((VOLUME_NAME, HALF1_NAME, HALF2_NAME), maps):
        write_volume(run.file(name), data, particles.pixel_size_angstrom)


def _report(
    config: RelaxSymmetryConfig,
    run: RunDirectory,
    inputs: RelaxationInputs,
    table: ParticleTable,
    probability: np.ndarray,
    amplitude: Amplitude,
    relaxed: Relaxed,
) -> Dict[str, Any]:
    metrics = {
        **metrics_of(table, probability, amplitude),
        "rounds": relaxed.rounds,
        "half_set_correlation": relaxed.agreement,
    }
    notes = notes_of(config, amplitude, metrics)
    for note in notes:
        level = logging.INFO if amplitude.tells_mates_apart else logging.WARNING
        logger.log(level, "relax-symmetry: %s", note)
    if relaxed.own_noise is not None:
        metrics["correlation_with_particles"], metrics["correlation_allowed"] = relaxed.own_noise
        if relaxed.own_noise.found:
            notes.append(note_of_own_noise(config, relaxed.own_noise))
            logger.warning("relax-symmetry: %s", notes[-1])

    with not_fatal(run.path, "its report"):
        write_report(
            run.path,
            "Resolved pseudo-symmetry",
            lead=f"{len(table)} particles, each at one of {len(inputs.cosets)} symmetry mates.",
            numbers=metrics,
            notes=notes,
            figures=figures_of(probability),
        )
    return {**metrics, "notes": notes}
