"""Input that is still growing: outputs grow with it, and hold in the end what a run on the complete
set gives.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from .project import ids, link, pose_arrays, run_protocol, wait_for

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

from cryoposes_plugin.scipion.streams import next_batch

pytestmark = pytest.mark.usefixtures("project")


def test_a_batch_that_could_not_be_refined_is_left_out_and_said():
    from cryoposes_plugin.protocols import ProtCryoposesInfer

    why = "The poses are the network's, not refined: nothing in common."
    done = [
        {"particles": 1000, "notes": ["Refined.", "Hand."]},
        {"particles": 300, "notes": [why, "Hand."], "not_refined": why},
        {"particles": 1200, "notes": ["Refined.", "Hand."], "not_refined": None},
    ]
    joined = ProtCryoposesInfer()._join_metrics(done)
    assert joined == {"particles": 2200, "left_out": 300, "notes": ["Refined.", "Hand.", why]}


class GrowingSource:
    """A run whose output is open; `add` appends items of a complete set to it."""

    def __init__(self, project, complete):
        from pwem.protocols import ProtImportParticles
        from pyworkflow.object import Set

        self.items = [item.clone() for item in complete]
        self.protocol = project.newProtocol(ProtImportParticles)
        project.saveProtocol(self.protocol)
        self.protocol.makePathsAndClean()
        self.particles = self.protocol._createSetOfParticles()
        self.particles.copyInfo(complete)
        self.particles.setStreamState(Set.STREAM_OPEN)
        self.added = 0
        self._append(1)
        self.protocol._defineOutputs(outputParticles=self.particles)
        self.protocol.setRunning()
        project._storeProtocol(self.protocol)

    def _append(self, number):
        for item in self.items[self.added : self.added + number]:
            self.particles.append(item)
        self.added += number
        self.particles.write()

    def add(self, number, last=False):
        from pyworkflow.object import Set

        if last:
            self.particles.setStreamState(Set.STREAM_CLOSED)
        self._append(number)
        self.protocol._store(self.particles)


def grown(protocol, output):
    """Ids in an output as they are on disk; none before it is there."""
    from pwem.objects import SetOfParticles

    path = protocol._getPath(f"{output}.sqlite")
    if not os.path.exists(path):
        return []
    return ids(SetOfParticles(filename=path))


def batch_steps(protocol):
    return [step for step in protocol.loadSteps() if step.funcName == "batchStep"]


def test_no_batch_is_smaller_than_the_smallest():
    waiting = list(range(25))
    assert next_batch(waiting[:19], 10, is_open=True) == []
    assert next_batch(waiting, 10, is_open=True) == waiting[:15]
    assert next_batch(waiting[15:], 10, is_open=False) == waiting[15:]
    assert next_batch([], 10, is_open=False) == []


def has_outputs(*names):
    return lambda protocol: (
        not protocol.isActive() or all(protocol.hasAttribute(name) for name in names)
    )


def finished(project, protocol):
    done = wait_for(project, protocol, lambda p: not p.isActive())
    assert done.isFinished(), done.getErrorMessage()
    return done


def test_a_filter_with_a_threshold_grows_with_its_input_also_after_a_stop(project, inferred):
    from cryoposes_plugin.protocols import ProtCryoposesFilter

    scores = {p.getObjId(): p._cryoposesTrace.get() for p in inferred.outputParticles}
    threshold = float(np.median(list(scores.values())))
    source = GrowingSource(project, inferred.outputParticles)
    source.add(99)
    protocol = project.newProtocol(ProtCryoposesFilter, threshold=threshold, streamingBatchSize=40)
    link(protocol, "inputParticles", source.protocol, "outputParticles")
    assert protocol.validate() == []
    project.launchProtocol(protocol, wait=False)
    seen = wait_for(project, protocol, has_outputs("outputAccepted", "outputRejected"))
    assert seen.isActive(), seen.getErrorMessage()
    assert seen.outputAccepted.isStreamOpen()
    assert seen.outputRejected.isStreamOpen()
    first = [item.getObjId() for item in source.items[:60]]
    assert sorted(grown(seen, "outputAccepted") + grown(seen, "outputRejected")) == first
    assert "still growing" in seen.summary()[-1]
    assert Path(seen.shown_run()).parent.name == "0001", "viewers show the last batch"

    project.stopProtocol(seen)
    source.add(len(source.items) - 100, last=True)
    metrics = Path(seen._getExtraPath("batches", "0001", "run", "metrics.json"))
    before = metrics.stat().st_mtime_ns
    project.launchProtocol(seen, wait=False)
    done = finished(project, seen)
    assert metrics.stat().st_mtime_ns == before, "a batch that was done is not done again"
    assert len(batch_steps(done)) == 2
    assert done.outputAccepted.isStreamClosed()
    assert done.outputRejected.isStreamClosed()
    assert ids(done.outputAccepted) == sorted(
        i for i, score in scores.items() if score <= threshold
    )
    assert ids(done.outputRejected) == sorted(i for i, score in scores.items() if score > threshold)
    for item in done.outputAccepted:
        twin = inferred.outputParticles[item.getObjId()]
        np.testing.assert_array_equal(
            item.getTransform().getMatrix(), twin.getTransform().getMatrix()
        )
        assert item._cryoposesTrace.get() == twin._cryoposesTrace.get()
    assert done.summary() == [
        f"{len(scores) // 2} particles accepted, {len(scores) // 2} rejected, by "
        f"network uncertainty, all directions <= {threshold:.6g}."
    ]
    assert (Path(done.shown_run()) / "report.html").exists()
    assert Path(done.shown_run()).parent.name == "extra"


def test_a_filter_by_share_waits_for_all_particles(project, inferred):
    from cryoposes_plugin.protocols import ProtCryoposesFilter

    source = GrowingSource(project, inferred.outputParticles)
    protocol = project.newProtocol(ProtCryoposesFilter, keepQuantile=0.25)
    link(protocol, "inputParticles", source.protocol, "outputParticles")
    project.launchProtocol(protocol, wait=False)
    wait_for(project, protocol, lambda p: p.isRunning() and len(p.loadSteps()) == 4)
    source.add(len(source.items) - 1, last=True)
    done = finished(project, protocol)
    scores = {p.getObjId(): p._cryoposesTrace.get() for p in inferred.outputParticles}
    assert ids(done.outputAccepted) == sorted(
        sorted(scores, key=lambda i: (scores[i], i))[: len(scores) // 4]
    )


@pytest.mark.slow
def test_estimated_poses_grow_with_the_input_and_are_those_of_the_complete_set(
    project, simulated, trained
):
    from cryoposes_plugin.protocols import ProtCryoposesInfer

    def make(particles, **values):
        protocol = project.newProtocol(ProtCryoposesInfer, numberOfThreads=1, **values)
        link(protocol, "inputParticles", particles, "outputParticles")
        link(protocol, "inputModel", trained, "outputModel")
        return protocol

    source = GrowingSource(project, simulated.outputParticles)
    source.add(129)
    growing = make(source.protocol, streamingBatchSize=50)
    project.launchProtocol(growing, wait=False)
    seen = wait_for(project, growing, has_outputs("outputParticles"))
    assert seen.isActive(), seen.getErrorMessage()
    assert seen.outputParticles.isStreamOpen()
    assert grown(seen, "outputParticles") == list(range(1, 81))
    source.add(len(source.items) - 130, last=True)
    done = finished(project, growing)
    complete = run_protocol(project, make(simulated))
    assert done.outputParticles.isStreamClosed()
    assert len(batch_steps(done)) == 2
    for ours, theirs in zip(
        pose_arrays(done.outputParticles), pose_arrays(complete.outputParticles)
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for name in ("_cryoposesTrace", "_cryoposesDispersion"):
        ours, theirs = (
            [p.getAttributeValue(name) for p in run.outputParticles] for run in (done, complete)
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert "Poses of 240 particles estimated." in done.summary()
