"""*expand symmetry* and *merge particle sets* in a Scipion project, and what their forms refuse."""

import numpy as np
import pytest

from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations

from .project import TOUR_NUMBER as NUMBER
from .project import ids, link, pose_arrays, run_protocol

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

pytestmark = pytest.mark.usefixtures("project")
OTHERS = 20


def expand(project, source, **parameters):
    from cryoposes_plugin.protocols import ProtCryoposesExpandSymmetry

    protocol = project.newProtocol(ProtCryoposesExpandSymmetry, numberOfThreads=1, **parameters)
    link(protocol, "inputParticles", source, "outputParticles")
    return protocol


def merge(project, *sources):
    from cryoposes_plugin.protocols import ProtCryoposesMergeSets

    protocol = project.newProtocol(ProtCryoposesMergeSets, numberOfThreads=1)
    for source in sources:
        link(protocol, "inputSets", source, "outputParticles")
    return protocol


@pytest.fixture(scope="module")
def expanded(project, inferred):
    return run_protocol(project, expand(project, inferred, pseudoSymmetry="C2"))


@pytest.fixture(scope="module")
def simulated_at_200_kv(project, imported):
    """Some particles of another microscope, without the scores of estimated poses."""
    from cryoposes_plugin.protocols import ProtCryoposesSimulate

    protocol = project.newProtocol(
        ProtCryoposesSimulate, number=OTHERS, snr=4.0, voltageKv=200.0, numberOfThreads=1
    )
    link(protocol, "inputVolumes", imported, "outputVolume")
    return run_protocol(project, protocol)


def test_each_particle_is_at_each_mate_and_keeps_what_it_has(inferred, expanded):
    given, particles = inferred.outputParticles, expanded.outputParticles
    assert ids(particles) == list(range(1, 2 * NUMBER + 1))
    _, before, shifts_before = pose_arrays(given)
    _, after, shifts_after = pose_arrays(particles)
    expected = before[:, None] @ symmetry_rotations("C2")
    np.testing.assert_allclose(after, expected.reshape(-1, 3, 3), atol=1e-6)
    np.testing.assert_allclose(shifts_after, np.repeat(shifts_before, 2, axis=0), atol=1e-6)
    first = given.getFirstItem().clone()
    for copy in [item.clone() for item in particles][:2]:
        assert copy.getLocation() == first.getLocation()
        assert copy.getCTF().getDefocusU() == first.getCTF().getDefocusU()
        assert copy.getCoordinate().getMicName() == first.getCoordinate().getMicName()
        assert copy.getAttributeValue("_cryoposesTrace") == pytest.approx(
            first.getAttributeValue("_cryoposesTrace")
        )
        assert copy.getAttributeValue("_cryoposesExpandedFrom") == str(first.getObjId())


def test_the_way_back_gives_the_particles_their_ids_and_poses(project, inferred, expanded):
    collapsed = run_protocol(project, expand(project, expanded, collapse=True)).outputParticles
    for found, given in zip(pose_arrays(collapsed), pose_arrays(inferred.outputParticles)):
        np.testing.assert_allclose(found, given, atol=1e-6)
    assert not collapsed.getFirstItem().hasAttribute("_cryoposesExpandedFrom")


def test_the_form_of_the_expansion_refuses_what_cannot_be(project, inferred, expanded):
    assert expand(project, inferred, pseudoSymmetry="C1").validate() == [
        "expand-symmetry: C1 has no more mates than C1; give the point group of the mates in "
        "'Point group of the mates'."
    ]
    (twice,) = expand(project, expanded, pseudoSymmetry="C2").validate()
    assert "were expanded before" in twice
    assert "collapse them first" in twice
    (never,) = expand(project, inferred, collapse=True).validate()
    assert "give a set that was expanded with 'expand symmetry'" in never


def test_particles_of_several_sets_keep_their_optics_and_come_once(
    project, inferred, simulated_at_200_kv
):
    from cryoposes_plugin.scipion.convert import particles_to_table

    sources = (inferred, simulated_at_200_kv, inferred)
    protocol = run_protocol(project, merge(project, *sources))
    particles = protocol.outputParticles
    assert ids(particles) == list(range(1, NUMBER + OTHERS + 1))
    table = particles_to_table(particles, None)
    np.testing.assert_array_equal(table.ctf.voltage_kv, [300.0] * NUMBER + [200.0] * OTHERS)
    for found, *given in zip(
        pose_arrays(particles)[1:],
        *(pose_arrays(s.outputParticles)[1:] for s in (inferred, simulated_at_200_kv)),
    ):
        np.testing.assert_allclose(found, np.concatenate(given), atol=1e-6)
    assert "cryoposesTrace" not in table.scores
    assert table.extra["cryoposesMergedFrom"][-1] == f"2:{OTHERS}"
    said = protocol.summary()
    assert said[0] == f"{NUMBER + OTHERS} particles of 3 sets, in 2 optics groups."
    left_out = f"{NUMBER} particles have an image that is in an earlier set too"
    assert any(line.startswith(left_out) for line in said)


def test_sets_of_the_same_program_keep_their_scores(project, inferred):
    particles = run_protocol(project, merge(project, inferred, inferred)).outputParticles
    traces = [
        [item.getAttributeValue("_cryoposesTrace") for item in found]
        for found in (particles, inferred.outputParticles)
    ]
    np.testing.assert_allclose(*traces)


def test_sets_that_cannot_be_one_are_refused(project, imported, inferred):
    from cryoposes_plugin.protocols import ProtCryoposesSimulate

    smaller = project.newProtocol(ProtCryoposesSimulate, number=4, boxSizePx=24, numberOfThreads=1)
    link(smaller, "inputVolumes", imported, "outputVolume")
    run_protocol(project, smaller)
    assert merge(project, inferred, smaller).validate() == [
        "Set 1 has raw images of 32 px at 7.5 Å and set 2 has raw images of 24 px at 7.5 Å, and a "
        "set of Scipion has images of one kind; extract or resample one of them again."
    ]
