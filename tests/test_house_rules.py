"""Names, signatures, docstrings and layout: what holds for every function and class of the package."""

import ast
import collections
import re

import pytest

from .sources import (
    COMMANDS,
    CORE,
    NAMES,
    functions_of,
    is_public,
    parameters_of,
    text_of,
    tree_of,
)

#: Lines of a function, without its docstring, from which on it has a blank line inside.
LONG = 15
FILES_IN_A_FOLDER = 21
#: File -> why types are ignored there.
TYPE_IGNORES = {
    "core/plots/directions.py": "stubs of NumPy know histogram2d with numbers of bins alone",
}
#: Functions of one name that do the same.
SAME_MEANING = {"nearest_equivalent": "of arrays in core.geometry, of tensors in core.training"}
#: Classes of one name that mean the same.
SAME_CLASSES = {"PoseModel": "a trained network in core.models, and as an object of Scipion"}
#: Every command has these, and those with long work `needs`.
OF_EACH_COMMAND = {"check", "run", "pictures", "needs"}


@pytest.mark.parametrize("name", sorted({name.rpartition("/")[0] for name in CORE}))
def test_a_folder_of_the_library_can_be_overlooked(name):
    inside = [n for n in CORE if n.rpartition("/")[0] == name and not n.endswith("__init__.py")]
    assert len(inside) <= FILES_IN_A_FOLDER


def named(kind, names):
    """Public name -> files that define a class or a function of that name at their top level."""
    found = collections.defaultdict(list)
    for name in names:
        for node in tree_of(name).body:
            if isinstance(node, kind) and is_public(node):
                found[node.name].append(name)
    return found


def test_no_two_public_classes_have_one_name():
    classes = named(ast.ClassDef, sorted(NAMES)).items()
    assert {name for name, files in classes if len(files) > 1} == set(SAME_CLASSES)


def test_no_two_public_functions_of_the_library_have_one_name():
    shared = {name for name, files in named(ast.FunctionDef, CORE).items() if len(files) > 1}
    assert shared == set(SAME_MEANING)


def test_functions_of_one_name_belong_to_different_commands():
    """`infer.inputs.read_inputs` and `refine.inputs.read_inputs`: the command's folder tells them
    apart.
    """
    for function, files in named(ast.FunctionDef, CORE + COMMANDS).items():
        folders = {name.rpartition("/")[0] for name in files}
        if len(files) > 1 and function not in OF_EACH_COMMAND | set(SAME_MEANING):
            assert len(folders) == len(files), f"{function} in {files}"
            assert all(re.fullmatch(r"commands/\w+", folder) for folder in folders), (
                f"{function} in {files}"
            )


@pytest.mark.parametrize("name", CORE)
def test_every_parameter_of_the_library_is_annotated(name):
    bare = {
        f"line {function.lineno}: {function.name}": names
        for function in functions_of(name)
        if (names := [a.arg for a in parameters_of(function, starred=True) if not a.annotation])
    }
    assert not bare


@pytest.mark.parametrize("name", CORE + COMMANDS)
def test_functions_of_four_parameters_explain_each(name):
    """Public functions and methods; a parameter is explained where the docstring names it."""
    silent = {}
    for function in functions_of(name):
        names = [a.arg for a in parameters_of(function)]
        if is_public(function) and len(names) >= 4:
            docstring = ast.get_docstring(function) or ""
            missing = [n for n in names if not re.search(rf"\b{n}\b", docstring)]
            if missing:
                silent[f"line {function.lineno}: {function.name}"] = missing
    assert not silent


@pytest.mark.parametrize("name", CORE + COMMANDS)
def test_longer_functions_are_divided_by_blank_lines(name):
    lines = text_of(name).splitlines()
    bricks = []
    for function in functions_of(name):
        statements = function.body[1 if ast.get_docstring(function) else 0 :]
        if statements:
            inside = lines[statements[0].lineno - 1 : function.end_lineno]
            if len(inside) > LONG and all(line.strip() for line in inside):
                bricks.append(f"line {function.lineno}: {function.name}, {len(inside)} lines")
    assert not bricks


def test_types_are_ignored_only_with_a_reason():
    ignored = {name for name in CORE + COMMANDS if "type: ignore" in text_of(name)}
    assert ignored == set(TYPE_IGNORES)
