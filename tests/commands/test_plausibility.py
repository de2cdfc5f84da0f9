"""Limits of options and questions about a set for a command, both sides of each; real sets raise
none.
"""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.commands.compare.config import CompareConfig
from cryoposes_plugin.commands.plausibility import (
    check_diameter,
    check_low_pass,
    option_questions,
    set_questions,
)
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable
from tests.core.particles.test_plausibility import ZERO, particles


def test_a_search_of_all_orientations_may_start_anywhere():
    asked = set_questions(
        RefineConfig(search_deg=180.0), particles(rotations=ZERO), "x.star", with_poses=True
    )
    assert len(asked) == 1
    assert "never aligned" in asked[0]


@pytest.mark.parametrize(
    "name, value, words",
    [
        (
            "voltage_kv",
            300000.0,
            "--voltage-kv is 300000 kV and it must be 10 to 1200 kV; it looks like V: give 300.",
        ),
        ("spherical_aberration_mm", -1.0, "--spherical-aberration-mm is -1 mm"),
        (
            "amplitude_contrast",
            7.0,
            "--amplitude-contrast is 7 and it must be 0 to 1; it looks like per cent",
        ),
        ("pixel_size_angstrom", 500.0, "--pixel-size-angstrom is 500 Å"),
        ("defocus_range_angstrom", (8000.0, 2.5e6), "--defocus-range-angstrom is 2.5e+06 Å"),
        ("phase_shift_deg", 1e3, "--phase-shift-deg is 1000 °"),
    ],
)
def test_options_that_cannot_be(name, value, words):
    with pytest.raises(ConfigError) as error:
        SimulateConfig(volume=("map.mrc",), **{name: value}).validate()
    assert words in str(error.value)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("voltage_kv", 30.0, "--voltage-kv is 30 kV (60 to 400 kV is usual)"),
        (
            "defocus_range_angstrom",
            (0.8, 2.5),
            "--defocus-range-angstrom is 0.8 to 2.5 Å: were micrometres",
        ),
        ("defocus_range_angstrom", (-25000.0, -8000.0), "underfocus is positive"),
        ("snr", 40.0, "--snr is 40 (0.001 to 30 is usual): is that right?"),
        ("snr", 1e-4, "--snr is 0.0001"),
    ],
)
def test_options_that_are_unlikely(name, value, words):
    asked = option_questions(SimulateConfig(**{name: value}))
    assert len(asked) == 1
    assert words in asked[0]


def test_defaults_are_asked_nothing():
    assert [
        option_questions(config())
        for config in (SimulateConfig, TrainConfig, RefineConfig, CompareConfig)
    ] == [
        [],
        [],
        [],
        [],
    ]


def test_a_mask_is_no_wider_than_the_images_and_no_smaller_than_a_tenth():
    check_diameter("reconstruct", "mask_diameter_angstrom", 100.0, 100.0)
    check_diameter("reconstruct", "mask_diameter_angstrom", 10.0, 100.0)
    check_diameter("reconstruct", "mask_diameter_angstrom", None, 100.0)
    with pytest.raises(
        ConfigError,
        match="--mask-diameter-angstrom is 101 Å and the images are 100 Å wide; give a sm",
    ):
        check_diameter("reconstruct", "mask_diameter_angstrom", 101.0, 100.0)
    with pytest.raises(
        ConfigError, match="is 9.9 Å and the images are 100 Å wide, more than ten times that"
    ):
        check_diameter("reconstruct", "mask_diameter_angstrom", 9.9, 100.0)


def test_a_low_pass_leaves_a_shape_and_is_no_finer_than_nyquist():
    check_low_pass("iterate", 10.0, {"the volume": 10.0}, 200.0)
    check_low_pass("iterate", 50.0, {"the volume": 10.0}, 200.0)
    with pytest.raises(
        ConfigError,
        match="--low-pass-angstrom is 9.9 and there is no detail finer than 10 Å in the volume",
    ):
        check_low_pass("iterate", 9.9, {"the images": 9.0, "the volume": 10.0}, 200.0)
    with pytest.raises(
        ConfigError,
        match="is 50.1 and the images are 200 Å wide: at that resolution the particle has no shape",
    ):
        check_low_pass("iterate", 50.1, {"the volume": 10.0}, 200.0)


def test_detail_beyond_nyquist_is_asked_about():
    asked = set_questions(
        RefineConfig(resolution_angstrom=3.9), particles(), "x.star", with_poses=True
    )
    assert len(asked) == 1
    assert (
        "--resolution-angstrom is 3.9 but the images contain no detail finer than 4 Å" in asked[0]
    )
    assert (
        set_questions(RefineConfig(resolution_angstrom=4.0), particles(), "x.star", with_poses=True)
        == []
    )


@pytest.mark.parametrize(
    "name", ["ribosome50S_exp_7_ctf", "betagal_exp_100_APPROX_poses", "aspire_sample_17_relion"]
)
def test_real_star_files_are_asked_nothing(shared_data, name):
    table = read_particles(shared_data / "images" / f"{name}.star")
    assert set_questions(RefineConfig(), table, name, with_poses=True) == []


def from_cs(rows, shift_unit_px=1.0):
    """A table of cryoSPARC's metadata, as far as plausibility looks at it."""
    n, names = len(rows), rows.dtype.names
    phase = (
        np.rad2deg(rows["ctf/phase_shift_rad"]) if "ctf/phase_shift_rad" in names else np.zeros(n)
    )
    group = OpticsGroup("cs", *(float(rows[c][0]) for c in ("blob/psize_A",)), 200)
    acquisition = {
        name: rows[f"ctf/{c}"].astype(float) for name, c in (("voltage_kv", "accel_kv"),)
    }
    group = dataclasses.replace(group, voltage_kv=float(acquisition["voltage_kv"][0]))
    ctf = CtfTable(
        rows["ctf/df1_A"].astype(float),
        rows["ctf/df2_A"].astype(float),
        np.rad2deg(rows["ctf/df_angle_rad"]).astype(float),
        phase,
        acquisition["voltage_kv"],
        rows["ctf/cs_mm"].astype(float),
        rows["ctf/amp_contrast"].astype(float),
        np.zeros(n),
    )
    zero = np.zeros(n, dtype=np.int64)
    return ParticleTable(
        ids=np.arange(1, n + 1),
        stack_paths=("x.mrcs",),
        stack_index=zero,
        slice_index=np.arange(n),
        optics=(group,),
        optics_index=zero,
        rotations=Rotation.from_rotvec(rows["alignments3D/pose"]).as_matrix(),
        shifts_px=rows["alignments3D/shift"].astype(float),
        ctf=ctf,
    )


@pytest.mark.parametrize(
    "name",
    [
        "cs/cryosparc_P12_J24_001_particles.cs",
        "cs/t20s_j209_000_particles.cs",
        "meta/t20s_empiar10025_11764_ctf_coarseposes.npy",
    ],
)
def test_real_cryosparc_metadata_are_asked_nothing(shared_data, name):
    table = from_cs(np.load(shared_data / name, allow_pickle=False))
    assert set_questions(RefineConfig(), table, name, with_poses=True) == []
