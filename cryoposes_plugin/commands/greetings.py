"""Hides the messages that TensorFlow writes to stderr when it is imported, also from C++."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from typing import Any, Iterator


@contextmanager
def tensorflow_without_greetings() -> Iterator[None]:
    """In this block, importing TensorFlow writes nothing."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Finds TensorFlow as Python does, and imports it silently."""

    def find_spec(self, fullname, path, target=None):
        spec = PathFinder.find_spec(fullname, path, target) if fullname == "tensorflow" else None
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            loader.exec_module = _hushed(loader.exec_module)
        return spec


def _hushed(load):
    def exec_module(module) -> None:
        with hushed():
            load(module)

    return exec_module


@contextmanager
def hushed() -> Iterator[None]:
    """Show what the block writes to stderr, also from C++, only if the block fails."""
    try:
        kept, screen = os.memfd_create("stderr"), os.dup(2)
    except (AttributeError, OSError):  # not Linux, or no stderr
        yield
        return

    os.dup2(kept, 2)
    failed = True

    try:
        yield
        failed = False
    finally:
        os.dup2(screen, 2)
        if failed:
            os.lseek(kept, 0, os.SEEK_SET)
            os.write(2, os.read(kept, 2**20))
        os.close(kept)
        os.close(screen)
