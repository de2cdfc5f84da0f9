"""The pictures of `forecast`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.io.names import FSC_NAME
from ..drawing import Picture, fsc, saved_metrics, slices
from ..number_tables import read_numbers
from .config import ForecastConfig
from .names import CURVE_NAME, RECONSTRUCTION_NAME, TWIN_NAME

SAVED_TITLES = {
    "error_histogram": "Errors of the poses",
    "told_and_true_errors": "Expected and true errors",
    "set_and_twin": "Images of the set and simulated ones",
    "power_spectra": "Power of the images",
}


def pictures(folder: Path, config: ForecastConfig) -> Dict[str, Picture]:
    """The resolution by number of images, the FSC and the map of the simulated images, and the true
    map.
    """
    found: Dict[str, Picture] = {}
    if (folder / CURVE_NAME).exists() and saved_metrics(folder):
        found["resolution_by_number"] = Picture(
            "Resolution by number of images",
            lambda: resolution_picture(read_numbers(folder / CURVE_NAME), saved_metrics(folder)),
        )
    maps = folder / RECONSTRUCTION_NAME
    if (maps / FSC_NAME).exists():
        found["fsc"] = Picture("Fourier shell correlation", lambda: fsc(maps))
        found["simulated_map"] = slices(maps, "From the simulated images")
        found["true_map"] = slices(folder / TWIN_NAME, "True map")
    return found


def resolution_picture(curve: Mapping[str, np.ndarray], metrics: Mapping[str, Any]) -> Figure:
    """Resolution against the number of images, from the table and the metrics of a run."""
    return plots.resolution_by_number(
        curve,
        metrics["images_of_the_set"],
        metrics["told_to_angstrom"],
        metrics["wanted_resolution_angstrom"],
    )
