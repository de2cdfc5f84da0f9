"""Where the program's lines go."""

import os
import subprocess
import sys

import pytest

from cryoposes_plugin.commands.greetings import hushed, tensorflow_without_greetings

SAY = """
import logging
from cryoposes_plugin.cli.ending import only_our_words
with only_our_words():
    logging.getLogger("cryoposes").info("step 3 of 8")
    logging.getLogger("cryoposes").warning("doubtful")
    logging.getLogger("cryoposes").error("Error: wrong")
    logging.getLogger("other").error("noise")
"""


@pytest.mark.parametrize(
    "asked, to_stdout, to_stderr", [("", [], [0, 1, 2]), ("stdout", [0], [1, 2])]
)
def test_progress_goes_to_the_output_log_where_it_is_asked_for(asked, to_stdout, to_stderr):
    environment = {**os.environ, "CRYOPOSES_PROGRESS_TO": asked}
    done = subprocess.run(
        [sys.executable, "-c", SAY], env=environment, capture_output=True, text=True, check=True
    )
    lines = ["step 3 of 8", "doubtful", "Error: wrong"]
    for stream, rows in ((done.stdout, to_stdout), (done.stderr, to_stderr)):
        assert [line.split(" ", 1)[1] for line in stream.splitlines()] == [
            lines[row] for row in rows
        ]


def ascii_run(*words, cwd):
    """The program where the locale is that of a batch system."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    program = [sys.executable, "-m", "cryoposes_plugin"]
    return subprocess.run([*program, *words], env=environment, capture_output=True, cwd=cwd)


def test_help_needs_no_more_than_ascii(tmp_path):
    done = ascii_run("simulate", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"(in \\xc5)" in done.stdout


def test_names_stay_names_where_the_locale_is_ascii(tmp_path):
    name = "粒子.star"
    done = ascii_run("filter", "--particles", name, "--output", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert f"{name} does not exist".encode() in done.stderr


def test_words_from_below_are_seen_only_if_something_fails(capfd):
    with hushed():
        os.write(2, b"greetings")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), hushed():
        os.write(2, b"no AVX")
        raise ImportError
    os.write(2, b" and on")
    assert capfd.readouterr().err == "no AVX and on"


@pytest.mark.parametrize("fails", [False, True])
def test_tensorflow_is_imported_in_silence_unless_it_fails(tmp_path, monkeypatch, capfd, fails):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'greetings')\n" + "1 / 0" * fails
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    try:
        with tensorflow_without_greetings():
            __import__("tensorflow")
    except ZeroDivisionError:
        pass
    finally:
        sys.modules.pop("tensorflow", None)
    assert capfd.readouterr().err == "greetings" * fails
