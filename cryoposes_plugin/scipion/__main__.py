"""Starts Scipion from any shell, with this interpreter for everything that it runs.

python -m cryoposes_plugin.scipion [--folder DIR] project NAME      opens a project
python -m cryoposes_plugin.scipion [--folder DIR] python SCRIPT ... runs a script
Other arguments of the command `scipion` can be given instead.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import List, Optional

from .environment import default_folder, set_scipion_environment


def main(argv: Optional[List[str]] = None) -> None:
    """Replace this process by Scipion."""
    settings = make_parser().parse_args(argv)
    set_scipion_environment(settings.folder)
    os.execv(sys.executable, [sys.executable, "-m", "scipion", *settings.words])


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cryoposes_plugin.scipion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=default_folder(),
        help="user data folder with the projects (default: %(default)s)",
    )

    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        help="arguments for Scipion; without any, its list of projects opens",
    )
    return parser


if __name__ == "__main__":
    main()
