"""The plots of the reports and viewers: arrays in, matplotlib Figures out. Angles come in degrees, lengths in Å."""

from __future__ import annotations

import itertools
from typing import Mapping, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..evaluation.errors import FOUND_BELOW_DEG
from ..scores import HIGH, cost, score_named
from ..words import counted
from .figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    RED,
    dress,
    legend_below,
    legend_where_there_is_something,
    new_figure,
    single_axes,
)

#: Above this many points a scatter plot hides its own density.
_SCATTER_LIMIT = 3000
_BINS_OF_EQUAL_NUMBER = 12
#: Cells of a density beyond this percentile share its colour.
_COLOURED_PERCENTILE = 99


def learning_curve(
    steps: Sequence[float],
    loss: Sequence[float],
    validation_steps: Sequence[float] = (),
    validation_error_deg: Sequence[float] = (),
    learning_rate: Optional[Sequence[float]] = None,
) -> Figure:
    """Training loss against the step (left), median validation error in degrees where it was measured (right).

    `learning_rate`, one value a step, is drawn faintly without an axis of its own. NaN are gaps.
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
    legend_where_there_is_something(axes, loc="upper right")
    return figure


def uncertainty_histogram(
    scores: np.ndarray,
    accepted: Optional[np.ndarray] = None,
    name: str = "score",
    threshold: Optional[float] = None,
) -> Figure:
    """Histogram of scores (N,), the accepted part (N,) bool coloured if it is given, the threshold marked."""
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
    if threshold is not None:
        axes.axvline(
            threshold, color=RED, linestyle="--", linewidth=1.3, label=f"threshold {threshold:.4g}"
        )
    legend_below(figure, axes)
    return figure


def _score_label(name: str) -> str:
    score = score_named(name)
    return f"{score.title}; {score.better_end or 'lower is more certain'}"


def error_histogram(errors_deg: np.ndarray, title: str = "Angular error") -> Figure:
    """Histogram of (N,) angular errors, and the share of particles below each error."""
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
        label=f"cumulative; {100 * np.mean(errors < FOUND_BELOW_DEG):.1f} % below {FOUND_BELOW_DEG:g}°",
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
    """Angular error (N,) against the score (N,), and the median error of the most certain share that is kept."""
    scores, errors = (np.asarray(values, dtype=np.float64) for values in (scores, errors_deg))
    order = np.argsort(cost(name, scores), kind="stable")
    figure = new_figure(9.0, 3.9)
    left, right = figure.subplots(1, 2)
    dress(left, "Error against uncertainty", _score_label(name), "angular error [°]")
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
        label="median of equal parts",
    )
    left.xaxis.set_major_locator(MaxNLocator(5))
    left.set_yscale("symlog", linthresh=max(1.0, float(np.median(errors))))
    left.set_ylim(bottom=0)
    legend_where_there_is_something(left)
    dress(right, "Error of what is kept", "share kept, most certain first [%]", "angular error [°]")
    shares = np.unique(np.linspace(max(1, len(order) // 50), len(order), 60).astype(int))
    for percentile, color, label in ((50, BLUE, "median"), (90, ORANGE, "90th percentile")):
        kept = [np.percentile(errors[order[:n]], percentile) for n in shares]
        right.plot(100 * shares / len(order), kept, color=color, linewidth=1.8, label=label)
    right.axhline(
        float(np.median(errors)), color=GREY, linestyle=":", linewidth=1.2, label="median of all"
    )
    right.set_ylim(bottom=0)
    legend_where_there_is_something(right)
    return figure


def fsc_curve(
    frequency_per_angstrom: np.ndarray,
    curves: Mapping[str, np.ndarray],
    thresholds: Sequence[float] = (0.5, 0.143),
    note: str = "",
) -> Figure:
    """FSC curves (S,) by label over the frequency (S,) in 1/Å, with thresholds and a note that the reader must see."""
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
    legend_where_there_is_something(axes, loc="lower left" if len(curves) < 4 else "upper right")
    if note:
        figure.supxlabel(note, fontsize=8.5, color=RED, wrap=True)
    return figure


def volume_slices(data: np.ndarray, pixel_size_angstrom: float, title: str = "Volume") -> Figure:
    """Central slices (top) and projections (bottom) along x, y and z of a (D, D, D) array indexed [z, y, x]."""
    data = np.asarray(data, dtype=np.float64)
    box = data.shape[0]
    first = -(box // 2 + 0.5) * pixel_size_angstrom
    extent = (first, first + box * pixel_size_angstrom) * 2
    figure = new_figure(7.4, 5.2)
    figure.suptitle(
        f"{title}: {box} px, {pixel_size_angstrom:.4g} Å/px", fontsize=11, fontweight="bold"
    )
    for column, (axis, name, across, up) in enumerate(
        ((2, "x", "y", "z"), (1, "y", "x", "z"), (0, "z", "x", "y"))
    ):
        for row, image in enumerate((np.take(data, box // 2, axis=axis), data.sum(axis=axis))):
            axes = figure.add_subplot(2, 3, 3 * row + column + 1)
            low, high = np.percentile(image, [0.5, 99.8])
            axes.imshow(
                image,
                cmap="gray",
                origin="lower",
                extent=extent,
                vmin=low,
                vmax=high if high > low else None,
            )
            axes.set_title(
                f"slice at {name} = 0" if row == 0 else f"projection along {name}", fontsize=9
            )
            axes.set_xlabel(f"{across} [Å]", fontsize=8)
            axes.set_ylabel(f"{up} [Å]", fontsize=8)
            axes.tick_params(labelsize=7)
    return figure


def volume_section(data: np.ndarray, pixel_size_angstrom: float, axis: str, index: int) -> Figure:
    """One slice of a (D, D, D) array indexed [z, y, x], across x, y or z at voxel `index`, on the grey scale of all."""
    data = np.asarray(data)
    number, across, up = {"x": (2, "y", "z"), "y": (1, "x", "z"), "z": (0, "x", "y")}[axis]
    box = data.shape[number]
    first = -(box // 2 + 0.5) * pixel_size_angstrom
    extent = (first, first + box * pixel_size_angstrom) * 2
    place = (index - box // 2) * pixel_size_angstrom
    figure, axes = single_axes(
        f"{axis} = {place:.1f} Å (slice {index + 1} of {box})", "", "", (5.2, 5.2)
    )
    low, high = np.percentile(data, [0.5, 99.9])
    image = np.take(data, index, axis=number)
    axes.imshow(
        image,
        cmap="gray",
        origin="lower",
        extent=extent,
        vmin=low,
        vmax=high if high > low else None,
    )
    axes.set(xlabel=f"{across} [Å]", ylabel=f"{up} [Å]")
    axes.grid(False)
    return figure


def distance_density(true_deg: np.ndarray, estimated_deg: np.ndarray) -> Figure:
    """Density of estimated against true angular distances (M,) of pairs of particles; a good estimate is a diagonal."""
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
    # of a poor network, estimates that were cut to 180° would take all the colours
    mesh.set_clim(1, max(2.0, float(np.nanpercentile(counts, _COLOURED_PERCENTILE))))
    axes.plot([0, 180], [0, 180], color=RED, linewidth=1, linestyle="--")
    axes.set_aspect("equal")
    figure.colorbar(mesh, ax=axes, label="pairs", extend="max")
    return figure


def symmetry_bars(
    correlations: Mapping[str, float], chosen: str = "", agrees: float = 0.8
) -> Figure:
    """The lowest correlation of a map with itself under each group's operations, the chosen group marked."""
    figure, axes = single_axes(
        f"Symmetry {chosen}" if chosen else "Symmetry",
        "point group",
        "lowest correlation with itself, turned",
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
    legend_where_there_is_something(axes, loc="upper right")
    return figure


def search_course(explained: Sequence[np.ndarray], chosen: Sequence[bool]) -> Figure:
    """Share of the images' power that the volume of each random start explains, iteration by iteration."""
    figure, axes = single_axes(
        "Search from random starts", "iteration", "share of the power explained"
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
    legend_where_there_is_something(axes, loc="lower right")
    return figure


def image_gallery(
    images: np.ndarray, labels: Sequence[str] = (), columns: int = 6, title: str = ""
) -> Figure:
    """Images (n, D, D) in rows of `columns`, each on its own grey scale."""
    rows = -(-len(images) // columns)
    figure = new_figure(1.35 * columns, 1.55 * rows + 0.3)
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.02, ha="left")
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if i < len(images):
            low, high = np.percentile(images[i], [0.5, 99.5])
            axes.imshow(
                images[i], cmap="gray", origin="lower", vmin=low, vmax=high if high > low else None
            )
            axes.set_title(labels[i] if i < len(labels) else "", fontsize=8)
    return figure


def particles_beside_reprojections(
    images: np.ndarray, reprojections: np.ndarray, labels: Sequence[str] = ()
) -> Figure:
    """Images (n, D, D) above the reprojections (n, D, D) at their poses, with their correlation."""
    number = len(images)
    figure = new_figure(max(1.35 * number, 4.0), 3.3)
    rows = figure.subplots(2, number, squeeze=False)
    for i, (image, projection) in enumerate(zip(images, reprojections)):
        told = np.ptp(image) > 0 and np.ptp(projection) > 0
        correlation = np.corrcoef(np.ravel(image), np.ravel(projection))[0, 1] if told else 0.0
        for axes, picture in ((rows[0, i], image), (rows[1, i], projection)):
            axes.imshow(picture, cmap="gray", origin="lower")
            axes.set_xticks([])
            axes.set_yticks([])
        rows[0, i].set_title(labels[i] if i < len(labels) else f"{i + 1}", fontsize=8)
        rows[1, i].set_xlabel(
            f"cc {correlation:.2f}", fontsize=8, color=GREEN if correlation > 0 else RED
        )
    rows[0, 0].set_ylabel("particle", fontsize=9)
    rows[1, 0].set_ylabel("reprojection", fontsize=9)
    return figure


def value_histogram(values: np.ndarray, title: str, label: str) -> Figure:
    """Histogram of (N,) values with their median; the longest tail of one per cent is gathered in the last bin."""
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


def spectra(
    groups: Mapping[str, Tuple[np.ndarray, np.ndarray]], field_of_view_angstrom: float
) -> Figure:
    """Of each optics group: amplitude and standard deviation of the noise, (shells,) each, against the resolution."""
    figure = new_figure(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    dress(left, "Map in the images", "spatial frequency [1/Å]", "amplitude")
    dress(right, "Noise", "spatial frequency [1/Å]", "standard deviation")
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
        legend_where_there_is_something(axes)
    return figure
