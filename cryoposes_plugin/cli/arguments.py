"""From the metadata of a config's fields to a command line, and back to a config."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Type

from ..commands.config import Config, field_length, field_type
from ..core.io.files import read_text

#: Short names that people type; the long ones work too.
ALIASES = {
    "pixel_size_angstrom": "--pixel-size",
    "box_size_px": "--box-size",
    "defocus_range_angstrom": "--defocus-range",
    "voltage_kv": "--voltage",
    "spherical_aberration_mm": "--cs",
    "mask_diameter_angstrom": "--mask-diameter",
    "particle_diameter_angstrom": "--particle-diameter",
    "preferred_directions_deg": "--preferred-directions",
}


def add_config_arguments(parser: argparse.ArgumentParser, config_class: Type[Config]) -> None:
    """One option a field; expert fields in a group of their own."""
    expert = parser.add_argument_group("expert options")
    for f in dataclasses.fields(config_class):
        group = expert if f.metadata["expert"] else parser
        kind, several, _ = field_type(config_class, f.name)
        flags = ["--" + f.name.replace("_", "-")] + ([ALIASES[f.name]] if f.name in ALIASES else [])
        unit = f" [{f.metadata['unit']}]" if f.metadata["unit"] else ""
        shown = "" if f.default in (None, (), "") else f" (default: {_shown(f.default)})"
        common = dict(
            dest=f.name,
            default=argparse.SUPPRESS,
            help=(f.metadata["help"] + unit + shown).replace("%", "%%"),
        )
        if kind is bool:
            _add_switch(group, f.name, common)
        elif several:
            length = field_length(config_class, f.name) or "+"
            group.add_argument(
                *flags, nargs=length, type=kind, metavar=kind.__name__.upper(), **common
            )
        else:
            group.add_argument(*flags, type=kind, metavar=kind.__name__.upper(), **common)


def _add_switch(group, name: str, common) -> None:
    """--name and --no-name (argparse's own pair of them is not in Python 3.8, which Scipion may run on)."""
    option = name.replace("_", "-")
    both = group.add_mutually_exclusive_group()
    both.add_argument(f"--{option}", action="store_true", **common)
    both.add_argument(
        f"--no-{option}",
        action="store_false",
        dest=name,
        default=argparse.SUPPRESS,
        help="The opposite.",
    )


def config_from_arguments(config_class: Type[Config], arguments: argparse.Namespace) -> Config:
    """The config of `--config FILE`, if given, changed by the options typed beside it."""
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
    return " ".join(str(v) for v in value) if isinstance(value, tuple) else str(value)
