"""Scipion plugin that learns the orientations of cryo-EM particles and says how sure it is of each
one.

Scipion asks this module for `Plugin`; nothing of Scipion is imported before, so that
`cryoposes_plugin.core` and the program `cryoposes` work without it.
"""

__version__ = "0.1.0"
_logo = "logo.png"
_references = ["Banjac2021", "Lian2022", "Chung2023"]


def __getattr__(name):
    if name == "Plugin":
        from .plugin import Plugin

        globals()["Plugin"] = Plugin
        return Plugin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
