"""Protocols that process a growing set of particles in batches."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import time
from typing import Any, Dict, List, Optional

from pwem.objects import SetOfParticles
from pyworkflow.object import Set
from pyworkflow.protocol.constants import STATUS_NEW
from pyworkflow.utils import cleanPath

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io.names import CONFIG_NAME, METRICS_NAME, PARTICLES_NAME
from cryoposes_plugin.scipion import convert, runner, streams

from .protocol_base import ProtCryoposesBase

logger = logging.getLogger(__name__)

GROWING = "The input is still growing, and the output grows with it."
_BATCHES, _STREAM_KEY = "batches", "stream_key.txt"

__all__ = ["GROWING", "ProtCryoposesStreaming"]


class ProtCryoposesStreaming(ProtCryoposesBase):
    """Processes a complete input in one run, as every protocol, and an open one batch by batch.

    Each batch has a folder in `extra/batches` with its ids, its STAR file and its run. The results
    are joined by id in outputs that stay open until the input is closed. Then `extra/run` gets the
    joint results.
    """

    #: Output -> file of the run with its particles.
    STREAMED: Dict[str, str] = {}

    # -------------------------- steps ----------------------------------------
    def _insertAllSteps(self):
        self._waiting = 0  # number of the step that waits for the input, if there is one
        content = streams.content(self.inputParticles.get())
        is_open = content is None or content.open
        if not (self._decides_each_alone() and (is_open or self._batches().names())):
            if is_open:
                self._waiting = self._insert_waiting(self.waitForInputStep)
            super()._insertAllSteps()
            return

        key = self._stream_key()
        self._forget_other_stream(key)
        # The argument is always new, so that outputs that were closed before are joined again.
        self._waiting = self._insert_waiting(self.closeOutputsStep, str(time.time()))
        self._before = self._insertFunctionStep(
            self.convertVolumesStep, key, prerequisites=[], needsGPU=False
        )
        for name in self._batches().names():
            self._insert_batch(key, name)

        self._insert_new_batch()

    def _insert_waiting(self, function, *arguments) -> int:
        return self._insertFunctionStep(
            function, *arguments, prerequisites=[], wait=True, needsGPU=False
        )

    def _insert_batch(self, key: str, name: str) -> None:
        """One batch after the other, as they add to the same outputs."""
        self._before = self._insertFunctionStep(
            self.batchStep, key, name, prerequisites=[self._before], needsGPU=self.usesGpu()
        )

    def _insert_new_batch(self) -> bool:
        """Start a batch if enough particles wait; True if the input is closed and none waits."""
        content = streams.content(self.inputParticles.get())
        if content is None:
            return False
        known = self._batches().all_ids()
        waiting = [identity for identity in content.ids if identity not in known]
        batch = streams.next_batch(
            waiting, max(1, self.streamingBatchSize.get() or 1), content.open
        )
        if batch:
            self._insert_batch(self._stream_key(), self._batches().add(batch))
        return not content.open and not batch

    def _stepsCheck(self):
        """Called by Scipion every few seconds: adds steps for new particles, starts the last."""
        waiting = self._steps[self._waiting - 1] if self._waiting else None
        if waiting is None or not waiting.isWaiting():
            return
        if waiting.funcName == "waitForInputStep":
            content = streams.content(self.inputParticles.get())
            complete = content is not None and not content.open
        else:
            complete = self._insert_new_batch() and all(
                s.isFinished() for s in self._steps if s is not waiting
            )
        if complete:
            waiting.setStatus(STATUS_NEW)
        if self._newSteps:
            self.updateSteps()

    def waitForInputStep(self):
        """A step that ends when the input is closed, for results that depend on all particles."""
        self.inputParticles.get().close()
        self.inputParticles.get().loadAllProperties()

    def convertVolumesStep(self, key: str):
        with self._sentences():
            self._write_volumes()

    def batchStep(self, key: str, name: str):
        with self._sentences():
            particles = streams.reopened(self.inputParticles.get())
            subfolder = os.path.join(_BATCHES, name)
            config = self._batch_config(self._getExtraPath(subfolder, PARTICLES_NAME))
            table = convert.particles_to_table(
                particles, self._getTmpPath(f"particles_{name}.mrcs"), self._batches().ids(name)
            )
            self._write_table(config.particles, table)
            runner.write_config(self, config, subfolder)
            runner.run_program(self, config, subfolder)
            problem = self._batch_problem(self._batch_metrics(name))
            if problem:
                logger.warning(
                    "Batch %s (%d particles) was left out: %s", name, len(table), problem
                )
                return
            for output in self._filled_outputs(self._batch_metrics(name)):
                self._grow(output, particles, self._read_table(self.STREAMED[output], subfolder))

    def closeOutputsStep(self, stamp: str):
        with self._sentences():
            done = [self._batch_metrics(name) for name in self._batches().names()]
            if not any(self.hasAttribute(output) for output in self.STREAMED):
                raise InputError(
                    "; ".join(self._join_metrics(done).get("notes", []))
                    or "The input was closed without any particle; give a set with particles."
                )
            self._join_runs()
            for output in self.STREAMED:
                if self.hasAttribute(output):
                    grown = self._grown_set(output)
                    self._updateOutputSet(output, grown, Set.STREAM_CLOSED)

    # -------------------------- what a protocol defines -----------------------
    def _decides_each_alone(self) -> bool:
        """Whether the result of a particle is independent of all other particles."""
        return True

    def _batch_config(self, star: str):
        return dataclasses.replace(self._make_config(), particles=star)

    def _batch_problem(self, metrics: Dict[str, Any]) -> Optional[str]:
        """Why the result of a batch cannot be joined with the others; None if it can."""
        return None

    def _filled_outputs(self, metrics: Dict[str, Any]) -> List[str]:
        """The outputs for which a run with these metrics has particles."""
        return list(self.STREAMED)

    def _fill(self, output, particles, table) -> None:
        """Append the particles of `table` to an output."""
        raise NotImplementedError

    def _prepare_output(self, output, particles) -> None:
        output.copyInfo(particles)

    def _join_metrics(self, done: List[Dict[str, Any]]) -> Dict[str, Any]:
        raise NotImplementedError

    # -------------------------- outputs that grow ----------------------------
    def _set_path(self, output: str) -> str:
        return self._getPath(f"{output}.sqlite")

    def _grown_set(self, output: str):
        """The output as it is on disk, or a new one."""
        grown = SetOfParticles(filename=self._set_path(output))
        if grown.getSize():
            grown.loadAllProperties()
            grown.enableAppend()
        return grown

    def _grow(self, output: str, particles, table) -> None:
        """Append the particles that an interrupted step has not already written."""
        grown, is_new = self._grown_set(output), not self.hasAttribute(output)
        if grown.getSize():
            present = set(grown.getIdSet())
            table = table.take(
                [row for row, identity in enumerate(table.ids) if int(identity) not in present]
            )
        else:
            self._prepare_output(grown, particles)
        if not len(table):
            return
        self._fill(grown, particles, table)
        self._updateOutputSet(output, grown, Set.STREAM_OPEN)
        if is_new:
            for _, pointer in self.iterInputAttributes():
                self._defineSourceRelation(pointer, getattr(self, output))

    def _join_runs(self) -> None:
        """Write `extra/run` as if from one run, for the summary, the viewers and the report."""
        from cryoposes_plugin.commands.pictures import complete_report
        from cryoposes_plugin.commands.report import write_report

        folder, metrics = runner.run_folder(self), self._joined_metrics()
        os.makedirs(folder, exist_ok=True)
        config = self._make_config()
        everything = streams.reopened(self.inputParticles.get())
        ids = sorted(self._batches().all_ids())
        self._write_table(config.particles, convert.particles_to_table(everything, None, ids))
        for output, file in self.STREAMED.items():
            if self.hasAttribute(output):
                self._write_table(
                    self._run_file(file), convert.particles_to_table(self._grown_set(output), None)
                )
        for name, text in (
            (CONFIG_NAME, config.to_json()),
            (METRICS_NAME, json.dumps(metrics, indent=2)),
        ):
            with open(self._run_file(name), "w", encoding="utf-8") as handle:
                handle.write(text)
        lead = f"{metrics['particles']} particles, processed in {metrics['batches']} batches."
        write_report(
            folder,
            self.getClassLabel(),
            numbers=metrics,
            notes=metrics.get("notes", []),
            figures={},
            lead=lead,
        )
        complete_report(folder)

    def shown_run(self) -> str:
        """The joint run, or the last finished batch until all are joined."""
        done = [name for name in self._batches().names() if self._batch_metrics(name)]
        if super()._metrics() or not done:
            return super().shown_run()
        return runner.run_folder(self, os.path.join(_BATCHES, done[-1]))

    # -------------------------- batches --------------------------------------
    def _batches(self) -> streams.Batches:
        return streams.Batches(self._getExtraPath(_BATCHES))

    def _batch_metrics(self, name: str) -> Dict[str, Any]:
        return runner.read_metrics(self, os.path.join(_BATCHES, name))

    def _joined_metrics(self) -> Dict[str, Any]:
        done = [metrics for metrics in map(self._batch_metrics, self._batches().names()) if metrics]
        return {**self._join_metrics(done), "batches": len(done)} if done else {}

    def _metrics(self) -> Dict[str, Any]:
        """The joint metrics; those of the finished batches while the input grows."""
        return super()._metrics() or self._joined_metrics()

    def _stream_key(self) -> str:
        """As `_step_key`, without the time of the input file, which is still being written."""
        return self._step_key(growing=("inputParticles",))

    def _forget_other_stream(self, key: str) -> None:
        """Remove the batches of other parameters or inputs, so that Continue starts again."""
        path = self._getExtraPath(_STREAM_KEY)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as handle:
                if handle.read().strip() == key:
                    return
        for folder in (self._getExtraPath(_BATCHES), runner.run_folder(self)):
            shutil.rmtree(folder, ignore_errors=True)
        for output in self.STREAMED:
            if self.hasAttribute(output):
                self.deleteOutput(getattr(self, output))
            cleanPath(self._set_path(output))
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(key)
