"""What numbers can be: impossible ones are errors, unlikely ones are questions, each in one sentence with the value.

`check_option` and `option_questions` look at options, `particle_questions` at a set of particles, `pose_problem` tells
poses that are no poses. The program asks before any work, a form before launch. Plain enough for Python 3.8.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

import numpy as np

from .errors import ConfigError, CryoposesError, InputError
from .types import CtfTable, OpticsGroup, ParticleTable

_ONE_TURN_RAD = 2 * np.pi
#: A slip of the unit is believed if it gives a value between the largest usual one and so small a part of it.
_SLIP_SPAN = 40


@dataclass(frozen=True)
class Quantity:
    """Bounds of a number, inclusive. slips : (factor, unit) that people type by mistake, with the factor between."""

    name: str
    unit: str
    possible: Tuple[float, float]
    usual: Tuple[float, float]
    slips: Tuple[Tuple[float, str], ...] = ()

    def question(
        self, value: float, subject: str, error: Type[CryoposesError] = InputError
    ) -> List[str]:
        """Nothing, or one question about an unlikely value; raises `error` for an impossible one."""
        shown, slip = f"{subject} is {self._with_unit(f'{value:g}')}", self._slip(value)
        if not self.possible[0] <= value <= self.possible[1]:
            limits = f"it must be {self._range(self.possible)}"
            remedy = f"it looks like {slip[0]}: give {slip[1]:g}" if slip else "correct it"
            raise error(f"{shown} and {limits}; {remedy}.")
        if not self.usual[0] <= value <= self.usual[1]:
            asked = (
                f"was {slip[0]} typed where {self.unit or 'a share'} is needed"
                if slip
                else "is that right"
            )
            return [f"{shown} ({self._range(self.usual)} is usual): {asked}?"]
        return []

    def _slip(self, value: float) -> Optional[Tuple[str, float]]:
        """The unit that makes a usual value of it, and that value."""
        low, high = max(self.usual[0], self.usual[1] / _SLIP_SPAN), self.usual[1]
        return next(((unit, value / k) for k, unit in self.slips if low <= value / k <= high), None)

    def _range(self, limits: Tuple[float, float]) -> str:
        low, high = limits
        return self._with_unit(f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}")

    def _with_unit(self, text: str) -> str:
        return f"{text} {self.unit}".strip()


VOLTAGE = Quantity("voltage (_rlnVoltage)", "kV", (10, 1200), (60, 400), ((1e3, "V"), (1e-3, "MV")))
SPHERICAL_ABERRATION = Quantity(
    "spherical aberration (_rlnSphericalAberration)", "mm", (0, 20), (0, 8), ((1e3, "µm"),)
)
AMPLITUDE_CONTRAST = Quantity(
    "amplitude contrast (_rlnAmplitudeContrast)", "", (0, 1), (0, 0.4), ((100, "per cent"),)
)
PIXEL_SIZE = Quantity(
    "pixel size (_rlnImagePixelSize)", "Å", (0.01, 100), (0.3, 20), ((0.1, "nm"),)
)
_VOXEL = dataclasses.replace(
    PIXEL_SIZE, name="pixel size", possible=(0, np.inf)
)  # the header's own check refuses
FIELD_OF_VIEW = Quantity("width", "Å", (0.1, 1e5), (60, 6000))
BFACTOR = Quantity("B-factor (_rlnCtfBfactor)", "Å^2", (-2000, 20000), (0, 2000))
PHASE_SHIFT = Quantity("phase shift (_rlnPhaseShift)", "°", (-360, 360), (-10, 190))
SNR = Quantity("SNR", "", (0, np.inf), (1e-3, 30))
DEFOCUS = Quantity("defocus (_rlnDefocusU, _rlnDefocusV)", "Å", (-1e6, 1e6), (3000, 1e5))

_ASTIGMATISM_ANGLE = "angle of the astigmatism (_rlnDefocusAngle)"

#: Acquisition of an optics group, by attribute of `types.OpticsGroup`.
_ACQUISITION = {
    "voltage_kv": VOLTAGE,
    "spherical_aberration_mm": SPHERICAL_ABERRATION,
    "amplitude_contrast": AMPLITUDE_CONTRAST,
    "pixel_size_angstrom": PIXEL_SIZE,
}
_DEFOCUS_OPTION = "defocus_range_angstrom"
#: Options that hold such a number, by name of the config's field.
OPTIONS: Dict[str, Quantity] = {
    **_ACQUISITION,
    "phase_shift_deg": PHASE_SHIFT,
    "bfactor_angstrom2": BFACTOR,
    "snr": SNR,
    "reference_snr": SNR,
    _DEFOCUS_OPTION: DEFOCUS,
}
#: Diameters that options give: of a mask, or of the particle.
DIAMETERS = ("mask_diameter_angstrom", "particle_diameter_angstrom", "diameter_angstrom")
#: Options that take particles.
PARTICLE_OPTIONS = ("particles", "like", "orientations_from", "truth", "estimate")
#: Of these commands the poses of the particles do not matter.
_NO_POSES_NEEDED = ("infer", "recover", "initial-volume", "filter")

#: A defocus below this is a slip of the unit: no micrograph is so close to focus throughout.
_MICROMETRES = 100.0
#: Beside a phase plate, images are taken close to focus.
_PHASE_PLATE_DEG = 20.0
#: A particle whose defocus is so many times that of the set, or so small a part of it, is named.
_LONELY_DEFOCUS = 8.0
#: Two defoci of one image that differ by more than this, and by more than half, are two units or a failed fit.
_ASTIGMATISM_ANGSTROM, _LARGEST_ASTIGMATISM_ANGSTROM = 2000.0, 10000.0
#: So many different values are needed before their common range says anything.
_FEWEST_VALUES = 5
#: Defoci of one particle in two sets, refined or not, are this close; and what most particles are.
_SAME_DEFOCUS_ANGSTROM, _MOST = 1000.0, 0.5
_FEWEST_POSES, _FEWEST_IMAGES = 10, 3
#: Rotations count as equal within this (Frobenius norm).
_SAME = 1e-5
#: No set of real particles, which lie in the plane at any angle, has all its poses in such a ball.
_NARROW_DEG = 20.0
_SMALLEST_DIAMETER_SHARE = 0.1
#: Maps have margins, but not of such a size.
_SMALLEST_IMAGE_SHARE = 0.2


# ------------------------------------------------------------ options


def check_option(command: str, name: str, value: Any) -> None:
    """ConfigError where an option holds what cannot be."""
    _option_questions(command, name, value)


def option_questions(config: Any) -> List[str]:
    """Questions about unlikely values of a config's options; those of its defaults are never asked."""
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
        return _defocus_questions(np.array(value, dtype=np.float64), 0.0, subject, ConfigError)
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
    command, name : of the option, for the sentence.
    diameter_angstrom : of the mask or particle; None where it was not given.
    width_angstrom : of the images.
    """
    if diameter_angstrom is None:
        return
    subject = f"{command}: --{name.replace('_', '-')} is {diameter_angstrom:g} Å and the images are"
    if diameter_angstrom > width_angstrom:
        raise ConfigError(
            f"{subject} {width_angstrom:.0f} Å wide; give a smaller diameter, or images in a larger box."
        )
    if diameter_angstrom < _SMALLEST_DIAMETER_SHARE * width_angstrom:
        raise ConfigError(
            f"{subject} {width_angstrom:.0f} Å wide, more than ten times that; give the particle's diameter in Å."
        )


def check_field_of_view(
    command: str, box_size_px: int, pixel_size_angstrom: float, volume_angstrom: float
) -> None:
    """ConfigError for images so much narrower than the volume they show that a size must be a slip.

    Parameters
    ----------
    command : for the sentence.
    box_size_px, pixel_size_angstrom : of the images.
    volume_angstrom : width of the volume's box.
    """
    width = box_size_px * pixel_size_angstrom
    if width < _SMALLEST_IMAGE_SHARE * volume_angstrom:
        raise ConfigError(
            f"{command}: images of {box_size_px} px of {pixel_size_angstrom:g} Å are {width:.4g} Å wide and the volume "
            f"is {volume_angstrom:.4g} Å wide; correct the pixel size or the box size, or crop the volume."
        )


def check_low_pass(
    command: str,
    low_pass_angstrom: float,
    nyquist_angstrom: Dict[str, float],
    width_angstrom: float,
) -> None:
    """ConfigError for a low-pass filter finer than Nyquist, or so coarse that only a blob is left.

    Parameters
    ----------
    command : for the sentence.
    low_pass_angstrom : resolution of the filter.
    nyquist_angstrom : finest resolution (Å) of each thing that limits it, by its name in the sentence.
    width_angstrom : of the images.
    """
    subject = f"{command}: --low-pass-angstrom is {low_pass_angstrom:g}"
    for what, nyquist in nyquist_angstrom.items():
        if low_pass_angstrom < nyquist:
            raise ConfigError(
                f"{subject} and there is nothing beyond {nyquist:.4g} Å in {what}; give a coarser cut."
            )
    if low_pass_angstrom > width_angstrom / 4:
        raise ConfigError(
            f"{subject} and the images are {width_angstrom:.0f} Å wide: no shape is left of the particle at that "
            f"resolution; give at most {width_angstrom / 4:.0f} Å."
        )


def check_resolution(
    command: str, resolution_angstrom: Optional[float], width_angstrom: float
) -> None:
    """ConfigError for a finest detail that is no detail in images of this width."""
    if resolution_angstrom is not None and resolution_angstrom > width_angstrom / 4:
        raise ConfigError(
            f"{command}: --resolution-angstrom is {resolution_angstrom:g} and the images are {width_angstrom:.0f} Å "
            f"wide; give less than {width_angstrom / 4:.0f} Å."
        )


# ------------------------------------------------------------ particles


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


def questions(config: Any, read: Callable[[str], ParticleTable]) -> List[str]:
    """All that is to be asked of a config and its particles before work; `read` reads a STAR file.

    Raises ConfigError or InputError for what cannot be, poses that are no poses included.
    """
    asked = option_questions(config)
    for name, path in config_particles(config):
        asked += set_questions(config, read(path), str(path), poses_matter(config, name))
    return list(dict.fromkeys(asked))


def set_questions(config: Any, table: ParticleTable, what: str, with_poses: bool) -> List[str]:
    """The questions about one set of particles.

    Parameters
    ----------
    config : of the command, whose options name the set.
    table : the particles.
    what : name of the set in the sentences.
    with_poses : whether the command uses the poses, so that they are examined too.
    """
    asked = particle_questions(table, what) + _resolution_questions(config, table)
    if with_poses and table.rotations is not None:
        problem = pose_problem(table, what)
        if problem and not _searches_everywhere(config):
            raise InputError(problem)
        asked += [problem] if problem else pose_questions(table, what)
    return asked


def _resolution_questions(config: Any, table: ParticleTable) -> List[str]:
    """Of a refinement that is asked for finer detail than there is."""
    wanted, finest = (
        getattr(config, "resolution_angstrom", None),
        2 * float(table.pixel_size_angstrom.min(initial=1e9)),
    )
    if config.command != "refine" or wanted is None or wanted >= finest:
        return []
    return [
        f"refine: --resolution-angstrom is {wanted:g} and the images hold nothing beyond {finest:.4g} Å: is it in Å, "
        "or were other particles meant?"
    ]


def _searches_everywhere(config: Any) -> bool:
    return getattr(config, "search_deg", 0) >= 180


def particle_questions(table: ParticleTable, what: str) -> List[str]:
    """Questions about acquisition, CTF and origins of particles; InputError names what cannot be."""
    asked: List[str] = []
    for group in np.unique(table.optics_index):
        asked += _group_questions(table.optics[group], what)
    if table.ctf is not None and len(table):
        asked += _ctf_questions(table, table.ctf, what)
    return asked + _origin_questions(table, what)


def _group_questions(optics: OpticsGroup, what: str) -> List[str]:
    asked = []
    for attribute, quantity in _ACQUISITION.items():
        value = getattr(optics, attribute)
        if value is not None:
            asked += quantity.question(
                value, f"{what}: the {quantity.name} of optics group {optics.name}"
            )
    if not asked and optics.box_size_px:
        subject = f"{what}: the width of the images of optics group {optics.name}"
        asked += _width_questions(subject, optics.box_size_px, optics.pixel_size_angstrom)
    return asked


def _width_questions(subject: str, box_size_px: int, pixel_size_angstrom: float) -> List[str]:
    width = box_size_px * pixel_size_angstrom
    return FIELD_OF_VIEW.question(
        width, f"{subject}, {box_size_px} px of {pixel_size_angstrom:g} Å,"
    )


def volume_questions(what: str, box_size_px: int, pixel_size_angstrom: float) -> List[str]:
    """The same of a map."""
    asked = _VOXEL.question(pixel_size_angstrom, f"{what}: the pixel size")
    return asked or _width_questions(f"{what}: its width", box_size_px, pixel_size_angstrom)


def _ctf_questions(table: ParticleTable, ctf: CtfTable, what: str) -> List[str]:
    u, v = ctf.defocus_u_angstrom, ctf.defocus_v_angstrom
    asked = _defocus_questions(
        np.stack([u, v]), float(np.median(ctf.phase_shift_deg)), f"{what}: the {DEFOCUS.name}"
    )
    if not asked:
        asked += _lonely_defocus(
            table, np.maximum(abs(u), abs(v)), np.minimum(abs(u), abs(v)), ctf, what
        )
    asked += _astigmatism_questions(table, u, v, what)
    asked += _angle_questions(
        ctf.defocus_angle_deg[abs(u - v) > 1.0],
        f"{what}: the angle of the astigmatism (_rlnDefocusAngle)",
    )
    asked += _phase_shift_questions(ctf.phase_shift_deg, what)
    for value in _extremes(ctf.bfactor_angstrom2):
        asked += BFACTOR.question(value, f"{what}: the {BFACTOR.name} of a particle")
    return asked


def _extremes(values: np.ndarray) -> List[float]:
    return sorted({float(values.min()), float(values.max())})


def _defocus_questions(
    values: np.ndarray,
    phase_shift_deg: float,
    subject: str,
    error: Type[CryoposesError] = InputError,
) -> List[str]:
    """Of all defoci together: their unit and their sign."""
    size = np.abs(values)
    for value in _extremes(values):
        DEFOCUS.question(value, subject, error)
    typical, span = (
        float(np.median(size)),
        f"{subject} is {values.min():.6g} to {values.max():.6g} Å",
    )
    near_focus = abs(phase_shift_deg) >= _PHASE_PLATE_DEG
    if typical == 0:
        return [] if near_focus else [f"{span}: was the CTF never estimated?"]
    if typical < _MICROMETRES:
        return [f"{span}: were micrometres typed where Å are needed (1 µm = 10000 Å)?"]
    if typical > DEFOCUS.usual[1]:
        return [f"{span}, beyond 10 µm: is it in Å?"]
    asked = []
    large = size > 1000
    if (values[large] < 0).any():
        number, all_of = int((values[large] < 0).sum()), int(large.sum())
        share = "" if number == all_of else f" ({number} of {all_of} values are negative)"
        asked.append(
            f"{span}{share}: underfocus is positive here; is the sign the other program's?"
        )
    if typical < DEFOCUS.usual[0] and not near_focus:
        asked.append(f"{span}: were nanometres typed where Å are needed (100 nm = 1000 Å)?")
    return asked


def _lonely_defocus(
    table: ParticleTable, largest: np.ndarray, smallest: np.ndarray, ctf: CtfTable, what: str
) -> List[str]:
    """Of a few particles among others."""
    typical = float(np.median(largest))
    far = (largest > _LONELY_DEFOCUS * typical) | (largest > DEFOCUS.usual[1])
    if abs(np.median(ctf.phase_shift_deg)) < _PHASE_PLATE_DEG:
        far |= largest < typical / _LONELY_DEFOCUS
    if not far.any():
        return []
    row = int(np.flatnonzero(far)[0])
    return [
        f"{what}: the defocus of particle {table.ids[row]} is {smallest[row]:.6g} to {largest[row]:.6g} Å where the "
        f"set has some {typical:.0f}{_and_others(far)}: is that right?"
    ]


def _and_others(mask: np.ndarray) -> str:
    others = int(mask.sum()) - 1
    return f", and {others} more {'is' if others == 1 else 'are'} as far off" if others else ""


def _astigmatism_questions(
    table: ParticleTable, u: np.ndarray, v: np.ndarray, what: str
) -> List[str]:
    difference = np.abs(u - v)
    absurd = (difference > _ASTIGMATISM_ANGSTROM) & (difference > 0.5 * np.maximum(abs(u), abs(v)))
    absurd |= difference > _LARGEST_ASTIGMATISM_ANGSTROM
    if not absurd.any():
        return []
    row = int(np.argmax(difference))
    return [
        f"{what}: the two defoci of particle {table.ids[row]} are {u[row]:.6g} and {v[row]:.6g} Å"
        f"{_and_others(absurd)}: do both columns have one unit, and did the fit of the CTF succeed?"
    ]


def _angle_questions(angles_deg: np.ndarray, subject: str) -> List[str]:
    """Angles that all lie within a turn in radians, and spread over it."""
    distinct = np.unique(np.round(angles_deg, 4))
    if (
        len(distinct) < _FEWEST_VALUES
        or np.abs(distinct).max() > _ONE_TURN_RAD
        or np.ptp(distinct) < 1.5
    ):
        return []
    return [
        f"{subject} is {distinct[0]:.3g} to {distinct[-1]:.3g} in all {len(angles_deg)} particles that have one: were "
        "radians typed where degrees are needed?"
    ]


def _phase_shift_questions(phase_shift_deg: np.ndarray, what: str) -> List[str]:
    subject, asked = f"{what}: the {PHASE_SHIFT.name} of a particle", []
    for value in _extremes(phase_shift_deg):
        asked += PHASE_SHIFT.question(value, subject)
    some = phase_shift_deg[phase_shift_deg != 0]
    if len(some) and 0.15 < np.median(np.abs(some)) and np.abs(some).max() <= np.pi:
        asked.append(
            f"{what}: the {PHASE_SHIFT.name} is {some.min():.3g} to {some.max():.3g}: were radians typed where "
            "degrees are needed?"
        )
    return asked


def _origin_questions(table: ParticleTable, what: str) -> List[str]:
    if table.shifts_px is None or not len(table):
        return []
    reach = np.abs(table.shifts_px).max(axis=1)
    far = reach > table.box_size_px / 2
    if not far.any():
        return []
    row = int(np.argmax(np.where(far, reach, 0)))
    return [
        f"{what}: the origin of particle {table.ids[row]} lies {reach[row]:.4g} px from the centre of its image of "
        f"{table.box_size_px[row]} px{_and_others(far)}: were the particles extracted again, or the unit changed?"
    ]


# ------------------------------------------------------------ two sets


def kinship_question(a: ParticleTable, b: ParticleTable, common: int) -> List[str]:
    """Whether two sets that share ids hold the same particles; a, b : some of the `common` ones.

    Raises InputError where neither their images nor their defoci are the same; without defoci it is a question.
    """
    _, rows_a, rows_b = np.intersect1d(a.ids, b.ids, return_indices=True)
    a, b = a.take(rows_a), b.take(rows_b)
    other = np.array([_image(a, row) != _image(b, row) for row in range(len(a))])
    if not len(a) or other.mean() <= _MOST:
        return []
    row = int(np.flatnonzero(other)[0])
    images = f"id {a.ids[row]} is image {' of '.join(_image(a, row))} in one and {' of '.join(_image(b, row))} in"
    shared = f"The two sets share {common} ids and not their images: {images} the other"
    if a.ctf is None or b.ctf is None:
        return [f"{shared}; do they come from the same particles?"]
    first, second = (0.5 * (t.ctf.defocus_u_angstrom + t.ctf.defocus_v_angstrom) for t in (a, b))  # type: ignore
    if (np.abs(first - second) > _SAME_DEFOCUS_ANGSTROM).mean() > _MOST:
        raise InputError(
            f"{shared}, with a defocus of {first[row]:.0f} and {second[row]:.0f} Å; give two sets that come from the "
            "same particles."
        )
    return []


def _image(table: ParticleTable, row: int) -> Tuple[str, str]:
    return str(table.slice_index[row] + 1), str(table.stack_paths[table.stack_index[row]])


# ------------------------------------------------------------ poses


def pose_problem(table: ParticleTable, what: str) -> Optional[str]:
    """A sentence where the poses of a set are no poses: all equal, or all of one viewing direction; else None."""
    images = np.stack([table.stack_index, table.slice_index], axis=1)
    number = len(np.unique(images, axis=0))
    if table.rotations is None or number < _FEWEST_IMAGES:
        return None
    remedy = "estimate their poses first, with `cryoposes infer` or `cryoposes initial-volume`"
    first = table.rotations[0]
    if np.abs(table.rotations - first).max() < _SAME:
        equal = (
            "rot = tilt = psi = 0"
            if np.abs(first - np.eye(3)).max() < _SAME
            else "the same orientation"
        )
        return f"{what}: the particles were never aligned, all {len(table)} have {equal}; {remedy}."
    directions = table.rotations[:, 2]  # see `conventions.viewing_directions`
    if np.abs(directions - directions[0]).max() < _SAME:
        return (
            f"{what}: all {len(table)} particles have one viewing direction and differ in the plane alone, as after a "
            f"classification in two dimensions; {remedy}."
        )
    return None


def pose_questions(table: ParticleTable, what: str) -> List[str]:
    """Questions about poses that are hardly poses."""
    rotations = table.rotations
    if rotations is None or len(table) < _FEWEST_IMAGES:
        return []
    zero = np.abs(rotations - np.eye(3)).max(axis=(1, 2)) < _SAME
    if zero.sum() >= _FEWEST_IMAGES:
        return [
            f"{what}: {zero.sum()} of {len(table)} particles have rot = tilt = psi = 0: were these never aligned?"
        ]
    if len(table) < _FEWEST_POSES:
        return []
    if _angles_deg(rotations, np.eye(3)).max() < _NARROW_DEG:
        return [
            f"{what}: all {len(table)} poses lie within {_angles_deg(rotations, np.eye(3)).max():.1f}° of rot = tilt = "
            "psi = 0: were radians typed where degrees are needed?"
        ]
    if _angles_deg(rotations, rotations[0]).max() < _NARROW_DEG:
        return [
            f"{what}: all {len(table)} poses lie within {_angles_deg(rotations, rotations[0]).max():.1f}° of one "
            "another: are these the poses of the particles?"
        ]
    from .conventions import rotations_to_euler_deg

    return _angle_questions(
        rotations_to_euler_deg(rotations)[:, 2], f"{what}: the angle psi (_rlnAnglePsi)"
    )


def _angles_deg(rotations: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) angles between rotations and another one."""
    cosine = (np.einsum("nij,ij->n", rotations, other) - 1) / 2
    return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
