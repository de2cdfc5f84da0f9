"""The package's own source text as syntax trees, for the tests that read the rules of the house off
it.
"""

import ast
import functools
from pathlib import Path

import cryoposes_plugin

PACKAGE = Path(cryoposes_plugin.__file__).resolve().parent
# In a clone `protocols` is a link to the top-level folder, in an installation it is a real folder.
FILES = sorted(
    path
    for folder in (PACKAGE, PACKAGE / "protocols")
    for path in folder.rglob("*.py")
    if not {"tests", "__pycache__"} & set(path.relative_to(PACKAGE).parts)
)
NAMES = {path.relative_to(PACKAGE).as_posix(): path for path in FILES}
CORE = sorted(name for name in NAMES if name.startswith("core/"))
COMMANDS = sorted(name for name in NAMES if name.startswith("commands/"))


def text_of(name):
    return NAMES[name].read_text(encoding="utf-8")


@functools.lru_cache(maxsize=None)
def tree_of(name):
    return ast.parse(text_of(name))


def absolute_imports(name, tree):
    """(dotted module, line) of every import in the file, at any depth, relative ones made absolute."""
    package = ("cryoposes_plugin/" + name).split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            yield module, node.lineno
            for alias in node.names:  # `from . import conventions` names a module
                yield f"{module}.{alias.name}", node.lineno


def own_imports(name):
    """(path below the package, line) of the package's own modules and folders that a file imports."""
    for module, line in absolute_imports(name, tree_of(name)):
        package, _, rest = module.partition(".")
        path = rest.replace(".", "/")
        if package == "cryoposes_plugin" and rest:
            if f"{path}.py" in NAMES:
                yield f"{path}.py", line
            elif f"{path}/__init__.py" in NAMES:
                yield f"{path}/__init__.py", line


def functions_of(name):
    """Every function and method of a file, nested ones too."""
    return [node for node in ast.walk(tree_of(name)) if isinstance(node, ast.FunctionDef)]


def parameters_of(function, starred=False):
    """The parameters (ast.arg) of a function without self and cls, with *args and **kwargs if
    `starred`.
    """
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    more = [a for a in (arguments.vararg, arguments.kwarg) if a is not None and starred]
    return [a for a in named if a.arg not in ("self", "cls")] + more


def is_public(node):
    return not node.name.startswith("_")
