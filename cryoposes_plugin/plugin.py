"""The plugin as Scipion sees it: its variables, its environment and the command line of the compute program."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import shlex
import sys
from typing import List, Optional

import pwem
from pyworkflow import SPA, Config, VarTypes
from pyworkflow.utils import Environ

from .constants import (
    COMPUTE_REQUIREMENTS,
    CRYOPOSES_ENV_ACTIVATION,
    CRYOPOSES_HOME,
    CRYOPOSES_PYTHON,
    CUDA_REQUIREMENT,
    NVIDIA_DRIVER,
    PACKAGE_NAME,
    VERSION,
)
from .core.progress import PROGRESS_TO
from .core.scores import COLUMNS

logger = logging.getLogger(__name__)

PACKAGE_FOLDER = os.path.dirname(os.path.abspath(__file__))
_GUIDE = os.path.join(os.path.dirname(PACKAGE_FOLDER), "docs", "user_guide.md")
_XMIPP_VIEWER = "pwem.viewers.DataViewer"


class Plugin(pwem.Plugin):
    """The compute program runs in the interpreter that runs Scipion, unless the variables name another environment.

    Where that interpreter has no TensorFlow, the environment that `scipion installb cryoposes` built is taken.
    """

    _homeVar = CRYOPOSES_HOME
    #: Of the documentation, shown by the forms' button Help; empty where the plugin runs from no clone.
    _url = f"file://{_GUIDE}" if os.path.exists(_GUIDE) else ""
    _pathVars: List[str] = []
    _supportedVersions = [VERSION]
    _processingField = [SPA]

    @classmethod
    def _defineVariables(cls):
        keep_columns_in_relion()
        prefer_viewers_that_work()
        cls._defineEmVar(CRYOPOSES_HOME, f"{PACKAGE_NAME}-{VERSION}")
        cls._defineVar(
            CRYOPOSES_ENV_ACTIVATION,
            "",
            var_type=VarTypes.STRING,
            description="Shell command that activates the environment of the compute program (such as 'conda activate "
            "tf' or 'module load tensorflow'). Empty: the environment that runs Scipion.",
        )
        cls._defineVar(
            CRYOPOSES_PYTHON,
            "",
            var_type=VarTypes.STRING,
            description="Python interpreter of the compute program. Empty: 'python' of the activated environment, "
            "else the interpreter that runs Scipion.",
        )

    @classmethod
    def getEnviron(cls):
        """Environment variables of the compute program."""
        environ = Environ(os.environ)
        environ.set("PYTHONUNBUFFERED", "1")
        environ.set(
            PROGRESS_TO, "stdout"
        )  # Scipion's output log; errors are looked for in the other one
        return environ

    @classmethod
    def getComputeEnviron(cls, linkFolder: str):
        """Variables of the program; in another environment PYTHONPATH holds this package alone, linked in `linkFolder`.

        The folder this package lies in may be Scipion's site-packages, which must not leak into the other environment.
        """
        environ = cls.getEnviron()
        if cls.runsInScipionEnvironment():
            return environ
        os.makedirs(linkFolder, exist_ok=True)
        link = os.path.join(linkFolder, os.path.basename(PACKAGE_FOLDER))
        if os.path.realpath(link) != os.path.realpath(PACKAGE_FOLDER):
            if os.path.lexists(link):
                os.remove(link)
            os.symlink(PACKAGE_FOLDER, link)
        environ.set("PYTHONPATH", os.path.abspath(linkFolder))
        environ.set("PYTHONNOUSERSITE", "1")
        return environ

    @classmethod
    def getProgram(cls) -> str:
        """The shell words before the command: activation, interpreter, `-m cryoposes_plugin`."""
        module = f"-m {os.path.basename(PACKAGE_FOLDER)}"
        activation = (cls.getVar(CRYOPOSES_ENV_ACTIVATION) or "").strip().rstrip("&; ")
        if activation:
            conda = cls.getCondaActivationCmd() or "" if "conda" in activation else ""
            return f"{conda} {activation} && {shlex.quote(cls.getVar(CRYOPOSES_PYTHON) or 'python')} {module}".strip()
        return f"{shlex.quote(cls._getPython())} {module}"

    @classmethod
    def runsInScipionEnvironment(cls) -> bool:
        return not cls.getVar(CRYOPOSES_ENV_ACTIVATION) and cls._getPython() == sys.executable

    @classmethod
    def _getPython(cls) -> str:
        chosen, built = cls.getVar(CRYOPOSES_PYTHON), cls._getBuiltPython()
        if chosen:
            return os.path.expanduser(chosen)
        return built if built and not has_tensorflow() else sys.executable

    @classmethod
    def _getBuiltPython(cls) -> Optional[str]:
        path = cls.getHome("env", "bin", "python")
        return path if path and os.path.exists(path) else None

    @classmethod
    def validateInstallation(cls) -> List[str]:
        """One sentence if the program has no interpreter to run in."""
        if cls.getVar(CRYOPOSES_ENV_ACTIVATION):
            return []
        chosen = cls.getVar(CRYOPOSES_PYTHON)
        if chosen and not os.path.exists(os.path.expanduser(chosen)):
            return [
                f"{CRYOPOSES_PYTHON} is {chosen}, which does not exist; correct it in Scipion's configuration."
            ]
        if not chosen and not has_tensorflow() and not cls._getBuiltPython():
            return [
                f"{sys.executable} has no TensorFlow; run 'scipion installb {PACKAGE_NAME}', or set "
                f"{CRYOPOSES_ENV_ACTIVATION} to an environment that has it."
            ]
        return []

    @classmethod
    def defineBinaries(cls, env):
        """An environment of its own for the compute program, made by venv (no conda) from a Python 3.10 to 3.12."""
        find = (
            "for p in python3.11 python3.12 python3.10 python3; do if $p -c 'import sys, venv, ensurepip; "
            "sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; "
            "then $p -m venv --clear env && exit 0; fi; "
            "done; echo 'No Python 3.10, 3.11 or 3.12 with venv was found; install one.'; exit 1"
        )
        packages = " ".join(shlex.quote(requirement) for requirement in compute_requirements())
        install = f"env/bin/python -m pip install {packages} && touch requirements_installed"
        env.addPackage(
            PACKAGE_NAME,
            PROGRESS_TO,
            version=VERSION,
            tar="void.tgz",
            default=not has_tensorflow(),
            commands=[(find, "env/bin/python"), (install, "requirements_installed")],
        )


def keep_columns_in_relion() -> bool:
    """Add our columns to the extra labels that scipion-em-relion passes on, in place; whether it has such a list.

    Its export, import and refinement then keep them as STAR columns of their own; RELION keeps what it does not know.
    """
    if importlib.util.find_spec("relion") is None:
        return False
    try:
        labels = importlib.import_module("relion.constants").PARTICLE_EXTRA_LABELS
    except (ImportError, AttributeError) as error:
        logger.warning("Scores of poses will not pass through RELION's protocols: %s", error)
        return False
    labels.extend(name for name in COLUMNS if name not in labels)
    return True


def prefer_viewers_that_work() -> bool:
    """Where Xmipp is not installed, its viewer of volumes is no longer preferred, in place; whether it was.

    Scipion prefers it whether it is there or not, and without it opening any volume fails. What is left comes in
    Scipion's own order: ours, after ChimeraX where that is installed.
    """
    preferring = [
        kind for kind in ("Volume", "VolumeMask") if _XMIPP_VIEWER in Config.VIEWERS.get(kind, [])
    ]
    if not preferring or xmipp_is_installed():
        return False
    for kind in preferring:
        Config.VIEWERS[kind].remove(_XMIPP_VIEWER)
    return True


def xmipp_is_installed() -> bool:
    """Its plugin and its programs in Java."""
    programs = os.path.join(pwem.Config.XMIPP_HOME or "", "bindings", "java")
    return importlib.util.find_spec("xmipp3") is not None and os.path.isdir(programs)


def compute_requirements() -> List[str]:
    """What to install for the compute program, with CUDA's libraries where this machine has an NVIDIA GPU."""
    if not os.path.exists(NVIDIA_DRIVER):
        return list(COMPUTE_REQUIREMENTS)
    return [CUDA_REQUIREMENT if r.startswith("tensorflow==") else r for r in COMPUTE_REQUIREMENTS]


def has_tensorflow() -> bool:
    """Whether this interpreter could import TensorFlow (which is not imported for it)."""
    return importlib.util.find_spec("tensorflow") is not None


# pyworkflow takes the plugin's name and folder from the module of its class.
Plugin.__module__ = __package__
