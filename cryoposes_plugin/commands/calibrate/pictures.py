"""The pictures of `calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from matplotlib.figure import Figure

from ...core import plots
from ..drawing import Picture
from ..number_tables import read_numbers
from .config import CalibrateConfig

#: Files of reliability diagrams -> quantity and its unit.
RELIABILITY = {
    "reliability_error": "root mean square error (°)",
    "reliability_wrong": "share of wrong poses among particles",
    "reliability_wrong_or_junk": "share of wrong poses and junk",
    "reliability_junk": "share of junk",
}
SPARSIFICATION, CHI_SQUARE = "sparsification", "chi_square"


def pictures(folder: Path, config: CalibrateConfig) -> Dict[str, Picture]:
    """Reliability diagrams, sparsification, and chi-squares, of the tables that there are."""
    found = {name: _reliability(folder, name) for name in RELIABILITY}
    found[SPARSIFICATION] = Picture("Error of the particles kept", lambda: _kept(folder))
    found[CHI_SQUARE] = Picture(
        "Differences in units of their covariance", lambda: _chi_square(folder)
    )
    return {name: picture for name, picture in found.items() if table_of(folder, name).exists()}


def table_of(folder: Path, name: str) -> Path:
    """The CSV file of a picture."""
    return Path(folder) / f"{name}.csv"


def _reliability(folder: Path, name: str) -> Picture:
    def draw() -> Figure:
        table = read_numbers(table_of(folder, name))
        return plots.reliability_diagram(
            table["predicted"], table["observed"], table["standard_error"], RELIABILITY[name]
        )

    return Picture(f"Reliability: {RELIABILITY[name]}", draw)


def _kept(folder: Path) -> Figure:
    table = read_numbers(table_of(folder, SPARSIFICATION))
    return plots.sparsification_curve(table["removed"], table["kept_deg"], table["oracle_deg"])


def _chi_square(folder: Path) -> Figure:
    return plots.chi_square_quantiles(read_numbers(table_of(folder, CHI_SQUARE))["rotation"], 3)
