"""The report of a run: one HTML page with its figures inside, and each figure as a PNG file."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple

from matplotlib.figure import Figure

from ..core.io.error_log import not_fatal
from ..core.io.folder import atomic_path
from ..core.io.names import REPORT_NAME
from ..core.plots import png_bytes
from ..core.scores import LEARNED_NOTHING

_STYLE = """
body { font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif;
  color: #1a202c; max-width: 62rem;
       margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin: 1.8rem 0 .4rem; }
p.lead { color: #4a5568; margin-top: 0; }
ul.notes { background: #fffaf0; border-left: 4px solid #dd6b20; padding: .6rem 1rem .6rem 2rem; }
li.alarm { color: #c53030; font-weight: 600; }
table { border-collapse: collapse; }
td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #e2e8f0; text-align: left; }
td.value { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } figcaption { color: #4a5568; font-size: .9rem; }
img { max-width: 100%; height: auto; }
"""


def write_report(
    folder,
    title: str,
    *,
    lead: str = "",
    numbers: Mapping[str, Any],
    notes: Sequence[str] = (),
    figures: Mapping[str, Tuple[str, Figure]],
) -> None:
    """Write report.html and the figures, each complete or not at all.

    Parameters
    ----------
    folder : of the run.
    title, lead : heading, and one sentence on what was done.
    numbers : name -> value; floats are rounded, and an inner mapping becomes a table of its own
        under its name.
    notes : sentences that the reader must not miss, shown in a box.
    figures : name -> (caption, figure), embedded in the page and saved as name.png.
    """
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='lead'>{html.escape(lead)}</p>" if lead else "",
    ]
    if notes:
        parts.append(_notes(notes))
    parts.append(_tables(numbers))
    drawn = _drawn(folder, figures)

    parts += [_figure(name, caption, png) for name, (caption, png) in drawn.items()]
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )
    _save(folder, drawn)
    with atomic_path(Path(folder) / REPORT_NAME) as part:
        part.write_text(page, encoding="utf-8", errors="backslashreplace")


def add_notes(folder, notes: Sequence[str]) -> None:
    """Add notes to the top of a report, if there is one, without repeating those that it has."""
    path = Path(folder) / REPORT_NAME
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    notes = [note for note in notes if _note(note) not in page]
    if page and notes:
        with atomic_path(path) as part:
            part.write_text(page.replace("</h1>", f"</h1>\n{_notes(notes)}", 1), encoding="utf-8")


def _notes(notes: Sequence[str]) -> str:
    return "<ul class='notes'>" + "".join(map(_note, notes)) + "</ul>"


def _note(note: str) -> str:
    """In red where a network is no better than chance."""
    return f"<li{' class=alarm' if LEARNED_NOTHING in note else ''}>{html.escape(note)}</li>"


def append_figures(folder, figures: Mapping[str, Tuple[str, Figure]]) -> None:
    """Add figures, name -> (caption, figure), to the end of an existing report, and save each as
    name.png.
    """
    path = Path(folder) / REPORT_NAME
    page = path.read_text(encoding="utf-8")
    drawn = _drawn(folder, figures)
    added = "\n".join(_figure(name, caption, png) for name, (caption, png) in drawn.items())
    _save(folder, drawn)
    if added:
        with atomic_path(path) as part:
            part.write_text(
                page.replace("\n</body>", f"\n{added}\n</body>"), "utf-8", "backslashreplace"
            )


def _drawn(folder, figures: Mapping[str, Tuple[str, Figure]]) -> Dict[str, Tuple[str, bytes]]:
    """Name -> (caption, PNG) of the figures that can be drawn."""
    drawn = {}
    for name, (caption, figure) in figures.items():
        with not_fatal(folder, f"the picture '{name}'"):
            drawn[name] = (caption, png_bytes(figure))
    return drawn


def _tables(numbers: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in numbers.items() if not isinstance(value, Mapping)}
    tables = [_table(plain)] if plain else []
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            tables.append(f"<h2>{html.escape(_readable(name))}</h2>" + _table(value))
    return "\n".join(tables)


def _table(numbers: Mapping[str, Any]) -> str:
    cells = [
        (html.escape(_readable(name)), html.escape(_shown(value)))
        for name, value in numbers.items()
    ]
    rows = "".join(
        f"<tr><td>{name}</td><td class='value'>{value}</td></tr>" for name, value in cells
    )
    return f"<table>{rows}</table>"


def _save(folder, drawn: Mapping[str, Tuple[str, bytes]]) -> None:
    for name, (_, png) in drawn.items():
        with atomic_path(Path(folder) / f"{name}.png") as part:
            part.write_bytes(png)


def holds_figure(page: str, name: str) -> bool:
    """Whether the page of a report shows the figure of this name."""
    return _image(name) in page


def _image(name: str) -> str:
    return f"<img id='{html.escape(name)}' "


def _figure(name: str, caption: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    text = html.escape(caption)
    image = f"{_image(name)}alt='{text}' src='data:image/png;base64,{data}'>"
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


_UNITS = {"_deg": "°", "_angstrom": "Å", "_px": "px", "_rad": "rad"}


def _readable(name: str) -> str:
    """'median_angular_error_deg' -> 'median angular error [°]'; a name with spaces stays as it is."""
    if " " in name:
        return name
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return f"{name[: -len(ending)].replace('_', ' ')} [{unit}]"
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(v) for v in value) or "-"
    return str(value)
