"""Equal-area maps of the viewing directions of one or several particle sets."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

import numpy as np
from matplotlib.figure import Figure

from ..conventions import viewing_directions
from ..values import counted
from .figures import new_figure

#: A bin of the sphere is drawn as so many pieces along each side, so that the map's outline stays
#: round.
_FINER = 8
_TILTS_DEG = (30, 60, 90, 120, 150)


def direction_density(rotations: np.ndarray) -> np.ndarray:
    """(h, 2 h) density of the viewing directions A^T z of (N, 3, 3) rotations; 1 is even over the
    sphere.

    Bins have equal areas: rows along z from -1 to 1, columns along the longitude from -pi to pi.
    """
    number = len(rotations)
    columns = int(np.clip(np.sqrt(number / 3), 12, 48)) // 2 * 2
    if not number:
        return np.zeros((columns // 2, columns))
    directions = viewing_directions(rotations)
    longitude = np.arctan2(directions[:, 1], directions[:, 0])
    edges = [np.linspace(-1, 1, columns // 2 + 1), np.linspace(-np.pi, np.pi, columns + 1)]
    counts, _, _ = np.histogram2d(directions[:, 2], longitude, bins=edges)  # type: ignore[arg-type]
    return counts * counts.size / number


def draw_mollweide(axes: Any, density: np.ndarray, top: float):
    """Draw a density (h, 2 h) on Mollweide axes, coloured from 0 to `top`; returns the mesh."""
    fine, longitude, height = _fine_grid(density)
    mesh = axes.pcolormesh(
        longitude, np.arcsin(height), fine, cmap="viridis", vmin=0, vmax=top, rasterized=True
    )
    meridians = ["-120°", "-60°", "rot 0°", "60°", "120°"]
    axes.set_xticks(np.deg2rad([-120, -60, 0, 60, 120]), meridians, color="white", fontsize=7)
    axes.set_yticks(
        np.deg2rad([-60, -30, 0, 30, 60]), ["tilt 150°", "120°", "90°", "60°", "30°"], fontsize=8
    )
    axes.grid(True, color="white", alpha=0.25, linewidth=0.5)
    return mesh


def draw_polar(axes: Any, density: np.ndarray, top: float):
    """Draw it on polar axes: angle rot, radius sin(tilt / 2), an equal-area map (Lambert)."""
    fine, longitude, height = _fine_grid(density)
    radius = np.sqrt((1 - height) / 2)
    mesh = axes.pcolormesh(
        longitude, radius[::-1], fine[::-1], cmap="viridis", vmin=0, vmax=top, rasterized=True
    )
    axes.set_ylim(0, 1)
    axes.set_xticks(
        np.deg2rad([0, 60, 120, 180, 240, 300]), ["rot 0°", "60°", "120°", "180°", "-120°", "-60°"]
    )
    axes.tick_params(labelsize=7)

    axes.set_yticks(
        np.sin(np.deg2rad(_TILTS_DEG) / 2),
        [f"{tilt}°" for tilt in _TILTS_DEG],
        color="white",
        fontsize=6.5,
    )
    axes.set_rlabel_position(22.5)
    axes.grid(True, color="white", alpha=0.25, linewidth=0.5)
    return mesh


def direction_maps(sets: Mapping[str, np.ndarray], title: str = "Viewing directions") -> Figure:
    """Polar and Mollweide maps of each named set of (N, 3, 3) rotations, on one colour scale."""
    figure = new_figure(3.6 * max(len(sets), 2), 5.6)
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.02, ha="left")
    grid = figure.add_gridspec(2, len(sets), height_ratios=[1.35, 1])
    densities = {name: direction_density(rotations) for name, rotations in sets.items()}
    top = max(2.0, *(density.max() for density in densities.values()))
    mesh, drawn = None, []
    for column, (name, density) in enumerate(densities.items()):
        polar = figure.add_subplot(grid[0, column], projection="polar")
        draw_polar(polar, density, top)
        polar.set_title(f"{name}: {counted(len(sets[name]), 'particle')}", fontsize=9)
        below = figure.add_subplot(grid[1, column], projection="mollweide")
        mesh = draw_mollweide(below, density, top)
        drawn += [polar, below]

    if mesh is not None:
        figure.colorbar(mesh, ax=drawn, shrink=0.6, label="density, 1 = even over the sphere")
    return figure


def _fine_grid(density: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The density on a finer grid, with the edges of the longitudes (radians) and of z."""
    fine = np.kron(density, np.ones((_FINER, _FINER)))
    return (
        fine,
        np.linspace(-np.pi, np.pi, fine.shape[1] + 1),
        np.linspace(-1, 1, fine.shape[0] + 1),
    )
