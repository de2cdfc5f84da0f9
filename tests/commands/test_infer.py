"""`cryoposes infer`: poses for the original images, whatever their box; where shifts come from;
resuming; sentences.
"""

import dataclasses
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io import state_files
from cryoposes_plugin.core.io.covariances import read_covariance
from cryoposes_plugin.core.io.mrc import read_stack, write_stack, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.models.error_calibration import QUANTILES
from cryoposes_plugin.core.particles.images import ResampledImages
from cryoposes_plugin.core.scores import (
    BASIN_ERROR,
    ERROR_BOUND,
    EXPECTED_ERROR,
    JUNK,
    POSE_SOURCE,
    WRONG_BASIN,
)

from ..mrc_files import write_stack_as_it_is
from ..particle_sets import make_particles

pytest.importorskip("tensorflow")

NUMBER, BOX, PIXEL = 90, 40, 4.0
MODEL_BOX, MODEL_PIXEL = 32, 5.0


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Noisy particles of 40 px x 4 Å in shuffled order with non-consecutive ids; an untrained model
    of 32 px x 5 Å.
    """
    import tensorflow as tf

    from cryoposes_plugin.core.imaging.forward_model import ForwardModel, pack_ctf
    from cryoposes_plugin.core.models.model_card import ModelCard
    from cryoposes_plugin.core.models.pose_model import PoseModel
    from cryoposes_plugin.core.networks.build import build_network
    from cryoposes_plugin.core.networks.polar import PolarArchitecture

    folder = tmp_path_factory.mktemp("scene")
    volume = make_phantom(BOX, PIXEL)
    write_volume(folder / "map.mrc", volume.data, PIXEL)
    order = np.random.default_rng(8).permutation(NUMBER)
    extra = {"rlnMicrographName": np.array([f"m{i}.mrc" for i in range(NUMBER)], dtype=object)}
    table = make_particles(
        folder / "s.mrcs", NUMBER, BOX, PIXEL, extra=extra, random_subset=np.arange(NUMBER) % 2 + 1
    )
    forward = ForwardModel([volume], BOX, PIXEL)
    images = forward.images(
        np.zeros(NUMBER, np.int32),
        table.rotations.astype(np.float32),
        table.shifts_px.astype(np.float32),
        pack_ctf(table.ctf),
    )
    noise = np.random.default_rng(9).standard_normal(images.shape) * images.numpy().std()
    write_stack(folder / "s.mrcs", images.numpy() + noise, PIXEL)
    table = table.take(order)
    write_particles(folder / "in.star", table)
    network = {"kind": "polar", **PolarArchitecture(MODEL_BOX, 14.0, radii=8).to_dict()}
    card = ModelCard("default", MODEL_BOX, MODEL_PIXEL, 140.0, "phase-flip", "raw", "C1", network)
    tf.keras.utils.set_random_seed(1)
    PoseModel(card, build_network(network)).save(folder / "model")
    return folder, table


def knowing(table):
    """A model's `predict` that knows the true poses of the images that it is shown; of others it is
    not sure.
    """
    from cryoposes_plugin.core.models.pose_model import Prediction

    seen = (
        ResampledImages(table, MODEL_BOX, MODEL_PIXEL).read(np.arange(NUMBER)).reshape(NUMBER, -1)
    )

    def predict(self, images, ctf=None, image_state="raw"):
        off = ((images.reshape(len(images), 1, -1) - seen) ** 2).sum(axis=2)
        rows, known = off.argmin(axis=1), off.min(axis=1) < 1e-6 * (seen**2).sum(axis=1).mean()
        defocus = ctf.defocus_u_angstrom[known]
        np.testing.assert_allclose(defocus, table.ctf.defocus_u_angstrom[rows[known]])
        bingham = np.stack([np.diag([0.0, 1.0, 2.0, 3.0 + row]) for row in rows])
        bingham[~known] *= 0.1
        covariance = np.broadcast_to(0.01 * np.diag([1.0, 2.0, 3.0]), (len(rows), 3, 3))
        elsewhere = (rows + 1) / (NUMBER + 1)
        return Prediction(table.rotations[rows], bingham, None, covariance, elsewhere)

    return predict


@pytest.fixture
def oracle(scene, monkeypatch):
    from cryoposes_plugin.core.models.pose_model import PoseModel

    monkeypatch.setattr(PoseModel, "predict", knowing(scene[1]))


@pytest.fixture(scope="module")
def whole(scene):
    """The folder of a run with the oracle and a map, without refinement."""
    from cryoposes_plugin.core.models.pose_model import PoseModel

    folder, table = scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PoseModel, "predict", knowing(table))
        assert infer(folder, folder / "whole", "--volume", folder / "map.mrc", "--no-refine") == 0
    return folder / "whole"


def infer(folder, output, *arguments, star="in.star", model="model"):
    return main(
        [
            "infer",
            "--model",
            str(folder / model),
            "--particles",
            str(folder / star),
            "--output",
            str(output),
            "--batch-size",
            "32",
            *map(str, arguments),
        ]
    )


def metrics_of(output):
    return json.loads((output / "metrics.json").read_text())


def test_poses_are_those_of_the_original_images(scene, oracle, tmp_path):
    folder, table = scene
    blank = table.replace(rotations=None, shifts_px=None)
    write_particles(folder / "blank.star", blank)
    assert (
        infer(
            folder,
            tmp_path / "run",
            "--volume",
            folder / "map.mrc",
            "--no-refine",
            star="blank.star",
        )
        == 0
    )
    out = read_particles(tmp_path / "run/particles.star", require=("poses", "ctf", "subset"))
    np.testing.assert_array_equal(out.ids, table.ids)
    np.testing.assert_array_equal(out.slice_index, table.slice_index)
    assert angular_distance_rad(out.rotations, table.rotations).max() < 1e-6
    assert np.median(np.linalg.norm(out.shifts_px - table.shifts_px, axis=1)) < 0.2
    np.testing.assert_allclose(out.scores["cryoposesTrace"], -(1 + 2 + 3 + np.arange(NUMBER)))
    np.testing.assert_allclose(out.scores["cryoposesDispersion"], -1)
    np.testing.assert_array_equal(out.random_subset, table.random_subset)
    assert list(out.extra["rlnMicrographName"]) == list(table.extra["rlnMicrographName"])
    assert out.box_size_px[0] == BOX
    assert out.pixel_size_angstrom[0] == PIXEL
    metrics = metrics_of(tmp_path / "run")
    assert metrics["shift_source"] == "volume"
    assert metrics["particles"] == NUMBER
    assert metrics["pose_source"].startswith("network:")
    assert set(out.extra[POSE_SOURCE]) == {metrics["pose_source"]}
    for name in (
        "report.html",
        "direction_maps.png",
        "uncertainty_histogram.png",
        "particles_beside_reprojections.png",
    ):
        assert (tmp_path / "run" / name).stat().st_size > 2000
    assert [path.name for path in (tmp_path / "run").glob("*.npz")] == ["decoys.npz"]


@pytest.mark.parametrize(
    ("shifts", "source", "sentence"),
    [
        (True, "input", "the shifts are those of the input"),
        (False, "zero", "all shifts are zero"),
    ],
)
def test_without_a_volume_the_shifts_are_kept_and_that_is_said(
    scene, oracle, tmp_path, caplog, shifts, source, sentence
):
    folder, table = scene
    if not shifts:
        table = table.replace(rotations=None, shifts_px=None)
    write_particles(folder / "kept.star", table)
    with caplog.at_level("INFO"):
        assert infer(folder, tmp_path / "run", star="kept.star") == 0
    out = read_particles(tmp_path / "run/particles.star", require=("poses",))
    np.testing.assert_allclose(out.shifts_px, table.shifts_px if shifts else 0, atol=1e-5)
    assert metrics_of(tmp_path / "run")["shift_source"] == source
    assert sentence in caplog.text
    report = (tmp_path / "run/report.html").read_text()
    assert sentence in report
    summary = "The poses were not refined, so that their errors are not known in degrees"
    assert summary in report
    assert caplog.text.rindex(summary) > caplog.text.rindex(sentence)


def test_several_optics_groups_and_columns_that_are_not_modelled(scene, oracle, tmp_path):
    import dataclasses

    folder, table = scene
    second = dataclasses.replace(table.optics[0], name="second")
    tilts = {"rlnBeamTiltX": np.array([f"{0.01 * i:.2f}" for i in range(NUMBER)], dtype=object)}
    mixed = table.replace(
        optics=(table.optics[0], second),
        optics_index=np.arange(NUMBER) % 2,
        extra={**table.extra, **tilts},
    )
    write_particles(folder / "mixed.star", mixed)
    assert infer(folder, tmp_path / "run", star="mixed.star") == 0
    out = read_particles(tmp_path / "run/particles.star", require=("poses",))
    assert angular_distance_rad(out.rotations, table.rotations).max() < 1e-6
    assert list(out.extra["rlnBeamTiltX"]) == list(tilts["rlnBeamTiltX"])
    assert metrics_of(tmp_path / "run")["columns_not_modelled"] == ["rlnBeamTiltX"]
    assert "not modelled: rlnBeamTiltX" in (tmp_path / "run/report.html").read_text()


def test_an_interrupted_run_goes_on_with_the_same_result(
    scene, whole, oracle, tmp_path, monkeypatch
):
    from cryoposes_plugin.commands.infer import predicted as module

    folder, _ = scene
    predict_batch, seen = module._predict_batch, []

    def breaks(inputs, finder, rows, *others):
        if len(seen) == 2:
            raise InputError("interrupted")
        seen.append(len(rows))
        predict_batch(inputs, finder, rows, *others)

    monkeypatch.setattr(state_files, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_predict_batch", breaks)
    assert infer(folder, tmp_path / "run", "--volume", folder / "map.mrc", "--no-refine") == 2
    assert not (tmp_path / "run/particles.star").exists()

    def counts(inputs, finder, rows, *others):
        seen.append(len(rows))
        predict_batch(inputs, finder, rows, *others)

    monkeypatch.setattr(module, "_predict_batch", counts)
    assert infer(folder, tmp_path / "run", "--volume", folder / "map.mrc", "--no-refine") == 0
    assert seen == [32, 32, 26]
    expected, resumed = (
        read_particles(run / "particles.star") for run in (whole, tmp_path / "run")
    )
    np.testing.assert_array_equal(expected.rotations, resumed.rotations)
    np.testing.assert_array_equal(expected.shifts_px, resumed.shifts_px)
    np.testing.assert_array_equal(expected.scores[JUNK], resumed.scores[JUNK])


@pytest.fixture
def wrong_first(scene, monkeypatch):
    """Makes the model give three wrong hypotheses and then one that is nearly right; returns the
    wrong ones.
    """
    from cryoposes_plugin.core.geometry.sampling import random_rotations
    from cryoposes_plugin.core.models.pose_model import Hypotheses, PoseModel

    _, table = scene
    seen = (
        ResampledImages(table, MODEL_BOX, MODEL_PIXEL).read(np.arange(NUMBER)).reshape(NUMBER, -1)
    )
    rng = np.random.default_rng(3)
    wrong = random_rotations(NUMBER * 3, rng).reshape(NUMBER, 3, 3, 3)
    near = Rotation.from_rotvec(rng.normal(0, 0.05, (NUMBER, 3))).as_matrix() @ table.rotations

    def hypotheses(self, images, ctf, image_state, number):
        rows = ((images.reshape(len(images), 1, -1) - seen) ** 2).sum(axis=2).argmin(axis=1)
        rotations = np.concatenate([wrong[rows], near[rows, None]], axis=1).astype(np.float32)
        weights = np.tile(np.array([0, -1, -2, -6], np.float32), (len(rows), 1))
        return Hypotheses(
            rotations,
            weights,
            np.zeros((len(rows), 2), np.float32),
            np.tile(np.diag([0, 1, 2, 3.0]), (len(rows), 1, 1)),
            np.full((len(rows), 4), -1),
        )

    monkeypatch.setattr(PoseModel, "hypotheses", hypotheses)
    return wrong


def test_hypotheses_are_refined_against_the_volume(scene, wrong_first, tmp_path):
    """Right among wrong candidates: the images decide, not the network's order."""
    folder, table = scene
    assert infer(folder, tmp_path / "run", "--volume", folder / "map.mrc") == 0
    out = read_particles(tmp_path / "run/particles.star", require=("poses",))
    error = np.rad2deg(angular_distance_rad(out.rotations, table.rotations))
    assert np.median(error) < 1.5
    assert (error < 5).mean() > 0.95
    assert np.median(np.linalg.norm(out.shifts_px - table.shifts_px, axis=1)) < 0.1
    expected = out.scores["cryoposesExpectedErrorDeg"]
    assert 0.5 < np.sqrt((error[error < 5] ** 2).mean()) / np.median(expected) < 2
    metrics = metrics_of(tmp_path / "run")
    assert metrics["refined"]
    report = (tmp_path / "run/report.html").read_text()
    assert f"Median expected error {metrics['likely_median_expected_error_deg']:.2g}°." in report
    assert metrics["pose_source"] in out.extra[POSE_SOURCE][0]
    hand = [note for note in metrics["notes"] if "hand" in note]
    assert len(hand) == 1
    assert hand[0].startswith(f"The hand is that of {folder / 'map.mrc'}")
    assert "refined:" in out.extra[POSE_SOURCE][0]
    moved = np.rad2deg(angular_distance_rad(out.rotations, wrong_first[:, 0]))
    np.testing.assert_allclose(out.scores["cryoposesMovedDeg"], moved, atol=0.1)
    covariance = np.load(tmp_path / "run/covariance.npz")
    np.testing.assert_array_equal(covariance["ids"], table.ids)
    angles = np.einsum("bii->b", covariance["covariance"][:, :3, :3])
    np.testing.assert_allclose(
        np.rad2deg(np.sqrt(angles)), out.scores["cryoposesBasinErrorDeg"], rtol=1e-5
    )


def test_angles_alone_leave_the_shifts_as_they_are_given(scene, wrong_first, tmp_path):
    folder, table = scene
    volume = ("--volume", folder / "map.mrc", "--assign", "angles")
    assert infer(folder, tmp_path / "run", *volume) == 0
    out = read_particles(tmp_path / "run/particles.star")
    given = read_particles(folder / "in.star")
    np.testing.assert_allclose(out.shifts_px, given.shifts_px, atol=1e-6)
    error = np.rad2deg(angular_distance_rad(out.rotations, table.rotations))
    assert (error < 5).mean() > 0.95
    expected = out.scores["cryoposesBasinErrorDeg"]
    assert 0.7 < np.sqrt((error[error < 5] ** 2).mean() / (expected**2).mean()) < 1.4
    assert "cryoposesExpectedShiftErrorAngstrom" not in out.scores
    assert JUNK not in out.scores
    covariance = read_covariance(tmp_path / "run/particles.star", out)
    assert not covariance[:, 3:].any()
    notes = metrics_of(tmp_path / "run")["notes"]
    assert "--assign is angles: the shifts are those of the input." in notes


def test_angles_alone_from_a_global_search_too(scene, wrong_first, tmp_path, monkeypatch):
    from cryoposes_plugin.core.refinement import global_search

    folder, table = scene
    monkeypatch.setattr(global_search, "doubtful", lambda refined: np.arange(len(refined.gain)))
    volume = ("--volume", folder / "map.mrc", "--assign", "angles")
    assert infer(folder, tmp_path / "run", *volume) == 0
    out = read_particles(tmp_path / "run/particles.star")
    assert metrics_of(tmp_path / "run")["searched_globally"] == NUMBER
    given = read_particles(folder / "in.star")
    np.testing.assert_allclose(out.shifts_px, given.shifts_px, atol=1e-6)


def same_results(one, other):
    """Particles of two runs have the same poses up to rounding, and nearly the same scores: those that
    are learned from a twin differ more, because a few of its images end elsewhere.
    """
    a, b = (read_particles(run / "particles.star") for run in (one, other))
    np.testing.assert_array_equal(a.ids, b.ids)
    assert np.rad2deg(angular_distance_rad(a.rotations, b.rotations)).max() < 1e-3
    np.testing.assert_allclose(a.shifts_px, b.shifts_px, atol=1e-3)
    for name, values in a.scores.items():
        np.testing.assert_allclose(b.scores[name], values, rtol=1e-2, atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_chunks_with_a_global_search_put_together_are_the_whole(
    scene, wrong_first, tmp_path, monkeypatch
):
    """The search of doubtful poses needs the poses of all particles: two rounds of chunks."""
    from cryoposes_plugin.core.refinement import global_search

    folder, _ = scene
    monkeypatch.setattr(global_search, "doubtful", lambda refined: np.arange(len(refined.gain)))
    volume = ("--volume", folder / "map.mrc")
    assert infer(folder, tmp_path / "whole", *volume) == 0
    for work in ("poses", "search"):
        for chunk in ("2/2", "1/2"):
            assert infer(folder, tmp_path / "parts", *volume, "--chunk", chunk) == 0
        assert (tmp_path / f"parts/chunks/{work}_1/manifest.json").exists()
    assert not (tmp_path / "parts/metrics.json").exists()
    assert infer(folder, tmp_path / "parts", *volume) == 0
    same_results(tmp_path / "whole", tmp_path / "parts")


def test_chunks_of_predictions_put_together_are_the_whole(scene, whole, oracle, tmp_path):
    folder, _ = scene
    volume = ("--volume", folder / "map.mrc", "--no-refine")
    assert infer(folder, tmp_path / "parts", *volume, "--chunk", "2/3") == 0
    assert infer(folder, tmp_path / "parts", *volume) == 0
    same_results(whole, tmp_path / "parts")


def test_angles_alone_without_refinement(scene, oracle, tmp_path):
    folder, table = scene
    volume = ("--volume", folder / "map.mrc", "--assign", "angles", "--no-refine")
    assert infer(folder, tmp_path / "run", *volume) == 0
    out = read_particles(tmp_path / "run/particles.star")
    np.testing.assert_allclose(out.shifts_px, table.shifts_px, atol=1e-5)
    assert metrics_of(tmp_path / "run")["shift_source"] == "input"


def test_images_without_signal_keep_the_network_s_poses_and_that_is_said(scene, tmp_path, caplog):
    folder, table = scene
    noise = np.random.default_rng(1).standard_normal((table.slice_index.max() + 1, BOX, BOX))
    write_stack(folder / "noise.mrcs", noise.astype(np.float32), PIXEL)
    write_particles(folder / "noise.star", table.replace(stack_paths=(folder / "noise.mrcs",)))
    with caplog.at_level("INFO"):
        assert (
            infer(folder, tmp_path / "run", "--volume", folder / "map.mrc", star="noise.star") == 0
        )
    assert "not refined" in caplog.text
    assert "nothing in common" in caplog.text
    assert not metrics_of(tmp_path / "run")["refined"]


def test_one_particle_through_the_real_network(scene, tmp_path):
    folder, table = scene
    write_particles(folder / "one.star", table.take([3]))
    assert infer(folder, tmp_path / "run", "--volume", folder / "map.mrc", star="one.star") == 0
    out = read_particles(tmp_path / "run/particles.star", require=("poses",))
    assert len(out) == 1
    assert out.scores["cryoposesTrace"][0] < 0
    np.testing.assert_allclose(out.rotations[0] @ out.rotations[0].T, np.eye(3), atol=1e-6)


def test_the_result_does_not_depend_on_the_batch(scene, tmp_path):
    folder, _ = scene
    for size in (7, 64):
        assert infer(folder, tmp_path / str(size), "--batch-size", size) == 0
    a, b = (read_particles(tmp_path / name / "particles.star") for name in ("7", "64"))
    assert angular_distance_rad(a.rotations, b.rotations).max() < 1e-3
    np.testing.assert_allclose(a.scores["cryoposesTrace"], b.scores["cryoposesTrace"], rtol=1e-3)


def test_sentences(scene, tmp_path, caplog):
    folder, table = scene
    volume = make_phantom(BOX, PIXEL).data
    write_volume(folder / "wrong.mrc", volume, 2 * PIXEL)
    write_volume(folder / "small.mrc", volume[10:30, 10:30, 10:30], PIXEL)
    write_particles(folder / "noctf.star", table.replace(ctf=None))
    spoiled = np.random.default_rng(0).standard_normal((NUMBER, BOX, BOX)).astype(np.float32)
    spoiled[table.slice_index[4], 1, 2] = np.nan
    write_stack_as_it_is(folder / "nan.mrcs", spoiled, PIXEL)
    write_particles(folder / "nan.star", table.replace(stack_paths=(folder / "nan.mrcs",)))
    cases = [
        (("--volume", folder / "wrong.mrc"), "in.star", "their pixel sizes are 8 and 4 Å/px"),
        (("--volume", folder / "small.mrc"), "in.star", "80 Å wide and the model looks at 140 Å"),
        ((), "noctf.star", "has no CTF"),
        ((), "nan.star", f"particle {table.ids[4]} "),
    ]
    for number, (arguments, star, sentence) in enumerate(cases):
        caplog.clear()
        assert infer(folder, tmp_path / str(number), *arguments, star=star) == 2
        assert sentence in caplog.text
        assert not (tmp_path / str(number)).exists()


REFINED = {
    "likely_particles": 1600,
    "likely_wrong": 8,
    "likely_median_expected_error_deg": 0.6543,
    "junk_share": 0.1961,
    "verdict": "belong",
    "median_cryoposesTrace": -0.38,
}


@pytest.mark.parametrize(
    "without, sentences",
    [
        (
            (),
            "Median expected error 0.65°. Likely wrong: 8 of 1600 poses (0.5 %), junk not counted. "
            "Junk: 20 % of the images. Verdict: poses, map and images belong together.",
        ),
        (
            ("junk_share", "verdict"),
            "Median expected error 0.65°. Likely wrong: 8 of 1600 poses (0.5 %).",
        ),
        (
            ("likely_median_expected_error_deg", "likely_wrong", "junk_share", "verdict"),
            "The poses were not refined, so that their errors are not known in degrees; the "
            "network's uncertainty ranks them (median -0.38).",
        ),
    ],
)
def test_the_summary_says_what_is_known(without, sentences):
    from cryoposes_plugin.commands.infer.report import summary_of

    assert summary_of({k: v for k, v in REFINED.items() if k not in without}) == sentences


def test_junk_counts_neither_as_wrong_nor_for_the_expected_error():
    from cryoposes_plugin.commands.infer.report import likely

    wrong, junk = np.array([0.1, 0.8, 0.1, 0.2]), np.array([0.0, 0.1, 0.0, 0.9])
    scores = {
        "cryoposesExpectedErrorDeg": np.array([1.0, 3.0, 2.0, 90.0]),
        "cryoposesJunkProbability": junk,
        "cryoposesWrongBasin": 1 - (1 - wrong) * (1 - junk),
    }
    assert likely(scores) == {
        "junk_share": pytest.approx(0.25),
        "likely_wrong": 1,
        "likely_median_expected_error_deg": 2.0,
        "likely_particles": 3,
    }


def calibrated(folder, name, snr):
    """A copy of the model that knows its errors at an SNR and at ten times that."""
    from cryoposes_plugin.core.models.pose_model import PoseModel

    model = PoseModel.load(folder / "model")
    ratio = (np.sqrt(3.0) * QUANTILES).tolist()
    law = {
        "wrong": [0.0, 1.0, 0.0],
        "basin": [4.0, 0.0, 0.0],
        "elsewhere": [9.0, 0.0, 0.0],
        "doubt": (20 * QUANTILES - 10).tolist(),
        "probability": QUANTILES.tolist(),
        "basin_ratio": ratio,
        "elsewhere_ratio": ratio,
        "lowest": [-9.0, -9.0],
        "highest": [9.0, 9.0],
        "level": 0.9,
    }
    laws = [{**law, "snr": snr}, {**law, "snr": 10 * snr}]
    card = dataclasses.replace(model.card, error_calibration={"basin_deg": 20.0, "laws": laws})
    PoseModel(card, model.network).save(folder / name)


def test_errors_are_expected_of_poses_of_a_network_that_was_tested(scene, oracle, tmp_path):
    folder, table = scene
    calibrated(folder, "tested", 0.2)
    assert infer(folder, tmp_path / "run", model="tested") == 0
    out = read_particles(tmp_path / "run/particles.star")

    elsewhere = (1 + np.arange(NUMBER)) / (NUMBER + 1)
    wrong = (np.log(elsewhere / (1 - elsewhere)) + 10) / 20
    either = 1 - (1 - wrong) * (1 - out.scores[JUNK])
    np.testing.assert_allclose(out.scores[WRONG_BASIN], either, atol=1e-6)
    np.testing.assert_allclose(out.scores[BASIN_ERROR], np.exp(2.0), rtol=1e-6)
    square = (1 - wrong) * np.exp(4.0) + wrong * np.exp(9.0)
    np.testing.assert_allclose(out.scores[EXPECTED_ERROR], np.sqrt(square), rtol=1e-6)
    assert (out.scores[ERROR_BOUND] > out.scores[BASIN_ERROR]).all()

    covariance = read_covariance(tmp_path / "run/particles.star", out)
    expected = np.deg2rad(np.exp(2.0)) ** 2 * np.diag([1.0, 2.0, 3.0, 0, 0]) / 6
    np.testing.assert_allclose(covariance, np.broadcast_to(expected, covariance.shape), rtol=1e-5)
    saved = np.load(tmp_path / "run/covariance.npz")
    np.testing.assert_allclose(saved["covariance"], covariance, rtol=1e-5)
    assert "SNR of these images" in " ".join(metrics_of(tmp_path / "run")["notes"])


def test_no_errors_are_expected_at_another_noise_level(scene, oracle, tmp_path):
    folder, _ = scene
    calibrated(folder, "tested-elsewhere", 50.0)
    assert infer(folder, tmp_path / "run", model="tested-elsewhere") == 0
    out = read_particles(tmp_path / "run/particles.star")
    assert not {EXPECTED_ERROR, BASIN_ERROR, WRONG_BASIN, ERROR_BOUND} & set(out.scores)
    assert not (tmp_path / "run/covariance.npz").exists()
    metrics = metrics_of(tmp_path / "run")
    said = "the network was tested at 43.5 to 575"
    assert said in " ".join(metrics["warnings"])
    assert 0.3 < metrics["snr_of_images"] < 3


def test_junk_is_told_without_a_volume(scene, oracle, tmp_path):
    """Noise in the place of every tenth image, and the files that the filter takes up."""
    folder, table = scene
    images = read_stack(folder / "s.mrcs").astype(np.float32)
    noise = np.arange(NUMBER) % 10 == 0
    images[noise] = images[:, :4].std() * np.random.default_rng(1).standard_normal((9, BOX, BOX))
    write_stack(tmp_path / "s.mrcs", images, PIXEL)
    junk = noise[table.slice_index]
    write_particles(tmp_path / "in.star", table.replace(stack_paths=(tmp_path / "s.mrcs",)))

    assert infer(folder, tmp_path / "run", star=tmp_path / "in.star") == 0
    found = read_particles(tmp_path / "run/particles.star").scores[JUNK]
    assert found[junk].min() > 0.9 and found[~junk].max() < 0.5
    decoys = np.load(tmp_path / "run/decoys.npz")
    np.testing.assert_allclose(decoys["score_set"], found, atol=1e-6)
    assert (
        main(
            [
                "filter",
                "--particles",
                f"{tmp_path}/run/particles.star",
                "--output",
                f"{tmp_path}/kept",
            ]
        )
        == 0
    )
    assert json.loads((tmp_path / "kept/metrics.json").read_text())["score"] == JUNK


def test_a_network_that_knows_nothing_gives_no_probability_of_junk(scene, tmp_path):
    folder, _ = scene
    assert infer(folder, tmp_path / "run") == 0
    metrics = metrics_of(tmp_path / "run")
    assert JUNK not in read_particles(tmp_path / "run/particles.star").scores
    assert metrics["network_surer_than_of_halves"] == pytest.approx(0.5, abs=0.1)
    assert any("Junk cannot be told: the network is no surer" in n for n in metrics["notes"])
    assert not (tmp_path / "run/decoys.npz").exists()


def test_a_set_of_fewer_than_64_images_is_not_judged(scene, oracle, tmp_path):
    folder, table = scene
    write_particles(tmp_path / "few.star", table.take(np.arange(63)))
    assert infer(folder, tmp_path / "run", star=tmp_path / "few.star") == 0
    assert JUNK not in read_particles(tmp_path / "run/particles.star").scores
    assert "network_surer_than_of_halves" not in metrics_of(tmp_path / "run")
