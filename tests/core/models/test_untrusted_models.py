"""Model folders that were damaged or made up: one sentence, before any memory is taken."""

import io
import json
import re
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.models.model_card import ModelCard
from cryoposes_plugin.core.models.model_folder import read_network, write_network
from cryoposes_plugin.core.networks.build import architecture_of, build_network
from cryoposes_plugin.core.networks.limits import least_weights

SMALL = {
    "kind": "polar",
    "box_size_px": 16,
    "outer_radius_px": 6.5,
    "radii": 4,
    "angles": 16,
    "bins": 8,
    "templates": 4,
    "width": 8,
    "blocks": 1,
    "views": 4,
}


@pytest.fixture(scope="module")
def trained():
    return build_network(SMALL)


@pytest.fixture
def folder(tmp_path, trained):
    described = {"kind": "polar", **architecture_of(SMALL)[1].to_dict()}
    card = ModelCard(
        "default",
        16,
        5.0,
        70.0,
        "phase-flip",
        "raw",
        "C1",
        described,
        validation={"median_error_deg": 4.0},
    )
    write_network(tmp_path / "model", card, trained)
    return tmp_path / "model"


def change_card(folder, change):
    path = folder / "model_card.json"
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))


def test_a_model_comes_back(folder, trained):
    _, network = read_network(folder)
    for found, written in zip(network.get_weights(), trained.get_weights()):
        np.testing.assert_array_equal(found, written)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda c: c.update(symmetry="C0"), "symmetry is 'C0', which is not a point group"),
        (lambda c: c.update(symmetry=4), "symmetry is 4, which is not text"),
        (lambda c: c.update(box_size_px=16.0), "box_size_px is 16, which is not a whole number"),
        (
            lambda c: c.update(box_size_px=10**9),
            "box_size_px is 1000000000 and must be at most 2048",
        ),
        (lambda c: c.update(pixel_size_angstrom=0), "pixel size of 0"),
        (
            lambda c: c.update(mask_diameter_angstrom="wide"),
            "mask_diameter_angstrom is 'wide', which is not a number",
        ),
        (lambda c: c.update(ctf_correction="wiener"), "ctf_correction is 'wiener', not one of"),
        (lambda c: c.update(gives=["poses"]), "gives is ['poses'], not one of"),
        (
            lambda c: c.update(validation={"median_error_deg": "small"}),
            "'median_error_deg' is 'small'",
        ),
        (lambda c: c.update(network=[]), "network is [], not a table"),
        (lambda c: c["network"].update(blocks=100000), "blocks is 100000 and must be at most 64"),
        (lambda c: c["network"].update(width=4096), "describes a network of"),
        (
            lambda c: c["network"].update(outer_radius_px=-1),
            "outer_radius_px is -1 and must be at least 0.5",
        ),
        (
            lambda c: c["network"].update(dropout=1e300),
            "dropout is 1e+300 and must be at most 0.95",
        ),
        (lambda c: c["network"].update(shift=1), "shift is 1, which is neither true nor false"),
        (lambda c: c["network"].update(kind={}), "of kind {}"),
        (lambda c: c["network"].pop("bins"), "lacks 'bins' of its network"),
        (lambda c: c.update(gives="distances"), "says that it gives distances of images of 16 px"),
        (lambda c: c.update(box_size_px=32), "says that it gives poses of images of 32 px"),
        (
            lambda c: c["network"].update(colour=1),
            "has 'colour', which no network of this version has",
        ),
        (
            lambda c: c.update(error_calibration={"basin_deg": -1}),
            "error_calibration: basin_deg is -1 and must be at least 0.1",
        ),
        (lambda c: c["network"].update(views=5), "does not hold the weights of the network"),
    ],
)
def test_cards(folder, change, sentence):
    change_card(folder, change)
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_network(folder)


def test_the_folder_of_a_training_names_its_model(folder, tmp_path_factory):
    training = tmp_path_factory.mktemp("training")
    with pytest.raises(
        InputError, match="holds no model_card.json; give the model folder as `train` wrote it"
    ):
        read_network(training)
    shutil.copytree(folder, training / "model")
    with pytest.raises(
        InputError, match=f"holds no model_card.json; its model is {training}/model: give that"
    ):
        read_network(training)


def rewrite_weights(folder, change, **more):
    """Change the HDF5 file within model.keras."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as store:
        change(store)
    members["model.weights.h5"] = content.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, **more}.items():
            archive.writestr(name, data)


def first_array(store):
    found = []
    store.visititems(
        lambda name, entry: found.append(name) if isinstance(entry, h5py.Dataset) else None
    )
    return found[0]


def enlarge(store):
    name = first_array(store)
    del store[name]
    store.create_dataset(name, (10**6, 10**4), "f4", chunks=(1000, 1000), compression="gzip")


def link_away(store):
    name = first_array(store)
    del store[name]
    store[name] = h5py.ExternalLink("/etc/passwd", "/x")


def put_nan(store):
    store[first_array(store)][...] = np.nan


@pytest.mark.parametrize(
    "change, sentence",
    [
        (enlarge, "is compressed or lies elsewhere"),
        (link_away, "links from"),
        (put_nan, "NaN or infinite"),
    ],
)
def test_weights(folder, change, sentence):
    rewrite_weights(folder, change)
    with pytest.raises(InputError, match=sentence):
        read_network(folder)


def test_other_members_and_cut_archives(folder):
    rewrite_weights(folder, lambda store: None, **{"../evil": b"x"})
    with pytest.raises(InputError, match="holds '../evil'"):
        read_network(folder)
    path = folder / "model.keras"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read"):
        read_network(folder)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        {
            "kind": "lian",
            "box_size_px": 32,
            "blocks": [[1, 4], [2, 8]],
            "middle": [8, 16],
            "dense": [16, 4],
        },
        {"kind": "cryoforum", "box_size_px": 32, "stem": [[3, 4]], "doubles": [8, 16]},
        {"kind": "banjac", "box_size_px": 32, "stem": [[3, 4]], "doubles": [8], "features": 8},
    ],
)
def test_the_least_number_of_weights_is_near_the_number(config):
    there = build_network(config).count_params()
    assert 0.7 * there < least_weights(*architecture_of(config)) <= there
