"""Errors that are expected of the network's own poses, if the network was tested on such images."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ...core.errors import InputError
from ...core.geometry.symmetry import random_rotation_error_rad, symmetry_rotations
from ...core.imaging.background import measure_background
from ...core.models.error_calibration import ErrorLaw, calibrated_covariance, features_of
from ...core.scores import BASIN_ERROR, ERROR_BOUND, EXPECTED_ERROR, WRONG_BASIN
from .config import InferConfig
from .inputs import ModelInputs

#: More particles than this share of the set, beyond what is outside on held-out images, are unlike
#: those.
_UNLIKE = 0.1
#: Share of the held-out images with features outside the range of the law.
_OUTSIDE = 0.02


class Expected(NamedTuple):
    """What is known of the errors of N poses.

    scores : (N,) by column. covariance : (N, 5, 5) of (w, t), rad and Å; the shifts count as exact.
    metrics : for metrics.json. note : a sentence on them. warns : whether it is a warning.
    """

    scores: Dict[str, np.ndarray]
    covariance: Optional[np.ndarray]
    metrics: Dict[str, Any]
    note: str
    warns: bool


def expected_errors(
    config: InferConfig, inputs: ModelInputs, covariance: np.ndarray, elsewhere: np.ndarray
) -> Expected:
    """The errors expected of the network's poses; none, and the reason, if they are not known.

    Parameters
    ----------
    config, inputs : of the command.
    covariance, elsewhere : (N, 3, 3) and (N,) of the network, see `models.posterior`.
    """
    law, snr, reason = _law_of(config, inputs)
    metrics: Dict[str, Any] = {} if snr is None else {"snr_of_images": snr}
    if law is None:
        note = f"The poses have no expected errors: {reason}"
        return Expected({}, None, metrics, note, inputs.model.card.expected_errors is not None)

    features = features_of(covariance, elsewhere)
    wrong, basin, error, bound = law.expected(features)
    blank = inputs.images.grey.blank
    any_deg = np.rad2deg(random_rotation_error_rad(symmetry_rotations(inputs.model.card.symmetry)))
    scores = {
        EXPECTED_ERROR: np.where(blank, any_deg, error),
        WRONG_BASIN: np.where(blank, 1.0, wrong),
        BASIN_ERROR: np.where(blank, any_deg, basin),
        ERROR_BOUND: np.where(blank, 180.0, bound),
    }
    whole = np.zeros((len(basin), 5, 5))
    whole[:, :3, :3] = calibrated_covariance(covariance, scores[BASIN_ERROR])

    outside = ((features < law.lowest) | (features > law.highest)).any(axis=1).mean()
    unlike = bool(outside > _OUTSIDE + _UNLIKE)
    metrics.update(
        median_expected_error_deg=float(np.median(scores[EXPECTED_ERROR])),
        expected_share_wrong=float(scores[WRONG_BASIN].mean()),
        share_unlike_held_out_images=float(outside),
    )
    return Expected(scores, whole, metrics, _note(metrics, unlike), unlike)


def _law_of(
    config: InferConfig, inputs: ModelInputs
) -> Tuple[Optional[ErrorLaw], Optional[float], str]:
    """The law of the errors at the SNR of the images, that SNR, and why there is no law."""
    card = inputs.model.card
    calibration = card.expected_errors
    if calibration is None:
        return None, None, "the network was not tested on enough held-out images."
    states = {inputs.table.optics[i].image_state for i in np.unique(inputs.table.optics_index)}
    if "ctf-premultiplied" in states:
        return None, None, "the SNR of images multiplied by their CTF is not comparable."

    try:
        found = measure_background(inputs.images, card.field_of_view_angstrom, config.seed)
    except InputError as error:
        return None, None, f"the SNR of the images is not known. {error}"
    low, high = calibration.range_snr
    reason = (
        f"the SNR of the images is {found.snr:.3g}, and the network was tested at {low:.3g} to "
        f"{high:.3g}; train one with --like these particles, or refine the poses against a volume."
    )
    return calibration.at(found.snr), found.snr, reason


def _note(metrics: Dict[str, Any], unlike: bool) -> str:
    note = (
        f"Expected errors are those of held-out images of SNR {metrics['snr_of_images']:.3g}, the "
        "SNR of these images; the shifts count as exact."
    )
    if not unlike:
        return note
    return (
        f"{100 * metrics['share_unlike_held_out_images']:.0f} % of the images look to the network "
        f"unlike the held-out ones (there {100 * _OUTSIDE:.0f} %): expected errors may be too small. "
        f"Are these the particles that it was trained for? {note}"
    )
