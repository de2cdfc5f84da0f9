"""*recover poses from distances* in a Scipion project: a distance network trained there, and who
refuses it.
"""

import numpy as np
import pytest

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad

from .project import ids, link, pose_arrays, run_protocol

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(scope="module")
def distance_network(project, imported, simulated):
    from cryoposes_plugin.protocols import ProtCryoposesTrain

    protocol = project.newProtocol(
        ProtCryoposesTrain,
        steps=12,
        batchSize=16,
        validationNumber=32,
        modelBoxSizePx=32,
        numberOfThreads=1,
    )
    protocol.minutes.set(None)
    protocol.preset.set(
        "default cryoforum2023 lian2022 distance banjac2021".split().index("distance")
    )
    link(protocol, "inputVolumes", imported, "outputVolume")
    link(protocol, "inputLike", simulated, "outputParticles")
    return run_protocol(project, protocol)


@pytest.fixture(scope="module")
def recovered(project, simulated, distance_network):
    from cryoposes_plugin.protocols import ProtCryoposesRecover

    protocol = project.newProtocol(ProtCryoposesRecover, numberOfThreads=1, landmarks=60, copies=40)
    link(protocol, "inputParticles", simulated, "outputParticles")
    link(protocol, "inputTruth", simulated, "outputParticles")
    link(protocol, "inputModel", distance_network, "outputModel")
    return run_protocol(project, protocol)


def test_particles_have_poses_and_scores(simulated, recovered):
    particles = recovered.outputParticles
    assert ids(particles) == ids(simulated.outputParticles)
    assert particles.hasAlignmentProj()
    assert particles.hasCTF()
    _, rotations, _ = pose_arrays(particles)
    _, true, _ = pose_arrays(simulated.outputParticles)
    # a network of twelve steps knows little: what is looked for is that the poses are new ones
    assert np.median(angular_distance_rad(rotations, true)) > 0.1
    residuals = [item.getAttributeValue("_cryoposesDistanceResidualDeg") for item in particles]
    scores = [item.getAttributeValue("_cryoposesOutlierScore") for item in particles]
    assert min(residuals) >= 0
    assert abs(np.median(scores)) < 1e-6
    np.testing.assert_array_equal(
        np.argsort(residuals, kind="stable"), np.argsort(scores, kind="stable")
    )
    assert (
        particles.getFirstItem().getAttributeValue("_cryoposesPoseSource").startswith("distances:")
    )


def test_the_summary_and_the_viewer_show_distances(project, recovered, distance_network):
    from cryoposes_plugin.viewers import CryoposesRunViewer

    assert any("Mean errors against the true poses" in line for line in recovered.summary())
    assert any("its hand are undetermined" in line for line in recovered.summary())
    assert any("gives distances between images" in line for line in distance_network.summary())
    viewer = CryoposesRunViewer(project=project, protocol=recovered)
    assert {"distance_density", "recovery_loss", "direction_maps", "uncertainty_histogram"} <= set(
        viewer.pictures()
    )
    assert (
        "distance_density"
        in CryoposesRunViewer(project=project, protocol=distance_network).pictures()
    )


def test_a_distance_network_is_refused_where_poses_are_wanted(
    project, simulated, distance_network, trained
):
    from cryoposes_plugin.protocols import ProtCryoposesInfer, ProtCryoposesRecover

    protocol = project.newProtocol(ProtCryoposesInfer)
    link(protocol, "inputParticles", simulated, "outputParticles")
    link(protocol, "inputModel", distance_network, "outputModel")
    assert any(
        "gives distances between images and no poses" in problem for problem in protocol.validate()
    )
    protocol = project.newProtocol(ProtCryoposesRecover)
    link(protocol, "inputParticles", simulated, "outputParticles")
    link(protocol, "inputModel", trained, "outputModel")
    assert protocol.validate() == []
