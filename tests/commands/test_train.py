"""`cryoposes train` as a program: what it takes, what it refuses in one sentence, what it leaves."""

import json
import logging

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.fourier.resampling import resample_volume
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.models.pose_model import PoseModel
from cryoposes_plugin.core.scores import WRONG_LABEL

BOX, PIXEL, NUMBER = 24, 10.0, 60
QUICK = ["--steps", "2", "--batch-size", "8", "--validation-number", "10"]


@pytest.fixture(scope="module")
def files(tmp_path_factory, asymmetric_volume):
    """map.mrc (24 px, 10 Å), the same map with a wrong header, and 60 particles of it with poses."""
    folder = tmp_path_factory.mktemp("train")
    data = resample_volume(asymmetric_volume.data, 5.0, BOX, PIXEL)
    write_volume(folder / "map.mrc", data, PIXEL)
    write_volume(folder / "wrong.mrc", data, 1.3 * PIXEL)
    write_volume(folder / "narrow.mrc", data[4:20, 4:20, 4:20], 2.0)
    for name, number in (("sim", NUMBER), ("few", 5)):
        arguments = [
            "--volume",
            str(folder / "map.mrc"),
            "--number",
            str(number),
            "--snr",
            "1",
            "--output",
        ]
        assert main(["simulate", *arguments, str(folder / name)]) == 0
    return folder


@pytest.fixture
def in_folder(files, tmp_path, monkeypatch):
    monkeypatch.chdir(files)
    return tmp_path / "out"


def train(out, *arguments):
    return main(["train", *arguments, "--output", str(out)])


def test_from_particles_with_poses_alone(in_folder):
    assert (
        train(in_folder, "--particles", "sim/particles.star", "--epochs", "1", "--batch-size", "8")
        == 0
    )
    metrics = json.loads((in_folder / "metrics.json").read_text())
    # A fifth of 60 is kept apart: 48 to learn from are 6 steps of 8.
    assert (metrics["steps"], metrics["labelled_particles"], metrics["volumes"]) == (6, NUMBER, 0)
    assert metrics["validation"]["images"] == 12
    labelled = read_particles(in_folder / "particles.star")
    given = read_particles("sim/particles.star")
    np.testing.assert_array_equal(labelled.ids, given.ids)
    np.testing.assert_allclose(labelled.rotations, given.rotations, atol=1e-6)
    assert ((labelled.scores[WRONG_LABEL] > 0) & (labelled.scores[WRONG_LABEL] < 1)).all()
    card = PoseModel.load(in_folder / "model").card
    assert (card.box_size_px, card.pixel_size_angstrom, card.image_state) == (BOX, PIXEL, "raw")
    assert {p.name for p in in_folder.iterdir()} >= {
        "history.csv",
        "learning_curve.png",
        "report.html",
        "manifest.json",
    }


def test_training_that_learned_nothing_says_so_and_what_comes_of_it_repeats_it(in_folder, tmp_path):
    """In the log, in the run's numbers, on the model card, in red in the report, and in what uses
    the poses.
    """
    assert train(in_folder, "--volume", "map.mrc", "--snr", "1", *QUICK) == 0
    metrics = json.loads((in_folder / "metrics.json").read_text())
    (sentence,) = [line for line in metrics["warnings"] if "has learned nothing" in line]
    assert metrics["learned_nothing"]
    assert sentence in PoseModel.load(in_folder / "model").card.warnings
    assert f"<li class=alarm>{sentence}</li>" in (in_folder / "report.html").read_text()
    arguments = ["--model", str(in_folder / "model"), "--particles", "sim/particles.star"]
    assert main(["infer", *arguments, "--output", str(tmp_path / "poses")]) == 0
    assert any(
        sentence in line
        for line in json.loads((tmp_path / "poses/metrics.json").read_text())["warnings"]
    )
    poses = str(tmp_path / "poses/particles.star")
    words = ["filter", "--particles", poses, "--keep-quantile", "0.75"]
    assert main([*words, "--output", str(tmp_path / "kept")]) == 0
    (repeated,) = json.loads((tmp_path / "kept/metrics.json").read_text())["warnings"]
    assert f"poses of {NUMBER} particles come from a network that has learned nothing" in repeated


def test_from_a_map_like_particles_and_from_both(in_folder):
    arguments = [
        "--volume",
        "map.mrc",
        "--like",
        "sim/particles.star",
        "--particles",
        "sim/particles.star",
        "--simulated-share",
        "0.25",
        "--junk",
        "few/particles.star",
    ]
    assert train(in_folder, *arguments, *QUICK) == 0
    metrics = json.loads((in_folder / "metrics.json").read_text())
    assert metrics["snr"] == pytest.approx(1.0, rel=0.2)
    assert (metrics["volumes"], metrics["labelled_particles"]) == (1, NUMBER)
    assert metrics["junk_images"] == 5
    # Asked again, the finished run is left as it is.
    before = (in_folder / "model/model.keras").stat().st_mtime_ns
    assert train(in_folder, *arguments, *QUICK) == 0
    assert (in_folder / "model/model.keras").stat().st_mtime_ns == before


def test_several_volumes_symmetry_and_stratified_pairs(in_folder):
    arguments = [
        "--volume",
        "map.mrc",
        "map.mrc",
        "--snr",
        "1",
        "--symmetry",
        "D2",
        "--pair-sampling",
        "stratified",
    ]
    assert train(in_folder, *arguments, "--no-ctf", "--noise-correlation-px", "1", *QUICK) == 0
    assert PoseModel.load(in_folder / "model").card.symmetry == "D2"
    history = np.genfromtxt(in_folder / "history.csv", delimiter=",", names=True)
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ("--snr 1", "neither --volume nor --particles"),
        ("--volume map.mrc", "the noise level of the simulated images is not given"),
        ("--volume wrong.mrc --like sim/particles.star", "correct the one that is wrong"),
        (
            "--volume narrow.mrc --like sim/particles.star",
            "is 32 Å wide and the images are 240 Å wide",
        ),
        ("--particles few/particles.star", "holds 5 particles; training needs at least 20"),
        ("--volume map.mrc --snr 1 --symmetry X7", "Symmetry 'X7' is unknown"),
        (
            "--volume map.mrc --snr 1 --model-box-size-px 32",
            "--model-box-size-px is 32 and the images have 24 px",
        ),
        ("--volume map.mrc --snr 1 --mask-diameter-angstrom 300", "are 240 Å wide"),
        ("--volume map.mrc --snr 1 --preset resnet", "choose one of default, cryoforum2023"),
        (
            "--volume map.mrc --snr 1 --heads 4",
            "the network of --preset default has no such choice",
        ),
        (
            "--particles sim/particles.star --preset lian2022",
            "compares reprojections of one map, and --volume gives 0",
        ),
        (
            "--volume map.mrc --snr 1 --junk few/particles.star --preset distance",
            "--junk is given, and --preset distance has no classifier",
        ),
        (
            "--volume map.mrc --snr 1 --label-errors estimated --preset cryoforum2023",
            "the network of --preset cryoforum2023 has no such choice",
        ),
        ("--volume map.mrc --snr 1 --like nowhere.star", "nowhere.star does not exist"),
    ],
)
def test_one_sentence_before_any_long_work(in_folder, caplog, arguments, sentence):
    with caplog.at_level(logging.ERROR, logger="cryoposes"):
        caplog.clear()
        assert train(in_folder, *arguments.split()) == 2
    assert len(caplog.records) == 1
    assert sentence in caplog.records[0].getMessage()
    assert not in_folder.exists()


def test_a_model_of_images_without_ctf_takes_particles_without(in_folder):
    arguments = ["--volume", "map.mrc", "--number", "12", "--snr", "1", "--no-ctf"]
    assert main(["simulate", *arguments, "--output", str(in_folder / "plain")]) == 0
    assert train(in_folder / "model", "--volume", "map.mrc", "--snr", "1", "--no-ctf", *QUICK) == 0
    assert PoseModel.load(in_folder / "model/model").card.ctf_correction == "none"
    particles = [
        "--particles",
        str(in_folder / "plain/particles.star"),
        "--model",
        str(in_folder / "model/model"),
    ]
    assert main(["infer", *particles, "--output", str(in_folder / "poses")]) == 0
