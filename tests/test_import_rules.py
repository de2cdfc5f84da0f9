"""The rules of the house, read off the syntax trees: who may import whom, and what lives in one
place only.
"""

import ast
import importlib.util
import re
import subprocess
import sys

import pytest

from .sources import CORE, NAMES, PACKAGE, absolute_imports, own_imports, text_of, tree_of

#: What each part of the package may import of the rest (everything may import itself).
MAY_IMPORT = {
    "core": set(),
    "commands": {"core"},
    "cli": {"core", "commands"},
    "__main__": {"cli"},
    "constants": set(),
    "bibtex": set(),
    "objects": {"core", "commands", "constants"},
    "plugin": {"core", "commands", "constants", "objects", "bibtex"},
    "scipion": {"core", "commands", "constants", "objects", "plugin"},
    "protocols": {"core", "commands", "constants", "objects", "scipion", "plugin"},
    "viewers": {"core", "commands", "constants", "objects", "scipion", "plugin", "protocols"},
    "wizards": {"core", "commands", "constants", "objects", "scipion", "plugin", "protocols"},
    "main_job": {
        "core",
        "commands",
        "cli",
        "constants",
        "objects",
        "scipion",
        "plugin",
        "protocols",
    },
    "conftest": set(),
    "": {"core", "constants", "plugin", "bibtex"},
}
#: The rooms of the library, lowest first: a room imports from lower floors alone, "" being the
#: modules of core itself.
FLOORS = (
    {""},
    {"geometry"},
    {"fourier"},
    {"io"},
    {"maps"},
    {"particles"},
    {"imaging"},
    {"likelihood"},
    {"networks"},
    {"models"},
    {"training", "refinement", "recovery", "reconstruction"},
    {"abinitio", "pseudosymmetry"},
    {"trust"},
    {"evaluation"},
    {"plots"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: What a command uses of other commands, and why.
BETWEEN_COMMANDS = {
    ("forecast", "filter"): "the simulated set is filtered",
    ("forecast", "infer"): "the poses of the simulated set are estimated",
    ("forecast", "reconstruct"): "the simulated set is reconstructed",
    ("forecast", "train"): "a network is trained for the set",
    ("infer", "refine"): "a network's poses are refined against a volume like given ones",
    ("initial_volume", "iterate"): "the search ends with rounds of refinement",
    ("iterate", "infer"): "the first poses may come from a network",
    ("iterate", "reconstruct"): "every round ends with a reconstruction",
    ("recover", "infer"): "images are prepared for the model as for poses",
    ("recover", "recover_distances"): "rotations are recovered and shown in the same way",
    ("train", "simulate"): "images are simulated with the same inputs",
}
#: The common module that knows every command.
KNOW_ALL_COMMANDS = {"commands/registry.py"}
SCIPION_PACKAGES = {
    "pyworkflow",
    "pwem",
    "relion",
    "cryosparc2",
    "emtable",
    "pyxmipp3",
    "xmippLib",
    "scipion",
}
TENSOR_PACKAGES = {"tensorflow", "keras"}
#: Modules that only tensors need, and so may import TensorFlow when they are imported.
TENSOR_MODULES = re.compile(
    r"core/((networks|models|training)/\w+"
    r"|imaging/(fourier_projector|fourier_volumes|forward_model|transforms)"
    r"|likelihood/(pose_likelihood|on_gpu|shift_scan)"
    r"|refinement/(reference_bank|whitened_images|shift_\w+))\.py"
    r"|commands/(train|infer|recover|iterate)/\w+\.py"
)
#: Modules that may import it inside a function.
TENSOR_USERS = re.compile(
    r"(core/(networks|models|training|imaging|likelihood|refinement)/\w+|core/fourier/slices|commands/\w+/\w+)\.py"
)
#: What Scipion imports to show the plugin, on whatever Python Scipion runs.
GUI_FILES = re.compile(
    r"(plugin|objects|constants|commands/(registry|config|(chunked|comparison|imaging|recovery|refinement)_config|mask_input|plausibility|needs|pace)"
    r"|commands/(recover|initial_volume)/checks|commands/\w+/(config|needs)|commands/train/(presets|recipe)"
    r"|core/errors|core/needs|core/types|core/quantities|core/particles/plausibility|core/imaging/settings"
    r"|core/(networks|training)/choices|core/training/recipe|(protocols|scipion|viewers|wizards)/\w+)\.py"
)
#: The STAR file's reader and writer, and the conversion of Scipion's sets (whose attributes carry
#: RELION's names).
STAR_OWNERS = {
    "core/io/star_labels.py",
    "core/io/star_optics.py",
    "core/io/star_reader.py",
    "scipion/convert.py",
    "scipion/optics.py",
    "constants.py",
}


def part_of(dotted):
    """The first level below the package that a dotted module lies in; None outside the package, ''
    for the package.
    """
    levels = dotted.split(".")
    if levels[0] != "cryoposes_plugin":
        return None
    if len(levels) == 1:
        return ""
    return (
        levels[1]
        if (PACKAGE / levels[1]).is_dir() or (PACKAGE / f"{levels[1]}.py").exists()
        else ""
    )


def at_import_time(tree):
    """Import nodes that run when the module is imported: those outside functions and outside `if
    TYPE_CHECKING`.
    """
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            pending += [
                child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)
            ]


def test_the_files_were_found():
    assert len(CORE) > 20
    assert any(name.startswith("protocols/protocol") for name in NAMES)
    assert any(name.startswith("cli/") for name in NAMES)


def test_the_reader_of_imports_sees_relative_and_nested_imports():
    tree = ast.parse(
        "from ..core import conventions\ndef f():\n    import tensorflow as tf\nfrom . import "
        "arguments"
    )
    found = {module for module, _ in absolute_imports("cli/infer.py", tree)}
    assert {
        "cryoposes_plugin.core.conventions",
        "tensorflow",
        "cryoposes_plugin.cli.arguments",
    } <= found
    assert part_of("cryoposes_plugin.core.conventions") == "core"
    assert part_of("numpy") is None
    assert len(list(at_import_time(tree))) == 2


def room_of(name):
    """The room of core that a file lies in, "" for core itself; None outside core."""
    levels = name.split("/")
    if levels[0] != "core":
        return None
    return levels[1] if len(levels) > 2 else ""


def command_of(name):
    """The command that a file is of; None for common modules and outside commands."""
    levels = name.split("/")
    return levels[1] if levels[0] == "commands" and len(levels) > 2 else None


def test_every_room_has_a_floor():
    assert {room_of(name) for name in CORE} == set(FLOOR_OF)


@pytest.mark.parametrize("name", CORE)
def test_rooms_of_the_library_import_downwards(name):
    own = room_of(name)
    wrong = [
        f"line {line}: {imported}"
        for imported, line in own_imports(name)
        if imported != "core/__init__.py"
        and room_of(imported) not in (None, own)
        and FLOOR_OF[room_of(imported)] >= FLOOR_OF[own]
    ]
    assert not wrong


@pytest.mark.parametrize("name", [name for name in sorted(NAMES) if name.startswith("commands/")])
def test_commands_use_one_another_only_where_that_has_a_reason(name):
    own = command_of(name)
    others = {
        (own, command_of(imported)): line
        for imported, line in own_imports(name)
        if command_of(imported) not in (None, own)
    }
    if own is None:
        assert name in KNOW_ALL_COMMANDS or not others
    else:
        assert not set(others) - set(BETWEEN_COMMANDS)


def test_commands_listed_as_using_others_do():
    used = {
        (command_of(name), command_of(imported))
        for name in NAMES
        for imported, _ in own_imports(name)
    }
    assert not set(BETWEEN_COMMANDS) - used


def test_no_two_commands_use_each_other():
    above = {
        upper: {low for up, low in BETWEEN_COMMANDS if up == upper} for upper, _ in BETWEEN_COMMANDS
    }
    while above:
        ready = {upper for upper in above if not above[upper] & set(above)}
        assert ready, f"a circle among {sorted(above)}"
        above = {upper: low for upper, low in above.items() if upper not in ready}


@pytest.mark.parametrize("name", CORE)
def test_the_library_knows_no_config_and_no_run_directory(name):
    """No class of theirs, and none of the library's own that is called so."""
    named = re.findall(r"\b(\w*Config|RunDirectory)\b", text_of(name))
    assert named == []


def test_the_drawing_of_the_rooms_shows_the_imports():
    path = PACKAGE.parent / "docs" / "layers.py"
    if not path.exists():
        pytest.skip("the tests run from an installed package, not from a clone")
    spec = importlib.util.spec_from_file_location("layers", path)
    layers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(layers)
    ours = {
        (f"core/{room_of(name)}".rstrip("/"), f"core/{room_of(imported)}".rstrip("/"))
        for name in CORE
        for imported, _ in own_imports(name)
        if room_of(imported) not in (None, room_of(name)) and imported != "core/__init__.py"
    }
    theirs = {pair for pair in layers.arrows() if all(room.startswith("core") for room in pair)}
    assert theirs == ours
    assert layers.circular(layers.arrows()) == []
    assert layers.DRAWING.read_text(encoding="utf-8") == layers.drawing(layers.arrows())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_imports_point_one_way(name):
    own = part_of(
        "cryoposes_plugin."
        + name.removesuffix(".py").replace("/", ".").removesuffix("__init__").rstrip(".")
    )
    allowed = MAY_IMPORT[own] | {own}
    wrong = [
        f"line {line}: {module}"
        for module, line in absolute_imports(name, tree_of(name))
        if part_of(module) not in (None, "") and part_of(module) not in allowed
    ]
    assert not wrong, f"{name} may import {sorted(allowed)} only"


@pytest.mark.parametrize(
    "name", sorted(n for n in NAMES if n.startswith(("core/", "commands/", "cli/")))
)
def test_the_core_and_the_program_know_nothing_of_scipion(name):
    wrong = [
        f"line {line}: {module}"
        for module, line in absolute_imports(name, tree_of(name))
        if module.split(".")[0] in SCIPION_PACKAGES
    ]
    assert not wrong


@pytest.mark.parametrize("name", sorted(NAMES))
def test_tensorflow_is_imported_only_where_tensors_are_needed(name):
    tree = tree_of(name)
    anywhere = [m for m, _ in absolute_imports(name, tree) if m.split(".")[0] in TENSOR_PACKAGES]
    early = [
        ast.unparse(node)
        for node in at_import_time(tree)
        if re.search(r"\b(tensorflow|keras)\b", ast.unparse(node))
    ]
    assert not anywhere or TENSOR_USERS.fullmatch(name), f"{name} is no place for {anywhere}"
    assert not early or TENSOR_MODULES.fullmatch(name), (
        f"{name} must import it inside a function: {early}"
    )


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"core/conventions.py"}))
def test_angles_are_converted_in_conventions_alone(name):
    for node in ast.walk(tree_of(name)):
        word = (
            node.attr
            if isinstance(node, ast.Attribute)
            else node.id
            if isinstance(node, ast.Name)
            else ""
        )
        assert word not in ("from_euler", "as_euler", "euler_matrix", "euler_from_matrix"), (
            f"line {node.lineno}: {word}"
        )
        assert not (
            isinstance(node, ast.Constant) and node.value in ("ZYZ", "zyz", "sxyz", "szyz")
        ), f"line {node.lineno}"


@pytest.mark.parametrize("name", sorted(set(NAMES) - STAR_OWNERS))
def test_star_labels_are_used_in_the_two_converters_alone(name):
    """A label as a key; a sentence that names one (an error message) is no use of it."""
    labels = [
        f"line {node.lineno}: {node.value}"
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch("_?rln[A-Z]\\w*", node.value)
    ]
    assert not labels


@pytest.mark.parametrize("name", [name for name in sorted(NAMES) if GUI_FILES.fullmatch(name)])
def test_what_scipions_gui_imports_is_plain_enough_for_python_3_8(name):
    tree = ast.parse(text_of(name), feature_version=(3, 8))
    newer = {"removeprefix", "removesuffix", "pairwise", "is_relative_to"}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & newer
    assert not used
    annotated = any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(tree))
    postponed = "from __future__ import annotations" in text_of(name)
    assert postponed or not annotated, "annotations must not be evaluated"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_no_print_no_pickle_no_assert_for_validation(name):
    tree = tree_of(name)
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), (
            f"line {node.lineno}: raise an error of core.errors"
        )
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), (
            f"line {node.lineno}: bare except"
        )
        called = (
            node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        )
        assert called != "print" or name.startswith("main_job/"), (
            f"line {node.lineno}: use a logger"
        )
    assert not {"pickle", "dill", "joblib"} & {
        m.split(".")[0] for m, _ in absolute_imports(name, tree)
    }


def modules_after(statement):
    """The top-level modules that a fresh interpreter holds after the statement."""
    listing = "' '.join(sorted(m for m in sys.modules if '.' not in m))"
    code = f"{statement}; import sys; sys.stdout.write('\\nMODULES ' + {listing})"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return set(result.stdout.rsplit("MODULES ", 1)[1].split())


def test_importing_the_core_and_the_parser_loads_neither_scipion_nor_tensorflow():
    loaded = modules_after(
        "import cryoposes_plugin.commands.registry, cryoposes_plugin.core.conventions, "
        "cryoposes_plugin.core.io.particle_files;import cryoposes_plugin.cli.main as m; m.make_parser()"
    )
    assert "numpy" in loaded
    assert not loaded & {"pyworkflow", "pwem", "tensorflow", "keras", "matplotlib", "astra"}


def test_what_scipions_gui_imports_does_not_load_tensorflow():
    loaded = modules_after(
        "import cryoposes_plugin, cryoposes_plugin.protocols, cryoposes_plugin.plugin, "
        "cryoposes_plugin.objects, cryoposes_plugin.viewers"
    )
    assert "pyworkflow" in loaded
    assert not loaded & {"tensorflow", "keras", "astra"}
