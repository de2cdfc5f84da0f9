"""Training runs: what a killed one resumes to, what a short one learns, what the model folder
holds.
"""

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.commands.run_directory import RunDirectory
from cryoposes_plugin.commands.train import run as train_module
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.errors import InputError, ResourceError
from cryoposes_plugin.core.fourier.resampling import resample_volume
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.models.pose_model import PoseModel
from cryoposes_plugin.core.networks.build import build_network
from cryoposes_plugin.core.networks.cryoforum2023 import CryoforumArchitecture
from cryoposes_plugin.core.networks.lian2022 import LianArchitecture
from cryoposes_plugin.core.networks.polar import PolarArchitecture
from cryoposes_plugin.core.training import components
from cryoposes_plugin.core.training.trainer import Trainer

from ..out_of_memory import refusal

BOX, PIXEL = 24, 10.0
REPOSITORY = Path(__file__).resolve().parents[2]
SMALL_POLAR = dict(angles=32, bins=32, templates=64, width=48, blocks=4, views=48)


@pytest.fixture(scope="module")
def volume_path(tmp_path_factory, asymmetric_volume):
    path = tmp_path_factory.mktemp("maps") / "map.mrc"
    write_volume(path, resample_volume(asymmetric_volume.data, 5.0, BOX, PIXEL), PIXEL)
    return str(path)


@pytest.fixture
def config(volume_path):
    return TrainConfig(
        volume=(volume_path,),
        snr=1.0,
        steps=8,
        batch_size=8,
        validation_number=10,
        checkpoint_minutes=0.0,
        shift_px=0.5,
    )


def train(config, folder):
    run = RunDirectory.open(folder, config)
    metrics = train_module.run(config, run)
    return PoseModel.load(folder / "model"), metrics


def weights(model):
    return model.network.get_weights()


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """The architectures of the presets at a size that a test can wait for."""
    monkeypatch.setattr(
        components, "PolarArchitecture", functools.partial(PolarArchitecture, **SMALL_POLAR)
    )
    monkeypatch.setattr(
        components,
        "CryoforumArchitecture",
        functools.partial(CryoforumArchitecture, doubles=(8, 8, 8, 16)),
    )
    small_lian = functools.partial(
        LianArchitecture, blocks=((1, 8), (1, 8)), middle=(8, 16), dense=(16,)
    )
    monkeypatch.setattr(components, "LianArchitecture", small_lian)


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    config, tmp_path, monkeypatch
):
    """With dropout and batch normalisation: their states have to come back too."""
    config = dataclasses.replace(config, preset="cryoforum2023", steps=4)
    whole, _ = train(config, tmp_path / "whole")
    original = Trainer._step

    def stop_at_three(self, step, total):
        if step == 3:
            raise KeyboardInterrupt
        return original(self, step, total)

    monkeypatch.setattr(Trainer, "_step", stop_at_three)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut")
    assert not (tmp_path / "cut/model").exists()
    monkeypatch.setattr(Trainer, "_step", original)
    resumed, metrics = train(config, tmp_path / "cut")
    for mine, theirs in zip(weights(resumed), weights(whole)):
        np.testing.assert_array_equal(mine, theirs)
    assert metrics["steps"] == 4
    steps = [
        float(row.split(",")[0])
        for row in (tmp_path / "cut/history.csv").read_text().splitlines()[1:]
    ]
    assert steps == sorted(set(steps))
    assert steps[-1] == 4


def test_a_batch_that_memory_refuses_is_one_sentence_with_the_remedy(config, tmp_path, monkeypatch):
    def step(self, *arguments):
        raise refusal()

    monkeypatch.setattr(Trainer, "_compiled_step", step)
    sentence = r"A batch of 8 images of 24 px does not fit into the memory; give a smaller --batch-size, such as 4, .* \(.*OOM"
    with pytest.raises(ResourceError, match=sentence):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run/model").exists()


def test_a_killed_program_resumes_to_the_same_weights(config, tmp_path, volume_path, monkeypatch):
    monkeypatch.undo()
    config = dataclasses.replace(config, steps=25)
    command = [
        sys.executable,
        "-m",
        "cryoposes_plugin",
        "train",
        "--volume",
        volume_path,
        "--snr",
        "1",
        "--steps",
        "25",
        "--batch-size",
        "8",
        "--validation-number",
        "10",
        "--checkpoint-minutes",
        "0",
        "--shift-px",
        "0.5",
        "--output",
        str(tmp_path / "killed"),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)]),
    }
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed/checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/model").exists()
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    whole, _ = train(config, tmp_path / "whole")
    for mine, theirs in zip(weights(PoseModel.load(tmp_path / "killed/model")), weights(whole)):
        np.testing.assert_array_equal(mine, theirs)


def test_a_short_training_learns(config, tmp_path):
    config = dataclasses.replace(
        config, steps=220, batch_size=48, validation_number=200, checkpoint_minutes=1.0, ctf=False
    )
    model, metrics = train(config, tmp_path / "run")
    # Random poses have a median error of 132 degrees.
    assert metrics["validation"]["median_error_deg"] < 45
    assert metrics["validation"]["correlation_trace"] > 0.1
    assert model.card.validation == metrics["validation"]
    assert (tmp_path / "run/learning_curve.png").stat().st_size > 1000
    # 0.5 px along x and y have a median length of 0.59 px, the error of a network that says zero.
    assert metrics["validation"]["median_shift_error_px"] < 0.5
    history = (tmp_path / "run/history.csv").read_text().splitlines()
    assert history[0].startswith("step,learning_rate,loss,regression")


@pytest.mark.parametrize(
    "changes",
    [
        dict(preset="lian2022", symmetry="C2"),
        dict(
            preset="cryoforum2023",
            representation="svd9",
            loss="matrix-fisher",
            heads=2,
            ctf_correction="premultiply",
        ),
    ],
)
def test_the_other_networks_train_from_a_map(config, tmp_path, rng, changes):
    model, _ = train(dataclasses.replace(config, steps=3, **changes), tmp_path / "run")
    assert model.card.ctf_correction == changes.get("ctf_correction", "none")
    history = np.genfromtxt(tmp_path / "run/history.csv", delimiter=",", names=True)
    parts = {"reprojection"} if changes["preset"] == "lian2022" else {"distance", "scores"}
    assert {"loss", "regression"} | parts <= set(history.dtype.names)
    assert all(np.isfinite(history[name]).all() for name in ("loss", "regression", *parts))
    images = rng.standard_normal((2, BOX, BOX)).astype(np.float32)
    assert model.hypotheses(images, number=4).rotations.shape == (2, 4, 3, 3)
    assert not model.predicts_shifts


def test_the_model_folder(config, tmp_path, rng):
    model, _ = train(dataclasses.replace(config, steps=2, symmetry="C2"), tmp_path / "run")
    card = model.card
    assert (card.box_size_px, card.pixel_size_angstrom, card.symmetry, card.preset) == (
        BOX,
        PIXEL,
        "C2",
        "default",
    )
    assert card.data_digests.keys() == {"map.mrc"}
    assert len(card.data_digests["map.mrc"]) == 64
    images = rng.standard_normal((3, BOX, BOX)).astype(np.float32)
    prediction = model.predict(images)
    np.testing.assert_allclose(np.linalg.det(prediction.rotations), 1.0)
    np.testing.assert_allclose(
        prediction.bingham_matrices, np.swapaxes(prediction.bingham_matrices, 1, 2), rtol=1e-6
    )
    # Scale and offset of the images have no part in it, nor has the batch they come in.
    one = model.predict(5 * images[:1] + 2)
    np.testing.assert_allclose(one.rotations, prediction.rotations[:1], atol=1e-4)
    model.save(tmp_path / "copy")
    np.testing.assert_array_equal(
        PoseModel.load(tmp_path / "copy").predict(images).rotations, prediction.rotations
    )
    with pytest.raises(ValueError, match="expected images of shape"):
        model.predict(images[:, :-2])


def test_a_model_without_the_shift_output_still_works(tiny_model, rng, tmp_path):
    network = {**tiny_model.card.network, "shift": False}
    model = PoseModel(dataclasses.replace(tiny_model.card, network=network), build_network(network))
    model.save(tmp_path / "model")
    loaded, images = (
        PoseModel.load(tmp_path / "model"),
        rng.standard_normal((2, 16, 16)).astype(np.float32),
    )
    assert tiny_model.predicts_shifts
    assert not loaded.predicts_shifts
    assert loaded.predict(images).shifts_px is None
    assert not loaded.hypotheses(images).shifts_px.any()
    assert tiny_model.predict(images).shifts_px.shape == (2, 2)


def spoil_card(**changes):
    def spoil(folder):
        path = folder / "model_card.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def no_json(folder):
    (folder / "model_card.json").write_text("{")


def other_weights(folder):
    card = json.loads((folder / "model_card.json").read_text())
    spoil_card(network={**card["network"], "width": 10})(folder)


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (spoil_card(schema_version=99), "has schema version 99, and this version reads 1"),
        (spoil_card(surprise=1), "has 'surprise', which is unknown"),
        (spoil_card(network={"kind": "transformer"}), "network of kind 'transformer'"),
        (spoil_card(network={"kind": "polar", "wings": 2}), "which no network of this version has"),
        (no_json, "is not valid JSON"),
        (other_weights, "does not hold the weights"),
        (lambda folder: (folder / "model.keras").unlink(), "holds no model.keras"),
        (lambda folder: (folder / "model_card.json").unlink(), "holds no model_card.json"),
        (lambda folder: (folder / "model.keras").write_bytes(b"not a model"), "cannot be read"),
    ],
)
def test_a_spoiled_model_is_refused_with_one_sentence(tiny_model, spoil, sentence, tmp_path):
    folder = tmp_path / "model"
    tiny_model.save(folder)
    spoil(folder)
    with pytest.raises(InputError, match=sentence):
        PoseModel.load(folder)


@pytest.fixture(scope="module")
def tiny_model():
    from cryoposes_plugin.core.models.model_card import ModelCard

    network = {
        "kind": "polar",
        **PolarArchitecture(
            16, 6.5, angles=8, bins=8, radii=6, templates=8, width=8, blocks=1, views=6
        ).to_dict(),
    }
    card = ModelCard("default", 16, 5.0, 70.0, "phase-flip", "raw", "C1", network)
    return PoseModel(card, build_network(network))
