"""Memory that does not take a batch: halves of it give the same result; one sentence where nothing
is left to halve.

The error is TensorFlow's own.
"""

import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.core.errors import ResourceError
from cryoposes_plugin.core.memory import BatchLimit
from cryoposes_plugin.core.models.model_card import ModelCard
from cryoposes_plugin.core.models.pose_model import PoseModel
from cryoposes_plugin.core.networks.build import build_network
from cryoposes_plugin.core.networks.polar import PolarArchitecture
from cryoposes_plugin.core.refinement.shift_finder import ShiftFinder

from ..out_of_memory import refusal
from ..particle_sets import make_ctf

BOX, NUMBER = 16, 11


class Refusing:
    """A function that runs out of memory on more than `largest` rows of its first argument."""

    def __init__(self, function, largest):
        self.function, self.largest, self.sizes = function, largest, []

    def __call__(self, *arguments):
        if len(arguments[0]) > self.largest:
            raise refusal()
        self.sizes.append(len(arguments[0]))
        return self.function(*arguments)

    def __getattr__(self, name):
        return getattr(self.function, name)


@pytest.fixture
def images(rng):
    return rng.standard_normal((NUMBER, BOX, BOX)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(0)
    network = PolarArchitecture(
        BOX, 6.5, angles=8, bins=8, radii=6, templates=8, width=8, blocks=1, views=6
    )
    described = {"kind": "polar", **network.to_dict()}
    card = ModelCard("default", BOX, 5.0, 70.0, "phase-flip", "raw", "C1", described)
    return PoseModel(card, build_network(described))


def test_a_refused_batch_is_halved_and_so_are_those_that_follow():
    limit, refusing = BatchLimit("images"), Refusing(lambda rows: rows**2, 3)
    assert np.concatenate(limit.parts(refusing, NUMBER)).tolist() == [i**2 for i in range(NUMBER)]
    assert refusing.sizes == [3, 3, 3, 2]
    assert limit.largest == 3
    refusing.sizes.clear()
    limit.parts(refusing, 7)
    assert refusing.sizes == [3, 3, 1], "it does not try again what was refused"


def test_where_not_even_one_row_fits_a_sentence_says_so():
    with pytest.raises(
        ResourceError,
        match=r"Not even one of the images at a time .*OOM when allocating.*free",
    ):
        BatchLimit("images").parts(Refusing(lambda rows: rows, 0), NUMBER)


def test_other_errors_are_not_taken_for_it():
    def work(rows):
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        BatchLimit("images").parts(work, NUMBER)


def test_predictions_are_the_same_in_halves(model, images, rng, monkeypatch):
    ctf = make_ctf(NUMBER)
    predicted, hypotheses = model.predict(images, ctf), model.hypotheses(images, ctf, number=5)
    monkeypatch.setattr(model, "memory", BatchLimit("images"))
    for name in ("_predict", "_hypotheses"):
        monkeypatch.setattr(model, name, Refusing(getattr(model, name), 4))
    halved, halved_hypotheses = model.predict(images, ctf), model.hypotheses(images, ctf, number=5)
    assert model._predict.sizes == [3, 3, 3, 2] == model._hypotheses.sizes
    for name in ("rotations", "bingham_matrices", "shifts_px"):
        np.testing.assert_allclose(getattr(halved, name), getattr(predicted, name), atol=1e-5)
    for ours, theirs in zip(halved_hypotheses, hypotheses):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_shifts_are_the_same_in_halves(images, asymmetric_volume, rng, monkeypatch):
    from cryoposes_plugin.core.geometry.sampling import random_rotations

    rotations, ctf = random_rotations(NUMBER, rng), make_ctf(NUMBER)

    def finder():
        return ShiftFinder(asymmetric_volume, BOX, 15.0, 3.0, 8)

    expected, reprojections = finder().find(images, rotations, ctf, "raw")
    halving = finder()
    refusing = Refusing(halving._model.images, 4)
    monkeypatch.setattr(halving._model, "images", refusing)
    found, same = halving.find(images, rotations, ctf, "raw")
    assert refusing.sizes == [4, 4, 4], "the last one is filled up, so that nothing is traced anew"
    np.testing.assert_allclose(same, reprojections, atol=1e-4 * np.abs(reprojections).max())
    np.testing.assert_allclose(found.shifts_px, expected.shifts_px, atol=1e-3)
