"""Plots of what a set can reach: arrays in, matplotlib Figures out. Lengths in Å."""

from __future__ import annotations

from typing import Mapping, Optional

import numpy as np
from matplotlib.figure import Figure

from .figures import BLUE, GREEN, GREY, ORANGE, PALETTE, RED, add_legend, single_axes


def resolution_by_number(
    curve: Mapping[str, np.ndarray],
    own_number: int,
    finest_angstrom: float,
    wanted_angstrom: Optional[float] = None,
) -> Figure:
    """Resolution against the number of images; the axis is linear in 1 / d^2, so that a B-factor
    alone gives a line.

    Parameters
    ----------
    curve : columns (n,) "number", "half_maps_angstrom", "truth_angstrom" and
        "b_factor_line_angstrom".
    own_number : of the set, marked.
    finest_angstrom : beyond which nothing is told.
    wanted_angstrom : marked, if it is given.
    """
    figure, axes = single_axes(
        "Resolution by number of images", "images", "resolution [Å]", (7.2, 4.6)
    )
    number = curve["number"]
    for column, label, colour, style in (
        ("half_maps_angstrom", "half maps, FSC 0.143", BLUE, "-"),
        ("truth_angstrom", "true map, FSC 0.5", GREEN, "-"),
        ("b_factor_line_angstrom", "B-factor line", GREY, "--"),
    ):
        axes.plot(number, curve[column] ** -2.0, style, color=colour, label=label, linewidth=1.8)
    axes.axvline(own_number, color=ORANGE, linewidth=1.5, label=f"the set, {own_number}")
    axes.axhline(finest_angstrom**-2.0, color=GREY, linestyle=":", label="finest that is told")
    if wanted_angstrom is not None:
        axes.axhline(wanted_angstrom**-2.0, color=RED, linewidth=1.2, label="wanted")

    axes.set_xscale("log")
    axes.set_xlim(number.min(), number.max())
    top = 1.1 * finest_angstrom**-2.0
    axes.set_ylim(0, top)
    ticks = np.linspace(0, top, 7)[1:]
    axes.set_yticks(ticks, [f"{t**-0.5:.3g}" for t in ticks])
    add_legend(axes, loc="lower right")
    return figure


def power_spectra(
    spectra: Mapping[str, np.ndarray], field_of_view_angstrom: float, title: str
) -> Figure:
    """Mean power of images by shell, (S,) by name, with a logarithmic axis.

    Parameters
    ----------
    spectra : by name.
    field_of_view_angstrom : of the images.
    title : of the figure.
    """
    figure, axes = single_axes(title, "spatial frequency [1/Å]", "power")
    for (name, power), colour in zip(spectra.items(), PALETTE):
        frequency = np.arange(len(power)) / field_of_view_angstrom
        axes.plot(frequency[1:], power[1:], color=colour, label=name, linewidth=1.6)
    axes.set_yscale("log")
    add_legend(axes)
    return figure


def told_and_true_errors(true_deg: np.ndarray, told_deg: np.ndarray) -> Figure:
    """Root mean square of true errors against that of expected ones, in tenths of the particles.

    Parameters
    ----------
    true_deg, told_deg : (N,).
    """
    figure, axes = single_axes(
        "Expected and true errors", "expected error [°]", "true error [°]", (5.2, 4.6)
    )
    parts = np.array_split(np.argsort(told_deg, kind="stable"), 10)
    told, true = (
        [float(np.sqrt(np.mean(values[part] ** 2))) for part in parts if len(part)]
        for values in (told_deg, true_deg)
    )
    top = 1.15 * max(max(told), max(true), 1e-6)
    axes.plot([0, top], [0, top], color=GREY, linestyle=":", label="equal")
    axes.plot(told, true, "o-", color=BLUE, label="tenths of the particles, root mean square")
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    add_legend(axes, loc="upper left")
    return figure
