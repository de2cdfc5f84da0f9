"""Draw the rooms of the package and who imports whom, from the imports themselves.

    python docs/layers.py          writes docs/images/layers.svg

A room is a folder of `cryoposes_plugin/core`, or a folder beside `core`; the modules directly in
`core` are the room "core", those directly in `cryoposes_plugin` the room "plugin". `arrows` returns
every import between rooms, as the tests of the import rules need it. The drawing leaves out the
arrows that follow from two others, so that it can be read; an arrow that closes a circle is drawn
in red.
"""

import ast
import math
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "cryoposes_plugin"
DRAWING = ROOT / "docs" / "images" / "layers.svg"

#: Modules that belong to no room: the package itself, `python -m`, and a setting of pytest.
_DOORS = ((), ("__main__",), ("conftest",))
_BOX_WIDTH, _BOX_HEIGHT, _GAP_X, _GAP_Y, _MARGIN, _TIP = 132, 30, 16, 36, 16, 9


def arrows(root=ROOT):
    """Every import between two rooms: sorted (room that imports, room that is imported) pairs."""
    files = _python_files(Path(root))
    found = set()
    for name in files:
        for module in _imported(files[name], name):
            target = _room(_module_parts(module, files))
            if target not in (None, _room(name)):
                found.add((_room(name), target))
    return sorted(found)


def floors(pairs):
    """Rooms by floor, highest first: a room stands one floor below the lowest room that imports it."""
    above = {room: set() for pair in pairs for room in pair}
    for upper, lower in set(pairs) - set(circular(pairs)):
        above[lower].add(upper)

    depths = {}

    def depth(room):
        if room not in depths:
            depths[room] = 1 + max((depth(upper) for upper in above[room]), default=-1)
        return depths[room]

    return [
        sorted(room for room in above if depth(room) == floor)
        for floor in range(1 + max(map(depth, above), default=-1))
    ]


def circular(pairs):
    """The arrows that close a circle, in a walk over the rooms by name; none in a house in order."""
    below = {}
    for upper, lower in sorted(pairs):
        below.setdefault(upper, []).append(lower)

    closing, done = [], set()

    def walk(room, path):
        for lower in below.get(room, ()):
            if lower in path:
                closing.append((room, lower))
            elif lower not in done:
                walk(lower, (*path, lower))
        done.add(room)

    for room in sorted(below):
        if room not in done:
            walk(room, (room,))
    return closing


def without_implied(pairs):
    """The arrows that no chain of other arrows implies."""
    below = {}
    for upper, lower in pairs:
        below.setdefault(upper, set()).add(lower)

    def reached(room, seen):
        for lower in below.get(room, ()):
            if lower not in seen:
                seen.add(lower)
                reached(lower, seen)
        return seen

    return [
        (upper, lower)
        for upper, lower in pairs
        if not any(lower in reached(other, set()) for other in below[upper] - {lower})
    ]


def drawing(pairs):
    """The SVG as text, the same for the same arrows."""
    stack = floors(pairs)
    width = 2 * _MARGIN + max(map(len, stack)) * (_BOX_WIDTH + _GAP_X) - _GAP_X
    height = 2 * _MARGIN + len(stack) * (_BOX_HEIGHT + _GAP_Y) - _GAP_Y
    places = _places(stack, width)

    red = circular(pairs)
    shown = without_implied(sorted(set(pairs) - set(red)))
    lines = [_line(places, pair, "#5b6875") for pair in shown]
    lines += [_line(places, pair, "#c0392b") for pair in red]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *lines,
            *(_box(room, x, y) for room, (x, y) in sorted(places.items())),
            "</svg>",
            "",
        ]
    )


# ---- reading the imports


def _python_files(root):
    """Parts of each module's dotted name below the package -> its file; without the tests."""
    top = root / PACKAGE
    files = {}
    for base, folder in (((), top), (("protocols",), root / "protocols")):
        for path in sorted(folder.rglob("*.py")):
            parts = (*base, *path.relative_to(folder).with_suffix("").parts)
            if parts[0] != "tests" and "__pycache__" not in parts:
                files[parts[:-1] if parts[-1] == "__init__" else parts] = path
    return {name: path for name, path in files.items() if name not in _DOORS}


def _imported(path, name):
    """Dotted names, as tuples below the package, of what a file imports from the package."""
    is_package = path.name == "__init__.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
            yield from (dotted[1:] for dotted in names if dotted[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom):
            module = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                module = name[: len(name) - node.level + is_package] + module
            elif module[:1] == (PACKAGE,):
                module = module[1:]
            else:
                continue
            yield from ((*module, alias.name) for alias in node.names)


def _module_parts(dotted, files):
    """The longest beginning of the dotted name that is a module."""
    while dotted and dotted not in files:
        dotted = dotted[:-1]
    return dotted


def _room(parts):
    """ "core/maps", "commands", ...; None for the package itself."""
    if not parts:
        return None
    if parts[0] == "core":
        inside = len(parts) > 1 and (ROOT / PACKAGE / "core" / parts[1]).is_dir()
        return f"core/{parts[1]}" if inside else "core"
    is_folder = (ROOT / PACKAGE / parts[0]).is_dir()
    return parts[0] if is_folder else "plugin"


# ---- drawing


def _places(stack, width):
    """Room -> upper left corner of its box."""
    places = {}
    for floor, rooms in enumerate(stack):
        used = len(rooms) * (_BOX_WIDTH + _GAP_X) - _GAP_X
        for number, room in enumerate(rooms):
            x = (width - used) // 2 + number * (_BOX_WIDTH + _GAP_X)
            places[room] = (x, _MARGIN + floor * (_BOX_HEIGHT + _GAP_Y))
    return places


def _box(room, x, y):
    fill = "#dbe9f6" if room.startswith("core") else "#f6e7d2"
    text = escape(f"{room}/" if room in ("commands", "protocols") else room)
    return (
        f'<rect x="{x}" y="{y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="4" fill="{fill}" '
        f'stroke="#4a5560"/><text x="{x + _BOX_WIDTH // 2}" y="{y + 19}" text-anchor="middle">'
        f"{text}</text>"
    )


def _line(places, pair, colour):
    """An arrow from the lower edge of a box to the upper edge of another, or upwards if need be."""
    (x1, y1), (x2, y2) = (places[room] for room in pair)
    x1, x2 = x1 + _BOX_WIDTH // 2, x2 + _BOX_WIDTH // 2
    y1, y2 = (y1 + _BOX_HEIGHT, y2) if y1 < y2 else (y1, y2 + _BOX_HEIGHT)

    length = math.hypot(x2 - x1, y2 - y1)
    along = ((x2 - x1) / length * _TIP, (y2 - y1) / length * _TIP)
    base, side = (x2 - along[0], y2 - along[1]), (-along[1] / 2.5, along[0] / 2.5)
    tip = " ".join(
        f"{x:.1f},{y:.1f}"
        for x, y in (
            (x2, y2),
            (base[0] + side[0], base[1] + side[1]),
            (base[0] - side[0], base[1] - side[1]),
        )
    )
    return (
        f'<path d="M{x1} {y1} L{base[0]:.1f} {base[1]:.1f}" stroke="{colour}" fill="none"/>'
        f'<polygon points="{tip}" fill="{colour}"/>'
    )


if __name__ == "__main__":
    DRAWING.write_text(drawing(arrows()), encoding="utf-8")
    for upper, lower in circular(arrows()):
        sys.stdout.write(f"closes a circle: {upper} imports {lower}\n")
