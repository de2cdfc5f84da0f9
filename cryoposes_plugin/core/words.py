"""Words of sentences."""

from __future__ import annotations

from typing import List, Sequence


def counted(number: int, noun: str) -> str:
    """ "1 particle", "2 particles"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def not_modelled(columns: Sequence[str]) -> List[str]:
    """The note on columns that affect the images and are ignored; none without such columns."""
    return [f"Present in the particles but not modelled: {', '.join(columns)}."] if columns else []
