"""Damaged inputs by the thousand: each ends in success or in one sentence, quickly and within a
little memory.

`python -m tests.fuzz.attack [number] [seed]` puts them through whole commands, a process of its own
for each part.
"""

import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

import numpy as np

from cryoposes_plugin.cli import main as program
from cryoposes_plugin.commands import runner
from cryoposes_plugin.core.errors import CryoposesError

from .inputs import Input, make_inputs

#: Seconds are those of the processor: other work on the machine does not count.
LONGEST_SECONDS, LARGEST_MIB = 20.0, 1024
#: Of the damaged inputs that a command takes, so many are also run to the end: a run takes seconds,
#: a check none.
_RUN_EVERY = 12


@dataclass
class Tally:
    """What came of the inputs; faults name the seed that makes the input again."""

    counts: Counter = field(default_factory=Counter)
    faults: List[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    most_mib: float = 0.0

    def add(self, what: str, outcome: str, seconds: float) -> None:
        self.slowest_seconds = max(self.slowest_seconds, seconds)
        if seconds > LONGEST_SECONDS:
            outcome = f"took {seconds:.0f} s"
        self.counts[outcome if outcome in ("success", "whole run", "sentence") else "fault"] += 1
        if outcome not in ("success", "whole run", "sentence"):
            self.faults.append(f"{what}: {outcome}")


def attack_reader(kind: str, entry: Input, number: int, seed: int) -> Tally:
    """The reader alone, in this process."""
    tally, before = Tally(), _peak_mib()
    for case in range(number):
        _damage(entry, kind, seed, case)
        start = time.process_time()
        tally.add(
            f"{kind}, seed {seed}, case {case}",
            _outcome_of_reader(entry),
            time.process_time() - start,
        )
    entry.path.write_bytes(entry.content)
    tally.most_mib = _peak_mib() - before
    return tally


def _damage(entry: Input, kind: str, seed: int, case: int) -> None:
    rng = np.random.default_rng([seed, case, *kind.encode()])
    entry.path.write_bytes(entry.damaged(rng))


def _outcome_of_reader(entry: Input) -> str:
    try:
        entry.read()
    except CryoposesError as error:
        return _judge(str(error), entry)
    except Exception as error:  # noqa: BLE001  what must not be is counted
        return f"{type(error).__name__}: {error}"
    return "success"


def _judge(sentence: str, entry: Input) -> str:
    if "\n" in sentence or not sentence.endswith(".") or len(sentence) > 1500:
        return f"no sentence: {sentence[:300]!r}"
    if (
        entry.names_it
        and entry.path.name not in sentence
        and entry.path.parent.name not in sentence
    ):
        return f"does not name {entry.path.name}: {sentence}"
    return "sentence"


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class _Said(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.sentences: List[str] = []

    def emit(self, record):
        self.sentences.append(record.getMessage())


def attack_commands(inputs: Dict[str, Input], number: int, seed: int, folder: Path) -> Tally:
    """Whole commands, in this process; of those that a check lets through, every twelfth is run to
    its end.
    """
    tally, kinds, whole = Tally(), sorted(inputs), runner.run_alone
    for case in range(number):
        kind = kinds[case % len(kinds)]
        entry = inputs[kind]
        _damage(entry, kind, seed, case)
        command = entry.commands[(case // len(kinds)) % len(entry.commands)]
        output = [] if entry.run else ["--output", str(folder / f"out{case}")]
        runs = bool(entry.run) or (case // len(kinds)) % _RUN_EVERY == 0
        runner.run_alone = whole if runs else lambda *_: {}
        start = time.process_time()
        outcome = _outcome_of_command(
            [*command, *output], entry, "whole run" if runs else "success"
        )
        tally.add(
            f"{kind}, seed {seed}, case {case}, {' '.join(command)}",
            outcome,
            time.process_time() - start,
        )
        entry.path.write_bytes(entry.content)
    runner.run_alone = whole
    tally.most_mib = _peak_mib()
    return tally


def _outcome_of_command(argv: List[str], entry: Input, success: str) -> str:
    said = _Said()
    logging.getLogger("cryoposes").addHandler(said)
    try:
        status = program.main(argv)
    except BaseException as error:  # noqa: BLE001  nothing may come through the program's net
        return f"{type(error).__name__} came through: {error}"
    finally:
        logging.getLogger("cryoposes").removeHandler(said)
    if status == 0:
        return success
    if status != 2 or len(said.sentences) != 1:
        return f"status {status}: {' | '.join(said.sentences)[:500]}"
    return _judge(said.sentences[0], entry)


def main(number: int = 2000, seed: int = 0, part: int = 300) -> None:
    """Parts of `part` inputs in processes of their own, so that the peak of memory is that of a
    part.
    """
    counts, faults, slowest, most = Counter(), [], 0.0, 0.0
    for start in range(0, number, part):
        command = [
            sys.executable,
            "-m",
            __spec__.name,
            "part",
            str(min(part, number - start)),
            str(seed + start),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            faults.append(f"the process ended with {done.returncode}: {done.stderr[-2000:]}")
            sys.stdout.write(f"{faults[-1]}\n")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        counts.update(found["counts"])
        faults += found["faults"]
        sys.stdout.write("".join(f"{fault}\n" for fault in found["faults"]))
        slowest, most = max(slowest, found["slowest"]), max(most, found["most"])
        sys.stdout.write(
            f"{dict(counts)} slowest {slowest:.1f} s, peak {most:.0f} MiB, {len(faults)} faults\n"
        )
        sys.stdout.flush()


def one_part(number: int, seed: int) -> None:
    os.environ.update(CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3", MPLBACKEND="Agg")
    logging.getLogger().addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as place:
        tally = attack_commands(make_inputs(Path(place) / "inputs"), number, seed, Path(place))
    found = dict(
        counts=tally.counts, faults=tally.faults, slowest=tally.slowest_seconds, most=tally.most_mib
    )
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["part"]:
        one_part(int(arguments[1]), int(arguments[2]))
    else:
        main(*(int(a) for a in arguments))
