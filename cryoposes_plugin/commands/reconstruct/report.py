"""The results of a reconstruction: the table of FSC curves, the numbers, and the report."""

from __future__ import annotations

import csv
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ...core.io.folder import Folder
from ...core.io.ids import image_groups
from ...core.io.names import FSC_NAME
from ...core.io.particle_files import columns_not_modelled
from ...core.io.star_labels import not_modelled
from ...core.maps.fsc import HalfMapFsc, fourier_shell_correlation, resolution_angstrom
from ...core.reconstruction.particles import ReconstructionParticles
from ...core.types import Volume
from ...core.values import counted
from .views import Views, cones_figure, sampling_figure

THRESHOLDS = {"0143": 0.143, "05": 0.5}
#: The reference has the opposite hand if the FSC of its mirror has this many times the area, and
#: this many shells of area, more.
_OTHER_HAND_SHARE, _OTHER_HAND_SHELLS = 1.25, 1.0
_CURVES = ("unmasked", "masked", "corrected")


def write_fsc(folder: Folder, fsc: HalfMapFsc, reference: Optional[np.ndarray]) -> None:
    """fsc.csv: one row per shell, from the first beyond the zero frequency up to Nyquist."""
    curves = {
        name: getattr(fsc, name) for name in ("unmasked", "masked", "randomised", "corrected")
    }
    if reference is not None:
        curves["reference"] = reference
    frequency = fsc.frequency_per_angstrom

    with folder.atomic(FSC_NAME) as part, open(part, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["resolution_angstrom", "frequency_per_angstrom", *curves])
        for shell in range(1, len(frequency)):
            values = [f"{curve[shell]:.6f}" for curve in curves.values()]
            writer.writerow([f"{1 / frequency[shell]:.4f}", f"{frequency[shell]:.6f}", *values])


def metrics_of(
    particles: ReconstructionParticles,
    fsc: HalfMapFsc,
    reference: Optional[np.ndarray],
    *,
    half_drawn: bool,
    symmetry: str,
    method: str,
) -> Dict[str, Any]:
    """The numbers for metrics.json; where a curve never falls below a threshold, that of Nyquist.

    Parameters
    ----------
    particles, fsc : of the reconstruction.
    reference : (D // 2 + 1,) FSC of the map with the reference, if there is one.
    half_drawn : whether the half sets were drawn here.
    symmetry : point group that was imposed.
    method : of the reconstruction.
    """
    box, pixel = fsc.box_size_px, fsc.pixel_size_angstrom
    metrics: Dict[str, Any] = {
        "particles": len(particles),
        "half1_particles": int((particles.half == 1).sum()),
        "half2_particles": int((particles.half == 2).sum()),
        "half_sets": "drawn" if half_drawn else "given",
        "copies_of_images": len(particles) - int(image_groups(particles.table).max()) - 1,
        "symmetry": symmetry,
        "method": method,
        "box_size_px": box,
        "pixel_size_angstrom": pixel,
        "nyquist_angstrom": 2 * pixel,
        "fsc_statement": fsc.statement,
        "not_modelled": columns_not_modelled(particles.table),
        **particles.images.grey.metrics(),
    }
    for curve in _CURVES:
        for name, threshold in THRESHOLDS.items():
            resolution = fsc.resolution_angstrom(curve, threshold)
            metrics[f"resolution_{curve}_{name}_angstrom"] = round(resolution, 3)
    if reference is None:
        return metrics

    for name, threshold in THRESHOLDS.items():
        resolution = resolution_angstrom(reference, threshold, box, pixel)
        metrics[f"resolution_reference_{name}_angstrom"] = round(resolution, 3)
    lowest = float(reference[1 : int(0.4 * box) + 1].min())
    metrics["fsc_reference_lowest_to_0.8_nyquist"] = round(lowest, 5)
    return metrics


def reference_fsc(reference: Optional[Volume], volume: np.ndarray) -> Optional[np.ndarray]:
    """Unmasked FSC of the full map (D, D, D) with the reference, if there is one."""
    return None if reference is None else fourier_shell_correlation(volume, reference.data)


def has_other_hand(
    reference: Optional[Volume], volume: np.ndarray, curve: Optional[np.ndarray]
) -> bool:
    """Whether the mirrored reference agrees with the map over clearly more shells.

    `curve` is the FSC of the map (D, D, D) with the reference as it is.
    """
    if reference is None or curve is None:
        return False
    mirrored = fourier_shell_correlation(volume, reference.mirrored().data)
    given, other = (float(np.clip(c[1:], 0, None).sum()) for c in (curve, mirrored))
    return other > _OTHER_HAND_SHARE * given + _OTHER_HAND_SHELLS


def write_page(
    folder: Folder,
    particles: ReconstructionParticles,
    fsc: HalfMapFsc,
    volume: np.ndarray,
    reference: Optional[np.ndarray],
    views: Views,
    metrics: Dict[str, Any],
    told: Sequence[str] = (),
) -> None:
    """report.html with its plots.

    Parameters
    ----------
    folder : where the report is written.
    particles : that the map was reconstructed from.
    fsc : curves of the half maps.
    volume : (D, D, D), the full map.
    reference : (D // 2 + 1,) FSC of the map with the reference, if there is one.
    views : coverage of Fourier space and FSC by direction.
    metrics : see `metrics_of` and `view_numbers`.
    told : notes before all others.
    """
    from ...core import plots
    from ...core.plots import direction_maps
    from ..report import write_report

    curves = {name: getattr(fsc, name)[1:] for name in _CURVES}
    curves["randomised phases"] = fsc.randomised[1:]
    if reference is not None:
        curves["against the reference"] = reference[1:]

    figures = {
        "fsc": (
            "Fourier shell correlation of the half maps.",
            plots.fsc_curve(fsc.frequency_per_angstrom[1:], curves, note=fsc.statement),
        ),
        "volume_slices": (
            "Central slices and projections.",
            plots.volume_slices(volume, fsc.pixel_size_angstrom, "Reconstruction"),
        ),
        "direction_maps": (
            "Viewing directions of the particles.",
            direction_maps({"all": particles.rotations}),
        ),
        "fourier_coverage": (
            "Central slices through each direction of Fourier space.",
            sampling_figure(views.sampling),
        ),
        "fsc_by_direction": (
            "FSC of the half maps in double cones of 20° half angle.",
            cones_figure(views.cones, fsc.pixel_size_angstrom),
        ),
    }
    number = counted(len(particles), "particle")
    write_report(
        folder.path,
        "Reconstruction",
        lead=f"{number}, {metrics['method']} method, symmetry {metrics['symmetry']}.",
        numbers=metrics,
        notes=[*told, *_notes(particles, fsc, metrics)],
        figures=figures,
    )


def _notes(
    particles: ReconstructionParticles, fsc: HalfMapFsc, metrics: Dict[str, Any]
) -> List[str]:
    notes = [fsc.statement, metrics["views_statement"]]
    if metrics["half_sets"] == "drawn":
        notes.append(
            "The particles came without half sets: these were drawn by particle id and are in "
            "particles.star."
        )
    if particles.table.ctf is None:
        notes.append("The particles have no CTF, so no CTF was corrected.")
    if particles.weights is not None:
        notes.append(metrics["weights_statement"])
    notes += particles.images.remarks()
    return notes + not_modelled(columns_not_modelled(particles.table))
