"""What `scipion tests` finds and runs: a unittest of the plugin in a project of its own, without
any data set.
"""

import os
import unittest

import numpy as np

try:
    from pwem.protocols import ProtImportVolumes
    from pyworkflow.tests import BaseTest, setupTestProject
except ImportError as error:
    raise unittest.SkipTest("Scipion (scipion-em) is not installed") from error

from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.protocols import (
    ProtCryoposesCompare,
    ProtCryoposesReconstruct,
    ProtCryoposesSimulate,
)

BOX, PIXEL, NUMBER = 32, 10.0, 60


class TestCryoposesWorkflow(BaseTest):
    """Import a made-up map, simulate, reconstruct from the true poses, compare the poses with
    themselves.
    """

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(os.chdir, os.getcwd())
        setupTestProject(cls)
        path = cls.proj.getTmpPath("phantom.mrc")
        write_volume(path, make_phantom(BOX, PIXEL).data, PIXEL)
        cls.imported = cls.newProtocol(ProtImportVolumes, filesPath=path, samplingRate=PIXEL)
        cls.launchProtocol(cls.imported)

    def test_from_a_map_to_a_map(self):
        simulate = self.newProtocol(ProtCryoposesSimulate, number=NUMBER, snr=2.0)
        simulate.inputVolumes.set([self.imported.outputVolume])
        self.launchProtocol(simulate)
        particles = simulate.outputParticles
        self.assertEqual(particles.getSize(), NUMBER)
        self.assertEqual(particles.getDim()[0], BOX)
        self.assertAlmostEqual(particles.getSamplingRate(), PIXEL, places=4)
        self.assertTrue(particles.hasAlignmentProj())
        self.assertTrue(particles.hasCTF())

        reconstruct = self.newProtocol(ProtCryoposesReconstruct)
        reconstruct.inputParticles.set(particles)
        reconstruct.inputReference.set(self.imported.outputVolume)
        self.launchProtocol(reconstruct)
        self.assertEqual(reconstruct.outputVolume.getDim(), (BOX, BOX, BOX))
        self.assertGreater(_correlation(reconstruct.outputVolume, self.imported.outputVolume), 0.7)

        compare = self.newProtocol(ProtCryoposesCompare)
        compare.inputTruth.set(particles)
        compare.inputEstimate.set(particles)
        self.launchProtocol(compare)
        errors = [particle._cryoposesAngularErrorDeg.get() for particle in compare.outputParticles]
        self.assertEqual(len(errors), NUMBER)
        self.assertLess(max(errors), 1e-3)

    def test_junk_is_known_through_scipion(self):
        simulate = self.newProtocol(
            ProtCryoposesSimulate, number=NUMBER, snr=2.0, junkFraction=0.25
        )
        simulate.inputVolumes.set([self.imported.outputVolume])
        self.launchProtocol(simulate)
        kinds = [item._cryoposesTrueKind.get() for item in simulate.outputParticles]
        self.assertEqual(kinds.count("particle"), NUMBER - 15)
        self.assertEqual(kinds.count("off_centre"), 3)
        self.assertIn("Junk: 15 images", "".join(simulate.summary()))

        compare = self.newProtocol(ProtCryoposesCompare)
        compare.inputTruth.set(simulate.outputParticles)
        compare.inputEstimate.set(simulate.outputParticles)
        self.launchProtocol(compare)
        self.assertEqual(compare.outputParticles.getSize(), NUMBER - 15)
        said = "".join(compare.summary())
        self.assertIn("Junk: 12 of 60 images (20 %)", said)
        self.assertIn("Not counted: 3 particles far off centre at the right pose", said)


def _correlation(first, second) -> float:
    from pwem.emlib.image import ImageHandler

    images = [ImageHandler().read(volume.getFileName()).getData() for volume in (first, second)]
    return float(np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1])
