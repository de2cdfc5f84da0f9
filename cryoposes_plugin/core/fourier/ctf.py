"""The contrast transfer function: one formula for NumPy and TensorFlow, in RELION's sign."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Mapping, Optional, Tuple, Union

import numpy as np

from ..types import CtfTable

#: Columns of a packed CTF, in the order of CtfTable's fields.
PACKED_FIELDS = tuple(f.name for f in dataclasses.fields(CtfTable))


def electron_wavelength_angstrom(voltage_kv: Any, xp: Any = np):
    """Relativistic wavelength in Å, with the constants of RELION: h / sqrt(2 m e U (1 + e U / (2 m
    c^2))).
    """
    volts = 1e3 * voltage_kv
    return 12.2643247 / xp.sqrt(volts * (1.0 + 0.978466e-6 * volts))


def frequency_grid(box_size_px: int, pixel_size_angstrom: float) -> Tuple[np.ndarray, np.ndarray]:
    """(x, y) frequencies in 1/Å of the half plane of `rfft2`, each (D, D // 2 + 1) float64, zero at
    [0, 0].
    """
    kx = np.fft.rfftfreq(box_size_px, pixel_size_angstrom)
    ky = np.fft.fftfreq(box_size_px, pixel_size_angstrom)
    x, y = np.meshgrid(kx, ky)
    return x, y


def pack_ctf(ctf: CtfTable) -> np.ndarray:
    """(N, 8) float32, columns in the order of CtfTable's fields: what a tensor pipeline carries
    along.
    """
    return np.stack([np.asarray(getattr(ctf, name)) for name in PACKED_FIELDS], axis=-1).astype(
        np.float32
    )


def unpack_ctf(packed: Any) -> Dict[str, Any]:
    """The columns of a packed CTF (N, 8), array or tensor, by CtfTable's field names; each (N,)."""
    return {name: packed[:, column] for column, name in enumerate(PACKED_FIELDS)}


def ctf_values(
    frequencies_x: Any, frequencies_y: Any, ctf: Union[CtfTable, Mapping[str, Any]], xp: Any = np
):
    """CTF of N particles at the given spatial frequencies.

    CTF(s) = sin(chi(s) + p + arcsin(w)) exp(-B s^2 / 4),
    chi(s) = pi lambda df(theta) s^2 - pi / 2 Cs lambda^3 s^4,
    df(theta) = (U + V) / 2 + (U - V) / 2 cos(2 (theta - angle)),
    which is RELION's -sin(gamma): +w at s = 0, protein white on dark, underfocus positive (Rohou &
    Grigorieff 2015, eq. 2 to 5, of the opposite sign).

    Parameters
    ----------
    frequencies_x, frequencies_y : shape S, 1/Å, in the frame of the image (x along the last axis of
        an image).
    ctf : CtfTable, or a mapping of its field names to (N,) arrays or tensors.
    xp : `numpy`, or TensorFlow for tensors (then everything is float32 unless the inputs say
        otherwise).

    Returns
    -------
    (N,) + S, real, of the inputs' precision.
    """
    columns = (
        {f: getattr(ctf, f) for f in PACKED_FIELDS} if isinstance(ctf, CtfTable) else dict(ctf)
    )
    tail = (1,) * len(frequencies_x.shape)
    c = {name: xp.reshape(values, (-1,) + tail) for name, values in columns.items()}
    x2, y2 = frequencies_x * frequencies_x, frequencies_y * frequencies_y
    s2, difference, product = x2 + y2, x2 - y2, 2.0 * frequencies_x * frequencies_y
    wavelength = electron_wavelength_angstrom(c["voltage_kv"], xp)
    mean = 0.5 * (c["defocus_u_angstrom"] + c["defocus_v_angstrom"])
    half = 0.5 * (c["defocus_u_angstrom"] - c["defocus_v_angstrom"])
    double_angle = math.pi / 90.0 * c["defocus_angle_deg"]
    spherical = 0.5e7 * math.pi * c["spherical_aberration_mm"] * wavelength**3
    offset = math.pi / 180.0 * c["phase_shift_deg"] + _arcsin(c["amplitude_contrast"], xp)

    # df(theta) s^2 as a quadratic form: no arctangent, no division at s = 0.
    quadratic = mean * s2 + half * (
        xp.cos(double_angle) * difference + xp.sin(double_angle) * product
    )
    phase = math.pi * wavelength * quadratic - spherical * (s2 * s2) + offset
    return xp.sin(phase) * xp.exp(-0.25 * c["bfactor_angstrom2"] * s2)


def _arcsin(values: Any, xp: Any):
    return xp.arcsin(values) if xp is np else xp.asin(values)


def state_filter(ctf: Any, image_state: str, xp: Any = np) -> Optional[Any]:
    """What a raw image y = C x + n is multiplied with in Fourier space to reach `image_state`: None
    for "raw".
    """
    if image_state == "phase-flipped":
        return xp.sign(ctf)
    return ctf if image_state == "ctf-premultiplied" else None


def signal_filter(ctf: Any, image_state: str, xp: Any = np):
    """What the image's signal carries of the CTF: C, |C| or C^2 for "raw", "phase-flipped",
    "ctf-premultiplied".
    """
    if image_state == "phase-flipped":
        return xp.abs(ctf)
    return ctf * ctf if image_state == "ctf-premultiplied" else ctf
