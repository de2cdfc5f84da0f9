"""Where the program's lines go."""

import os
import subprocess
import sys

import pytest

SAY = """
import logging
from cryoposes_plugin.cli.ending import only_our_words
with only_our_words():
    logging.getLogger("cryoposes").info("step 3 of 8")
    logging.getLogger("cryoposes").warning("doubtful")
    logging.getLogger("cryoposes").error("Error: wrong")
    logging.getLogger("other").error("noise")
"""


@pytest.mark.parametrize("asked, to_stdout, to_stderr", [("", [], [0, 1, 2]), ("stdout", [0], [1, 2])])
def test_progress_goes_to_the_output_log_where_it_is_asked_for(asked, to_stdout, to_stderr):
    environment = {**os.environ, "CRYOPOSES_PROGRESS_TO": asked}
    done = subprocess.run([sys.executable, "-c", SAY], env=environment, capture_output=True, text=True, check=True)
    lines = ["step 3 of 8", "doubtful", "Error: wrong"]
    for stream, rows in ((done.stdout, to_stdout), (done.stderr, to_stderr)):
        assert [line.split(" ", 1)[1] for line in stream.splitlines()] == [lines[row] for row in rows]
