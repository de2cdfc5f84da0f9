"""The program `cryoposes`: `cryoposes COMMAND --output DIR ...`.

Exit status: 0 if done, 2 for an error that the user can correct, others see `ending`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from typing import List, Optional

from .. import __version__
from ..commands.chunked_config import ChunkedConfig
from ..commands.chunks import Chunk
from ..commands.registry import CONFIGS
from ..commands.runner import run_command
from ..core.errors import ConfigError
from .arguments import add_config_arguments, config_from_arguments
from .ending import DONE, any_stream_takes_our_words, end, only_our_words, stoppable

_NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|-inf$", re.IGNORECASE)

#: Commands that write no run. The module of this name in this folder has `add_arguments(parser)`
#: and `run(arguments)`, which returns the exit status.
PLAIN_COMMANDS = {
    "doctor": "check the installation and say how to complete it",
    "needs": "tell what memory, disk and time a run will need",
}


class _Parser(argparse.ArgumentParser):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        # argparse does not accept negative numbers with an exponent.
        self._negative_number_matcher = _NEGATIVE_NUMBER

    def error(self, message):
        raise ConfigError(f"{self.prog}: {message}; see {self.prog} --help.")


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cryoposes",
        description="Estimates the orientations of cryo-EM particles with a trained network, and "
        "says how certain each one is. 'cryoposes COMMAND --help' describes a command.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    for name, config_class in CONFIGS.items():
        description = config_class.description
        sub = subparsers.add_parser(
            name,
            help=description,
            description=f"{description[0].upper()}{description[1:]}.",
            usage=f"cryoposes {name} --output FOLDER [options]",
        )
        sub.add_argument(
            "--output",
            required=True,
            metavar="FOLDER",
            help="Folder for the results: a new or an empty one, or that of the same run, which is "
            "then resumed.",
        )
        sub.add_argument(
            "--config",
            metavar="FILE",
            help="Take the options from a config.json. Options on the command line replace those "
            "of the file.",
        )
        if issubclass(config_class, ChunkedConfig):
            sub.add_argument(
                "--chunk",
                metavar="K/N",
                help="Do only chunk K of N of the particles, here and now, and leave its results in "
                "the folder; 'slurm': the place of this task in its Slurm array. The same command "
                "without it, in the same folder, puts the chunks together.",
            )
        add_config_arguments(sub, config_class)
    for name, description in PLAIN_COMMANDS.items():
        sub = subparsers.add_parser(
            name, help=description, description=f"{description[0].upper()}{description[1:]}."
        )
        _plain_command(name).add_arguments(sub)

    return parser


def _plain_command(name: str):
    return importlib.import_module(f"{__package__}.{name}")


def main(argv: Optional[List[str]] = None) -> int:
    output = None
    any_stream_takes_our_words()
    with only_our_words():
        try:
            with stoppable():
                arguments = make_parser().parse_args(argv)
                if arguments.command in PLAIN_COMMANDS:
                    return _plain_command(arguments.command).run(arguments)
                output = _checked_output(arguments.output)
                config = config_from_arguments(CONFIGS[arguments.command], arguments)
                text = getattr(arguments, "chunk", None)
                run_command(config, output, None if text is None else Chunk.of_text(text))
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the net under the program
            return end(error, output)
    return DONE


def _checked_output(output: str) -> str:
    """Raise ConfigError if no run can be written there."""
    if not output.strip():
        raise ConfigError("--output is empty; give the name of a folder.")
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError(
            "The working directory no longer exists; change to another one."
        ) from None
    return output


if __name__ == "__main__":
    sys.exit(main())
