"""Public names of a package whose modules are costly to import, or need one another."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Callable, List, Mapping, Tuple


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> Tuple[Callable[[str], Any], Callable[[], List[str]], Tuple[str, ...]]:
    """The package's `__getattr__`, `__dir__` and `__all__`: a module is imported when one of its
    names is used (PEP 562).

    package : `__name__` of the package. modules : the module that each public name is in.
    """
    public = tuple(sorted(modules))

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get, lambda: list(public), public
