"""Sphinx: Markdown pages and the docstrings of `core`, warnings as errors. `make docs` builds
build/docs.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from cryoposes_plugin import __version__  # noqa: E402

project = "scipion-em-cryoposes"
release = version = __version__
copyright = "the authors of scipion-em-cryoposes"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", ".*")
]  # signatures name types of NumPy and of the standard library

html_theme = "furo"
html_logo = "../cryoposes_plugin/logo.png"
html_title = f"{project} {release}"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}


def as_written(app, what, name, obj, options, lines):
    """The docstrings are plain text with formulas: they are shown as they stand, not read as
    markup.
    """
    text = list(lines)
    lines[:] = (
        ["::", "", *(f"   {line}" for line in text), ""]
        if any(line.strip() for line in text)
        else []
    )


def setup(app):
    app.connect("autodoc-process-docstring", as_written)
