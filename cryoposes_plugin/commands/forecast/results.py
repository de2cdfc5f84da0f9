"""What a forecast tells, from the runs on the simulated set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...core.evaluation.errors import FOUND_BELOW_DEG, angular_errors_deg, shift_errors_angstrom
from ...core.evaluation.particle_number import (
    SignalPerImage,
    b_factor_line,
    number_by_b_factor,
    signal_per_image,
)
from ...core.fourier.masks import soft_sphere
from ...core.io.ids import join_tables
from ...core.io.mrc import read_volume
from ...core.io.names import ACCEPTED_NAME, PARTICLES_NAME, VOLUME_NAME
from ...core.io.particle_files import read_particles
from ...core.maps.fsc import fourier_shell_correlation
from ...core.particles.grids import Grid
from ...core.scores import BASIN_ERROR, EXPECTED_ERROR, WRONG_BASIN, title_of
from ..reconstruct.config import ReconstructConfig
from ..reconstruct.inputs import mask_diameter
from ..run_directory import RunDirectory
from .config import ForecastConfig
from .inputs import ForecastInputs
from .names import FILTER_NAME, POSES_NAME, RECONSTRUCTION_NAME, TRAINING_NAME
from .steps import TwinSet

#: Numbers of images that are told, in those of the set.
_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
#: Of the curve: from this number to that many times the number of the set.
_FEWEST, _MANY, _POINTS = 50, 100, 61


@dataclass(frozen=True)
class TwinErrors:
    """Of the simulated images that show a particle: (M,) true and expected errors in degrees."""

    true_deg: np.ndarray
    expected_deg: np.ndarray


@dataclass(frozen=True)
class Signals:
    """The signal per image under the mask, which half maps show, and without a mask."""

    masked: SignalPerImage
    unmasked: SignalPerImage

    @property
    def line(self) -> Optional[Tuple[float, float]]:
        """The B-factor line."""
        return b_factor_line(self.masked)


def pose_numbers(
    run: RunDirectory, inputs: ForecastInputs, twin: TwinSet
) -> Tuple[TwinErrors, Dict[str, Any]]:
    """Errors of the twin's poses, true and told."""
    found = read_particles(run.file(POSES_NAME) / PARTICLES_NAME, ("poses",))
    rows, true_rows = join_tables(found, twin.table)
    shown = twin.is_particle[true_rows]
    found, truth = found.take(rows[shown]), twin.table.take(true_rows[shown])
    true_deg = angular_errors_deg(
        np.asarray(found.rotations), np.asarray(truth.rotations), inputs.group
    )
    shifts = shift_errors_angstrom(
        found.shifts_px, found.pixel_size_angstrom, truth.shifts_px, truth.pixel_size_angstrom
    )

    scores = found.scores
    expected = scores.get(EXPECTED_ERROR, np.full(len(found), np.nan))
    return TwinErrors(true_deg, expected), {
        "median_error_deg": float(np.median(true_deg)),
        "root_mean_square_error_deg": _root_mean_square(true_deg),
        "share_beyond_5_deg": float((true_deg > FOUND_BELOW_DEG).mean()),
        "median_shift_error_angstrom": float(np.median(shifts)),
        "told_median_error_deg": _of(np.median, scores.get(EXPECTED_ERROR)),
        "told_root_mean_square_error_deg": _of(_root_mean_square, scores.get(EXPECTED_ERROR)),
        "told_root_mean_square_of_right_poses_deg": _of(_root_mean_square, scores.get(BASIN_ERROR)),
        "told_wrong_share": _of(np.mean, scores.get(WRONG_BASIN)),
    }


def filter_numbers(run: RunDirectory, twin: TwinSet, metrics: Dict[str, Any]) -> Dict[str, Any]:
    """What the automatic filter keeps of the twin, by which score and threshold."""
    accepted = read_particles(run.file(FILTER_NAME) / ACCEPTED_NAME)
    _, rows = join_tables(accepted, twin.table)
    kept = twin.is_particle[rows]
    return {
        "threshold_score": metrics["score"],
        "threshold_title": title_of(metrics["score"]),
        "threshold": metrics["threshold"],
        "kept_share": metrics["kept_share"],
        "particles_kept_share": float(kept.sum() / max(twin.is_particle.sum(), 1)),
        "junk_among_kept_share": float(1.0 - kept.mean()),
        "told_junk_among_kept_share": metrics.get("false_discovery_rate"),
    }


def signals_of(run: RunDirectory, twin: TwinSet) -> Signals:
    """From the FSC of the twin's map with the truth."""
    volume = read_volume(run.file(RECONSTRUCTION_NAME) / VOLUME_NAME)
    box, pixel = volume.box_size_px, volume.pixel_size_angstrom
    diameter = mask_diameter(ReconstructConfig(), Grid(box, pixel))
    mask = soft_sphere(box, diameter / 2 / pixel)
    curves = (fourier_shell_correlation(volume.data * m, twin.truth.data * m) for m in (mask, 1.0))
    masked, unmasked = (
        signal_per_image(curve, len(twin.table), box, pixel, share)
        for curve, share in zip(curves, (float((mask**2).mean()), 1.0))
    )
    return Signals(masked, unmasked)


def number_metrics(
    config: ForecastConfig, inputs: ForecastInputs, found: Signals
) -> Dict[str, Any]:
    """Resolution by number of images, and the number for the wanted resolution."""
    own, line, wanted = len(inputs.table), found.line, config.resolution_angstrom
    numbers = {str(n): resolutions(found, n) for n in (round(f * own) for f in _FACTORS) if n >= 2}
    needed = None if wanted is None else found.masked.number_for(wanted)
    by_line = None if wanted is None or line is None else number_by_b_factor(line, wanted)
    return {
        "images_of_the_set": own,
        "resolution_of_the_set_angstrom": found.masked.resolution_of_half_maps(own),
        "resolution_of_the_set_with_truth_angstrom": found.unmasked.resolution_with_truth(own),
        "resolution_by_number": numbers,
        "told_to_angstrom": found.masked.finest_angstrom,
        "wanted_resolution_angstrom": wanted,
        "images_for_wanted_resolution": None if needed is None else int(np.ceil(needed)),
        "images_for_wanted_resolution_by_b_factor": None if by_line is None else round(by_line),
        "b_factor_angstrom2": None if line is None else line[0],
    }


def resolutions(found: Signals, number: float) -> Dict[str, float]:
    """Å at which the half maps of so many images, and their map with the truth, are resolved."""
    return {
        "half_maps_angstrom": found.masked.resolution_of_half_maps(number),
        "truth_angstrom": found.unmasked.resolution_with_truth(number),
    }


def curve_of(inputs: ForecastInputs, found: Signals) -> Dict[str, np.ndarray]:
    """Columns of the curve of resolution against number of images."""
    number = np.unique(
        np.round(np.geomspace(_FEWEST, max(_MANY * len(inputs.table), 10 * _FEWEST), _POINTS))
    )
    values = [resolutions(found, n) for n in number]
    line = found.line
    by_line = np.full(len(number), np.nan)
    if line is not None:
        squared = 2 * (np.log(number) - line[1]) / max(line[0], 1e-12)
        by_line = np.where(squared > 0, 1 / np.sqrt(np.maximum(squared, 1e-12)), np.nan)
    return {
        "number": number,
        "half_maps_angstrom": np.array([v["half_maps_angstrom"] for v in values]),
        "truth_angstrom": np.array([v["truth_angstrom"] for v in values]),
        "b_factor_line_angstrom": by_line,
    }


def sentences(
    config: ForecastConfig, inputs: ForecastInputs, twin: TwinSet, metrics: Dict[str, Any]
) -> List[str]:
    """What the forecast says, and for what it holds.

    Parameters
    ----------
    config, inputs : of the run.
    twin : the simulated set.
    metrics : all numbers.
    """
    return [
        _on_errors(metrics),
        _on_filter(metrics),
        *_on_resolution(metrics),
        *_on_validity(config, inputs, twin, metrics),
    ]


def _on_errors(metrics: Dict[str, Any]) -> str:
    told = metrics["told_root_mean_square_error_deg"]
    beside = "" if told is None else f" (the program will tell {told:.2g}°)"
    return (
        f"Expected error of the poses: median {metrics['median_error_deg']:.2g}°, root mean square "
        f"{metrics['root_mean_square_error_deg']:.2g}°{beside}; "
        f"{100 * metrics['share_beyond_5_deg']:.2g} % are off by more than 5°."
    )


def _on_filter(metrics: Dict[str, Any]) -> str:
    threshold = metrics["threshold"]
    where = "" if threshold is None else f" at {metrics['threshold_title']} {threshold:.3g}"
    return (
        f"The automatic filter cuts{where} and keeps {100 * metrics['kept_share']:.3g} % of the "
        f"images: {100 * metrics['particles_kept_share']:.3g} % of the particles, with "
        f"{100 * metrics['junk_among_kept_share']:.2g} % junk among the kept."
    )


def _on_resolution(metrics: Dict[str, Any]) -> List[str]:
    number, reached = metrics["images_of_the_set"], metrics["resolution_of_the_set_angstrom"]
    finest = metrics["told_to_angstrom"]
    more = " or finer, which is not told" if reached <= 1.001 * finest else ""
    lines = [
        f"The set's {number} images give {reached:.1f} Å{more} (half maps, FSC 0.143), and "
        f"{metrics['resolution_of_the_set_with_truth_angstrom']:.1f} Å by the FSC of 0.5 with the "
        "true map."
    ]
    wanted, needed = metrics["wanted_resolution_angstrom"], metrics["images_for_wanted_resolution"]
    if wanted is None:
        return lines

    if needed is None:
        lines.append(
            f"How many images {wanted:g} Å needs is not told: the simulated images tell nothing "
            f"finer than {finest:.1f} Å; simulate more (--number) or larger ones "
            "(--working-box-px)."
        )
        return lines

    by_line = metrics["images_for_wanted_resolution_by_b_factor"]
    check = "" if by_line is None else f" (by the B-factor line {by_line})"
    lines.append(f"{wanted:g} Å needs about {needed} images{check}.")
    return lines


def _on_validity(
    config: ForecastConfig, inputs: ForecastInputs, twin: TwinSet, metrics: Dict[str, Any]
) -> List[str]:
    pixel, numbers = inputs.grid.pixel_size_angstrom, twin.numbers
    measured = numbers["amplitude_measured_to_angstrom"]
    lines = [
        f"The forecast ends at {metrics['told_to_angstrom']:.1f} Å; the simulated images of "
        f"{inputs.grid.box_size_px} px show nothing finer than {2 * pixel:.1f} Å. The signal was "
        f"measured on {numbers['images_measured']} images up to {measured:.1f} Å and continued "
        "beyond by a B-factor.",
        "It holds if the images show the given map and nothing else: other conformations, errors "
        "of the CTF and of the map are not simulated.",
    ]

    if not numbers["poses_of_the_set_used"]:
        lines.append("The set's poses are not known: all views were taken as equally frequent.")
    if config.model is None:
        lines.append(
            f"The network was trained for {config.minutes:g} minutes on the set's noise and CTFs; "
            f"it is in {TRAINING_NAME}/ and can be used for the set."
        )
    if numbers["verdict"] == "not tested":
        lines.append(
            "Whether the images show the map could not be tested, because they are too few or too "
            "noisy."
        )
    return lines


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.asarray(values) ** 2)))


def _of(function: Any, values: Optional[np.ndarray]) -> Optional[float]:
    return None if values is None else float(function(values))
