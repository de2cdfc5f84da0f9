"""Plausibility of the options of a command: impossible values are errors, unlikely ones are
questions.

The program asks before it starts to work, a form asks before the launch. Scipion's GUI imports this
module, so it must work with Python 3.8.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

from ..core.errors import ConfigError, InputError
from ..core.particles.plausibility import particle_questions, pose_problem, pose_questions
from ..core.quantities import (
    ACQUISITION,
    BFACTOR,
    DEFOCUS,
    PHASE_SHIFT,
    SNR,
    Quantity,
    defocus_questions,
)
from ..core.types import ParticleTable

_DEFOCUS_OPTION = "defocus_range_angstrom"
#: Quantity of each option that has one, by the name of the config's field.
OPTIONS: Dict[str, Quantity] = {
    **ACQUISITION,
    "phase_shift_deg": PHASE_SHIFT,
    "bfactor_angstrom2": BFACTOR,
    "snr": SNR,
    "reference_snr": SNR,
    _DEFOCUS_OPTION: DEFOCUS,
}
#: Options that take particles.
PARTICLE_OPTIONS = ("particles", "like", "orientations_from", "truth", "estimate")
#: Commands that do not use the poses of the particles.
_NO_POSES_NEEDED = ("infer", "recover", "initial-volume", "filter")
_SMALLEST_DIAMETER_SHARE = 0.1
#: Images narrower than this share of a map are an error: no map has such wide margins.
_SMALLEST_IMAGE_SHARE = 0.2


# ---- single options ---------------------------------------------------------------------------


def check_option(command: str, name: str, value: Any) -> None:
    """Raise ConfigError if the value of an option is impossible."""
    _option_questions(command, name, value)


def option_questions(config: Any) -> List[str]:
    """Questions about unlikely values of a config's options; default values are never questioned."""
    asked = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            asked += _option_questions(config.command, field.name, value)
    return asked


def _option_questions(command: str, name: str, value: Any) -> List[str]:
    subject = f"{command}: --{name.replace('_', '-')}"
    if name not in OPTIONS or not _are_finite_numbers(
        value
    ):  # the config itself says what is wrong with these
        return []
    if name == _DEFOCUS_OPTION:
        return defocus_questions(np.array(value, dtype=np.float64), 0.0, subject, ConfigError)
    return OPTIONS[name].question(float(value), subject, ConfigError)


def _are_finite_numbers(value: Any) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return len(values) > 0 and all(isinstance(v, (int, float)) and np.isfinite(v) for v in values)


def check_diameter(
    command: str, name: str, diameter_angstrom: Optional[float], width_angstrom: float
) -> None:
    """ConfigError for a mask or particle wider than its images, or below a tenth of them.

    Parameters
    ----------
    command, name : the command and the option, for the sentence.
    diameter_angstrom : diameter of the mask or particle; None if it was not given.
    width_angstrom : of the images.
    """
    if diameter_angstrom is None:
        return
    subject = f"{command}: --{name.replace('_', '-')} is {diameter_angstrom:g} Å and the images are"
    if diameter_angstrom > width_angstrom:
        raise ConfigError(
            f"{subject} {width_angstrom:.0f} Å wide; give a smaller diameter, or images in a "
            "larger box."
        )
    if diameter_angstrom < _SMALLEST_DIAMETER_SHARE * width_angstrom:
        raise ConfigError(
            f"{subject} {width_angstrom:.0f} Å wide, more than ten times that; give the particle's "
            "diameter in Å."
        )


def check_field_of_view(
    command: str, box_size_px: int, pixel_size_angstrom: float, volume_angstrom: float
) -> None:
    """ConfigError for images so much narrower than their volume that one of the sizes must be
    wrong.

    Parameters
    ----------
    command : for the sentence.
    box_size_px, pixel_size_angstrom : of the images.
    volume_angstrom : width of the volume's box.
    """
    width = box_size_px * pixel_size_angstrom
    if width < _SMALLEST_IMAGE_SHARE * volume_angstrom:
        raise ConfigError(
            f"{command}: images of {box_size_px} px of {pixel_size_angstrom:g} Å are {width:.4g} Å "
            f"wide and the volume is {volume_angstrom:.4g} Å wide; correct the pixel size or the "
            "box size, or crop the volume."
        )


def check_low_pass(
    command: str,
    low_pass_angstrom: float,
    nyquist_angstrom: Dict[str, float],
    width_angstrom: float,
) -> None:
    """ConfigError for a low-pass filter finer than Nyquist, or so coarse that the particle has no
    shape.

    Parameters
    ----------
    command : for the sentence.
    low_pass_angstrom : resolution of the filter.
    nyquist_angstrom : finest resolution (Å) of each thing that limits it, by its name in the
        sentence.
    width_angstrom : of the images.
    """
    subject = f"{command}: --low-pass-angstrom is {low_pass_angstrom:g}"
    for what, nyquist in nyquist_angstrom.items():
        if low_pass_angstrom < nyquist:
            raise ConfigError(
                f"{subject} and there is no detail finer than {nyquist:.4g} Å in {what}; give a "
                "coarser resolution."
            )
    if low_pass_angstrom > width_angstrom / 4:
        raise ConfigError(
            f"{subject} and the images are {width_angstrom:.0f} Å wide: at that resolution the "
            f"particle has no shape; give at most {width_angstrom / 4:.0f} Å."
        )


def check_resolution(
    command: str, resolution_angstrom: Optional[float], width_angstrom: float
) -> None:
    """ConfigError for a resolution that is too coarse for images of this width."""
    if resolution_angstrom is not None and resolution_angstrom > width_angstrom / 4:
        raise ConfigError(
            f"{command}: --resolution-angstrom is {resolution_angstrom:g} and the images are "
            f"{width_angstrom:.0f} Å wide; give less than {width_angstrom / 4:.0f} Å."
        )


# ---- options and the particles that they name -------------------------------------------------


def questions(config: Any, read: Callable[[str], ParticleTable]) -> List[str]:
    """All questions about a config and its particles, asked before any work; `read` reads a STAR
    file.

    Raises ConfigError or InputError for impossible values, including poses that were never
    estimated.
    """
    asked = option_questions(config)
    for name, path in config_particles(config):
        asked += set_questions(config, read(path), str(path), poses_matter(config, name))
    return list(dict.fromkeys(asked))


def config_particles(config: Any) -> Iterator[Tuple[str, str]]:
    """(option, file) of every set of particles that a config names."""
    for name in PARTICLE_OPTIONS:
        path = getattr(config, name, None)
        if path:
            yield name, path


def poses_matter(config: Any, name: str) -> bool:
    """Whether a command uses the poses of the particles that an option names."""
    if name == "truth":
        return True
    if name == "like" or config.command in _NO_POSES_NEEDED:
        return False
    return not (config.command == "iterate" and config.model)


def set_questions(config: Any, table: ParticleTable, what: str, with_poses: bool) -> List[str]:
    """The questions about one set of particles.

    Parameters
    ----------
    config : config of the command that names the set in its options.
    table : the particles.
    what : name of the set, for the sentences.
    with_poses : whether the command uses the poses; then they are checked too.
    """
    asked = particle_questions(table, what) + _resolution_questions(config, table)
    if with_poses and table.rotations is not None:
        problem = pose_problem(table, what)
        if problem and not _searches_globally(config):
            raise InputError(problem)
        asked += [problem] if problem else pose_questions(table, what)
    return asked


def _resolution_questions(config: Any, table: ParticleTable) -> List[str]:
    """The question about a refinement to a finer resolution than the images contain."""
    wanted, finest = (
        getattr(config, "resolution_angstrom", None),
        2 * float(table.pixel_size_angstrom.min(initial=1e9)),
    )
    if config.command != "refine" or wanted is None or wanted >= finest:
        return []
    return [
        f"refine: --resolution-angstrom is {wanted:g} but the images contain no detail finer than "
        f"{finest:.4g} Å: is the value in Å, and are these the intended particles?"
    ]


def _searches_globally(config: Any) -> bool:
    return getattr(config, "search_deg", 0) >= 180
