"""Scores belong to poses: they are read back with the same poses, however rounded, and not with
others.
"""

import dataclasses
import logging

import numpy as np
import pytest

from cryoposes_plugin.core import conventions
from cryoposes_plugin.core.io.mrc import StackWriter
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.scored_pose import SCORED_POSE, same_poses, scored_poses
from cryoposes_plugin.core.types import OpticsGroup, ParticleTable

N = 6


@pytest.fixture
def table(tmp_path, rng):
    writer = StackWriter(tmp_path / "stack.mrcs", N, 16, 3.0)
    writer.append(rng.standard_normal((N, 16, 16)).astype(np.float32))
    writer.finish()
    zeros = np.zeros(N, dtype=np.int64)
    return ParticleTable(
        ids=np.arange(1, N + 1),
        stack_paths=(tmp_path / "stack.mrcs",),
        stack_index=zeros,
        slice_index=np.arange(N),
        optics=(OpticsGroup("one", 3.0, 16),),
        optics_index=zeros,
        rotations=conventions.euler_deg_to_rotations(rng.uniform(-90, 90, (N, 3))),
        shifts_px=rng.uniform(-3, 3, (N, 2)),
        scores={"cryoposesExpectedErrorDeg": np.linspace(0.1, 2, N)},
        extra={"cryoposesPoseSource": np.full(N, "network:0123", dtype=object)},
    )


def turned(table: ParticleTable, degrees: float, row: int = 2) -> ParticleTable:
    rotations = table.rotations.copy()
    rotations[row] = conventions.rotations_about_z([np.deg2rad(degrees)])[0] @ rotations[row]
    return dataclasses.replace(table, rotations=rotations)


def test_a_pose_is_its_own_to_the_rounding(table):
    texts = scored_poses(table)
    assert same_poses(table, texts).all()
    assert same_poses(turned(table, 0.004), texts).all()
    assert same_poses(turned(table, 0.05), texts).tolist() == [True, True, False, True, True, True]


def test_the_shift_is_of_the_pose(table):
    moved = table.replace(shifts_px=table.shifts_px + np.array([0.02, 0.0]))  # 0.06 Å
    assert not same_poses(moved, scored_poses(table)).any()


@pytest.mark.parametrize("text", ["", "1/2/3", "1/2/3/4/x", "nan/0/0/0/0", "1/2/3/4/5/6"])
def test_a_damaged_text_is_no_pose(table, text):
    assert not same_poses(table, [text] * N).any()


def test_scores_come_back_with_their_poses(table, tmp_path):
    write_particles(tmp_path / "a.star", table)
    back = read_particles(tmp_path / "a.star")
    np.testing.assert_allclose(
        back.scores["cryoposesExpectedErrorDeg"], table.scores["cryoposesExpectedErrorDeg"]
    )
    assert set(back.extra) == {"cryoposesPoseSource"}


def test_a_program_that_changes_angles_and_keeps_columns_takes_the_scores_from_them(
    table, tmp_path, caplog
):
    """As relion_refine does: the angles of one line are others, the columns that it does not know
    are as before.
    """
    path = tmp_path / "a.star"
    write_particles(path, table)
    lines = path.read_text().splitlines()
    label = next(i for i, line in enumerate(lines) if line.startswith("_rlnAngleRot"))
    column = int(lines[label].split("#")[1]) - 1
    row = next(i for i, line in enumerate(lines) if line.startswith("000003@"))
    words = lines[row].split()
    words[column] = f"{float(words[column]) + 0.7:.6f}"
    lines[row] = " ".join(words)
    path.write_text("\n".join(lines) + "\n")
    with caplog.at_level(logging.WARNING):
        back = read_particles(path)
    assert back.scores == {}
    assert not {"cryoposesPoseSource", SCORED_POSE} & set(back.extra)
    assert (
        "another program changed the poses of 1 of 6 particles after they were scored"
        in caplog.text
    )


def test_files_that_do_not_tell_keep_their_scores(table, tmp_path):
    path = tmp_path / "old.star"
    write_particles(path, table.replace(rotations=None, shifts_px=None))
    assert SCORED_POSE not in path.read_text()
    assert set(read_particles(path).scores) == {"cryoposesExpectedErrorDeg"}
