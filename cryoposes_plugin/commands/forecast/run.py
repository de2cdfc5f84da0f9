"""The `forecast` command: what can be reached with a set, on a simulated one like it.

The twin of the set goes through the commands that the set would go through. Its true poses and its
true map are known, so that errors and resolution are.
"""

from __future__ import annotations

import logging
from typing import Any, Dict

from ...core.errors import ConfigError
from ...core.io.error_log import not_fatal
from ...core.maps.symmetry import warn_of_symmetry
from ...core.models.pose_model import PoseModel
from ...core.particles.batches import scan_images
from ...core.particles.contrast import warn_of_map
from ..infer.inputs import read_model_inputs
from ..registry import module_of
from ..run_directory import RunDirectory
from .config import ForecastConfig
from .inputs import ForecastInputs, read_inputs
from .names import FILTER_NAME, POSES_NAME, RECONSTRUCTION_NAME, TRAINING_NAME
from .report import write_page, write_table
from .results import (
    curve_of,
    filter_numbers,
    number_metrics,
    pose_numbers,
    sentences,
    signals_of,
)
from .steps import run_steps, train_config, twin_set

logger = logging.getLogger(__name__)


def check(config: ForecastConfig) -> None:
    """Raise every error that can be found before any long work."""
    config.validate()
    inputs = read_inputs(config)
    scan_images(inputs.table)
    warn_of_map(config.volume, inputs.volume)
    warn_of_symmetry(f"Volume {config.volume}", inputs.volume, config.symmetry)
    training = train_config(config)
    if training is not None:
        training.validate()
        module_of(training.command).check(training)
    else:
        _check_model(config, inputs)


def _check_model(config: ForecastConfig, inputs: ForecastInputs) -> None:
    """Raise if the network does not suit the set, the map, the symmetry or the simulated images."""
    model = read_model_inputs(
        PoseModel.load, config.model, config.particles, config.images_from, config.volume
    ).model
    card, pixel = model.card, inputs.grid.pixel_size_angstrom
    if card.symmetry != config.symmetry:
        raise ConfigError(
            f"forecast: --symmetry is {config.symmetry}, but the network {config.model} was trained "
            f"with {card.symmetry}; give that symmetry, or another network."
        )
    if pixel > card.pixel_size_angstrom * 1.01:
        raise ConfigError(
            f"forecast: the simulated images have pixels of {pixel:.3g} Å, but the network "
            f"{config.model} needs {card.pixel_size_angstrom:.3g} Å or finer; give a larger "
            "--working-box-px."
        )


def run(config: ForecastConfig, run: RunDirectory) -> Dict[str, Any]:
    """Simulate the twin, run the commands on it, and write resolution.csv and the report; returns
    the metrics.

    An interrupted run continues in the step in which it was stopped.
    """
    inputs = read_inputs(config)
    twin = twin_set(config, run, inputs)
    steps = run_steps(config, run)

    errors, numbers = pose_numbers(run, inputs, twin)
    signals = signals_of(run, twin)
    map_metrics = steps[RECONSTRUCTION_NAME]
    metrics: Dict[str, Any] = {
        "simulated_images": len(twin.table),
        "junk_share": inputs.junk_share,
        **numbers,
        **filter_numbers(run, twin, steps[FILTER_NAME]),
        "simulated_resolution_half_maps_angstrom": map_metrics[
            "resolution_corrected_0143_angstrom"
        ],
        "simulated_resolution_with_truth_angstrom": map_metrics["resolution_reference_05_angstrom"],
        **number_metrics(config, inputs, signals),
        **twin.numbers,
        "not_refined": steps[POSES_NAME].get("not_refined"),
    }
    if TRAINING_NAME in steps:
        metrics["training_validation"] = steps[TRAINING_NAME]["validation"]

    curve = curve_of(inputs, signals)
    write_table(run, curve)
    notes = sentences(config, inputs, twin, metrics)
    for note in notes:
        logger.info("forecast: %s", note)
    with not_fatal(run.path, "its report"):
        write_page(config, run, inputs, twin, errors, curve, metrics, notes)
    return {**metrics, "notes": notes}
