"""Pictures of particle images: arrays in, matplotlib Figures out."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from .figures import (
    GREEN,
    ORANGE,
    RED,
    new_figure,
    single_axes,
)


def image_gallery(
    images: np.ndarray, labels: Sequence[str] = (), columns: int = 6, title: str = ""
) -> Figure:
    """Images (n, D, D) in rows of `columns`, each on its own grey scale.

    Parameters
    ----------
    images : (n, D, D).
    labels : one for each image, or none.
    columns : images in a row.
    title : above all.
    """
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


def mask_preview(image: np.ndarray, pixel_size_angstrom: float, diameter_angstrom: float) -> Figure:
    """The image (D, D) with the circle of this diameter (Å)."""
    box = image.shape[0]
    first = -(box // 2 + 0.5) * pixel_size_angstrom
    extent = (first, first + box * pixel_size_angstrom) * 2
    figure, axes = single_axes(
        f"Mask diameter {diameter_angstrom:.0f} Å", "x [Å]", "y [Å]", (5.0, 5.0)
    )
    axes.imshow(image, cmap="gray", origin="lower", extent=extent)
    axes.add_patch(Circle((0, 0), diameter_angstrom / 2, fill=False, edgecolor=ORANGE, linewidth=2))
    axes.grid(False)
    return figure
