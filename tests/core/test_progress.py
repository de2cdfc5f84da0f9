"""The stopwatch: seconds of the parts of a task."""

import logging

from cryoposes_plugin.core import progress


def test_laps_of_one_name_add_up_and_are_logged(monkeypatch, caplog):
    times = iter([0.0, 2.0, 5.0, 9.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    watch = progress.Stopwatch("search")
    watch.lap("starts")
    watch.lap("poses")
    watch.lap("starts")
    assert watch.seconds == {"starts": 6.0, "poses": 3.0}
    with caplog.at_level(logging.INFO):
        watch.log_all()
    assert "search: 9.0 s: starts 6.0 s, poses 3.0 s." in caplog.text
