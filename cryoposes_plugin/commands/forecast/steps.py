"""The steps of a forecast, each the run of a command in a folder of its own, as a user would do it:
a finished one is not repeated, and an interrupted one continues.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ...core.fourier.resampling import projected_density
from ...core.image_kinds import PARTICLE
from ...core.io.folder import Folder, remove
from ...core.io.mrc import read_volume, write_volume
from ...core.io.names import (
    ACCEPTED_NAME,
    MODEL_NAME,
    PARTICLES_NAME,
    STACK_NAME,
    VOLUME_NAME,
)
from ...core.io.particle_files import read_particles, write_particles
from ...core.io.state_files import read_json
from ...core.notices import warnings_kept
from ...core.scores import POSE_SOURCE
from ...core.trust.measured_set import measure_set
from ...core.trust.set_twin import simulate_set
from ...core.types import ParticleTable, Volume
from ..config import Config
from ..filter.config import FilterConfig
from ..infer.config import InferConfig
from ..reconstruct.config import ReconstructConfig
from ..registry import module_of
from ..run_directory import RunDirectory
from ..runner import run_alone
from ..train.config import TrainConfig
from .config import ForecastConfig
from .inputs import ForecastInputs
from .names import (
    FILTER_NAME,
    MEASURED_NAME,
    POSES_NAME,
    RECONSTRUCTION_NAME,
    TRAINING_NAME,
    TWIN_NAME,
)

logger = logging.getLogger(__name__)

_MEASUREMENT = "measurement"
_REDO = "delete the folder of the run and run again"
#: Range of the shifts in `infer`, by which a particle counts as off centre.
_SEARCH_PX = InferConfig.max_shift_px


@dataclass(frozen=True)
class TwinSet:
    """The simulated set: its table with true poses, (M,) bool of the images that show particles, the
    map on its grid, and the numbers of its measurement.
    """

    table: ParticleTable
    is_particle: np.ndarray
    truth: Volume
    numbers: Dict[str, Any]


def twin_set(config: ForecastConfig, run: RunDirectory, inputs: ForecastInputs) -> TwinSet:
    """The twin of the set, simulated unless an earlier run has done so."""
    folder = run.inside(TWIN_NAME)
    if not folder.file(MEASURED_NAME).exists():
        with warnings_kept() as warnings:
            _simulate(config, folder, inputs, warnings)
    numbers = read_json(folder.file(MEASURED_NAME), _REDO)
    _repeat(numbers.pop("warnings"))
    table = read_particles(folder.file(PARTICLES_NAME), ("poses",))
    return TwinSet(
        table,
        np.array(table.extra[POSE_SOURCE]) == PARTICLE,
        read_volume(folder.file(VOLUME_NAME)),
        numbers,
    )


def _simulate(
    config: ForecastConfig, folder: Folder, inputs: ForecastInputs, warnings: List[str]
) -> None:
    """Write the stack, particles.star, the map, and last the numbers with the warnings."""
    measured = measure_set(
        inputs.good,
        inputs.volume,
        inputs.grid,
        inputs.group,
        folder.inside(_MEASUREMENT),
        config.seed,
        config.threads,
    )
    views = np.asarray(inputs.good.rotations) if measured.given else None
    twin = simulate_set(
        measured,
        views,
        inputs.number,
        inputs.junk_share,
        config.seed,
        _SEARCH_PX,
        folder.file(STACK_NAME),
    )
    source = {POSE_SOURCE: twin.kind.astype(object)}
    write_particles(folder.file(PARTICLES_NAME), twin.table.replace(extra=source))
    box, pixel = inputs.grid
    write_volume(folder.file(VOLUME_NAME), projected_density(inputs.volume, box, pixel), pixel)

    last = max(spectra.last_shell for spectra in measured.results.spectra.values())
    numbers = {
        "images_measured": len(measured.refinement.table),
        "poses_of_the_set_used": measured.given,
        "amplitude_measured_to_angstrom": inputs.grid.field_of_view_angstrom / last,
        **measured.frame.metrics(),
        "warnings": warnings,
    }
    folder.write_json(MEASURED_NAME, numbers)
    remove(folder.file(_MEASUREMENT))


# ---- commands ---------------------------------------------------------------------------------


def train_config(config: ForecastConfig) -> Optional[TrainConfig]:
    """The training of a network for the set; None if there is one."""
    if config.model is not None:
        return None
    return TrainConfig(
        volume=(str(config.volume),),
        like=config.particles,
        symmetry=config.symmetry,
        minutes=config.minutes,
        images_from=config.images_from,
        **_common(config),
    )


def model_path(config: ForecastConfig, run: RunDirectory) -> str:
    """Folder of the network that estimates the poses."""
    return config.model or str(run.file(TRAINING_NAME) / MODEL_NAME)


def run_steps(config: ForecastConfig, run: RunDirectory) -> Dict[str, Any]:
    """Train, estimate the poses of the twin, which has been simulated, filter, and reconstruct; the
    metrics of each by name.
    """
    training, twin = train_config(config), run.file(TWIN_NAME)
    metrics: Dict[str, Any] = {}
    if training is not None:
        metrics[TRAINING_NAME] = _run(run, TRAINING_NAME, training)
    metrics[POSES_NAME] = _run(
        run,
        POSES_NAME,
        InferConfig(
            model=model_path(config, run),
            particles=str(twin / PARTICLES_NAME),
            volume=config.volume,
            working_box_px=config.working_box_px,
            batch_size=config.batch_size,
            **_common(config),
        ),
    )

    metrics[FILTER_NAME] = _run(
        run,
        FILTER_NAME,
        FilterConfig(
            particles=str(run.file(POSES_NAME) / PARTICLES_NAME),
            symmetry=config.symmetry,
            **_common(config),
        ),
    )
    metrics[RECONSTRUCTION_NAME] = _run(
        run,
        RECONSTRUCTION_NAME,
        ReconstructConfig(
            particles=str(run.file(FILTER_NAME) / ACCEPTED_NAME),
            reference=str(twin / VOLUME_NAME),
            symmetry=config.symmetry,
            batch_size=config.batch_size,
            **_common(config),
        ),
    )
    return metrics


def _common(config: ForecastConfig) -> Dict[str, Any]:
    return {"seed": config.seed, "threads": config.threads, "gpu": config.gpu}


def _run(run: RunDirectory, name: str, config: Config) -> Dict[str, Any]:
    """Run a command in the folder of this name, unless it is finished; returns its metrics."""
    config.validate()
    module = module_of(config.command)
    with warnings_kept() as warnings:
        module.check(config)
        metrics = run_alone(module, config, str(run.file(name)), warnings)
    _repeat(metrics["warnings"])
    return metrics


def _repeat(warnings: Sequence[str]) -> None:
    """Log the warnings of a step that an earlier run may have finished."""
    for sentence in warnings:
        logger.warning("%s", sentence)
