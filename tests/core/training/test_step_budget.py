"""Training takes the minutes asked for, whatever else the machine does; by a clock of the test's
own.
"""

import pytest

from cryoposes_plugin.core.training.step_budget import StepBudget

VALIDATION_S = 6.0


def course(minutes, seconds_of_step, record=(), step=0, seconds=0.0):
    """Run to the end: (steps, seconds with validations and writing, record)."""
    budget, validated = StepBudget(None, minutes, record), 0
    while budget.total(step) is None or step < budget.total(step):
        seconds += seconds_of_step(step, seconds)
        step += 1
        budget.count(step, seconds)
        share = 0 if budget.total(step) is None else 12 * step // budget.total(step)
        if share > validated:
            validated, seconds = share, seconds + VALIDATION_S
            budget.validation_took(VALIDATION_S)
    return step, seconds + VALIDATION_S + 3, budget.record


def steady(step, seconds):
    return 0.4


def busy_half_the_time(step, seconds):
    """Two cores taken by others for every other 100 s."""
    return 0.8 if seconds // 100 % 2 else 0.4


def slower_and_slower(step, seconds):
    return 0.2 * (1 + seconds / 300)


def quiet_from_the_middle(step, seconds):
    return 1.0 if seconds < 300 else 0.25


def with_a_halt(step, seconds):
    return 60.0 if step == 300 else 0.4


@pytest.mark.parametrize(
    "load", [steady, busy_half_the_time, slower_and_slower, quiet_from_the_middle, with_a_halt]
)
@pytest.mark.parametrize("minutes", [10, 60])
def test_the_minutes_are_kept_within_five_per_cent(minutes, load):
    steps, seconds, record = course(minutes, load)
    assert seconds == pytest.approx(60 * minutes, rel=0.05)
    assert steps == record[-1][1]
    assert len(record) <= 50


def test_large_steps_and_small_times():
    _, seconds, _ = course(10, lambda step, seconds: 20.0)
    assert seconds == pytest.approx(600, rel=0.1)
    steps, *_ = course(0.01, steady)
    assert steps == 8


def test_a_resumed_course_follows_the_record_and_then_the_clock():
    """Killed after half of its records, with a checkpoint from before the last of them; the machine
    is quiet then.
    """
    steps, _, record = course(10, busy_half_the_time)
    known = record[: len(record) // 2]
    cut = known[-2][0] + 1
    again, seconds, after = course(10, lambda step, seconds: 0.1, known, cut, 0.6 * cut)
    assert after[: len(known)] == known
    assert len(after) > len(known)
    assert again > steps
    assert seconds == pytest.approx(600, rel=0.05)
    budget = StepBudget(None, 10, after)
    assert [budget.total(since) for since, _ in after] == [total for _, total in after]
    assert budget.total(known[0][0] - 1) is None


def test_a_number_of_steps_is_that_number():
    budget = StepBudget(25, None)
    assert not any(budget.count(step, 1e3 * step) for step in range(1, 26))
    assert budget.total(0) == budget.total(25) == 25
