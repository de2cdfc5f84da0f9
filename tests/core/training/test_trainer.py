"""The course of a training by a clock of the test's own: minutes, history and resuming; the network
is one number.
"""

import json
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from cryoposes_plugin.commands.run_directory import RunDirectory
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.training import step_budget
from cryoposes_plugin.core.training.history import POSE_FIGURES
from cryoposes_plugin.core.training.trainer import Duration, Trainer


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(step_budget, "clock", lambda: self.now)


class OneNumber(Trainer):
    """A training whose step takes a time and moves one number by the learning rate."""

    def __init__(self, clock, seconds_of_step=lambda step: 1.0, killed_before=None):
        self.clock, self.seconds_of_step, self.killed_before = clock, seconds_of_step, killed_before
        self.recipe = SimpleNamespace(batch_size=4, learning_rate=0.1, schedule="one-cycle")
        self.variables = [keras.Variable(0.0, dtype="float64")]
        task = SimpleNamespace(figures=POSE_FIGURES)
        self.validation = SimpleNamespace(figures=self._errors, task=task)

    @property
    def number(self):
        return float(self.variables[0].numpy())

    def _errors(self):
        self.clock.now += 0.5
        return {"median_error_deg": 90 - self.number}

    def _step(self, step, total):
        if step == self.killed_before:
            raise KeyboardInterrupt
        self.clock.now += self.seconds_of_step(step)
        self.variables[0].assign_add(self._learning_rate(step, total))
        return {"loss": np.float32(math.sin(step)), "grid": np.float32(math.cos(step))}


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def go(trainer, folder, steps=None, minutes=None, checkpoint_minutes=0.5):
    run = RunDirectory.open(folder, TrainConfig(volume=(__file__,), steps=steps, minutes=minutes))
    return trainer.train(run, Duration(steps, minutes, trainer.clock.now), checkpoint_minutes)


def cut(trainer, *arguments, **parameters):
    with pytest.raises(KeyboardInterrupt):
        go(trainer, *arguments, **parameters)


def quick_from_60(step):
    return 2.0 if step < 60 else 0.5


def test_the_history_is_the_same_whenever_checkpoints_fall(clock, tmp_path):
    texts = []
    for place, (checkpoint_minutes, killed_before) in enumerate(
        [(1e6, None), (0, None), (0, 107), (0.1, 131), (2, 9)]
    ):
        folder = tmp_path / str(place)
        if killed_before is not None:
            cut(
                OneNumber(clock, killed_before=killed_before),
                folder,
                250,
                checkpoint_minutes=checkpoint_minutes,
            )
        go(OneNumber(clock), folder, 250, checkpoint_minutes=checkpoint_minutes)
        texts.append((folder / "history.csv").read_text())
    assert texts[0].count("\n") == 13
    assert set(texts) == {texts[0]}
    rows = np.genfromtxt(tmp_path / "0/history.csv", delimiter=",", names=True)
    assert rows["loss"][0] == pytest.approx(np.mean(np.sin(np.arange(rows["step"][0]))), rel=1e-6)


def test_minutes_are_kept_where_the_rate_changes(clock, tmp_path):
    begin = clock.now
    done = go(OneNumber(clock, quick_from_60), tmp_path / "run", minutes=5.0)
    state = json.loads((tmp_path / "run/training_state.json").read_text())
    assert state["total_steps"] == done["steps"] > 1.5 * state["record"][0][1]
    # what is left of the five minutes is for the finished network's validation and the report
    assert clock.now - begin == pytest.approx(300 - 5, rel=0.03)


def test_a_resumed_run_repeats_its_record_and_ends_as_the_whole_one(clock, tmp_path):
    whole = OneNumber(clock, quick_from_60)
    go(whole, tmp_path / "whole", minutes=5.0)
    record = json.loads((tmp_path / "whole/training_state.json").read_text())["record"]
    assert len(record) > 3
    cut(
        OneNumber(clock, quick_from_60, killed_before=record[-1][0] - 10),
        tmp_path / "cut",
        minutes=5.0,
    )
    clock.now += 1e5
    resumed = OneNumber(clock, quick_from_60)
    go(resumed, tmp_path / "cut", minutes=5.0)
    again = json.loads((tmp_path / "cut/training_state.json").read_text())["record"]
    known = sum(step < record[-1][0] - 10 for step, _ in record)
    assert known > 2
    assert again[:known] == record[:known]
    assert resumed.number == pytest.approx(whole.number, rel=0.1)


def test_by_another_clock_a_run_repeats_its_record(clock, tmp_path):
    """Seed and record are all that it depends on: killed and resumed, its rows are the same as long
    as they reach.
    """
    go(OneNumber(clock, quick_from_60), tmp_path / "run", minutes=5.0)
    state = json.loads((tmp_path / "run/training_state.json").read_text())
    again = RunDirectory.open(tmp_path / "again", TrainConfig(volume=(__file__,), minutes=5.0))
    again.write_json("training_state.json", state)
    last, _ = state["record"][-1]
    cut(OneNumber(clock, killed_before=last - 3), again.path, minutes=5.0)
    go(OneNumber(clock, lambda step: 0.7), again.path, minutes=5.0)
    record = json.loads((again.path / "training_state.json").read_text())["record"]
    assert record[: len(state["record"])] == state["record"]
    rows, expected = (
        np.genfromtxt(folder / "history.csv", delimiter=",")
        for folder in (again.path, tmp_path / "run")
    )
    reach = int((expected[1:, 0] <= last).sum())
    assert reach > 8
    np.testing.assert_array_equal(rows[1 : 1 + reach], expected[1 : 1 + reach])
