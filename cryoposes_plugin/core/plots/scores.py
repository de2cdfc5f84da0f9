"""Plots of the scores and errors of particles: arrays in, matplotlib Figures out."""

from __future__ import annotations

from typing import Optional

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..evaluation.errors import FOUND_BELOW_DEG
from ..scores import HIGH, cost, score_named
from ..values import counted
from .figures import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    add_legend,
    legend_below,
    new_figure,
    single_axes,
    style_axes,
)

#: Above this many points a scatter plot hides its own density.
_SCATTER_LIMIT = 3000
_BINS_OF_EQUAL_NUMBER = 12


def uncertainty_histogram(
    scores: np.ndarray,
    accepted: Optional[np.ndarray] = None,
    name: str = "score",
    threshold: Optional[float] = None,
    decoys: Optional[np.ndarray] = None,
) -> Figure:
    """Histogram of scores, with the accepted particles in colour.

    Parameters
    ----------
    scores : (N,).
    accepted : (N,) bool, or None.
    name : label of the axis.
    threshold : marked by a line, if given.
    decoys : (M,) scores of images that are known to be junk, drawn as an outline, or None.
    """
    scores = np.asarray(scores, dtype=np.float64)
    figure, axes = single_axes(
        f"Uncertainty of {counted(len(scores), 'particle')}", _score_label(name), "particles"
    )
    edges = np.histogram_bin_edges(scores, bins=int(np.clip(np.sqrt(len(scores)), 10, 80)))
    if threshold is not None and edges[0] <= threshold <= edges[-1]:
        width = edges[1] - edges[0]
        # A hair to the side that is rejected, since a score equal to the threshold is accepted.
        hair = -1e-6 * width if score_named(name).better == HIGH else 1e-6 * width
        edges = edges + (threshold - edges[np.argmin(np.abs(edges - threshold))]) + hair
        edges = np.concatenate([[edges[0] - width], edges, [edges[-1] + width]])

    if accepted is None:
        axes.hist(scores, bins=edges, color=BLUE)
    else:
        accepted = np.asarray(accepted, dtype=bool)
        kept = int(accepted.sum())
        labels = [
            f"accepted: {kept} ({100 * kept / max(len(scores), 1):.1f} %)",
            f"rejected: {len(scores) - kept}",
        ]
        parts = [scores[accepted], scores[~accepted]]
        axes.hist(parts, bins=edges, stacked=True, color=[BLUE, "#e2a36b"], label=labels)
    if decoys is not None and len(decoys):
        label = f"decoys: {len(decoys)}"
        axes.hist(decoys, bins=edges, histtype="step", color=GREY, linewidth=1.5, label=label)
    if threshold is not None:
        axes.axvline(
            threshold, color=RED, linestyle="--", linewidth=1.3, label=f"threshold {threshold:.4g}"
        )

    legend_below(figure, axes)
    return figure


def error_histogram(errors_deg: np.ndarray, title: str = "Angular error") -> Figure:
    """Histogram of (N,) angular errors, and the fraction of particles below each error."""
    errors = np.sort(np.asarray(errors_deg, dtype=np.float64))
    figure, axes = single_axes(
        f"{title} of {counted(len(errors), 'particle')}", "angular error [°]", "particles"
    )
    top = max(float(np.percentile(errors, 99)) * 1.1, 1e-3)
    beyond = int((errors > top).sum())
    axes.hist(errors, bins=np.linspace(0, top, 61), color=BLUE)
    axes.set_xlim(0, top)
    median = float(np.median(errors))
    axes.axvline(median, color=RED, linestyle="--", linewidth=1.3)

    share = axes.twinx()
    share.plot(
        errors, 100 * np.arange(1, len(errors) + 1) / len(errors), color=ORANGE, linewidth=1.5
    )
    share.set_ylim(0, 102)
    share.set_ylabel("particles below [%]", color=ORANGE)
    share.spines["top"].set_visible(False)
    axes.plot([], [], color=RED, linestyle="--", label=f"median {median:.2f}°")
    axes.plot(
        [],
        [],
        color=ORANGE,
        label=f"cumulative; {100 * np.mean(errors < FOUND_BELOW_DEG):.1f} % below "
        f"{FOUND_BELOW_DEG:g}°",
    )
    if beyond:
        axes.plot(
            [], [], linestyle="none", label=f"{beyond} beyond {top:.0f}°, largest {errors[-1]:.0f}°"
        )

    legend_below(figure, axes)
    return figure


def error_against_uncertainty(
    scores: np.ndarray, errors_deg: np.ndarray, name: str = "score"
) -> Figure:
    """Angular error (N,) against the score (N,), and the error of the most certain particles."""
    scores, errors = (np.asarray(values, dtype=np.float64) for values in (scores, errors_deg))
    order = np.argsort(cost(name, scores), kind="stable")
    figure = new_figure(9.0, 3.9)
    left, right = figure.subplots(1, 2)
    style_axes(left, "Error against uncertainty", _score_label(name), "angular error [°]")
    shown = order[:: max(1, len(order) // _SCATTER_LIMIT)]
    left.scatter(
        scores[shown], errors[shown], s=5, color=BLUE, alpha=0.25, linewidths=0, rasterized=True
    )
    bins = [b for b in np.array_split(order, min(_BINS_OF_EQUAL_NUMBER, len(order))) if len(b)]

    left.plot(
        [np.median(scores[b]) for b in bins],
        [np.median(errors[b]) for b in bins],
        color=RED,
        marker="o",
        markersize=3.5,
        linewidth=1.5,
        label="median in bins of equal size",
    )
    left.xaxis.set_major_locator(MaxNLocator(5))
    left.set_yscale("symlog", linthresh=max(1.0, float(np.median(errors))))
    left.set_ylim(bottom=0)
    add_legend(left)
    style_axes(
        right,
        "Error of the particles kept",
        "fraction kept, most certain first [%]",
        "angular error [°]",
    )
    shares = np.unique(np.linspace(max(1, len(order) // 50), len(order), 60).astype(int))
    for percentile, color, label in ((50, BLUE, "median"), (90, ORANGE, "90th percentile")):
        kept = [np.percentile(errors[order[:n]], percentile) for n in shares]
        right.plot(100 * shares / len(order), kept, color=color, linewidth=1.8, label=label)

    right.axhline(
        float(np.median(errors)), color=GREY, linestyle=":", linewidth=1.2, label="median of all"
    )
    right.set_ylim(bottom=0)
    add_legend(right)
    return figure


def value_histogram(values: np.ndarray, title: str, label: str) -> Figure:
    """Histogram of (N,) values with their median; the last bin holds the largest 1 %."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    figure, axes = single_axes(title, label, "particles")
    if len(values):
        top = max(float(np.quantile(values, 0.99)), 1e-12)
        axes.hist(
            np.minimum(values, top), bins=int(np.clip(np.sqrt(len(values)), 10, 80)), color=BLUE
        )
        median = float(np.median(values))
        axes.axvline(median, color=ORANGE, linewidth=1.5, label=f"median {median:.3g}")
    legend_below(figure, axes)
    return figure


def _score_label(name: str) -> str:
    score = score_named(name)
    return f"{score.title}; {score.better_end or 'lower is more certain'}"
