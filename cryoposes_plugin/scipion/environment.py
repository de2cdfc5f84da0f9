"""What Scipion's launcher would set, where Scipion is installed in this interpreter's own environment."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path


def default_folder() -> Path:
    """Scipion's user data folder, which holds the projects."""
    return Path(os.environ.get("SCIPION_USER_DATA") or Path.home() / "ScipionUserData")


def set_scipion_environment(folder: Path) -> None:
    """For projects in this folder. The user's own settings stay, but for the folder and the interpreter.

    Scipion starts every run as SCIPION_PYTHON, which is `python3` of PATH by default: here it is this interpreter, and
    what is started as `python` finds it too. pyworkflow reads the variables when it is imported: set them before.
    """
    folder = folder.resolve()
    hosts = Path(sysconfig.get_paths()["purelib"]) / "scipion" / "templates" / "hosts.template"
    os.environ["SCIPION_USER_DATA"] = str(folder)
    os.environ["SCIPION_PYTHON"] = sys.executable
    os.environ["PATH"] = os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
    )
    os.environ.setdefault("SCIPION_HOME", str(folder / "scipion"))
    os.environ.setdefault("SCIPION_DOMAIN", "pwem")
    os.environ.setdefault("SCIPION_HOSTS", str(hosts))
    os.environ.setdefault("SCIPION_NOTIFY", "False")
    Path(os.environ["SCIPION_HOME"]).mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
