"""What the run of a form will need: said before it starts, from the sizes of Scipion's objects."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from dataclasses import asdict, replace
from typing import List

from pwem.objects import AtomStruct

from ..commands.config import Config
from ..commands.needs import (
    Cube,
    InputSize,
    Needs,
    needs_of,
    network_box_px,
    shortages,
    space_sentence,
    threads_of,
    workers_here,
)
from ..commands.pace import Pace
from ..commands.registry import has_needs
from ..core.errors import ResourceError
from ..core.needs import LEAST_PADDING, TYPICAL_PADDING
from .runner import last_error

#: Seconds after which a measurement is given up.
_PATIENCE_S = 120
_BASH = "/bin/bash"


def size_of_form(protocol, config: Config) -> InputSize:
    """How large the objects are that a form points to."""
    given = [protocol._pointed(item.param) for item in protocol._active_particles()]
    known = {}
    if given:
        known = {
            "particles": given[0].getSize(),
            "box_size_px": given[0].getXDim(),
            "pixel_size_angstrom": given[0].getSamplingRate(),
        }
    if getattr(config, "model", None):
        known["network_box_px"] = network_box_px(config.model)
    volumes = [v for v in protocol._volume_files().values() if not isinstance(v, AtomStruct)]
    return InputSize(
        **known, volumes=tuple(Cube(v.getDim()[0], v.getSamplingRate()) for v in volumes)
    )


def _needs_of_form(protocol, config: Config, padding: float) -> Needs:
    """With the typical time of a machine, and this padding of a map, which is not read here."""
    size, pace = replace(size_of_form(protocol, config), padding=padding), Pace(threads_of(config))
    return needs_of(config, size, pace, workers_here(config))


def problems_of_form(protocol, config: Config) -> List[str]:
    """Sentences if this machine has too little memory or disk for any map of this size; none for a
    run in a queue.
    """
    if not has_needs(config.command) or protocol.useQueue():
        return []
    return shortages(config, _needs_of_form(protocol, config, LEAST_PADDING), _folder(protocol))


def space_of_form(protocol, config: Config) -> List[str]:
    """What the run will need of memory and disk, for its summary."""
    if not has_needs(config.command):
        return []
    return [space_sentence(_needs_of_form(protocol, config, TYPICAL_PADDING), _folder(protocol))]


def measured_sentence(protocol, config: Config) -> str:
    """What the run will need, measured by the program in its own environment.

    Raises ResourceError with the program's sentence if it cannot be told.
    """
    plugin = type(protocol.getPlugin())
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("config.json", "size.json")]
        texts = config.to_json(), json.dumps(asdict(size_of_form(protocol, config)))
        for name, text in zip(names, texts):
            with open(name, "w", encoding="utf-8") as handle:
                handle.write(text)
        config_path, size_path, output = map(shlex.quote, (*names, _folder(protocol)))
        words = f"{plugin.getProgram()} needs {config_path} --size {size_path}"
        try:
            done = subprocess.run(
                f"{words} --output {output}",
                shell=True,
                executable=_BASH if os.path.exists(_BASH) else None,
                env=plugin.getComputeEnviron(os.path.join(folder, "pythonpath")),
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
            )
        except subprocess.TimeoutExpired:
            raise ResourceError(
                f"The program did not answer within {_PATIENCE_S} s; try again when this machine "
                "has less to do."
            ) from None
    if done.returncode:
        raise ResourceError(last_error(done.stderr) or "The program did not start.")
    return done.stdout.strip().splitlines()[-1]


def _folder(protocol) -> str:
    return os.path.abspath(protocol._getExtraPath())
