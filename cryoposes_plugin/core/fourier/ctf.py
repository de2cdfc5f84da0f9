"""The contrast transfer function: one formula for NumPy and TensorFlow, in RELION's sign."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Mapping, Optional, Tuple, Union

import numpy as np

from ..types import CtfTable

#: Columns of a packed CTF, in the order of CtfTable's fields; the even coefficients follow.
PACKED_FIELDS = tuple(f.name for f in dataclasses.fields(CtfTable) if f.name != "even_zernike")


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
    """(N, 8 + E) float32, columns in the order of CtfTable's fields, E of them even coefficients:
    what a tensor pipeline carries along.
    """
    columns = np.stack([np.asarray(getattr(ctf, name)) for name in PACKED_FIELDS], axis=-1)
    return np.concatenate([columns, ctf.even_zernike], axis=-1).astype(np.float32)


def unpack_ctf(packed: Any) -> Dict[str, Any]:
    """The columns of a packed CTF (N, 8 + E), array or tensor, by CtfTable's field names."""
    columns = {name: packed[:, column] for column, name in enumerate(PACKED_FIELDS)}
    return {**columns, "even_zernike": packed[:, len(PACKED_FIELDS) :]}


def with_defocus_changed(ctf: CtfTable, change_angstrom: np.ndarray) -> CtfTable:
    """CTFs whose two defoci are larger by (N,)."""
    return dataclasses.replace(
        ctf,
        defocus_u_angstrom=np.asarray(ctf.defocus_u_angstrom) + change_angstrom,
        defocus_v_angstrom=np.asarray(ctf.defocus_v_angstrom) + change_angstrom,
    )


def ctf_values(
    frequencies_x: Any, frequencies_y: Any, ctf: Union[CtfTable, Mapping[str, Any]], xp: Any = np
):
    """CTF of N particles at the given spatial frequencies.

    CTF(s) = sin(chi(s) + p + arcsin(w) - e(s)) exp(-B s^2 / 4),
    chi(s) = pi lambda df(theta) s^2 - pi / 2 Cs lambda^3 s^4,
    df(theta) = (U + V) / 2 + (U - V) / 2 cos(2 (theta - angle)),
    e(s) = sum_i c_i Z_i(s) with the even Zernike polynomials (see `aberrations`),
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
    columns = dict(vars(ctf) if isinstance(ctf, CtfTable) else ctf)
    even = columns.pop("even_zernike", None)
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
    if even is not None and even.shape[-1] != 0:
        phase -= _even_phase(frequencies_x, frequencies_y, even, tail, xp)
    return xp.sin(phase) * xp.exp(-0.25 * c["bfactor_angstrom2"] * s2)


def _even_phase(x: Any, y: Any, coefficients: Any, tail: Tuple[int, ...], xp: Any):
    """e(s) of N particles with (N, E) coefficients."""
    terms = [zernike(*_even_degree(i), x, y) for i in range(coefficients.shape[-1])]
    return sum(xp.reshape(coefficients[:, i], (-1,) + tail) * z for i, z in enumerate(terms))


def _even_degree(index: int) -> Tuple[int, int]:
    """(n, m) of an even coefficient."""
    j = math.isqrt(index)
    return 2 * j, 2 * (index - j * j - j)


def zernike(n: int, m: int, x: Any, y: Any) -> Any:
    """R_n^|m|(r) cos(m phi), or sin(-m phi) for m < 0, at (x, y) = r (cos phi, sin phi).

    Parameters
    ----------
    n, m : degree and order, |m| <= n of the same parity.
    x, y : arrays or tensors of one shape, of any size: the polynomial goes on beyond r = 1.
    """
    size = abs(m)
    real, imaginary = 0.0 * x + 1.0, 0.0 * x
    for _ in range(size):
        real, imaginary = real * x - imaginary * y, real * y + imaginary * x

    squared, radial = x * x + y * y, 0.0 * x
    for k in range((n - size) // 2 + 1):
        factor = (-1) ** k * math.comb(n - k, k) * math.comb(n - 2 * k, (n - size) // 2 - k)
        radial = radial * squared + float(factor)
    return radial * (real if m >= 0 else imaginary)


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
