"""`cryoposes needs`: what a run will need of memory, disk and time, without starting it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..commands.needs import InputSize, sentence_of_run, size_of_files
from ..commands.registry import CONFIGS, has_needs
from ..core.errors import ConfigError
from ..core.io.files import read_object

_REMEDY = "give a config.json of a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="The config.json of a run.")
    parser.add_argument(
        "--size",
        metavar="FILE",
        help="Sizes of the inputs as JSON, where there are no files of them yet. Default: those of "
        "the files that the config names.",
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        default=".",
        help="Folder of the results, whose free space is told. Default: this one.",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the sentence; ConfigError for a command without long work."""
    values = read_object(Path(arguments.config), arguments.config, _REMEDY)
    command = values.get("command")
    if command not in CONFIGS or not has_needs(str(command)):
        raise ConfigError(
            f"{arguments.config} is not the config of a command with long work; {_REMEDY} of one, "
            "such as `refine`."
        )
    config = CONFIGS[str(command)].from_dict(values, arguments.config)
    size = (
        InputSize.of_dict(read_object(Path(arguments.size), arguments.size, _REMEDY))
        if arguments.size
        else size_of_files(config)
    )
    sys.stdout.write(f"{sentence_of_run(config, size, arguments.output)}\n")
    return 0
