"""`cryoposes filter`: shares, ties and thresholds; the two sets together are the input; errors are
one sentence.
"""

import json

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.filter.decoys import decoy_scores
from cryoposes_plugin.core.evaluation.selection import accept_share
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles

from ..particle_sets import make_particles


def test_the_most_negative_are_kept():
    scores = np.array([-3.0, -1.0, -10.0, -2.0])
    np.testing.assert_array_equal(accept_share(scores, 0.5), [True, False, True, False])


@given(st.lists(st.integers(-5, 0), min_size=1, max_size=60), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_equal_scores_stay_together_as_near_to_the_share_as_that_goes(values, share):
    scores = np.array(values, dtype=float)
    wanted = int(np.floor(share * len(scores) + 0.5))
    accepted = accept_share(scores, share)
    if accepted.any() and not accepted.all():
        assert scores[accepted].max() < scores[~accepted].min()
    possible = [(scores <= value).sum() for value in scores] if wanted else [0]
    assert abs(accepted.sum() - wanted) == min(abs(n - wanted) for n in possible)


@given(st.lists(st.integers(-500, 0), min_size=1, max_size=60, unique=True), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_the_share_is_exact_without_ties(values, share):
    accepted = accept_share(np.array(values, dtype=float), share)
    assert accepted.sum() == int(np.floor(share * len(values) + 0.5))


@pytest.mark.parametrize("number", [1, 3, 1000])
def test_all_and_none(number):
    scores = -np.arange(number, dtype=float)
    assert accept_share(scores, 1.0).all()
    assert not accept_share(scores, 0.0).any()


@pytest.fixture
def scored(tmp_path):
    table = make_particles(
        tmp_path / "s.mrcs",
        21,
        scores={"cryoposesTrace": -np.random.default_rng(5).permutation(21).astype(float)},
        extra={"rlnBeamTiltX": np.array([f"0.{i}" for i in range(21)], dtype=object)},
    )
    write_particles(tmp_path / "in.star", table)
    return tmp_path / "in.star", table


def run(folder, *arguments):
    return main(["filter", "--output", str(folder), *map(str, arguments)])


def test_nothing_disappears(scored, tmp_path):
    star, table = scored
    assert run(tmp_path / "run", "--particles", star, "--keep-quantile", "0.75") == 0
    accepted, rejected = (
        read_particles(tmp_path / "run" / f"{name}.star") for name in ("accepted", "rejected")
    )
    assert len(accepted) == 16
    assert len(rejected) == 5
    assert set(accepted.ids) | set(rejected.ids) == set(table.ids)
    assert not set(accepted.ids) & set(rejected.ids)
    assert accepted.scores["cryoposesTrace"].max() < rejected.scores["cryoposesTrace"].min()
    row = {i: r for r, i in enumerate(table.ids)}
    for part in (accepted, rejected):
        rows = [row[i] for i in part.ids]
        np.testing.assert_allclose(part.rotations, table.rotations[rows], atol=1e-6)
        np.testing.assert_array_equal(part.slice_index, table.slice_index[rows])
        assert list(part.extra["rlnBeamTiltX"]) == list(table.extra["rlnBeamTiltX"][rows])
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["accepted"] == 16
    assert metrics["rejected"] == 5
    assert metrics["threshold"] == -5.0
    page = (tmp_path / "run/report.html").read_text()
    assert "data:image/png;base64," in page
    assert "<html" in page
    assert "16" in page


def test_threshold_wins_over_the_share(scored, tmp_path):
    star, _ = scored
    assert run(tmp_path / "run", "--particles", star, "--threshold", "-17") == 0
    assert sorted(read_particles(tmp_path / "run/accepted.star").scores["cryoposesTrace"]) == [
        -20,
        -19,
        -18,
        -17,
    ]


def test_a_part_of_a_set_may_hold_no_certain_particle(scored, tmp_path):
    star, table = scored
    assert run(tmp_path / "run", "--particles", star, "--threshold", "-100", "--allow-none") == 0
    assert len(read_particles(tmp_path / "run/rejected.star")) == len(table)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["accepted"] == 0
    assert metrics["median_score_accepted"] is None
    assert metrics["threshold"] == -100
    assert run(tmp_path / "other", "--particles", star, "--keep-quantile", "0", "--allow-none") == 0
    assert json.loads((tmp_path / "other/metrics.json").read_text())["threshold"] is None


def test_all_are_kept_and_the_rejected_set_is_an_empty_table(scored, tmp_path):
    star, table = scored
    assert run(tmp_path / "run", "--particles", star, "--keep-quantile", "1.0") == 0
    assert len(read_particles(tmp_path / "run/accepted.star")) == len(table)
    text = (tmp_path / "run/rejected.star").read_text()
    assert "_rlnImageName" in text
    assert "@" not in text
    assert "rejected.star is empty" in (tmp_path / "run/report.html").read_text()


def test_equal_scores_are_kept_together_and_that_is_said(tmp_path, caplog):
    scores = np.repeat([-2.0, -1.0], [8, 12])
    write_particles(
        tmp_path / "in.star",
        make_particles(tmp_path / "s.mrcs", 20, scores={"cryoposesTrace": scores}),
    )
    assert run(tmp_path / "run", "--particles", tmp_path / "in.star", "--keep-quantile", "0.5") == 0
    assert "12 particles have the same" in caplog.text
    assert "8 of 20 particles are accepted" in caplog.text
    assert "share corresponds to 10" in (tmp_path / "run/report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--score", "cryoposesDispersion", "--threshold", "0"], "no column _cryoposesDispersion"),
        (["--score", "cryoposesDispersion"], "but not how many particles to keep"),
        (["--threshold", "-5", "--resolution", "8"], "used only if neither"),
        ([], "no probability of junk"),
        (["--keep-quantile", "0.5", "--symmetry", "X9"], "X9"),
        (["--keep-quantile", "0"], "keeps none of the 21"),
        (["--threshold", "-99"], "keeps none of the 21"),
        (["--keep-quantile", "1.5"], "at most 1"),
    ],
)
def test_one_sentence(scored, tmp_path, caplog, arguments, sentence):
    assert run(tmp_path / "run", "--particles", scored[0], *arguments) == 2
    assert sentence in caplog.text
    assert not (tmp_path / "run").exists()


def test_a_score_that_is_no_number(scored, tmp_path, caplog):
    star, _ = scored
    star.write_text(star.read_text().replace(" -20\n", " nan\n"))
    assert run(tmp_path / "run", "--particles", star, "--keep-quantile", "0.5") == 2
    assert "nan" in caplog.text
    assert not (tmp_path / "run").exists()


def test_an_empty_set_says_so(scored, tmp_path, caplog):
    assert run(tmp_path / "run", "--particles", scored[0], "--keep-quantile", "1.0") == 0
    rest = tmp_path / "run/rejected.star"
    assert run(tmp_path / "again", "--particles", rest, "--keep-quantile", "0.5") == 2
    assert "rejected.star" in caplog.text


@pytest.mark.oracle
def test_the_star_files_are_star(scored, tmp_path):
    run(tmp_path / "run", "--particles", scored[0], "--keep-quantile", "0.75")
    document = gemmi.cif.read_file(str(tmp_path / "run/accepted.star"))
    assert [block.name for block in document] == ["optics", "particles"]
    images = document.find_block("particles").find_values("_rlnImageName")
    assert len(images) == 16
    assert set(images) < {
        f"{index + 1:06d}@{path}" for index, path in zip(range(21), [tmp_path / "s.mrcs"] * 21)
    }


JUNK, WRONG, BASIN = "cryoposesJunkProbability", "cryoposesWrongBasin", "cryoposesBasinErrorDeg"
SHIFT = "cryoposesExpectedShiftErrorAngstrom"


def write(path, number=200, extra=None, **scores):
    table = make_particles(path.parent / "s.mrcs", number, scores=scores, extra=extra or {})
    write_particles(path, table)
    return path


def numbers(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_auto_keeps_at_the_rate_and_says_why_others_are_rejected(tmp_path):
    junk = np.repeat([0.001, 0.1, 0.9], [150, 10, 40])
    error = np.ones(200)
    error[:30] = 8.0
    star = write(tmp_path / "in.star", **{JUNK: junk, BASIN: error, SHIFT: np.ones(200)})
    assert run(tmp_path / "run", "--particles", star) == 0
    found = numbers(tmp_path / "run")
    # (150 * 0.001 + 10 * 0.1) / 160 = 0.0072, and 40 are more likely junk than not
    assert found["rejected_as_junk"] == 40
    assert found["rejected_for_error"] == 30
    assert found["accepted"] == 130
    assert found["false_discovery_rate"] == pytest.approx((120 * 0.001 + 10 * 0.1) / 130)
    assert found["predicted_gain"] > 0.01
    assert "Rejected as junk: 40" in (tmp_path / "run/report.html").read_text()
    assert run(tmp_path / "pure", "--particles", star, "--false-discovery-rate", "0.002") == 0
    assert numbers(tmp_path / "pure")["rejected_as_junk"] == 50
    report = (tmp_path / "pure/report.html").read_text()
    assert "fewer count as junk: 10 more at 2 %, 10 more at 5 %." in report


def test_auto_without_junk_goes_by_wrong_poses(tmp_path, caplog):
    star = write(tmp_path / "in.star", **{WRONG: np.repeat([0.2, 0.8], 100)})
    assert run(tmp_path / "run", "--particles", star) == 0
    found = numbers(tmp_path / "run")
    assert found["accepted"] == 100
    assert "false_discovery_rate" not in found
    assert "no false discovery rate is known" in caplog.text


@pytest.mark.parametrize(
    ("value", "status", "sentence"),
    [
        (-0.1, 2, "must be between 0 and 1"),
        (1.5, 2, "must be between 0 and 1"),
        (0.3, 2, "give a larger --false-discovery-rate"),
        (0.001, 0, "does not tell them apart"),
    ],
)
def test_probabilities_that_say_nothing(tmp_path, caplog, value, status, sentence):
    star = write(tmp_path / "in.star", **{JUNK: np.full(200, value)})
    assert run(tmp_path / "run", "--particles", star) == status
    assert sentence in caplog.text


def test_micrographs_with_junk_are_named(tmp_path, caplog):
    names = np.array([f"m{i % 20}.mrc" for i in range(200)], dtype=object)
    junk = np.where(np.isin(names, ["m3.mrc", "m4.mrc"]), 0.95, 0.001)
    star = write(tmp_path / "in.star", extra={"rlnMicrographName": names}, **{JUNK: junk})
    assert run(tmp_path / "run", "--particles", star) == 0
    assert "2 of 20 micrographs hold 100 % of the rejected particles" in caplog.text
    lines = (tmp_path / "run/micrographs.csv").read_text().splitlines()
    assert lines[0].startswith("micrograph,particles,kept,mean_junk_probability")
    assert lines[1] == "m3.mrc,10,0,0.95,"
    assert lines[3] == "m0.mrc,10,10,0.001,"


def test_a_filter_that_makes_the_views_uneven_warns(tmp_path, caplog):
    table = make_particles(tmp_path / "s.mrcs", 6000)
    noise = np.random.default_rng(1).normal(0, 0.2, len(table))
    height = np.abs(table.rotations[:, 2, 2]) + noise
    write_particles(tmp_path / "in.star", table.replace(scores={"cryoposesTrace": -height}))
    arguments = ("--particles", tmp_path / "in.star", "--keep-quantile", "0.5")
    assert run(tmp_path / "plain", *arguments) == 0
    assert "makes the views less even" in caplog.text
    caplog.clear()
    assert run(tmp_path / "even", *arguments, "--even-views") == 0
    assert "makes the views" not in caplog.text
    found = numbers(tmp_path / "even")
    assert found["scf_star_after"] == pytest.approx(found["scf_star_of_random_choice"], rel=0.03)
    assert found["lowest_share_kept_of_a_view"] > 0.45


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"score_decoys": np.array([0.2, 0.9]), "kind_decoys": np.array(["noise", "pair"])}, ""),
        ({"score_set": np.zeros(3)}, "no array 'score_decoys'"),
        ({"score_decoys": np.array([0.2, 7.0])}, "no probabilities"),
        ({"score_decoys": np.array(["a"])}, "no list of numbers"),
    ],
)
def test_decoys_are_an_input_that_may_be_broken(tmp_path, caplog, arrays, words):
    assert decoy_scores(tmp_path) is None
    np.savez(tmp_path / "decoys.npz", **arrays)
    found = decoy_scores(tmp_path)
    assert (found is None) == bool(words)
    assert words in caplog.text
