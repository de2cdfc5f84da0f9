"""How the program ends: a status and one sentence for whatever happens, and a traceback in a file
only.
"""

import logging
import os
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main, make_parser
from cryoposes_plugin.commands.filter import run as command
from cryoposes_plugin.core.io.particle_files import write_particles
from tests.particle_sets import make_particles

SCORE = "cryoposesTrace"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs `filter`, whose work is replaced: run(function of config and folder) -> status; the
    folder is `out`.
    """
    monkeypatch.chdir(tmp_path)
    table = make_particles(Path("a.mrcs"), 6, scores={SCORE: np.arange(6.0)})
    write_particles("a.star", table)

    def filter_with(work=None):
        if work is not None:
            monkeypatch.setattr(command, "run", work)
        return main(
            [
                "filter",
                "--particles",
                "a.star",
                "--score",
                SCORE,
                "--keep-quantile",
                "0.5",
                "--output",
                "out",
            ]
        )

    return filter_with


def raising(error):
    def work(*arguments, **named):
        raise error

    return work


@pytest.mark.parametrize(
    "error", [ValueError("shapes\ndiffer"), KeyError("x"), RecursionError(), ZeroDivisionError()]
)
def test_what_nobody_foresaw_is_one_sentence_and_a_traceback_in_the_folder(run, caplog, error):
    assert run(raising(error)) == 70
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert type(error).__name__ in record.getMessage()
    assert "out/error.log" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert record.exc_info is None
    assert "Traceback" in Path("out/error.log").read_text()
    assert "in work" in Path("out/error.log").read_text()
    assert not Path("out/metrics.json").exists()


def test_before_there_is_a_folder_the_traceback_is_in_a_temporary_file(
    run, caplog, monkeypatch, tmp_path
):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(command, "check", lambda config: 1 / 0)
    assert run() == 70
    (log,) = (tmp_path / "temporary").iterdir()
    assert str(log) in caplog.text
    assert "ZeroDivisionError" in log.read_text()
    assert not Path("out").exists()


def test_a_damaged_end_is_told_before_the_run_is_called_finished(run, caplog):
    assert run() == 0
    Path("out/metrics.json").write_text("")
    assert run() == 2
    assert "out/metrics.json is not valid JSON" in caplog.text
    assert "already finished" not in caplog.text


def test_without_a_working_directory_there_is_one_sentence(run, caplog, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run() == 2
    assert "The working directory no longer exists" in caplog.text


@pytest.mark.parametrize("output", ["", " "])
def test_an_output_without_a_name_is_no_folder(caplog, output):
    assert main(["filter", "--particles", "a.star", "--output", output]) == 2
    assert "--output is empty" in caplog.text


@pytest.mark.parametrize("number", ["-1e-3", "-1E+2", "-.5", "-2.", "-7", "-inf"])
def test_negative_numbers_are_values_of_options(number):
    words = ["filter", "--output", "o", "--particles", "a.star", "--threshold", number]
    assert make_parser().parse_args(words).threshold == float(number)


@pytest.mark.parametrize("number", [13, 28, 30, 36])  # permission, space, read-only, name too long
def test_what_the_system_refuses_is_told_with_its_name(run, caplog, number):
    assert run(raising(OSError(number, os.strerror(number), "some/file"))) == 2
    assert f"Error: some/file cannot be used ({os.strerror(number)})" in caplog.text


@pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_run_which_then_resumes(run, caplog, monkeypatch, number, status):
    honest = command.run
    # A parent like nohup may ignore the signal, which would then be waited for without end.
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    signal.signal(number, usual)

    def stopped(config, run):
        run.write_json("training_state.json", {})
        os.kill(os.getpid(), number)
        signal.pause()

    assert run(stopped) == status
    assert "run the same command again to resume" in caplog.text
    assert Path("out/training_state.json").exists()
    assert not Path("out/metrics.json").exists()
    assert run(honest) == 0
    assert not Path("out/training_state.json").exists()
    assert Path("out/metrics.json").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_ignored(run, monkeypatch):
    monkeypatch.setattr(command, "run", command.run)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(lambda config, run: os.kill(os.getpid(), signal.SIGHUP) or {}) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_words_of_libraries_stay_off_the_screen(run, capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    def chatty(config, run):
        warnings.warn("a library's warning", RuntimeWarning, stacklevel=1)
        logging.getLogger("matplotlib.font_manager").warning("a library's log")
        logging.getLogger("cryoposes_plugin.core").info("our own words")
        return {}

    assert run(chatty) == 0
    screen = capfd.readouterr().err
    assert "our own words" in screen
    assert "library" not in screen


@pytest.mark.parametrize("where", ["draw", "page"])
def test_a_picture_that_fails_does_not_fail_the_run(run, caplog, monkeypatch, where):
    names = {
        "draw": "cryoposes_plugin.commands.report.png_bytes",
        "page": "cryoposes_plugin.commands.report.write_report",
    }
    monkeypatch.setattr(names[where], raising(ValueError("no such glyph")))
    assert run() == 0
    assert Path("out/metrics.json").exists()
    assert Path("out/accepted.star").exists()
    assert "The run continues without" in caplog.text
    assert "error.log" in caplog.text
    assert "no such glyph" in Path("out/error.log").read_text()


@pytest.mark.parametrize(
    "name", ["a$b$c", "x_{$\\frac$}", "cost$", "100%$ \\alpha$$", "bytes\udcff"]
)
def test_names_are_drawn_as_they_are(name):
    from cryoposes_plugin.core.plots import png_bytes
    from cryoposes_plugin.core.plots.figures import single_axes

    figure, axes = single_axes(name, name, name)
    axes.plot([1, 10], [1, 100], label=name)
    axes.set_yscale("log")
    axes.annotate(name, (1, 1))
    axes.legend()
    assert png_bytes(figure).startswith(b"\x89PNG")
    assert axes.get_title("left") == name.replace("\udcff", "\\udcff")
