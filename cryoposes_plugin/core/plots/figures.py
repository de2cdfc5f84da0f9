"""The common style of all figures: matplotlib Figures without pyplot or any global state."""

from __future__ import annotations

import io
from typing import Any, Tuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

BLUE, ORANGE, GREEN, RED, GREY = "#2b6cb0", "#dd6b20", "#2f855a", "#c53030", "#718096"
PALETTE = (BLUE, ORANGE, GREEN, RED, "#6b46c1", "#0987a0", GREY)
_DOTS_PER_INCH = 120


class LiteralFigure(Figure):
    """A figure that shows names as they are, including `$` and bytes that are not text."""

    def draw(self, renderer: Any) -> None:
        _take_literally(self)
        super().draw(renderer)


def _take_literally(artist: Artist) -> None:
    """Except the numbers along the axes, which are formulas if an axis is logarithmic."""
    for child in artist.get_children():
        if isinstance(child, Text):
            child.set_parse_math(False)
            child.set_text(child.get_text().encode("utf-8", "backslashreplace").decode("utf-8"))
        elif not isinstance(child, Tick):
            _take_literally(child)


def new_figure(width_inch: float = 6.4, height_inch: float = 4.0) -> Figure:
    """An empty figure with a raster canvas of its own."""
    figure = LiteralFigure(
        figsize=(width_inch, height_inch), dpi=_DOTS_PER_INCH, layout="constrained"
    )
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """Title, axis labels, a light grid and no frame above and to the right.

    Parameters
    ----------
    axes : to style; returned.
    title : above the axes.
    x, y : labels of the axes.
    """
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, color="#e2e8f0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def single_axes(
    title: str, x: str, y: str, size: Tuple[float, float] = (6.4, 4.0)
) -> Tuple[Figure, Axes]:
    """A figure with one pair of axes.

    Parameters
    ----------
    title : above the axes.
    x, y : labels of the axes.
    size : of the figure, in inches.
    """
    figure = new_figure(*size)
    return figure, style_axes(figure.add_subplot(), title, x, y)


def add_legend(axes: Axes, **arguments: Any) -> None:
    """Add a legend if anything has a label."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9, **arguments)


def legend_below(figure: Figure, axes: Axes) -> None:
    """Add a legend below the axes, where it covers no bars."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9
        )


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file's contents."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
