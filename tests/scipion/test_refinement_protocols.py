"""*refine poses* and *refine and reconstruct* in a Scipion project, and what their forms refuse."""

from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.particle_files import read_particles

from .project import TOUR_NUMBER as NUMBER
from .project import ids, link, pose_arrays, run_protocol

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

pytestmark = pytest.mark.usefixtures("project")


def test_poses_are_refined_and_say_how_far_they_moved(project, imported, simulated):
    from cryoposes_plugin.protocols import ProtCryoposesRefine

    protocol = project.newProtocol(ProtCryoposesRefine, numberOfThreads=1)
    link(protocol, "inputParticles", simulated, "outputParticles")
    link(protocol, "inputVolume", imported, "outputVolume")
    run_protocol(project, protocol)
    particles = protocol.outputParticles
    assert ids(particles) == ids(simulated.outputParticles)
    assert particles.hasAlignmentProj()
    assert particles.hasCTF()
    _, rotations, _ = pose_arrays(particles)
    _, true, _ = pose_arrays(simulated.outputParticles)
    moved = np.rad2deg(angular_distance_rad(rotations, true))
    said = np.array([item.getAttributeValue("_cryoposesMovedDeg") for item in particles])
    np.testing.assert_allclose(said, moved, atol=0.02)
    expected = np.array(
        [item.getAttributeValue("_cryoposesExpectedErrorDeg") for item in particles]
    )
    # started at the truth, poses move by their error
    assert 0.4 < np.sqrt((moved[moved < 15] ** 2).mean()) / np.median(expected) < 2
    assert particles.getFirstItem().getAttributeValue("_cryoposesPoseSource").startswith("refined:")
    assert any("the hand" in line or "mirror" in line for line in protocol.summary())


def test_symmetry_mates_come_with_their_probabilities(project, imported, simulated):
    """True poses of a molecule without symmetry, which could be taken for one of C2."""
    from cryoposes_plugin.protocols import ProtCryoposesRelaxSymmetry

    protocol = project.newProtocol(
        ProtCryoposesRelaxSymmetry, pseudoSymmetry="C2", numberOfThreads=1
    )
    link(protocol, "inputParticles", simulated, "outputParticles")
    link(protocol, "inputVolume", imported, "outputVolume")
    run_protocol(project, protocol)
    particles = protocol.outputParticles
    assert ids(particles) == ids(simulated.outputParticles)
    mates = [item.getAttributeValue("_cryoposesMate") for item in particles]
    assert np.mean(np.array(mates) == 0) > 0.8
    texts = [item.getAttributeValue("_cryoposesMateProbabilities") for item in particles]
    assert all(len(text.split("/")) == 2 for text in texts)


def test_refine_and_reconstruct_gives_volume_halves_fsc_and_particles(project, imported, simulated):
    from cryoposes_plugin.protocols import ProtCryoposesIterate

    protocol = project.newProtocol(ProtCryoposesIterate, numberOfThreads=1, rounds=1)
    link(protocol, "inputParticles", simulated, "outputParticles")
    link(protocol, "inputVolume", imported, "outputVolume")
    run_protocol(project, protocol)
    volume = protocol.outputVolume
    assert volume.getSamplingRate() == simulated.outputParticles.getSamplingRate()
    assert len(volume.getHalfMaps().split(",")) == 2
    assert protocol.outputFSC.getSize() >= 3
    particles = protocol.outputParticles
    assert ids(particles) == ids(simulated.outputParticles)
    halves = [item.getAttributeValue("_rlnRandomSubset") for item in particles]
    assert halves.count(1) == halves.count(2) == NUMBER // 2
    sources = {
        half: {
            i.getAttributeValue("_cryoposesPoseSource")
            for i, h in zip(particles.iterItems(), halves)
            if h == half
        }
        for half in (1, 2)
    }
    assert sources[1].isdisjoint(sources[2])
    assert any("independent beyond" in line for line in protocol.summary())


def test_an_initial_volume_needs_particles_alone(project, simulated):
    from cryoposes_plugin.protocols import ProtCryoposesInitialVolume

    protocol = project.newProtocol(
        ProtCryoposesInitialVolume, numberOfThreads=1, starts=1, searchParticles=80, rounds=0
    )
    link(protocol, "inputParticles", simulated, "outputParticles")
    run_protocol(project, protocol)
    assert protocol.outputVolume.getSamplingRate() == simulated.outputParticles.getSamplingRate()
    assert protocol.outputVolume.getDim()[0] == simulated.outputParticles.getDim()[0]
    particles = protocol.outputParticles
    rejected = Path(protocol._getExtraPath("run", "rejected.star"))
    junk = len(read_particles(rejected)) if rejected.exists() else 0
    assert len(particles) == len(simulated.outputParticles) - junk
    assert particles.hasAlignmentProj()
    found, rotations, _ = pose_arrays(particles)
    given, true, _ = pose_arrays(simulated.outputParticles)
    true = true[np.searchsorted(given, found)]
    assert np.median(angular_distance_rad(rotations, true)) > 0.05, (
        "the poses of the input are not used"
    )
    assert any("hand" in line for line in protocol.summary())
    protocol.symmetry.set("Q5")
    assert any("Q5" in problem for problem in protocol.validate())


def test_images_of_an_atomic_structure(project, tmp_path):
    from pwem.protocols import ProtImportPdb

    from cryoposes_plugin.protocols import ProtCryoposesSimulate

    line = "ATOM  {0:5d}  CA  ALA A{0:4d}    {1:8.3f}{2:8.3f}{3:8.3f}  1.00 20.00           C  \n"
    atoms = [(0, 0, 0), (60, 0, 0), (0, 40, 0), (0, 0, 30)]
    (tmp_path / "model.pdb").write_text(
        "".join(line.format(i + 1, *p) for i, p in enumerate(atoms)) + "END\n"
    )
    model = project.newProtocol(ProtImportPdb, inputPdbData=1, pdbFile=str(tmp_path / "model.pdb"))
    run_protocol(project, model)
    protocol = project.newProtocol(
        ProtCryoposesSimulate,
        number=6,
        pixelSizeAngstrom=4.0,
        resolutionAngstrom=12.0,
        ctf=False,
        numberOfThreads=1,
    )
    link(protocol, "inputVolumes", model, "outputPdb")
    assert protocol.validate() == []
    run_protocol(project, protocol)
    assert protocol.outputParticles.getSize() == 6
    assert protocol.outputParticles.getSamplingRate() == 4.0


def test_the_forms_refuse_what_cannot_be(project, imported, simulated):
    from cryoposes_plugin.protocols import ProtCryoposesIterate, ProtCryoposesRefine

    for protocol_class, name, value, sentence in (
        (ProtCryoposesRefine, "searchDeg", -1.0, "must be at least"),
        (ProtCryoposesRefine, "symmetry", "Q5", "Q5"),
        (ProtCryoposesIterate, "symmetry", "Q5", "Q5"),
    ):
        protocol = project.newProtocol(protocol_class)
        link(protocol, "inputParticles", simulated, "outputParticles")
        link(protocol, "inputVolume", imported, "outputVolume")
        assert protocol.validate() == []
        getattr(protocol, name).set(value)
        assert any(sentence in problem for problem in protocol.validate())
