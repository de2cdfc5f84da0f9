"""`cryoposes compare`: joined by id, registered, and wrong input ends in one sentence."""

import csv
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.conventions import opposite_hand
from cryoposes_plugin.core.evaluation.registration import register
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.particle_files import write_particles

from ..particle_sets import make_particles

TURN = Rotation.from_rotvec([0.1, 0.4, -0.2]).as_matrix()


@pytest.fixture
def truth(tmp_path):
    table = make_particles(tmp_path / "s.mrcs", 60)
    write_particles(tmp_path / "truth.star", table)
    return table


def compare(tmp_path, table, *arguments, name="run"):
    write_particles(tmp_path / "estimate.star", table)
    status = main(
        [
            "compare",
            "--output",
            str(tmp_path / name),
            "--truth",
            str(tmp_path / "truth.star"),
            "--estimate",
            str(tmp_path / "estimate.star"),
            *arguments,
        ]
    )
    return json.loads((tmp_path / name / "metrics.json").read_text()) if status == 0 else status


def test_shuffled_subset_is_joined_by_id(truth, tmp_path, rng):
    errors = np.linspace(0.5, 30, 60)
    turned = (
        Rotation.from_rotvec(np.deg2rad(errors)[:, None] * [0, 0, 1.0]).as_matrix()
        @ truth.rotations
    )
    estimate = truth.replace(
        rotations=turned,
        shifts_px=truth.shifts_px + [0.6, 0.8],
        scores={"cryoposesTrace": -1 / errors},
    ).take(rng.permutation(60)[:47])
    metrics = compare(tmp_path, estimate)
    assert metrics["particles"] == 47
    assert metrics["only_in_truth"] == 13
    assert metrics["only_in_estimate"] == 0
    by_id = dict(zip(truth.ids, errors))
    expected = np.array([by_id[i] for i in estimate.ids])
    assert metrics["median_angular_error_deg"] == pytest.approx(np.median(expected), abs=1e-3)
    assert metrics["median_shift_error_angstrom"] == pytest.approx(5.0, abs=1e-3)
    with open(tmp_path / "run/errors.csv") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 47
    for row in rows:
        assert float(row["angular_error_deg"]) == pytest.approx(by_id[int(row["id"])], abs=1e-3)
        assert float(row["cryoposesTrace"]) == pytest.approx(-1 / by_id[int(row["id"])], rel=1e-4)
    for name in (
        "report.html",
        "error_histogram.png",
        "error_against_uncertainty.png",
        "direction_maps.png",
    ):
        assert (tmp_path / "run" / name).stat().st_size > 2000
    assert "13 particles are only in the true set" in (tmp_path / "run/report.html").read_text()


def test_registration_takes_out_a_common_rotation_and_says_so(truth, tmp_path):
    estimate = truth.replace(rotations=truth.rotations @ TURN.T)
    metrics = compare(tmp_path, estimate)
    assert metrics["median_angular_error_deg"] == pytest.approx(
        np.rad2deg(np.linalg.norm([0.1, 0.4, -0.2])), abs=1e-3
    )
    assert metrics["registered"]["median_angular_error_deg"] < 1e-3
    assert "different frames" in (tmp_path / "run/report.html").read_text()
    metrics = compare(tmp_path, estimate, "--registration", "rotation", name="registered")
    assert metrics["median_angular_error_deg"] < 1e-3
    assert metrics["absolute"]["median_angular_error_deg"] > 20


def test_hand(truth, tmp_path):
    estimate = truth.replace(rotations=opposite_hand(truth.rotations))
    assert (
        compare(tmp_path, estimate, "--registration", "rotation", name="a")[
            "median_angular_error_deg"
        ]
        > 20
    )
    metrics = compare(tmp_path, estimate, "--registration", "rotation-and-hand", name="b")
    assert metrics["median_angular_error_deg"] < 1e-3
    assert metrics["registered"]["hand"] == "opposite"


def test_symmetry(truth, tmp_path):
    quarter = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    estimate = truth.replace(rotations=truth.rotations @ quarter)
    assert compare(tmp_path, estimate, name="a")["median_angular_error_deg"] == pytest.approx(
        90, abs=1e-3
    )
    assert (
        compare(tmp_path, estimate, "--symmetry", "c4", name="b")["median_angular_error_deg"] < 1e-3
    )


def test_one_particle(truth, tmp_path):
    assert compare(tmp_path, truth.take([5]))["particles"] == 1


def test_sentences(truth, tmp_path, caplog):
    assert compare(tmp_path, truth.replace(stack_paths=(tmp_path / "other.mrcs",))) == 2
    assert "share no image (rlnImageName), though 60 ids are in both" in caplog.text
    assert compare(tmp_path, truth.replace(rotations=None)) == 2
    assert "_rlnAngleRot" in caplog.text
    assert compare(tmp_path, truth, "--symmetry", "X7") == 2
    assert "'X7' is unknown" in caplog.text
    assert not (tmp_path / "run").exists()


def test_ids_that_contradict_the_images_lose(truth, tmp_path):
    """Renumbered, and in another order: each particle is still compared with itself."""
    metrics = compare(tmp_path, truth.replace(ids=np.roll(truth.ids, 1)).take(np.arange(60)[::-1]))
    assert metrics["joined_by"] == "image"
    assert metrics["p90_angular_error_deg"] < 1e-3
    assert "contradict their images" in (tmp_path / "run/report.html").read_text()


def test_images_made_anew_are_joined_by_id_if_asked(truth, tmp_path):
    metrics = compare(
        tmp_path, truth.replace(stack_paths=(tmp_path / "other.mrcs",)), "--join-by", "id"
    )
    assert metrics["joined_by"] == "id"
    assert metrics["particles"] == 60


def test_a_particle_that_is_there_twice_is_compared_once(truth, tmp_path):
    write_particles(tmp_path / "truth.star", truth)
    text = (tmp_path / "truth.star").read_text().rstrip()
    (tmp_path / "truth.star").write_text(f"{text}\n{text.splitlines()[-1]}\n")
    metrics = compare(tmp_path, truth)
    assert (
        metrics["particles"],
        metrics["only_in_truth"],
        metrics["p90_angular_error_deg"] < 1e-3,
    ) == (60, 1, True)


def test_registration_over_all_that_distances_leave_open(truth, tmp_path, caplog):
    moved = TURN @ np.swapaxes(truth.rotations, 1, 2) @ TURN @ TURN
    estimate = truth.replace(rotations=moved)
    assert (
        compare(tmp_path, estimate, "--registration", "rotation-and-hand")[
            "median_angular_error_deg"
        ]
        > 20
    )
    metrics = compare(tmp_path, estimate, "--registration", "orthogonal4", name="o4")
    assert metrics["mean_angular_error_deg"] < 1e-3
    assert metrics["inverted"]
    assert metrics["registered"]["median_angular_error_deg"] > 20
    assert "not physical" in (tmp_path / "o4/report.html").read_text()
    assert (
        compare(tmp_path, estimate, "--registration", "orthogonal4", "--symmetry", "C2", name="c2")
        == 2
    )
    assert "does not allow for symmetry" in caplog.text


def random_poses(table, seed=1):
    return table.replace(rotations=Rotation.random(len(table), random_state=seed).as_matrix())


@pytest.mark.parametrize("registration", ["none", "rotation", "rotation-and-hand"])
def test_poses_that_have_nothing_in_common_are_told(truth, tmp_path, caplog, registration):
    metrics = compare(tmp_path, random_poses(truth), "--registration", registration)
    assert "nothing in common" in metrics["warnings"][0]
    assert metrics["registered"]["hand_verdict"] == "undecided"
    assert "nothing in common" in (tmp_path / "run/report.html").read_text()


@pytest.mark.parametrize("hand", ["same", "opposite"])
def test_the_hand_of_good_poses_is_told(truth, tmp_path, hand):
    rotations = truth.rotations if hand == "same" else opposite_hand(truth.rotations)
    metrics = compare(
        tmp_path, truth.replace(rotations=rotations @ TURN), "--registration", "rotation-and-hand"
    )
    assert metrics["registered"]["hand_verdict"] == hand
    assert metrics["warnings"] == []


def test_the_other_hand_is_pointed_out_where_it_was_not_asked_for(truth, tmp_path):
    compare(tmp_path, truth.replace(rotations=opposite_hand(truth.rotations)))
    assert "have the other hand" in (tmp_path / "run/report.html").read_text()


def test_a_few_poses_tell_no_hand(truth, tmp_path):
    few = truth.take(np.arange(9))
    assert (
        compare(tmp_path, few, "--registration", "rotation-and-hand")["registered"]["hand_verdict"]
        == "undecided"
    )


def with_junk(table, junk):
    """The table with the column that says what its images show: the first `junk` are overlaps."""
    kinds = np.where(np.arange(len(table)) < junk, "overlap", "particle").astype(object)
    return table.replace(extra={**table.extra, "cryoposesTrueKind": kinds})


def test_known_junk_is_counted_beside_what_was_told_and_has_no_errors(truth, tmp_path):
    truth = with_junk(truth, 6)
    write_particles(tmp_path / "truth.star", truth)
    turn = np.where(np.arange(60) < 6, 90.0, 2.0)
    rotations = Rotation.from_rotvec(np.deg2rad(turn)[:, None] * [0, 0, 1.0]).as_matrix()
    told = np.where(np.arange(60) < 6, 0.8, 0.05)
    estimate = truth.replace(
        rotations=rotations @ truth.rotations, scores={"cryoposesJunkProbability": told}
    ).take(np.arange(2, 60))
    metrics = compare(tmp_path, estimate)
    assert metrics["particles"] == 54
    assert metrics["p90_angular_error_deg"] == pytest.approx(2.0, abs=1e-3)
    known = metrics["known_junk"]
    assert (known["images"], known["junk"], known["junk_by_kind"]) == (58, 4, {"overlap": 4})
    assert known["junk_share"] == pytest.approx(4 / 58)
    assert known["junk_share_told"] == pytest.approx((4 * 0.8 + 54 * 0.05) / 58)


def test_kinds_of_the_estimate_are_used_where_the_true_set_has_none(truth, tmp_path):
    assert compare(tmp_path, with_junk(truth, 6))["particles"] == 54


def test_a_particle_off_centre_at_its_right_pose_and_place_is_no_junk(truth, tmp_path):
    truth = with_junk(truth, 6)
    kinds = truth.extra["cryoposesTrueKind"].copy()
    kinds[1:5] = "off_centre"
    truth = truth.replace(extra={**truth.extra, "cryoposesTrueKind": kinds})
    write_particles(tmp_path / "truth.star", truth)
    turn, step = np.zeros(60), np.zeros((60, 2))
    turn[2], step[3] = 6.0, (2.5, 0.0)
    rotations = Rotation.from_rotvec(np.deg2rad(turn)[:, None] * [0, 0, 1.0]).as_matrix()
    estimate = truth.replace(
        rotations=rotations @ truth.rotations, shifts_px=truth.shifts_px + step
    )
    metrics = compare(tmp_path, estimate)
    known = metrics["known_junk"]
    assert known["found_off_centre"] == 2
    assert known["junk_by_kind"] == {"off centre": 2, "overlap": 2}
    assert (
        "Not counted: 2 particles far off centre at the right pose and place" in known["sentence"]
    )
    assert metrics["particles"] == 54


def test_junk_alone_cannot_be_compared(truth, tmp_path, caplog):
    assert compare(tmp_path, with_junk(truth, 60)) == 2
    assert "All 60 images that the two sets have in common are junk" in caplog.text


def test_scales_of_many_particles_are_those_of_some(rng, monkeypatch):
    """The medians of the other hand and by chance, from a tenth of the particles."""
    from cryoposes_plugin.commands.compare import run as module

    true = random_rotations(4000, rng)
    turns = Rotation.from_rotvec(rng.normal(0, 0.05, (4000, 3))).as_matrix()
    given = turns @ true, true, np.eye(3)[None], register(turns @ true, true, np.eye(3)[None]), 0
    whole = module._error_scales(*given)
    monkeypatch.setattr(module, "_MOST_FOR_SCALES", 400)
    some = module._error_scales(*given)
    assert some != whole
    assert some == pytest.approx(whole, rel=0.1)
    assert min(some) > 90
