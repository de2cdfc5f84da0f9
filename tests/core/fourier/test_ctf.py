import numpy as np
import pytest

from cryoposes_plugin.core.fourier import ctf as module
from cryoposes_plugin.core.fourier.ctf import (
    ctf_values,
    electron_wavelength_angstrom,
    frequency_grid,
    pack_ctf,
)
from cryoposes_plugin.core.types import CtfTable


def table(**changes):
    """Two CTFs; named fields changed in both."""
    columns = dict(
        defocus_u_angstrom=[12000, 21000],
        defocus_v_angstrom=[11000, 20500],
        defocus_angle_deg=[30, -75],
        phase_shift_deg=[0, 60],
        voltage_kv=[300, 200],
        spherical_aberration_mm=[2.7, 0.01],
        amplitude_contrast=[0.1, 0.07],
        bfactor_angstrom2=[0, 80],
    )
    columns.update({name: [value, value] for name, value in changes.items()})
    return CtfTable(*(np.array(v, dtype=np.float64) for v in columns.values()))


def by_polar_angle(x, y, c, row):
    """The textbook form: defocus as a function of the direction, phase in radians."""
    s, theta = np.hypot(x, y), np.arctan2(y, x)
    angle = np.deg2rad(c.defocus_angle_deg[row])
    u, v = c.defocus_u_angstrom[row], c.defocus_v_angstrom[row]
    defocus = u * np.cos(theta - angle) ** 2 + v * np.sin(theta - angle) ** 2
    volts = c.voltage_kv[row] * 1e3
    planck, mass, charge, light = 6.62607015e-34, 9.1093837015e-31, 1.602176634e-19, 299792458.0
    energy = charge * volts
    wavelength = 1e10 * planck / np.sqrt(2 * mass * energy * (1 + energy / (2 * mass * light**2)))
    chi = (
        np.pi * wavelength * defocus * s**2
        - np.pi / 2 * 1e7 * c.spherical_aberration_mm[row] * wavelength**3 * s**4
    )
    w = c.amplitude_contrast[row]
    total = chi + np.deg2rad(c.phase_shift_deg[row])
    return (np.sqrt(1 - w**2) * np.sin(total) + w * np.cos(total)) * np.exp(
        -c.bfactor_angstrom2[row] * s**2 / 4
    )


def test_wavelengths_are_those_of_the_textbooks():
    assert electron_wavelength_angstrom(np.array([100.0, 200.0, 300.0])) == pytest.approx(
        [0.03701, 0.02508, 0.01969], abs=1e-5
    )


def test_values_equal_the_form_in_polar_angles():
    x, y = frequency_grid(40, 1.7)
    c = table()
    values = ctf_values(x, y, c)
    assert values.shape == (2, 40, 21)
    for row in (0, 1):
        assert values[row] == pytest.approx(by_polar_angle(x, y, c, row), abs=1e-3)


def test_sign_is_positive_at_zero_frequency_and_first_rises_with_underfocus():
    values = ctf_values(
        np.array([0.0, 0.01, 0.02]), np.zeros(3), table(phase_shift_deg=0, bfactor_angstrom2=0)
    )
    assert values[:, 0] == pytest.approx([0.1, 0.07], abs=1e-12)
    assert (np.diff(values, axis=1) > 0).all()


def test_a_phase_plate_of_90_degrees_makes_it_a_cosine():
    values = ctf_values(np.zeros(1), np.zeros(1), table(phase_shift_deg=90, amplitude_contrast=0))
    assert values == pytest.approx(np.ones((2, 1)))


def test_defocus_u_lies_along_the_angle_in_the_images_x_to_y():
    c = table(
        defocus_u_angstrom=20000,
        defocus_v_angstrom=10000,
        defocus_angle_deg=90,
        phase_shift_deg=0,
        amplitude_contrast=0,
        spherical_aberration_mm=0,
        bfactor_angstrom2=0,
        voltage_kv=300,
    )
    s = 0.03
    along_x, along_y = ctf_values(np.array([s, 0.0]), np.array([0.0, s]), c)[0]
    wavelength = electron_wavelength_angstrom(300.0)
    assert along_x == pytest.approx(np.sin(np.pi * wavelength * 10000 * s**2))
    assert along_y == pytest.approx(np.sin(np.pi * wavelength * 20000 * s**2))


def test_tensorflow_computes_the_same_and_packing_keeps_the_order():
    tf = pytest.importorskip("tensorflow")
    x, y = frequency_grid(64, 2.0)
    c = table()
    packed = pack_ctf(c)
    assert packed.shape == (2, 8)
    assert packed[1] == pytest.approx([21000, 20500, -75, 60, 200, 0.01, 0.07, 80])
    tensors = ctf_values(
        tf.constant(x, tf.float32),
        tf.constant(y, tf.float32),
        module.unpack_ctf(tf.constant(packed)),
        tf,
    )
    assert tensors.numpy() == pytest.approx(ctf_values(x, y, c), abs=2e-4)


def test_image_states():
    values = np.array([-0.5, 0.0, 0.25])
    assert module.state_filter(values, "raw") is None
    assert module.state_filter(values, "phase-flipped").tolist() == [-1, 0, 1]
    assert module.state_filter(values, "ctf-premultiplied").tolist() == [-0.5, 0, 0.25]
    assert module.signal_filter(values, "raw").tolist() == [-0.5, 0, 0.25]
    assert module.signal_filter(values, "phase-flipped").tolist() == [0.5, 0, 0.25]
    assert module.signal_filter(values, "ctf-premultiplied").tolist() == [0.25, 0, 0.0625]
