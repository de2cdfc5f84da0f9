"""Plots of a recovery from distances: arrays in degrees in, matplotlib Figures out."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from matplotlib.figure import Figure

from .figures import (
    BLUE,
    GREY,
    ORANGE,
    add_legend,
    new_figure,
    single_axes,
    style_axes,
)

_BINS = 60


def residual_histogram(pairs_deg: np.ndarray, particles_deg: np.ndarray) -> Figure:
    """Residuals of pairs (left), and root mean square residual of each particle (right)."""
    figure = new_figure(8.6, 3.6)
    left = style_axes(
        figure.add_subplot(1, 2, 1), "Pairs", "given - recovered distance [°]", "pairs"
    )
    left.hist(pairs_deg, bins=_BINS, color=BLUE)
    right = style_axes(figure.add_subplot(1, 2, 2), "Particles", "rms residual [°]", "particles")
    right.hist(particles_deg, bins=_BINS, color=ORANGE)
    right.axvline(
        float(np.median(particles_deg)), color=GREY, linestyle="--", linewidth=1.2, label="median"
    )
    add_legend(right)
    return figure


def distances_against_recovered(recovered_deg: np.ndarray, given_deg: np.ndarray) -> Figure:
    """Density of given against recovered distances, with the diagonal and the mean in bins."""
    figure, axes = single_axes(
        "Distances", "recovered distance [°]", "given distance [°]", (5.6, 4.6)
    )
    axes.hexbin(recovered_deg, given_deg, gridsize=70, mincnt=1, cmap="Blues", bins="log")
    axes.plot([0, 180], [0, 180], color=GREY, linewidth=1.2, label="equal")
    edges = np.linspace(0, 180, 19)
    index = np.clip(np.digitize(recovered_deg, edges) - 1, 0, len(edges) - 2)
    counts = np.bincount(index, minlength=len(edges) - 1)
    means = np.bincount(index, given_deg, len(edges) - 1)[counts > 0] / counts[counts > 0]

    axes.plot(
        (0.5 * (edges[1:] + edges[:-1]))[counts > 0],
        means,
        color=ORANGE,
        marker="o",
        markersize=3.5,
        label="mean",
    )
    add_legend(axes, loc="upper left")
    return figure


def loss_curve(losses_rad2: Sequence[float]) -> Figure:
    """Root mean square residual (degrees) of the distances in each pass of a recovery."""
    figure, axes = single_axes("Recovery", "pass", "root mean square residual [°]", (5.6, 3.6))
    residuals = np.rad2deg(np.sqrt(losses_rad2))
    axes.plot(np.arange(len(residuals)), residuals, color=BLUE, marker="o", markersize=3)
    axes.set_ylim(0, 1.1 * residuals.max())
    return figure
