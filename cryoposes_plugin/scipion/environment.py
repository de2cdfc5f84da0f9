"""The environment variables that Scipion's launcher sets, for a Scipion in this environment."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path


def default_folder() -> Path:
    """Scipion's user data folder, with the projects."""
    return Path(os.environ.get("SCIPION_USER_DATA") or Path.home() / "ScipionUserData")


def set_scipion_environment(folder: Path) -> None:
    """Set the variables for projects in a folder. Other settings of the user are kept.

    Scipion starts runs with SCIPION_PYTHON, by default `python3` on the PATH. Here it is this
    interpreter, which is also put first on the PATH. Call this before pyworkflow is imported.
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
