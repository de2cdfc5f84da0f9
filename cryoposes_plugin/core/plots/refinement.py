"""Plots of refinements and of the search for an initial volume."""

from __future__ import annotations

import itertools
from typing import Mapping, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from .figures import (
    GREY,
    ORANGE,
    PALETTE,
    add_legend,
    new_figure,
    single_axes,
    style_axes,
)


def spectra(
    groups: Mapping[str, Tuple[np.ndarray, np.ndarray]], field_of_view_angstrom: float
) -> Figure:
    """Signal amplitude and standard deviation of the noise by shell, for each optics group."""
    figure = new_figure(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    style_axes(left, "Map in the images", "spatial frequency [1/Å]", "amplitude")
    style_axes(right, "Noise", "spatial frequency [1/Å]", "standard deviation")
    for colour, (name, (amplitude, noise)) in zip(itertools.cycle(PALETTE), groups.items()):
        frequency = np.arange(len(amplitude)) / field_of_view_angstrom
        seen = amplitude > 0
        left.plot(
            frequency[seen],
            amplitude[seen],
            color=colour,
            marker="o",
            markersize=2.5,
            linewidth=1,
            label=name,
        )
        right.plot(frequency[1:], noise[1:], color=colour, linewidth=1.3, label=name)

    for axes in (left, right):
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])  # a level curve lies on no edge
        add_legend(axes)
    return figure


def search_course(explained: Sequence[np.ndarray], chosen: Sequence[bool]) -> Figure:
    """Fraction of the images' power explained in each iteration, for each random start."""
    figure, axes = single_axes(
        "Search from random starts", "iteration", "fraction of the power explained"
    )
    for start, (course, best) in enumerate(zip(explained, chosen), start=1):
        axes.plot(
            np.arange(1, len(course) + 1),
            course,
            color=ORANGE if best else GREY,
            linewidth=1.8 if best else 1.0,
            zorder=3 if best else 2,
            label=f"start {start}, chosen" if best else f"start {start}",
        )
    axes.set_ylim(min(0.0, *(float(course.min()) for course in explained)), 1.0)
    add_legend(axes, loc="lower right")
    return figure
