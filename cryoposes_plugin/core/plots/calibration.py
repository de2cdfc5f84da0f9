"""Plots of calibration: arrays in, matplotlib Figures out."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from .figures import BLUE, GREY, ORANGE, add_legend, single_axes


def reliability_diagram(
    predicted: np.ndarray, observed: np.ndarray, standard_error: np.ndarray, quantity: str
) -> Figure:
    """What was said against what was found, in bins.

    Parameters
    ----------
    predicted, observed, standard_error : (B,) of each bin; the last is that of `observed`.
    quantity : its name and unit, for the axes.
    """
    figure, axes = single_axes(
        "Reliability", f"expected: {quantity}", f"observed: {quantity}", (5.0, 4.6)
    )
    top = 1.1 * max(float(np.max(predicted)), float(np.max(observed)), 1e-6)
    axes.plot([0, top], [0, top], color=GREY, linestyle=":", label="right")
    axes.errorbar(
        predicted,
        observed,
        yerr=standard_error,
        color=BLUE,
        marker="o",
        markersize=4,
        capsize=2,
        label="bins of equal number",
    )

    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    add_legend(axes)
    return figure


def sparsification_curve(removed: np.ndarray, kept: np.ndarray, oracle: np.ndarray) -> Figure:
    """(P,) root mean square errors in degrees of the kept particles, and the best possible ones."""
    figure, axes = single_axes(
        "Error of the particles kept", "least certain removed [%]", "root mean square error [°]"
    )
    axes.plot(100 * removed, kept, color=BLUE, label="by expected error")
    axes.plot(100 * removed, oracle, color=GREY, linestyle=":", label="by the errors themselves")
    axes.set_ylim(bottom=0)
    add_legend(axes)
    return figure


def chi_square_quantiles(values: np.ndarray, degrees: int) -> Figure:
    """Quantiles of (N,) chi-squares against those of the law with so many degrees of freedom."""
    values = np.sort(np.asarray(values, dtype=np.float64))
    law = stats.chi2(degrees).ppf((np.arange(len(values)) + 0.5) / len(values))
    figure, axes = single_axes(
        "Differences in units of their covariance", "expected chi-square", "observed", (5.0, 4.6)
    )
    top = 1.05 * float(law[-1])
    axes.plot([0, top], [0, top], color=GREY, linestyle=":", label="right")
    axes.plot(law, values, color=ORANGE, linewidth=1.8, label="particles")
    axes.set_xlim(0, top)
    axes.set_ylim(0, 2 * top)
    add_legend(axes)
    return figure
