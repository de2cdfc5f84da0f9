"""Figures of how views fill Fourier space, and of how the FSC depends on the direction."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from .figures import BLUE, GREY, RED, add_legend, new_figure, single_axes

_TILTS_DEG = (15, 30, 45, 60, 75)


def slices_by_direction(directions: np.ndarray, slices: np.ndarray, title: str) -> Figure:
    """Equal-area map of the number of central slices through each direction of Fourier space.

    Seen along z: the angle is the longitude, the radius sin(theta / 2) / sin(45°).

    Parameters
    ----------
    directions : (M, 3) unit vectors on the half sphere z >= 0; each stands for its opposite too.
    slices : (M,) number of slices through each.
    title : of the figure.
    """
    figure = new_figure(6.0, 5.2)
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.02, ha="left")
    axes = figure.add_subplot(projection="polar")
    share = slices / max(float(slices.mean()), 1e-12)
    top = max(2.0, float(np.percentile(share, 99)))
    seen = slices > 0.5
    longitude = np.arctan2(directions[:, 1], directions[:, 0])
    radius = np.sqrt(np.clip(1 - directions[:, 2], 0, None))
    size = 2.5e4 / len(directions)

    drawn = axes.scatter(
        longitude[seen], radius[seen], c=share[seen], s=size, cmap="viridis", vmin=0, vmax=top
    )
    axes.scatter(longitude[~seen], radius[~seen], color=RED, s=size, label="not seen")
    axes.set_ylim(0, 1)
    axes.set_yticks(
        np.sqrt(1 - np.cos(np.deg2rad(_TILTS_DEG))),
        [f"{t}°" for t in _TILTS_DEG],
        color="white",
        fontsize=8,
    )
    axes.tick_params(labelsize=8)
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="slices through a direction / their mean")
    if not seen.all():
        figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return figure


def fsc_by_direction(
    frequency_per_angstrom: np.ndarray, curves: np.ndarray, title: str, threshold: float = 0.143
) -> Figure:
    """The range of the FSC over the directions.

    Parameters
    ----------
    frequency_per_angstrom : (S,) in 1/Å.
    curves : (K, S) FSC in K cones; a shell without values is NaN in all.
    title : of the figure.
    threshold : drawn as a horizontal line.
    """
    figure, axes = single_axes(title, "resolution [Å]", "FSC", (6.8, 4.2))
    known = ~np.isnan(curves).any(axis=0) & (frequency_per_angstrom > 0)
    frequency, values = frequency_per_angstrom[known], curves[:, known]
    low, high = values.min(axis=0), values.max(axis=0)
    tenth, ninth = np.percentile(values, [10, 90], axis=0)

    axes.fill_between(frequency, low, high, color=BLUE, alpha=0.15, label="all directions")
    axes.fill_between(frequency, tenth, ninth, color=BLUE, alpha=0.3, label="80 % of them")
    axes.plot(frequency, values.mean(axis=0), color=BLUE, linewidth=1.8, label="mean")
    axes.axhline(threshold, color=GREY, linestyle=":", linewidth=1, label=f"{threshold:g}")
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_ylim(-0.15, 1.05)
    axes.set_xlim(0, frequency_per_angstrom.max())
    ticks = np.linspace(0, frequency_per_angstrom.max(), 7)[1:]
    axes.set_xticks(ticks, [f"{1 / t:.3g}" for t in ticks])
    add_legend(axes, loc="upper right")
    return figure
