"""`cryoposes recover-distances`: distances of a file in, rotations and residuals out, and wrong
input ends in one sentence.
"""

import json

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.evaluation.orthogonal4 import register_orthogonal4
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations


@pytest.fixture
def measured(tmp_path):
    """File of all noisy distances between 120 particles, and the rotations."""
    rng = np.random.default_rng(11)
    rotations = random_rotations(120, rng)
    i, j = np.triu_indices(120, 1)
    d = angular_distance_rad(rotations[i], rotations[j]) + rng.normal(0, 0.3, len(i))
    order = rng.permutation(len(i))
    np.savez(tmp_path / "d.npz", i=j[order], j=i[order], d=d[order])
    return tmp_path / "d.npz", rotations


def run(folder, *arguments):
    return main(["recover-distances", "--output", str(folder), *map(str, arguments)])


def test_rotations_residuals_and_report(measured, tmp_path):
    path, rotations = measured
    assert run(tmp_path / "run", "--distances", path) == 0
    found = np.load(tmp_path / "run/rotations.npy")
    assert found.shape == (120, 3, 3)
    assert found.dtype == np.float64
    assert register_orthogonal4(found, rotations).mean_residual_rad < 0.1
    residuals, expected = (
        np.load(tmp_path / "run" / f"{n}.npy") for n in ("residuals", "expected_errors")
    )
    assert residuals.shape == expected.shape == (120,)
    assert residuals.mean() == pytest.approx(0.3, abs=0.03)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["particles"] == 120
    assert metrics["pairs"] == 7140
    assert metrics["pairs_outside_0_pi"] > 0
    assert metrics["recovery_loss_rad"] == pytest.approx(0.3 * np.sqrt(2 / np.pi), rel=0.1)
    assert metrics["distance_error_rad"] == pytest.approx(0.3, rel=0.1)
    page = (tmp_path / "run/report.html").read_text()
    assert "R -&gt; A R B" in page
    assert page.count("data:image/png;base64,") == 3
    assert not list((tmp_path / "run").glob("*.part"))


def test_the_same_seed_repeats_itself(measured, tmp_path):
    for name in ("a", "b"):
        assert run(tmp_path / name, "--distances", measured[0], "--seed", "7") == 0
    assert (tmp_path / "a/rotations.npy").read_bytes() == (
        tmp_path / "b/rotations.npy"
    ).read_bytes()


def test_the_minibatch_method(measured, tmp_path):
    path, rotations = measured
    assert (
        run(
            tmp_path / "run",
            "--distances",
            path,
            "--method",
            "minibatch",
            "--minibatch-rate",
            "0.1",
            "--minibatch-steps",
            "3000",
        )
        == 0
    )
    assert (
        register_orthogonal4(np.load(tmp_path / "run/rotations.npy"), rotations).mean_residual_rad
        < 0.2
    )


def rewrite(path, **changes):
    arrays = dict(np.load(path))
    for name, change in changes.items():
        arrays[name] = change(arrays[name])
    np.savez(path, **arrays)


def with_nan(d):
    return np.where(np.arange(len(d)) == 5, np.nan, d)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"d": with_nan}, "d[5] is nan"),
        ({"d": np.rad2deg}, "give radians"),
        ({"i": lambda i: i - 3}, "particles are counted from 0"),
        ({"j": lambda j: j * 1.0}, "j is of type float64"),
        (
            {"i": lambda i: i[:50], "j": lambda j: j[:50], "d": lambda d: d[:50]},
            "leave some without distances",
        ),
    ],
)
def test_one_sentence_and_nothing_left(measured, tmp_path, caplog, changes, sentence):
    rewrite(measured[0], **changes)
    assert run(tmp_path / "run", "--distances", measured[0]) == 2
    assert sentence in caplog.text
    assert not (tmp_path / "run").exists()


def test_no_file_and_no_npz(tmp_path, caplog):
    assert run(tmp_path / "run", "--distances", tmp_path / "nowhere.npz") == 2
    assert "does not exist" in caplog.text
    (tmp_path / "text.npz").write_text("hello")
    assert run(tmp_path / "run", "--distances", tmp_path / "text.npz") == 2
    assert "cannot be read as an npz file" in caplog.text
    assert not (tmp_path / "run").exists()
