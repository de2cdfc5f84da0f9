"""Arrays that an interrupted run resumes from: read as they were written, or one sentence."""

import time

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io import state_files as run_state

LIKE = {"rows_done": np.array(0), "rotations": np.zeros((4, 3, 3))}


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = {"rows_done": np.array(2), "rotations": np.arange(36.0).reshape(4, 3, 3)}
    run_state.write_arrays(tmp_path / "s.npz", arrays)
    found = run_state.read_arrays(tmp_path / "s.npz", LIKE)
    np.testing.assert_array_equal(found["rotations"], arrays["rotations"])
    assert run_state.rows_done("s.npz", found, 4) == 2
    with pytest.raises(InputError, match="rows_done is 2 and must be at most 1"):
        run_state.rows_done("s.npz", found, 1)


def test_damaged_arrays_are_one_sentence(tmp_path):
    path = tmp_path / "s.npz"
    run_state.write_arrays(path, {**LIKE, "rows_done": np.array(2)})
    whole = path.read_bytes()
    rng = np.random.default_rng(11)
    told = 0
    for _ in range(200):
        spoiled = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 6)):
            spoiled[at] = rng.integers(0, 256)
        path.write_bytes(
            bytes(spoiled[: rng.integers(1, len(whole) + 1)])
            if rng.random() < 0.5
            else bytes(spoiled)
        )
        try:
            run_state.read_arrays(path, LIKE)
        except InputError as error:
            assert str(error).startswith(str(path))
            assert "delete this file" in str(error)
            told += 1
    assert told > 100


@pytest.mark.parametrize(
    "wrong", [{"rotations": np.zeros((3, 3, 3))}, {"rotations": np.zeros((4, 3, 3), np.float32)}]
)
def test_arrays_of_another_run_are_one_sentence(tmp_path, wrong):
    run_state.write_arrays(tmp_path / "s.npz", {**LIKE, **wrong})
    with pytest.raises(InputError, match="its array rotations is missing or has another shape"):
        run_state.read_arrays(tmp_path / "s.npz", LIKE)


def test_a_save_that_takes_long_is_made_less_often(monkeypatch):
    """Of 0.05 s, after four times as long in place of 0.01 s."""
    monkeypatch.setattr(run_state, "SAVE_SECONDS", 4.0)
    saved = []
    save = run_state.PeriodicSave(lambda: (time.sleep(0.05), saved.append(1)), times_as_often=400.0)
    save.now()
    begun = time.monotonic()
    while len(saved) < 2:
        save.if_due()
    assert time.monotonic() - begun > 4.0 * 0.05
