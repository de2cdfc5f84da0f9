"""The scene of the tests of refinement, in a smaller number of images."""

from ..refinement.conftest import scene

__all__ = ("scene",)
