"""The wizards propose what the input says; the windows themselves are opened by
docs/screenshots.py.
"""

import dataclasses
import re

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.core.io.mrc import write_volume

from .project import BOX, PIXEL, make_table, new_set

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

from pwem.objects import Volume

from cryoposes_plugin.protocols import (
    ProtCryoposesFilter,
    ProtCryoposesInitialVolume,
    ProtCryoposesReconstruct,
    ProtCryoposesRefine,
    ProtCryoposesSimulate,
    ProtCryoposesTrain,
)
from cryoposes_plugin.scipion import results

pytestmark = pytest.mark.usefixtures("scipion_environment")


class Form:
    """What a wizard sees of a form."""

    def __init__(self, protocol, parameter):
        self.protocol, self.wizParamName = protocol, parameter
        self.values, self.said = {}, []

    def setVar(self, name, value):
        self.values[name] = value

    def setParamFromVar(self, name):
        pass

    def showInfo(self, sentence):
        self.said.append(sentence)


@pytest.fixture
def particles(tmp_path, rng):
    created = new_set(tmp_path / "particles.sqlite")
    results.create_particles(created, make_table(tmp_path, range(1, 41), rng))
    created.write()
    return created


@pytest.fixture
def volume(tmp_path):
    data = np.zeros((24, 24, 24), dtype=np.float32)
    for x, y in ((5, 0), (0, 5), (-5, 0), (0, -5)):  # C4 about z, an unequal cap on one end
        data[12 - 3 : 12 + 3, 12 + y - 1 : 12 + y + 2, 12 + x - 1 : 12 + x + 2] = 1
    data[12 + 4 : 12 + 7, 11:14, 11:14] = 2
    write_volume(tmp_path / "map.mrc", data, 2.0)
    created = Volume(str(tmp_path / "map.mrc"))
    created.setSamplingRate(2.0)
    return created


@pytest.fixture
def take(monkeypatch):
    """Every dialog is accepted as it opens; what it would draw is kept."""
    from cryoposes_plugin.wizards import wizards

    drawn = []

    class Dialog:
        def __init__(self, title, draw, values, start, parent=None):
            drawn.append(draw(values[start]))
            self.value = values[start]

        def ask(self):
            return self.value

    monkeypatch.setattr(wizards, "SliderDialog", Dialog)
    return drawn


def show(protocol, parameter):
    from pwem import Domain

    form = Form(protocol, parameter)
    Domain.findWizards(protocol, "tkinter")[parameter]().show(form)
    return form


def train(volume=None, like=None):
    protocol = ProtCryoposesTrain()
    if volume is not None:
        protocol.inputVolumes.append(volume)
    if like is not None:
        protocol.inputLike.set(like)
    return protocol


@pytest.mark.parametrize(
    "protocol, parameters",
    [
        (
            ProtCryoposesTrain,
            {"maskDiameterAngstrom", "symmetry", "boxSizePx", "pixelSizeAngstrom", "modelLibrary"},
        ),
        (ProtCryoposesReconstruct, {"maskDiameterAngstrom", "symmetry"}),
        (ProtCryoposesSimulate, {"particleDiameterAngstrom", "boxSizePx", "pixelSizeAngstrom"}),
        (ProtCryoposesFilter, {"threshold"}),
    ],
)
def test_scipion_finds_them_and_their_parameters_exist(protocol, parameters):
    from pwem import Domain

    assert set(Domain.findWizards(protocol(), "tkinter")) - {"needsOfRun"} == parameters
    assert all(protocol().getParam(name) is not None for name in parameters)


def test_an_empty_form_is_told_what_is_missing(take):
    for protocol, parameter in (
        (train(), "maskDiameterAngstrom"),
        (train(), "symmetry"),
        (train(), "boxSizePx"),
        (ProtCryoposesFilter(), "threshold"),
    ):
        form = show(protocol, parameter)
        assert not form.values
        assert "first" in form.said[0]


def test_box_and_pixel_size_come_from_the_particles_before_the_volume(volume, particles):
    assert show(train(volume), "boxSizePx").values == {"boxSizePx": 24, "pixelSizeAngstrom": 2.0}
    assert show(train(volume, particles), "boxSizePx").values == {
        "boxSizePx": BOX,
        "pixelSizeAngstrom": PIXEL,
    }


def test_the_symmetry_is_that_of_the_map(volume, take):
    form = show(train(volume), "symmetry")
    assert form.values == {"symmetry": "C4"}
    assert len(take[0].axes[0].patches) > 10


def test_the_mask_holds_the_map_and_goes_to_the_parameter_that_asked(volume, take):
    form = show(train(volume), "maskDiameterAngstrom")
    (diameter,) = form.values.values()
    assert set(form.values) == {"maskDiameterAngstrom"}
    assert 22 <= diameter <= 48
    simulate = ProtCryoposesSimulate()
    simulate.inputVolumes.append(volume)
    assert set(show(simulate, "particleDiameterAngstrom").values) == {"particleDiameterAngstrom"}


def test_without_a_volume_the_diameter_is_seen_on_the_particles_and_no_symmetry(particles, take):
    protocol = ProtCryoposesInitialVolume()
    protocol.inputParticles.set(particles)
    form = show(protocol, "diameterAngstrom")
    assert 0 < form.values["diameterAngstrom"] <= BOX * PIXEL
    form = show(protocol, "symmetry")
    assert not form.values
    assert "The symmetry can only be found on a volume" in form.said[0]


def test_the_average_is_that_of_the_images(particles):
    from cryoposes_plugin.wizards.inputs import average_image

    stacks = [mrcfile.read(path) for path in sorted({p.getFileName() for p in particles})]
    np.testing.assert_allclose(
        average_image(particles), np.concatenate(stacks).mean(axis=0), atol=1e-6
    )


def test_the_threshold_keeps_the_share_that_the_form_says(particles, take):
    protocol = ProtCryoposesFilter(keepQuantile=0.5)
    protocol.inputParticles.set(particles)
    threshold = show(protocol, "threshold").values["threshold"]
    scores = np.array([item.getAttributeValue("_cryoposesTrace") for item in particles])
    assert 0.45 <= np.mean(scores <= threshold) <= 0.55


@pytest.mark.parametrize("fraction, expected", [(None, 0.001), (0.9, 0.9)])
def test_the_threshold_of_junk_opens_where_the_false_discovery_rate_ends(fraction, expected):
    from cryoposes_plugin.core.scores import JUNK
    from cryoposes_plugin.wizards.wizards import first_threshold

    # the rate of the first 80 is 0.1 %, that of 81 already 1.2 %
    scores = np.repeat([0.001, 0.9], [80, 20])
    protocol = ProtCryoposesFilter(keepQuantile=fraction)
    assert first_threshold(protocol, JUNK, scores) == pytest.approx(expected)


def test_models_are_listed_by_the_likeness_of_their_maps(tmp_path, volume):
    from cryoposes_plugin.core.io.mrc import read_volume
    from cryoposes_plugin.core.maps.likeness import sphere_amplitudes
    from cryoposes_plugin.core.models.model_card import ModelCard
    from cryoposes_plugin.core.types import Volume as Density
    from cryoposes_plugin.wizards.wizards import ModelLibraryWizard

    density = read_volume(tmp_path / "map.mrc")
    other = Density(density.data.transpose(2, 1, 0) ** 2 + density.data, 2.0)
    for name, given in (("near", density), ("far", other)):
        card = ModelCard("default", 24, 2.0, 40.0, "none", "raw", "C4", {})
        card = dataclasses.replace(
            card, map_shape={"amplitudes": sphere_amplitudes(given).tolist()}
        )
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model_card.json").write_text(card.to_json())
    form = Form(train(), "modelLibrary")
    ModelLibraryWizard().show(form)
    assert form.said.pop() == "Choose a volume and a folder of models first."
    form.protocol.inputVolumes.append(volume)
    form.protocol.modelLibrary.set(str(tmp_path / "models"))
    ModelLibraryWizard().show(form)
    _, first, second = form.said.pop().split("\n")
    assert first.startswith("1.00") and first.endswith("near: C4, 24 px of 2 Å")
    assert "far" in second


def test_what_a_run_will_need(particles, volume):
    from cryoposes_plugin.scipion.forms import NEEDS_PARAM
    from cryoposes_plugin.wizards import NeedsWizard

    protocol = ProtCryoposesReconstruct()
    protocol.inputParticles.set(particles)
    form = Form(protocol, NEEDS_PARAM)
    NeedsWizard().show(form)
    assert re.match(r"This run needs about .* of memory .* of disk .* on 2 threads\.", form.said[0])


def test_what_a_run_will_need_without_inputs():
    from cryoposes_plugin.scipion.forms import NEEDS_PARAM
    from cryoposes_plugin.wizards import NeedsWizard

    form = Form(ProtCryoposesRefine(), NEEDS_PARAM)
    NeedsWizard().show(form)
    assert "EMPTY" in form.said[0] or form.said == ["Choose the inputs first."]
