"""Both sides of every limit: what cannot be is an error, what is unlikely a question, and real
metadata are neither.
"""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.commands.plausibility import (
    set_questions,
)
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.core.conventions import euler_deg_to_rotations, rotations_to_euler_deg
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.particles.plausibility import (
    particle_questions,
    pose_problem,
    pose_questions,
)
from cryoposes_plugin.core.quantities import volume_questions
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable

NUMBER = 40
RNG = np.random.default_rng(5)
ROTATIONS = Rotation.random(NUMBER, random_state=3).as_matrix()
DEFOCUS = RNG.uniform(9000, 24000, NUMBER)
EULER = rotations_to_euler_deg(ROTATIONS)


def particles(optics=None, rotations=ROTATIONS, shifts=None, **ctf):
    """40 particles of 64 px and 2 Å; keywords replace attributes of the optics group and columns of
    the CTF.
    """
    n = len(rotations)
    group = dataclasses.replace(OpticsGroup("first", 2.0, 64, 300.0, 2.7, 0.1), **(optics or {}))
    columns = {
        "defocus_u_angstrom": DEFOCUS[:n],
        "defocus_v_angstrom": DEFOCUS[:n] - 300,
        "defocus_angle_deg": np.linspace(-80, 80, n),
        "phase_shift_deg": np.zeros(n),
        "voltage_kv": np.full(n, group.voltage_kv),
        "spherical_aberration_mm": np.full(n, group.spherical_aberration_mm),
        "amplitude_contrast": np.full(n, group.amplitude_contrast),
        "bfactor_angstrom2": np.zeros(n),
    }
    columns.update(
        {name: np.broadcast_to(np.asarray(value, float), n).copy() for name, value in ctf.items()}
    )
    one = np.zeros(n, dtype=np.int64)
    return ParticleTable(
        ids=np.arange(1, n + 1),
        stack_paths=("stack.mrcs",),
        stack_index=one,
        slice_index=np.arange(n),
        optics=(group,),
        optics_index=one,
        rotations=rotations,
        shifts_px=np.zeros((n, 2)) if shifts is None else shifts,
        ctf=CtfTable(**columns),
    )


def both(factor, offset=0.0):
    return {
        "defocus_u_angstrom": DEFOCUS * factor + offset,
        "defocus_v_angstrom": (DEFOCUS - 300) * factor + offset,
    }


def one(values, row, value):
    values = np.array(values, dtype=np.float64)
    values[row] = value
    return values


def test_ordinary_particles_are_asked_nothing():
    assert set_questions(RefineConfig(), particles(), "x.star", with_poses=True) == []


IMPOSSIBLE = [
    (
        dict(optics={"voltage_kv": 300000.0}),
        "voltage (_rlnVoltage) of optics group first is 300000 kV",
        "give 300",
    ),
    (dict(optics={"voltage_kv": 1201.0}), "1201 kV and it must be 10 to 1200 kV", "correct it"),
    (dict(optics={"voltage_kv": 9.0}), "9 kV", "correct it"),
    (dict(optics={"voltage_kv": 0.0}), "0 kV", "correct it"),
    (dict(optics={"voltage_kv": 0.3}), "0.3 kV", "looks like MV: give 300"),
    (dict(optics={"spherical_aberration_mm": 2700.0}), "2700 mm", "looks like µm: give 2.7"),
    (dict(optics={"spherical_aberration_mm": 20.5}), "20.5 mm", "correct it"),
    (dict(optics={"spherical_aberration_mm": -0.1}), "-0.1 mm", "correct it"),
    (
        dict(optics={"amplitude_contrast": 10.0}),
        "is 10 and it must be 0 to 1",
        "looks like per cent: give 0.1",
    ),
    (dict(optics={"amplitude_contrast": 1.01}), "1.01", "per cent"),
    (dict(optics={"amplitude_contrast": -0.1}), "-0.1", "correct it"),
    (dict(optics={"pixel_size_angstrom": 101.0}), "101 Å", "correct it"),
    (dict(optics={"pixel_size_angstrom": 2e-10}), "2e-10 Å", "correct it"),
    (both(1e4), "defocus (_rlnDefocusU, _rlnDefocusV) is", "correct it"),
    (dict(phase_shift_deg=361.0), "361 °", "correct it"),
    (dict(bfactor_angstrom2=-2001.0), "-2001 Å^2", "correct it"),
]


@pytest.mark.parametrize("change, value, remedy", IMPOSSIBLE, ids=[row[1] for row in IMPOSSIBLE])
def test_what_cannot_be_is_an_error_with_value_and_remedy(change, value, remedy):
    with pytest.raises(InputError) as error:
        particle_questions(particles(**change), "x.star")
    sentence = str(error.value)
    assert sentence.startswith("x.star: the ")
    assert value in sentence
    assert remedy in sentence


UNLIKELY = [
    (dict(optics={"voltage_kv": 59.0}), "59 kV"),
    (dict(optics={"voltage_kv": 401.0}), "401 kV"),
    (dict(optics={"spherical_aberration_mm": 8.1}), "8.1 mm"),
    (
        dict(optics={"amplitude_contrast": 1.0}),
        "contrast (_rlnAmplitudeContrast) of optics group first is 1 ",
    ),
    (dict(optics={"pixel_size_angstrom": 0.2}), "was nm typed where Å is needed"),
    (dict(optics={"pixel_size_angstrom": 21.0}), "21 Å"),
    (dict(optics={"pixel_size_angstrom": 0.9}), "64 px of 0.9 Å, is 57.6 Å"),
    (dict(optics={"box_size_px": 4000}), "is 8000 Å"),
    (both(1e-4), "were micrometres typed where Å are needed"),
    (both(0.1), "were nanometres typed where Å are needed"),
    (both(-1), "underfocus is positive in this program"),
    (both(0), "is 0 to 0 Å: was the CTF never estimated?"),
    (both(1, 1e5), "beyond 10 µm"),
    (
        dict(
            defocus_u_angstrom=one(DEFOCUS, 6, -DEFOCUS[6]),
            defocus_v_angstrom=one(DEFOCUS, 6, -DEFOCUS[6]),
        ),
        "(2 of 80",
    ),
    (
        dict(defocus_u_angstrom=one(DEFOCUS, 6, 1.5), defocus_v_angstrom=one(DEFOCUS, 6, 1.4)),
        "of particle 7 is 1.4 to",
    ),
    (
        dict(defocus_u_angstrom=one(DEFOCUS, 6, 2e5), defocus_v_angstrom=one(DEFOCUS, 6, 2e5)),
        "of particle 7 is 200000",
    ),
    (dict(defocus_v_angstrom=one(DEFOCUS, 6, 100.0)), "two defoci of particle 7"),
    (dict(defocus_v_angstrom=DEFOCUS * 1e-4), "are both columns in the same unit"),
    (dict(defocus_u_angstrom=DEFOCUS + 10001), "two defoci"),
    (
        dict(defocus_angle_deg=np.linspace(-1.57, 1.57, NUMBER)),
        "astigmatism (_rlnDefocusAngle) is -1.57 to 1.57",
    ),
    (dict(phase_shift_deg=1.5708), "phase shift (_rlnPhaseShift) is 1.57 to 1.57: were radians"),
    (dict(phase_shift_deg=200.0), "200 °"),
    (dict(bfactor_angstrom2=-50.0), "-50 Å^2"),
    (dict(shifts=one(np.zeros((NUMBER, 2)), (8, 1), -32.5)), "origin of particle 9 lies 32.5 px"),
]


@pytest.mark.parametrize("change, words", UNLIKELY, ids=[row[1] for row in UNLIKELY])
def test_what_is_unlikely_is_one_question_with_its_value(change, words):
    asked = particle_questions(particles(**change), "x.star")
    assert len(asked) == 1
    assert asked[0].startswith("x.star: ")
    assert words in asked[0]
    assert asked[0].endswith("?")


USUAL = [
    dict(optics={"voltage_kv": 60.0}),
    dict(optics={"voltage_kv": 400.0}),
    dict(optics={"spherical_aberration_mm": 0.0}),
    dict(optics={"spherical_aberration_mm": 8.0}),
    dict(optics={"amplitude_contrast": 0.0}),
    dict(optics={"amplitude_contrast": 0.4}),
    dict(optics={"pixel_size_angstrom": 0.3, "box_size_px": 300}),
    dict(optics={"pixel_size_angstrom": 20.0}),
    both(1, 60000),
    dict(phase_shift_deg=90.0),
    dict(phase_shift_deg=90.0, **both(0.1)),
    dict(phase_shift_deg=90.0, **both(0)),
    dict(defocus_v_angstrom=DEFOCUS),
    dict(defocus_v_angstrom=DEFOCUS * 0.6),
    dict(defocus_v_angstrom=DEFOCUS, defocus_angle_deg=np.linspace(-1.57, 1.57, NUMBER)),
    dict(defocus_angle_deg=2.5),
    dict(defocus_angle_deg=np.linspace(-80, 1.57, NUMBER)),
    dict(bfactor_angstrom2=150.0),
    dict(shifts=np.full((NUMBER, 2), 31.5)),
]


@pytest.mark.parametrize("change", USUAL)
def test_the_other_side_of_each_limit_is_asked_nothing(change):
    assert particle_questions(particles(**change), "x.star") == []


def test_one_group_among_others_is_named():
    table = particles()
    other = dataclasses.replace(table.optics[0], name="second", voltage_kv=200000.0)
    index = (np.arange(NUMBER) >= 30).astype(np.int64)
    with pytest.raises(InputError, match="optics group second is 200000 kV"):
        particle_questions(
            table.replace(optics=(table.optics[0], other), optics_index=index), "x.star"
        )


def test_a_group_without_particles_is_not_looked_at():
    table = particles()
    other = dataclasses.replace(table.optics[0], name="second", voltage_kv=200000.0)
    assert particle_questions(table.replace(optics=(table.optics[0], other)), "x.star") == []


# ------------------------------------------------------------ poses

ZERO = np.tile(np.eye(3), (NUMBER, 1, 1))
IN_PLANE = euler_deg_to_rotations(np.c_[np.full(NUMBER, 20.0), np.full(NUMBER, 35.0), EULER[:, 2]])
FLAT = euler_deg_to_rotations(np.c_[np.zeros((NUMBER, 2)), EULER[:, 2]])


@pytest.mark.parametrize(
    "rotations, words",
    [
        (ZERO, "all 40 have rot = tilt = psi = 0; estimate"),
        (ZERO[:3], "all 3 have rot = tilt = psi = 0; estimate"),
        (np.tile(ROTATIONS[0], (NUMBER, 1, 1)), "all 40 have the same orientation; estimate"),
        (FLAT, "the same viewing direction"),
        (IN_PLANE, "the same viewing direction"),
    ],
)
def test_poses_that_are_no_poses(rotations, words):
    assert words in pose_problem(particles(rotations=rotations), "x.star")
    with pytest.raises(InputError, match="cryoposes infer"):
        set_questions(RefineConfig(), particles(rotations=rotations), "x.star", with_poses=True)
    assert (
        set_questions(RefineConfig(), particles(rotations=rotations), "x.star", with_poses=False)
        == []
    )


@pytest.mark.parametrize(
    "rotations", [ROTATIONS, ROTATIONS[:3], ZERO[:2], ROTATIONS[:1], IN_PLANE[:2]]
)
def test_poses_that_may_be_poses(rotations):
    assert pose_problem(particles(rotations=rotations), "x.star") is None
    assert pose_questions(particles(rotations=rotations), "x.star") == []


def test_copies_of_one_image_may_have_one_pose():
    table = particles(rotations=ZERO)
    assert pose_problem(table.replace(slice_index=np.full(NUMBER, 4)), "x.star") is None


@pytest.mark.parametrize(
    "turns", [EULER, np.abs(EULER), EULER * [1, -1, 1]], ids=["signed", "positive", "tilt < 0"]
)
def test_angles_in_radians(turns):
    asked = pose_questions(particles(rotations=euler_deg_to_rotations(np.deg2rad(turns))), "x.star")
    assert len(asked) == 1
    assert "were radians typed where degrees are needed" in asked[0]


def test_one_angle_in_radians():
    turned = euler_deg_to_rotations(np.c_[EULER[:, :2], np.deg2rad(EULER[:, 2])])
    assert (
        "psi (_rlnAnglePsi) is -2.75 to 3 "
        in pose_questions(particles(rotations=turned), "x.star")[0]
    )
    views = euler_deg_to_rotations(np.c_[EULER[:, :2], np.zeros(NUMBER)])
    assert pose_questions(particles(rotations=views), "x.star") == []


def test_a_few_poses_in_a_narrow_ball_say_nothing():
    few = euler_deg_to_rotations(np.deg2rad(EULER[:9]))
    assert pose_questions(particles(rotations=few), "x.star") == []


def test_poses_around_another_one():
    near = euler_deg_to_rotations(np.deg2rad(EULER)) @ ROTATIONS[0]
    assert "of one another" in pose_questions(particles(rotations=near), "x.star")[0]


def test_some_that_were_never_aligned():
    some = ROTATIONS.copy()
    some[10:22] = np.eye(3)
    assert (
        "12 of 40 particles have rot = tilt = psi = 0"
        in pose_questions(particles(rotations=some), "x.star")[0]
    )


def test_preferred_views_are_poses():
    tilt = np.abs(RNG.normal(0, 8, NUMBER))
    views = euler_deg_to_rotations(np.c_[EULER[:, 0], tilt, EULER[:, 2]])
    assert pose_problem(particles(rotations=views), "x.star") is None
    assert pose_questions(particles(rotations=views), "x.star") == []


def test_maps_of_unlikely_size():
    assert volume_questions("Volume m.mrc", 64, 1.128) == []
    assert "was nm typed where Å is needed?" in volume_questions("Volume m.mrc", 64, 0.1128)[0]
    assert (
        "its width, 64 px of 0.564 Å, is 36.096 Å" in volume_questions("Volume m.mrc", 64, 0.564)[0]
    )
    assert "11280 Å" in volume_questions("Volume m.mrc", 1000, 11.28)[0]


def test_twenty_thousand_real_ctfs_are_asked_nothing(shared_data):
    rows = np.load(
        shared_data / "meta/ctf_empiar10028_20k_D_apix_dfu_dfv_dfang_kV_cs_w_ps.npy"
    ).astype(float)
    n = len(rows)
    group = OpticsGroup("10028", rows[0, 1], int(rows[0, 0]), rows[0, 5], rows[0, 6], rows[0, 7])
    ctf = CtfTable(
        rows[:, 2],
        rows[:, 3],
        rows[:, 4],
        rows[:, 8],
        rows[:, 5],
        rows[:, 6],
        rows[:, 7],
        np.zeros(n),
    )
    zero = np.zeros(n, dtype=np.int64)
    table = ParticleTable(np.arange(n), ("x.mrcs",), zero, np.arange(n), (group,), zero, ctf=ctf)
    assert particle_questions(table, "10028") == []
