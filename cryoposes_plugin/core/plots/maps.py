"""Plots of maps: arrays in, matplotlib Figures out. Lengths in Å."""

from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    RED,
    add_legend,
    new_figure,
    single_axes,
)


def fsc_curve(
    frequency_per_angstrom: np.ndarray,
    curves: Mapping[str, np.ndarray],
    thresholds: Sequence[float] = (0.5, 0.143),
    note: str = "",
) -> Figure:
    """FSC curves over the spatial frequency.

    Parameters
    ----------
    frequency_per_angstrom : (S,) in 1/Å.
    curves : (S,) each, by label.
    thresholds : drawn as horizontal lines.
    note : what the reader must know, written below the title.
    """
    frequency = np.asarray(frequency_per_angstrom, dtype=np.float64)
    figure, axes = single_axes("Fourier shell correlation", "resolution [Å]", "FSC", (6.8, 4.4))
    for (label, values), color in zip(curves.items(), PALETTE * (len(curves) // len(PALETTE) + 1)):
        dashed = label.lower().startswith(("random", "phase"))
        style = dict(linewidth=1.2, linestyle="--") if dashed else dict(linewidth=1.8)
        axes.plot(frequency, values, label=label, color=color, **style)

    for threshold in thresholds:
        axes.axhline(threshold, color=GREY, linewidth=1, linestyle=":")
        axes.annotate(
            f"{threshold:g}",
            (1, threshold),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=GREY,
        )

    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_ylim(-0.15, 1.05)
    positive = frequency[frequency > 0]
    if len(positive):
        axes.set_xlim(0, frequency.max())
        ticks = np.linspace(0, frequency.max(), 7)[1:]
        axes.set_xticks(ticks, [f"{1 / t:.3g}" for t in ticks])
    add_legend(axes, loc="lower left" if len(curves) < 4 else "upper right")
    if note:
        figure.supxlabel(note, fontsize=8.5, color=RED, wrap=True)
    return figure


def volume_slices(data: np.ndarray, pixel_size_angstrom: float, title: str = "Volume") -> Figure:
    """Central slices (top) and projections (bottom) of a map (D, D, D), along x, y and z."""
    data = np.asarray(data, dtype=np.float64)
    box = data.shape[0]
    figure = new_figure(7.4, 5.2)
    figure.suptitle(
        f"{title}: {box} px, {pixel_size_angstrom:.4g} Å/px", fontsize=11, fontweight="bold"
    )

    for column, (axis, name, across, up) in enumerate(
        ((2, "x", "y", "z"), (1, "y", "x", "z"), (0, "z", "x", "y"))
    ):
        for row, image in enumerate((np.take(data, box // 2, axis=axis), data.sum(axis=axis))):
            axes = figure.add_subplot(2, 3, 3 * row + column + 1)
            _show_plane(axes, image, pixel_size_angstrom, np.percentile(image, [0.5, 99.8]))
            axes.set_title(
                f"slice at {name} = 0" if row == 0 else f"projection along {name}", fontsize=9
            )
            axes.set_xlabel(f"{across} [Å]", fontsize=8)
            axes.set_ylabel(f"{up} [Å]", fontsize=8)
            axes.tick_params(labelsize=7)

    return figure


def volume_section(data: np.ndarray, pixel_size_angstrom: float, axis: str, index: int) -> Figure:
    """One slice of a volume, on the grey scale of the whole volume.

    Parameters
    ----------
    data : (D, D, D), indexed [z, y, x].
    pixel_size_angstrom : of the volume.
    axis : "x", "y" or "z", perpendicular to the slice.
    index : voxel along that axis.
    """
    data = np.asarray(data)
    number, across, up = {"x": (2, "y", "z"), "y": (1, "x", "z"), "z": (0, "x", "y")}[axis]
    box = data.shape[number]
    place = (index - box // 2) * pixel_size_angstrom
    figure, axes = single_axes(
        f"{axis} = {place:.1f} Å (slice {index + 1} of {box})", "", "", (5.2, 5.2)
    )
    image = np.take(data, index, axis=number)

    _show_plane(axes, image, pixel_size_angstrom, np.percentile(data, [0.5, 99.9]))
    axes.set(xlabel=f"{across} [Å]", ylabel=f"{up} [Å]")
    axes.grid(False)
    return figure


def symmetry_bars(
    correlations: Mapping[str, float], chosen: str = "", agrees: float = 0.8
) -> Figure:
    """The lowest self-correlation of a map under the operations of each point group."""
    figure, axes = single_axes(
        f"Symmetry {chosen}" if chosen else "Symmetry",
        "point group",
        "lowest self-correlation",
    )
    colors = [
        ORANGE if name == chosen else GREEN if value >= agrees else BLUE
        for name, value in correlations.items()
    ]

    axes.bar(list(correlations), list(correlations.values()), color=colors)
    axes.axhline(
        agrees,
        color=GREY,
        linestyle=":",
        linewidth=1.2,
        label=f"a symmetric map reaches {agrees:g}",
    )
    axes.tick_params(axis="x", labelsize=8)
    axes.set_ylim(min(0.0, *correlations.values()) - 0.05, 1.02)
    add_legend(axes, loc="upper right")
    return figure


def _show_plane(
    axes: Axes, image: np.ndarray, pixel_size_angstrom: float, grey: np.ndarray
) -> None:
    """A square plane of a volume in grey, with Å along its axes; voxel D // 2 lies at 0.

    Parameters
    ----------
    axes : to draw into.
    image : (D, D).
    pixel_size_angstrom : of the image.
    grey : (2,) values of black and white.
    """
    box = len(image)
    first = -(box // 2 + 0.5) * pixel_size_angstrom
    low, high = grey
    axes.imshow(
        image,
        cmap="gray",
        origin="lower",
        extent=(first, first + box * pixel_size_angstrom) * 2,
        vmin=low,
        vmax=high if high > low else None,
    )
