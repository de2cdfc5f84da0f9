"""What a reconstruction leaves: the table of FSC curves, the numbers, the page."""

from __future__ import annotations

import csv
from typing import Any, Dict, List, Optional

import numpy as np

from ...core.io.folder import Folder
from ...core.io.ids import image_groups
from ...core.io.names import FSC_NAME
from ...core.io.star import columns_not_modelled
from ...core.io.star_labels import not_modelled
from ...core.maps.fsc import HalfMapFsc, fourier_shell_correlation, resolution_angstrom
from ...core.values import counted
from .inputs import Inputs

THRESHOLDS = {"0143": 0.143, "05": 0.5}
#: The reference has the other hand if its mirror's FSC has so much of its area, and this number of shells, more.
_OTHER_HAND_SHARE, _OTHER_HAND_SHELLS = 1.25, 1.0
_CURVES = ("unmasked", "masked", "corrected")


def write_fsc(folder: Folder, fsc: HalfMapFsc, reference: Optional[np.ndarray]) -> None:
    """fsc.csv: one row a shell, from the first beyond the zero frequency up to Nyquist."""
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
            values = [curve[shell] for curve in curves.values()]
            writer.writerow(
                [
                    f"{1 / frequency[shell]:.4f}",
                    f"{frequency[shell]:.6f}",
                    *(f"{v:.6f}" for v in values),
                ]
            )


def metrics_of(
    inputs: Inputs,
    fsc: HalfMapFsc,
    reference: Optional[np.ndarray],
    *,
    symmetry: str,
    method: str,
) -> Dict[str, Any]:
    """The numbers for metrics.json; where a curve never falls below its threshold, the resolution is Nyquist's.

    Parameters
    ----------
    inputs, fsc : of the reconstruction.
    reference : (D // 2 + 1,) FSC of the map with the reference, if there is one.
    symmetry : point group that was imposed.
    method : of the reconstruction.
    """
    metrics: Dict[str, Any] = {
        "particles": len(inputs.table),
        "half1_particles": int((inputs.half == 1).sum()),
        "half2_particles": int((inputs.half == 2).sum()),
        "half_sets": "drawn" if inputs.half_drawn else "given",
        "copies_of_images": len(inputs.table) - int(image_groups(inputs.table).max()) - 1,
        "symmetry": symmetry,
        "method": method,
        "box_size_px": inputs.box_size_px,
        "pixel_size_angstrom": inputs.pixel_size_angstrom,
        "nyquist_angstrom": 2 * inputs.pixel_size_angstrom,
        "fsc_statement": fsc.statement,
        "not_modelled": columns_not_modelled(inputs.table),
        **inputs.images.grey.metrics(),
    }
    for curve in _CURVES:
        for name, threshold in THRESHOLDS.items():
            metrics[f"resolution_{curve}_{name}_angstrom"] = round(
                fsc.resolution_angstrom(curve, threshold), 3
            )
    if reference is not None:
        box, pixel = inputs.box_size_px, inputs.pixel_size_angstrom
        for name, threshold in THRESHOLDS.items():
            metrics[f"resolution_reference_{name}_angstrom"] = round(
                resolution_angstrom(reference, threshold, box, pixel), 3
            )
        metrics["fsc_reference_lowest_to_0.8_nyquist"] = round(
            float(reference[1 : int(0.4 * box) + 1].min()), 5
        )
    return metrics


def reference_fsc(inputs: Inputs, volume: np.ndarray) -> Optional[np.ndarray]:
    """Unmasked FSC of the full map with the reference, if there is one."""
    return (
        None
        if inputs.reference is None
        else fourier_shell_correlation(volume, inputs.reference.data)
    )


def other_hand(inputs: Inputs, volume: np.ndarray, reference: Optional[np.ndarray]) -> bool:
    """Whether the reference's mirror agrees with the map over clearly more shells than the reference (its FSC)."""
    if inputs.reference is None or reference is None:
        return False
    mirrored = fourier_shell_correlation(volume, inputs.reference.mirrored().data)
    given, other = (float(np.clip(curve[1:], 0, None).sum()) for curve in (reference, mirrored))
    return other > _OTHER_HAND_SHARE * given + _OTHER_HAND_SHELLS


def write_page(
    folder: Folder,
    inputs: Inputs,
    fsc: HalfMapFsc,
    volume: np.ndarray,
    reference: Optional[np.ndarray],
    metrics: Dict[str, Any],
) -> None:
    """report.html and the plots in it."""
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
            plots.volume_slices(volume, inputs.pixel_size_angstrom, "Reconstruction"),
        ),
        "direction_maps": (
            "Where the particles are seen from.",
            direction_maps({"all": inputs.rotations}),
        ),
    }
    write_report(
        folder.path,
        "Reconstruction",
        lead=f"{counted(len(inputs.table), 'particle')}, {metrics['method']} method, symmetry {metrics['symmetry']}.",
        numbers=metrics,
        notes=_notes(inputs, fsc),
        figures=figures,
    )


def _notes(inputs: Inputs, fsc: HalfMapFsc) -> List[str]:
    notes = [fsc.statement]
    if inputs.half_drawn:
        notes.append(
            "The particles brought no half sets: they were drawn by particle id and are in particles.star."
        )
    if inputs.table.ctf is None:
        notes.append("The particles have no CTF; nothing was corrected for one.")
    return notes + inputs.images.remarks() + not_modelled(columns_not_modelled(inputs.table))
