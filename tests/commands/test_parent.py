"""Models that are trained further: what is taken over, what is refused, how one is found."""

import dataclasses
import functools
import json
import logging
import shutil

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.commands.run_directory import RunDirectory
from cryoposes_plugin.commands.train import run as train_module
from cryoposes_plugin.commands.train.assembly import assemble
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.commands.train.inputs import make_plan
from cryoposes_plugin.commands.train.parent import Parent, turn_of_maps
from cryoposes_plugin.core.errors import ConfigError, InputError
from cryoposes_plugin.core.fourier.resampling import resample_volume
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import read_volume, write_stack, write_volume
from cryoposes_plugin.core.io.particle_files import write_particles
from cryoposes_plugin.core.io.provenance import digest_path
from cryoposes_plugin.core.maps.symmetry import turned
from cryoposes_plugin.core.models.model_card import ModelCard
from cryoposes_plugin.core.models.model_folder import read_network
from cryoposes_plugin.core.models.pose_model import PoseModel
from cryoposes_plugin.core.networks.polar import PolarArchitecture
from cryoposes_plugin.core.training import components

from ..particle_sets import make_particles

BOX, PIXEL = 24, 10.0
SMALL_POLAR = dict(angles=32, bins=32, templates=32, width=32, blocks=1, views=48)
WARNINGS = "warnings"


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    with pytest.MonkeyPatch.context() as patch:
        small = functools.partial(PolarArchitecture, **SMALL_POLAR)
        patch.setattr(components, "PolarArchitecture", small)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, asymmetric_volume):
    """map.mrc, a box of noise, and a model of two steps whose card says nothing bad."""
    folder = tmp_path_factory.mktemp("parent")
    data = resample_volume(asymmetric_volume.data, 5.0, BOX, PIXEL)
    write_volume(folder / "map.mrc", data, PIXEL)
    other = np.zeros((BOX, BOX, BOX), np.float32)
    other[10:14, 12, 4:20] = 1.0
    write_volume(folder / "other.mrc", other, PIXEL)
    train(config_of(folder), folder / "parent")
    card = json.loads((folder / "parent/model/model_card.json").read_text())
    card["training"][WARNINGS] = []
    shutil.copytree(folder / "parent/model", folder / "library/good")
    (folder / "library/good/model_card.json").write_text(json.dumps(card))
    return folder


def config_of(folder, **values):
    common = dict(
        snr=1.0, steps=2, batch_size=8, validation_number=10, mask_diameter_angstrom=180.0
    )
    return TrainConfig(volume=(str(folder / "map.mrc"),), **{**common, **values})


def train(config, folder):
    run = RunDirectory.open(folder, config)
    return train_module.run(config, run)


def test_weights_and_provenance_are_taken_over(folder, tmp_path):
    """Without a learning rate, the network is that of the parent; its mask is too."""
    parent = folder / "library/good"
    config = config_of(
        folder, from_model=str(parent), learning_rate=0.0, mask_diameter_angstrom=None, snr=0.5
    )
    train(config, tmp_path / "out")
    (before, old), (card, new) = (read_network(p) for p in (parent, tmp_path / "out/model"))
    for a, b in zip(old.get_weights(), new.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert card.training["parents"] == [digest_path(parent)]
    assert (card.network, card.mask_diameter_angstrom) == (before.network, 180.0)
    assert make_plan(config).recipe.learning_rate == 0.0
    assert make_plan(dataclasses.replace(config, learning_rate=None)).recipe.learning_rate == 5e-4


@pytest.fixture
def turned_map(folder, tmp_path):
    """(file, M): the map V(M x)."""
    turn = Rotation.from_rotvec([0.9, -0.7, 0.5]).as_matrix()
    path, volume = tmp_path / "turned.mrc", read_volume(folder / "map.mrc")
    write_volume(path, turned(volume.data, turn).astype(np.float32), PIXEL)
    return path, turn


def test_a_map_in_another_frame_is_learned_in_that_of_the_model(folder, turned_map, tmp_path):
    """With the weights of the parent, poses are the parent's, in the frame of the new map."""
    parent, (path, turn) = folder / "library/good", turned_map
    config = config_of(folder, from_model=str(parent), learning_rate=0.0)
    train(dataclasses.replace(config, volume=(str(path),)), tmp_path / "out")
    old, new = (PoseModel.load(p) for p in (parent, tmp_path / "out/model"))
    assert np.rad2deg(angular_distance_rad(new.card.turn, turn)) < 3
    images = np.random.default_rng(1).standard_normal((5, BOX, BOX)).astype(np.float32)
    expected = old.predict(images).rotations @ new.card.turn
    np.testing.assert_allclose(new.predict(images).rotations, expected, atol=1e-5)


def test_particles_with_poses_are_labelled_in_the_frame_of_the_model(folder, turned_map):
    parent, (path, turn) = folder / "library/good", turned_map
    rows = np.arange(30)
    particles = folder / "labelled.star"
    table = make_particles(folder / "labelled.mrcs", len(rows), BOX, PIXEL)
    images = np.random.default_rng(2).standard_normal((len(rows), BOX, BOX)).astype(np.float32)
    write_stack(folder / "labelled.mrcs", images, PIXEL)
    write_particles(particles, table)
    config = config_of(
        folder, from_model=str(parent), particles=str(particles), simulated_share=0.5
    )
    config = dataclasses.replace(config, volume=(str(path),))
    held_out = assemble(config, make_plan(config)).held_out
    labels = held_out.of_rows(rows)["rotations"]
    error = angular_distance_rad(labels @ turn, table.rotations)
    assert np.rad2deg(error).max() < 3


def test_the_frames_of_one_map_and_of_several_are_one(folder, turned_map):
    parent = Parent(folder / "library/good", ModelCard.read(folder / "library/good"))
    same, other = read_volume(folder / "map.mrc"), read_volume(turned_map[0])
    assert turn_of_maps(parent, (same,)) is None
    assert turn_of_maps(parent, (same, other)) is None


def test_a_turn_is_added_to_that_of_the_model(folder, turned_map):
    """A model of a model: each is one turn away from the one before."""
    first, folder = Rotation.from_rotvec([0.0, 0.4, 1.2]).as_matrix(), folder / "library/good"
    card = dataclasses.replace(ModelCard.read(folder), frame={"turn": first.tolist()})
    found = turn_of_maps(Parent(folder, card), (read_volume(turned_map[0]),))
    assert np.rad2deg(angular_distance_rad(found, first @ turned_map[1])) < 3


@pytest.mark.parametrize(
    "turn", [[[1.0]], "x", np.diag([1.0, 1.0, -1.0]).tolist(), [[0.5] * 3] * 3]
)
def test_a_card_with_a_frame_that_is_none_is_refused(folder, tmp_path, turn):
    shutil.copytree(folder / "library/good", tmp_path / "bad")
    path = tmp_path / "bad/model_card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "frame": {"turn": turn}}))
    with pytest.raises(InputError, match="frame holds no rotation matrix"):
        ModelCard.read(tmp_path / "bad")


@pytest.mark.parametrize(
    "values, sentence",
    [
        (dict(symmetry="C4"), "is for symmetry C1, not C4"),
        (dict(preset="distance"), "is a network of --preset default, not distance"),
        (dict(box_size_px=28), "are 280 Å wide"),
        (dict(model_box_size_px=20), "works at a box of 24 px, not of 20 px"),
        (dict(dropout=0.1), "has a network with dropout 0.0, and 0.1 is asked for"),
    ],
)
def test_a_model_for_something_else_is_refused(folder, values, sentence):
    config = config_of(folder, from_model=str(folder / "library/good"), **values)
    with pytest.raises(ConfigError, match=sentence):
        make_plan(config)


def test_a_model_that_learned_nothing_is_refused(folder):
    with pytest.raises(ConfigError, match="has learned nothing"):
        make_plan(config_of(folder, from_model=str(folder / "parent/model")))


def test_the_likest_model_of_a_library_is_found(folder, caplog):
    """A copy with another shape is there too, and a card that is none."""
    library = folder / "library"
    other = library / "other"
    shutil.copytree(library / "good", other)
    card = json.loads((other / "model_card.json").read_text())
    amplitudes = np.zeros((16, 8))
    amplitudes[9, 7] = 1.0
    card["map_shape"] = {"amplitudes": amplitudes.tolist()}
    (other / "model_card.json").write_text(json.dumps(card))
    (library / "broken").mkdir()
    (library / "broken/model_card.json").write_text("{}")
    config = config_of(folder, model_library=str(library))
    with caplog.at_level(logging.INFO, logger="cryoposes_plugin"):
        plan = make_plan(config)
    assert plan.parent.folder == library / "good"
    assert "the likest of the 2 of 2 models" in caplog.text
    assert "likeness of the maps 1.00" in caplog.text

    caplog.clear()
    with caplog.at_level(logging.INFO, logger="cryoposes_plugin"):
        fresh = make_plan(dataclasses.replace(config, volume=(str(folder / "other.mrc"),)))
    assert fresh.parent is None
    assert fresh.recipe.learning_rate == 4e-3
    assert "no model in" in caplog.text


def test_a_resumed_run_starts_from_the_model_that_it_found(folder, tmp_path):
    shutil.copytree(folder / "library/good", tmp_path / "library/first")
    config = config_of(folder, model_library=str(tmp_path / "library"))
    run = RunDirectory.open(tmp_path / "out", config)
    assert train_module._settled(config, run).from_model == str(tmp_path / "library/first")
    shutil.copytree(folder / "library/good", tmp_path / "library/earlier")
    again = train_module._settled(config, run)
    assert (again.from_model, again.model_library) == (str(tmp_path / "library/first"), None)


def test_a_card_with_a_shape_that_is_none_is_refused(folder, tmp_path):
    shutil.copytree(folder / "library/good", tmp_path / "bad")
    path = tmp_path / "bad/model_card.json"
    card = json.loads(path.read_text())
    for shape in ([[1.0]], "x", [["a"] * 8] * 16, [[2.0] * 8] * 16):
        path.write_text(json.dumps({**card, "map_shape": {"amplitudes": shape}}))
        with pytest.raises(InputError, match="map_shape"):
            ModelCard.read(tmp_path / "bad")


@pytest.mark.parametrize(
    "values, sentence",
    [
        (dict(from_model="a", model_library="b"), "leave one of them out"),
        (dict(model_library="b", volume=()), "--volume gives 0"),
    ],
)
def test_choices_that_contradict_each_other(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        TrainConfig(**{**dict(volume=("map.mrc",), particles="p.star"), **values}).validate()
