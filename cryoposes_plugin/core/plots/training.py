"""Plots of a training: arrays in, matplotlib Figures out."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
from matplotlib.figure import Figure

from .figures import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    add_legend,
    single_axes,
)

#: Cells of a density beyond this percentile share its colour.
_COLOURED_PERCENTILE = 99


def learning_curve(
    steps: Sequence[float],
    loss: Sequence[float],
    validation_steps: Sequence[float] = (),
    validation_error_deg: Sequence[float] = (),
    learning_rate: Optional[Sequence[float]] = None,
) -> Figure:
    """Training loss against the step (left), median validation error in degrees where it was
    measured (right).

    `learning_rate`, one value a step, is drawn faintly without an axis of its own. NaN are gaps.

    Parameters
    ----------
    steps, loss : the training loss at these steps.
    validation_steps, validation_error_deg : median error of the validation images at these steps.
    learning_rate : one value for each of `steps`.
    """
    figure, axes = single_axes("Learning curve", "training step", "training loss")
    axes.plot(steps, loss, color=BLUE, linewidth=1.3, label="training loss")
    axes.yaxis.label.set_color(BLUE)
    if learning_rate is not None and len(learning_rate):
        rate = axes.twinx()
        rate.plot(steps, learning_rate, color=GREY, linewidth=1, alpha=0.6, linestyle=":")
        rate.set_axis_off()
        axes.plot([], [], color=GREY, linestyle=":", label="learning rate (no scale)")

    if len(validation_steps):
        right = axes.twinx()
        right.plot(
            validation_steps,
            validation_error_deg,
            color=ORANGE,
            marker="o",
            markersize=3.5,
            linewidth=1.5,
        )
        right.set_ylabel("median validation error [°]", color=ORANGE)
        right.set_ylim(bottom=0)
        right.spines["top"].set_visible(False)
        finite = np.asarray(validation_error_deg, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        last = f": {finite[-1]:.1f}° at the end" if len(finite) else ""
        axes.plot(
            [], [], color=ORANGE, marker="o", markersize=3.5, label=f"median validation error{last}"
        )

    add_legend(axes, loc="upper right")
    return figure


def distance_density(true_deg: np.ndarray, estimated_deg: np.ndarray) -> Figure:
    """Density of estimated against true angular distances (M,) of pairs; ideally a diagonal."""
    figure, axes = single_axes(
        f"Distances of {len(true_deg)} pairs of poses",
        "true distance [°]",
        "estimated distance [°]",
        (5.6, 4.8),
    )
    edges = np.linspace(0, 180, 61)
    counts, *_, mesh = axes.hist2d(
        true_deg, estimated_deg, bins=(edges, edges), cmap="viridis", cmin=1, rasterized=True
    )

    # otherwise estimates of a poor network, cut to 180°, would dominate the colours
    mesh.set_clim(1, max(2.0, float(np.nanpercentile(counts, _COLOURED_PERCENTILE))))
    axes.plot([0, 180], [0, 180], color=RED, linewidth=1, linestyle="--")
    axes.set_aspect("equal")
    figure.colorbar(mesh, ax=axes, label="pairs", extend="max")
    return figure
