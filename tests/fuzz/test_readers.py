"""Every reader on damaged files: success or one sentence, and nothing else.

CRYOPOSES_FUZZ_SEED and CRYOPOSES_FUZZ_NUMBER choose other inputs, and how many of each kind.
"""

import os

import pytest

from .attack import LARGEST_MIB, attack_commands, attack_reader
from .inputs import make_inputs

SEED = int(os.environ.get("CRYOPOSES_FUZZ_SEED", "11"))
NUMBER = int(os.environ.get("CRYOPOSES_FUZZ_NUMBER", "300"))
KINDS = (
    "star",
    "cs",
    "map",
    "compressed map",
    "stack",
    "pdb",
    "mmcif",
    "config",
    "distances",
    "card",
    "weights",
)
RUNS = (
    "config.json of run",
    "manifest.json of run",
    "metrics.json of run",
    "manifest.json of interrupted",
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("fuzz") / "inputs")


def test_every_kind_is_tried(inputs):
    assert sorted(inputs) == sorted([*KINDS, *RUNS])


@pytest.mark.parametrize("kind", [*KINDS, *RUNS])
def test_the_undamaged_file_is_read(inputs, kind):
    inputs[kind].read()  # raises where it does not


@pytest.mark.parametrize("kind", [*KINDS, *RUNS])
def test_damaged_files(inputs, kind):
    number = NUMBER if kind in KINDS else NUMBER // 3
    tally = attack_reader(kind, inputs[kind], number, SEED)
    assert tally.faults == []
    assert tally.counts["sentence"] > number // 4
    assert tally.most_mib < LARGEST_MIB


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(inputs, kind):
    assert attack_reader(kind, inputs[kind], 10 * NUMBER, SEED + 1).faults == []


@pytest.mark.slow
def test_whole_commands(inputs, tmp_path):
    assert attack_commands(inputs, 2 * NUMBER, SEED, tmp_path).faults == []
