"""The main job in one figure: map, reconstructions, their FSC with the map, and pose errors."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Dict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ..core.io.mrc import read_volume
from ..core.io.names import ERRORS_NAME, FSC_NAME, VOLUME_NAME
from ..core.plots.figures import BLUE, GREY, ORANGE, new_figure, style_axes

_COLOURS = {"accepted": ORANGE, "true poses": BLUE}
_DEGREES = (0.5, 1, 2, 5, 10, 20, 50, 180)


def overview(map_path: Path, reconstructions: Dict[str, Path], errors: Dict[str, Path]) -> Figure:
    """One figure of the whole job.

    Parameters
    ----------
    map_path : the map that the particles were simulated from (MRC).
    reconstructions : "all", "accepted" and "true poses" -> folder of the reconstruction (volume.mrc,
        fsc.csv).
    errors : label -> folder of the comparison (errors.csv).
    """
    figure = new_figure(11.0, 5.6)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.6))
    images = {"the map": read_volume(map_path).data}
    images.update(
        {
            f"from {label}": read_volume(folder / VOLUME_NAME).data
            for label, folder in reconstructions.items()
        }
    )
    for axes, (title, data) in zip(
        top.subplots(1, 2 * len(images), squeeze=True).reshape(-1, 2), images.items()
    ):
        _projections(axes, title, data)

    left, right = bottom.subplots(1, 2)
    _curves(left, reconstructions)
    _errors(right, errors)
    return figure


def _projections(axes, title: str, data: np.ndarray) -> None:
    """Projections along z and along y."""
    for one, axis in zip(axes, (0, 1)):
        one.imshow(data.sum(axis=axis), cmap="gray", origin="lower")
        one.set_axis_off()
    axes[0].set_title(title, loc="left", fontsize=11, fontweight="bold")


def _columns(path: Path) -> Dict[str, np.ndarray]:
    with open(path, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def _curves(axes: Axes, reconstructions: Dict[str, Path]) -> None:
    style_axes(axes, "Reconstruction against the map", "resolution [Å]", "FSC")
    for label, folder in reconstructions.items():
        columns = _columns(folder / FSC_NAME)
        axes.plot(
            columns["frequency_per_angstrom"],
            columns["reference"],
            label=label,
            color=_COLOURS.get(label, GREY),
        )
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.05, 1.02)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda frequency, _: f"{1 / frequency:.0f}" if frequency > 1e-6 else "∞")
    )
    axes.legend(frameon=False, fontsize=9)


def _errors(axes: Axes, errors: Dict[str, Path]) -> None:
    """Fraction of the particles below each error."""
    style_axes(axes, "Angular error", "angular error [°]", "fraction of particles below")
    for (label, folder), colour in zip(errors.items(), (GREY, ORANGE)):
        values = np.sort(_columns(folder / ERRORS_NAME)["angular_error_deg"])
        share = np.arange(1, len(values) + 1) / len(values)
        axes.plot(values, share, color=colour, label=f"{label}: median {np.median(values):.1f}°")
    axes.set_xscale("log")
    axes.set_xlim(0.3, 180)
    axes.set_xticks(_DEGREES, [f"{value:g}" for value in _DEGREES])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=9)
