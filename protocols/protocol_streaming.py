"""Protocols whose input particles may still be growing: batch by batch, the outputs grow with the input."""

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

GROWING = "The input is still growing, and the output with it."
_BATCHES, _STREAM_KEY = "batches", "stream_key.txt"

__all__ = ["GROWING", "ProtCryoposesStreaming"]


class ProtCryoposesStreaming(ProtCryoposesBase):
    """Of an input that is complete one run is made, as in every protocol. Of one that is open, a run for each batch.

    Each batch has its folder in `extra/batches`, with its ids, its STAR file and its run; the results are joined by id
    into outputs that stay open until the input is closed. Then `extra/run` gets the results of all.
    """

    #: Output -> the file of a run that holds its particles.
    STREAMED: Dict[str, str] = {}

    # -------------------------- steps ----------------------------------------
    def _insertAllSteps(self):
        self._waiting = 0  # index of the step that waits for the input, if there is one
        content = streams.content(self.inputParticles.get())
        is_open = content is None or content.open
        if not (self._decides_each_alone() and (is_open or self._batches().names())):
            if is_open:
                self._waiting = self._insert_waiting(self.waitForInputStep)
            super()._insertAllSteps()
            return
        key = self._stream_key()
        self._forget_other_stream(key)
        # its argument is new each time: whatever was closed before is joined and closed again
        self._waiting = self._insert_waiting(self.closeOutputsStep, str(time.time()))
        self._converted = self._insertFunctionStep(
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
        self._insertFunctionStep(
            self.batchStep, key, name, prerequisites=[self._converted], needsGPU=self.usesGpu()
        )

    def _insert_new_batch(self) -> bool:
        """Whether the input is closed and all of it is in batches."""
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
        """Called by Scipion every few seconds: new steps for new particles, and the last one when all are there."""
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
        """For what has to see all particles at once: the steps after it begin when the input is closed."""
        self.inputParticles.get().close()
        self.inputParticles.get().loadAllProperties()

    def convertVolumesStep(self, key: str):
        with self._sentences():
            self._write_volumes()

    def batchStep(self, key: str, name: str):
        with self._sentences():
            particles, place = (
                streams.reopened(self.inputParticles.get()),
                os.path.join(_BATCHES, name),
            )
            config = self._batch_config(self._getExtraPath(place, PARTICLES_NAME))
            table = convert.particles_to_table(
                particles, self._getTmpPath(f"particles_{name}.mrcs"), self._batches().ids(name)
            )
            self._write_table(config.particles, table)
            runner.write_config(self, config, place)
            runner.run_program(self, config, place)
            problem = self._batch_problem(self._batch_metrics(name))
            if problem:
                logger.warning("Batch %s (%d particles) is left out: %s", name, len(table), problem)
                return
            for output in self._filled_outputs(self._batch_metrics(name)):
                self._grow(output, particles, self._read_table(self.STREAMED[output], place))

    def closeOutputsStep(self, stamp: str):
        with self._sentences():
            done = [self._batch_metrics(name) for name in self._batches().names()]
            if not any(self.hasAttribute(output) for output in self.STREAMED):
                raise InputError(
                    "; ".join(self._join_metrics(done).get("notes", [])) or "No particle came."
                )
            self._join_runs()
            for output in self.STREAMED:
                if self.hasAttribute(output):
                    grown = self._grown_set(output)
                    self._updateOutputSet(output, grown, Set.STREAM_CLOSED)

    # -------------------------- what a protocol says of itself ---------------
    def _decides_each_alone(self) -> bool:
        """Whether a particle's result does not depend on the others, so that it need not wait for them."""
        return True

    def _batch_config(self, star: str):
        return dataclasses.replace(self._make_config(), particles=star)

    def _batch_problem(self, metrics: Dict[str, Any]) -> Optional[str]:
        """Why the result of a batch cannot be joined with that of the others; None where it can."""
        return None

    def _filled_outputs(self, metrics: Dict[str, Any]) -> List[str]:
        """The outputs that a run with these metrics has particles for."""
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
        """The output as it is on disk; a new one if there is none."""
        grown = SetOfParticles(filename=self._set_path(output))
        if grown.getSize():
            grown.loadAllProperties()
            grown.enableAppend()
        return grown

    def _grow(self, output: str, particles, table) -> None:
        """Append what is not there yet: a step that was interrupted may have written its particles."""
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
        """`extra/run` as if one run had made it: for summary, viewers and report."""
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
        lead = f"{metrics['particles']} particles that came in {metrics['batches']} batches."
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
        """Until all batches are joined, the last one that is done."""
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
        """Of all batches that are done, while the input grows."""
        return super()._metrics() or self._joined_metrics()

    def _stream_key(self) -> str:
        """As `_step_key`, without the time of a file that is still written to."""
        return self._step_key(growing=("inputParticles",))

    def _forget_other_stream(self, key: str) -> None:
        """Continue with other parameters or inputs begins anew."""
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
