"""The page of a forecast, and its table."""

from __future__ import annotations

import csv
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.fourier.points import FourierPoints
from ...core.io.folder import Folder
from ...core.particles.images import ResampledImages
from ...core.types import ParticleTable
from ...core.values import counted
from ..drawing import fsc, slices
from ..report import write_report
from ..run_directory import RunDirectory
from .config import ForecastConfig
from .inputs import ForecastInputs
from .names import CURVE_NAME, RECONSTRUCTION_NAME, TWIN_NAME
from .pictures import resolution_picture
from .results import TwinErrors
from .steps import TwinSet

_SPECTRUM_IMAGES, _SHOWN = 256, 6
#: Numbers of the page; the sentences above them say the rest.
_ON_PAGE = (
    "simulated_images",
    "junk_share",
    "median_error_deg",
    "told_median_error_deg",
    "root_mean_square_error_deg",
    "told_root_mean_square_error_deg",
    "share_beyond_5_deg",
    "told_wrong_share",
    "median_shift_error_angstrom",
    "kept_share",
    "particles_kept_share",
    "junk_among_kept_share",
    "simulated_resolution_half_maps_angstrom",
    "simulated_resolution_with_truth_angstrom",
    "b_factor_angstrom2",
)


def write_table(folder: Folder, curve: Mapping[str, np.ndarray]) -> None:
    """resolution.csv: one row a number of images."""
    with folder.atomic(CURVE_NAME) as part, open(part, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(curve)
        for values in zip(*curve.values()):
            writer.writerow(["" if np.isnan(v) else f"{v:.6g}" for v in values])


def write_page(
    config: ForecastConfig,
    run: RunDirectory,
    inputs: ForecastInputs,
    twin: TwinSet,
    errors: TwinErrors,
    curve: Mapping[str, np.ndarray],
    metrics: Dict[str, Any],
    notes: List[str],
) -> None:
    """report.html with its figures.

    Parameters
    ----------
    config, run, inputs : of the command.
    twin : the simulated set.
    errors : of its poses.
    curve : resolution against number.
    metrics : all numbers.
    notes : the sentences of the forecast.
    """
    rows = {f"{n} images": _both(found) for n, found in metrics["resolution_by_number"].items()}
    numbers = {name: metrics[name] for name in _ON_PAGE}
    numbers["resolution by number of images: half maps, true map"] = rows
    write_report(
        run.path,
        "What can be reached",
        lead=f"{counted(len(twin.table), 'image')} like the {len(inputs.table)} of "
        f"{config.particles}, simulated from {config.volume} and put through the same commands.",
        numbers=numbers,
        notes=notes,
        figures=_figures(config, run, inputs, twin, errors, curve, metrics),
    )


def _both(found: Mapping[str, float]) -> str:
    return f"{found['half_maps_angstrom']:.1f} Å, {found['truth_angstrom']:.1f} Å"


def _figures(
    config: ForecastConfig,
    run: RunDirectory,
    inputs: ForecastInputs,
    twin: TwinSet,
    errors: TwinErrors,
    curve: Mapping[str, np.ndarray],
    metrics: Dict[str, Any],
) -> Dict[str, Tuple[str, Figure]]:
    maps = run.file(RECONSTRUCTION_NAME)
    set_images, twin_images = (_images(table, inputs) for table in (inputs.good, twin.table))
    figures = {
        "resolution_by_number": (
            "Resolution by number of images of the set, junk and rejected ones included.",
            resolution_picture(curve, metrics),
        ),
        "error_histogram": (
            "True errors of the poses of the simulated particles.",
            plots.error_histogram(errors.true_deg),
        ),
    }

    if np.isfinite(errors.expected_deg).all():
        figures["told_and_true_errors"] = (
            "Errors that the program expects, and true ones.",
            plots.told_and_true_errors(errors.true_deg, errors.expected_deg),
        )
    figures["fsc"] = ("FSC of the map of the simulated images.", fsc(maps))
    figures["simulated_map"] = (
        "The map of the simulated images.",
        slices(maps, "From the simulated images").draw(),
    )
    figures["true_map"] = (
        "The map that they show.",
        slices(run.file(TWIN_NAME), "True map").draw(),
    )
    figures["set_and_twin"] = (
        "Images of the set, and simulated ones.",
        plots.image_gallery(
            np.concatenate([set_images[:_SHOWN], twin_images[:_SHOWN]]),
            ["set"] * len(set_images[:_SHOWN]) + ["simulated"] * len(twin_images[:_SHOWN]),
        ),
    )
    figures["power_spectra"] = (
        "Mean power of the images of the set, and of the simulated ones: where they differ, the "
        "forecast is of other images.",
        plots.power_spectra(
            {"the set": _power(set_images), "simulated": _power(twin_images)},
            inputs.grid.field_of_view_angstrom,
            "Power of the images",
        ),
    )
    return figures


def _images(table: ParticleTable, inputs: ForecastInputs) -> np.ndarray:
    """(n, D, D) of some particles, evenly spaced in the set, on the grid of the simulated images."""
    rows = np.unique(np.linspace(0, len(table) - 1, _SPECTRUM_IMAGES).astype(int))
    return ResampledImages(table, *inputs.grid).read(rows)


def _power(images: np.ndarray) -> np.ndarray:
    points = FourierPoints(images.shape[-1])
    return points.shell_means((np.abs(points.transform(images)) ** 2).mean(axis=0))
