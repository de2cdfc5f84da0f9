"""The command line of a config, made from the metadata of its options, and back to a config."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, Dict, Type

from ..commands.config import Config, field_type, is_expert, option_named, options_by_group
from ..core.io.files import read_text


def add_config_arguments(parser: argparse.ArgumentParser, config_class: Type[Config]) -> None:
    """Add one argument per option, under the headings of its group, the advanced options last."""
    groups = options_by_group(config_class)
    for expert in (False, True):
        for title, names in groups.items():
            chosen = [name for name in names if is_expert(config_class, name) == expert]
            if chosen:
                heading = f"{title} (advanced)" if expert else title
                group = parser.add_argument_group(heading)
                for name in chosen:
                    _add_argument(group, config_class, name)


def _add_argument(group, config_class: Type[Config], name: str) -> None:
    metadata = option_named(config_class, name).metadata
    kind, several, _ = field_type(config_class, name)
    flag = "--" + name.replace("_", "-")
    common: Dict[str, Any] = dict(
        dest=name,
        default=argparse.SUPPRESS,
        help=_help(config_class, name).replace("%", "%%"),
    )
    if kind is bool:
        group.add_argument(flag, flag.replace("--", "--no-", 1), action=_Switch, **common)
        return

    flags = [flag, metadata["alias"]] if metadata["alias"] else [flag]
    if several:
        common["nargs"] = metadata["length"] or "+"
    metavar = metadata["path"] or ("CHOICE" if metadata["choices"] else _METAVARS[kind])
    group.add_argument(*flags, type=kind, metavar=metavar, **common)


_METAVARS = {int: "N", float: "X", str: "TEXT"}


class _Switch(argparse.Action):
    """--name and --no-name. The action that argparse has for this is not in Python 3.8."""

    def __init__(self, option_strings, dest, **named):
        super().__init__(option_strings, dest, nargs=0, **named)

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, not (option_string or "").startswith("--no-"))


def _help(config_class: Type[Config], name: str) -> str:
    """The option's help with its choices, default and unit."""
    option = option_named(config_class, name)
    text, unit = option.metadata["help"], option.metadata["unit"]
    if option.metadata["choices"]:
        choices = zip(option.metadata["choices"], option.metadata["titles"])
        text += f" One of: {'; '.join(_choice(value, title) for value, title in choices)}."
    if option.default not in (None, (), ""):
        return f"{text} (default: {f'{_shown(option.default)} {unit}'.strip()})"
    return f"{text} (in {unit})" if unit else text


def _choice(value: str, title: str) -> str:
    plain = title.lower().replace(" ", "-") == value.lower()
    return value if plain else f"{value}: {title}"


def config_from_arguments(config_class: Type[Config], arguments: argparse.Namespace) -> Config:
    """The config of `--config FILE`, if given; options on the command line replace its values."""
    typed = {
        f.name: getattr(arguments, f.name)
        for f in dataclasses.fields(config_class)
        if f.name in arguments
    }
    typed = {k: tuple(v) if isinstance(v, list) else v for k, v in typed.items()}
    if arguments.config is None:
        return config_class(**typed)

    path = arguments.config
    source = f"--config {path}"
    return dataclasses.replace(config_class.from_json(read_text(path, source), source), **typed)


def _shown(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
