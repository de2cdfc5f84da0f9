"""The steps of the main job: its protocols are run one after another in a new Scipion project."""

from __future__ import annotations

import argparse
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict

from pwem.protocols import ProtImportVolumes, ProtSubSet
from pyworkflow.project import Manager

from ..core.errors import ConfigError, CryoposesError
from ..core.io.mrc import read_volume
from ..protocols import (
    ProtCryoposesCompare,
    ProtCryoposesFilter,
    ProtCryoposesInfer,
    ProtCryoposesReconstruct,
    ProtCryoposesSimulate,
    ProtCryoposesTrain,
)
from ..scipion import runner

_SECONDS_BETWEEN_LINES = 30
_TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class StepFailed(CryoposesError):
    """A protocol of the job did not start or did not finish."""


@dataclass
class Step:
    """A finished protocol, its metrics, and its wall time including the overhead of Scipion."""

    title: str
    protocol: Any
    seconds: float

    @property
    def metrics(self) -> Dict[str, Any]:
        return runner.read_metrics(self.protocol)

    @property
    def folder(self) -> Path:
        """Folder of the run, with report, plots and metrics."""
        return Path(runner.run_folder(self.protocol)).resolve()


class Job:
    """A new project and its finished steps, by title."""

    def __init__(self, name: str):
        manager = Manager()
        manager.createProject(name)
        self.project = manager.loadProject(name)
        self.folder = Path(self.project.getPath()).resolve()
        self.steps: Dict[str, Step] = {}

    def run(self, title: str, protocol_class, pointers: Dict[str, Any], **parameters) -> Any:
        """Launch a protocol, wait for it, and return it.

        Parameters
        ----------
        title : label of the run.
        protocol_class : class of the protocol.
        pointers : parameter -> (protocol, name of its output).
        parameters : values of other parameters.

        Raises
        ------
        StepFailed : with the message of the protocol.
        """
        protocol = self.project.newProtocol(protocol_class)
        protocol.setObjLabel(title)
        for name, value in parameters.items():
            _parameter(protocol, name).set(value)
        for name, (source, output) in pointers.items():
            _point(protocol, name, source, output)

        problems = protocol.validate()
        if problems:
            raise StepFailed(f"'{title}' cannot start: {' '.join(problems)}")

        print(f"{time.strftime('%H:%M:%S')}  {title} ...", flush=True)
        start = time.monotonic()
        with _Follower(protocol):
            self.project.launchProtocol(protocol, wait=True)
        if not protocol.isFinished():
            message = _TERMINAL_COLOURS.sub("", protocol.getErrorMessage() or "no message")
            raise StepFailed(
                f"'{title}' {protocol.getStatus()}: {message} (log: "
                f"{self.folder / protocol.getStderrLog()})"
            )

        self.steps[title] = Step(title, protocol, time.monotonic() - start)
        return protocol


def _parameter(protocol, name: str):
    """The parameter, or ConfigError; Scipion itself ignores unknown names."""
    if protocol.getDefinition().getParam(name) is None:
        raise ConfigError(f"{type(protocol).__name__} has no parameter {name!r}; look at its form.")
    return getattr(protocol, name)


def _point(protocol, name: str, source, output: str) -> None:
    parameter = _parameter(protocol, name)
    if parameter.isPointer():
        parameter.set(source)
        parameter.setExtended(output)
    else:
        parameter.set([getattr(source, output)])


class _Follower:
    """Prints the last line of the log of a running protocol from time to time."""

    def __init__(self, protocol):
        self._protocol, self._done, self._shown = protocol, threading.Event(), ""
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._done.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._done.wait(_SECONDS_BETWEEN_LINES):
            line = self._last_line()
            if line and line != self._shown:
                print(f"          {line}", flush=True)
                self._shown = line

    def _last_line(self) -> str:
        log = self._protocol.getStdoutLog()
        if not os.path.exists(log):
            return ""
        lines = Path(log).read_text(encoding="utf-8", errors="replace").split("\n")
        return next(
            (line[:110] for line in reversed(lines) if re.match(r"\d\d:\d\d:\d\d ", line)), ""
        )


def run_job(settings: argparse.Namespace) -> Job:
    """Run all steps in order; raises StepFailed if one of them does not finish."""
    pixel_size = read_volume(settings.map).pixel_size_angstrom
    job = Job(settings.project)
    imported = job.run(
        "import map", ProtImportVolumes, {}, filesPath=str(settings.map), samplingRate=pixel_size
    )
    the_map = (imported, "outputVolume")
    simulated = job.run(
        "simulate particles",
        ProtCryoposesSimulate,
        {"inputVolumes": the_map},
        number=settings.number,
        junkFraction=settings.junk_fraction,
        snr=settings.snr,
        shiftPx=settings.shift_px,
        seed=settings.seed,
    )
    particles = (simulated, "outputParticles")
    # The seed differs from that of the particles, so that none of them is seen in training.
    trained = job.run(
        "train network",
        ProtCryoposesTrain,
        {"inputVolumes": the_map, "inputLike": particles},
        minutes=settings.minutes,
        symmetry=settings.symmetry,
        seed=settings.seed + 1,
    )
    estimated = job.run(
        "estimate poses",
        ProtCryoposesInfer,
        {
            "inputParticles": particles,
            "inputModel": (trained, "outputModel"),
            "inputVolume": the_map,
        },
    )
    every = (estimated, "outputParticles")
    compared = _compare(job, "compare all", particles, every, settings)
    split = job.run(
        "filter", ProtCryoposesFilter, {"inputParticles": every}, keepQuantile=settings.keep
    )
    accepted = (split, "outputAccepted")
    _compare(job, "compare accepted", particles, accepted, settings)

    true = particles
    if settings.junk_fraction:
        # The comparison leaves out what is known to be junk.
        pointers = {"inputFullSet": particles, "inputSubSet": (compared, "outputParticles")}
        true = (job.run("particles without junk", ProtSubSet, pointers), "outputParticles")
    for title, poses in (
        ("reconstruct from all", every),
        ("reconstruct from accepted", accepted),
        ("reconstruct from true poses", true),
    ):
        job.run(
            title,
            ProtCryoposesReconstruct,
            {"inputParticles": poses, "inputReference": the_map},
            symmetry=settings.symmetry,
        )

    return job


def _compare(job: Job, title: str, truth, estimate, settings: argparse.Namespace):
    return job.run(
        title,
        ProtCryoposesCompare,
        {"inputTruth": truth, "inputEstimate": estimate},
        symmetry=settings.symmetry,
    )
