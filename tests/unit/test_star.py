"""STAR files: round trips, joins by id, what passes through, and what is refused."""

import re

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.ids import join_tables
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.star import read_particles, write_particles
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable


def make_table(folder, rng, n=7):
    stack = folder / "stack.mrcs"
    write_stack(stack, rng.normal(size=(n, 8, 8)), 2.0)
    optics = (
        OpticsGroup("first", 2.0, 8, 300.0, 2.7, 0.1, "raw", {"rlnBeamTiltX": "0.25"}),
        OpticsGroup("second", 2.0, 8, 200.0, 0.01, 0.07, "ctf-premultiplied", {"rlnBeamTiltX": "-1.5"}),
    )
    index = np.arange(n) % 2
    ctf = CtfTable(
        rng.uniform(5e3, 2e4, n),
        rng.uniform(5e3, 2e4, n),
        rng.uniform(0, 90, n),
        rng.uniform(0, 90, n),
        np.array([300.0, 200.0])[index],
        np.array([2.7, 0.01])[index],
        np.array([0.1, 0.07])[index],
        rng.uniform(0, 50, n),
    )
    return ParticleTable(
        ids=rng.permutation(1000)[:n] + 1,
        stack_paths=(stack,),
        stack_index=np.zeros(n, int),
        slice_index=rng.permutation(n),
        optics=optics,
        optics_index=index,
        rotations=random_rotations(n, rng),
        shifts_px=rng.normal(size=(n, 2)),
        ctf=ctf,
        random_subset=rng.integers(1, 3, n),
        scores={"cryoposesTrace": -rng.uniform(1, 9, n)},
        extra={"rlnMicrographName": np.array([f"mic{i}.mrc" for i in range(n)], dtype=object)},
    )


def test_everything_survives_a_round_trip(tmp_path, rng):
    table = make_table(tmp_path, rng)
    write_particles(tmp_path / "p.star", table)
    found = read_particles(tmp_path / "p.star", require=("poses", "ctf", "subset"))
    np.testing.assert_array_equal(found.ids, table.ids)
    np.testing.assert_array_equal(found.slice_index, table.slice_index)
    np.testing.assert_array_equal(found.random_subset, table.random_subset)
    assert angular_distance_rad(found.rotations, table.rotations).max() < 1e-7
    np.testing.assert_allclose(found.shifts_px, table.shifts_px, atol=1e-6)
    for name in (
        "defocus_u_angstrom",
        "defocus_angle_deg",
        "phase_shift_deg",
        "voltage_kv",
        "amplitude_contrast",
        "bfactor_angstrom2",
    ):
        np.testing.assert_allclose(getattr(found.ctf, name), getattr(table.ctf, name), atol=1e-5)
    assert found.optics == table.optics
    np.testing.assert_array_equal(found.extra["rlnMicrographName"], table.extra["rlnMicrographName"])
    np.testing.assert_allclose(found.scores["cryoposesTrace"], table.scores["cryoposesTrace"], rtol=1e-8)
    assert found.explicit_ids


def test_subsets_and_shuffled_sets_are_joined_by_id(tmp_path, rng):
    table = make_table(tmp_path, rng)
    shuffled = table.take(rng.permutation(len(table))[:5])
    rows, others = join_tables(table, shuffled)
    assert len(rows) == 5 and (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(table.ids[rows], shuffled.ids[others])
    np.testing.assert_array_equal(table.rotations[rows], shuffled.rotations[others])


def test_without_ids_the_image_name_joins(tmp_path, rng):
    table = make_table(tmp_path, rng).replace(explicit_ids=False)
    other = table.take([4, 2]).replace(ids=np.array([1, 2]))
    rows, others = join_tables(table, other)
    np.testing.assert_array_equal(rows, [2, 4])
    np.testing.assert_array_equal(others, [1, 0])


def test_sets_with_nothing_in_common_are_refused(tmp_path, rng):
    table = make_table(tmp_path, rng)
    with pytest.raises(InputError, match=r"share no image .rlnImageName., though 7 ids are in both"):
        join_tables(table, table.replace(stack_paths=(tmp_path / "other.mrcs",)))


def test_duplicate_ids_are_refused(tmp_path, rng):
    with pytest.raises(InputError, match="occurs 2 times"):
        make_table(tmp_path, rng).take([0, 1, 1])


STAR_30 = """
data_

loop_
_rlnImageName #1
_rlnAngleRot #2
_rlnAngleTilt #3
_rlnAnglePsi #4
_rlnOriginX #5
_rlnOriginY #6
_rlnDefocusU #7
_rlnDefocusV #8
_rlnDefocusAngle #9
_rlnVoltage #10
_rlnSphericalAberration #11
_rlnAmplitudeContrast #12
_rlnMagnification #13
_rlnDetectorPixelSize #14
_someoneElse #15
000002@stack.mrcs 10 20 30 1.5 -2 10000 11000 45 300 2.7 0.1 25000 5.0 hello
000001@stack.mrcs 10 20 30 1.5 -2 10000 11000 45 200 2.7 0.1 25000 5.0 there
"""


def test_relion_30_is_read(tmp_path, rng):
    write_stack(tmp_path / "stack.mrcs", rng.normal(size=(2, 8, 8)), 2.0)
    (tmp_path / "old.star").write_text(STAR_30)
    table = read_particles(tmp_path / "old.star", require=("poses", "ctf"))
    np.testing.assert_array_equal(table.slice_index, [1, 0])
    np.testing.assert_allclose(table.pixel_size_angstrom, 2.0)
    np.testing.assert_allclose(table.shifts_px, [[-1.5, 2.0]] * 2)
    np.testing.assert_allclose(table.ctf.voltage_kv, [300, 200])
    np.testing.assert_array_equal(table.box_size_px, [8, 8])
    assert list(table.extra["someoneElse"]) == ["hello", "there"]
    assert not table.explicit_ids


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("_rlnImageName", "_rlnNoImageName", "no column _rlnImageName"),
        ("_rlnAngleTilt", "_rlnNoTilt", "no column _rlnAngleTilt: the particles have no orientations"),
        ("_rlnDefocusV", "_rlnNoV", "no column _rlnDefocusV: the particles have no CTF"),
        (" 10 20 30 ", " 10 nonsense 30 ", "_rlnAngleTilt of particle 1 is 'nonsense', which is no number"),
        (" 10 20 30 ", " 10 nan 30 ", "_rlnAngleTilt of particle 1 is nan"),
        ("000002@stack", "two@stack", "write it as 000001@stack.mrcs"),
        ("_rlnVoltage", "_rlnNoVoltage", "no _rlnVoltage; add the acquisition"),
        ("_rlnMagnification", "_rlnNoMagnification", "its particles have no pixel size"),
        ("hello", "", "row 1 of data_ (line 20) has 14 values and the table has 15 columns"),
    ],
)
def test_a_broken_star_is_one_sentence(tmp_path, rng, old, new, sentence):
    write_stack(tmp_path / "stack.mrcs", rng.normal(size=(2, 8, 8)), 2.0)
    (tmp_path / "old.star").write_text(STAR_30.replace(old, new))
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_particles(tmp_path / "old.star", require=("poses", "ctf"))


def test_an_empty_star_is_one_sentence(tmp_path):
    (tmp_path / "empty.star").write_text("\ndata_particles\n\nloop_\n_rlnImageName #1\n_rlnAngleRot #2\n")
    with pytest.raises(InputError, match="empty.star"):
        read_particles(tmp_path / "empty.star")


@pytest.mark.parametrize("lone", ["rlnAnglePsi", "rlnOriginXAngst", "rlnOriginX"])
def test_a_lone_old_column_does_not_overwrite_the_poses(tmp_path, rng, lone):
    """RELION's extraction leaves an in-plane angle of the picking, often -999, without the other two."""
    table = make_table(tmp_path, rng)
    table = table.replace(extra={lone: np.array(["-999"] * len(table), dtype=object)})
    write_particles(tmp_path / "p.star", table)
    found = read_particles(tmp_path / "p.star", require=("poses",))
    assert angular_distance_rad(found.rotations, table.rotations).max() < 1e-7
    np.testing.assert_allclose(found.shifts_px, table.shifts_px, atol=1e-6)
    assert not found.extra
