"""The plugin as Scipion sees it: its variables, environment, and how the program is started."""

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
    """The program runs in Scipion's interpreter, unless the variables name another environment.

    If Scipion's interpreter has no TensorFlow, the program runs in the environment that
    `scipion installb cryoposes` has built.
    """

    _homeVar = CRYOPOSES_HOME
    #: Address of the user guide, shown by the Help button of the forms; empty outside a clone.
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
            description="Shell command that activates the environment of the program, for example "
            "'conda activate tf' or 'module load tensorflow'. If empty, the environment "
            "of Scipion is used.",
        )

        cls._defineVar(
            CRYOPOSES_PYTHON,
            "",
            var_type=VarTypes.STRING,
            description="Python interpreter of the program. If empty, 'python' of the activated "
            "environment is used, or the interpreter of Scipion.",
        )

    @classmethod
    def getEnviron(cls):
        """Environment variables of the program."""
        environ = Environ(os.environ)
        environ.set("PYTHONUNBUFFERED", "1")
        # Progress goes to Scipion's output log, because errors are searched in the other one.
        environ.set(PROGRESS_TO, "stdout")
        return environ

    @classmethod
    def getComputeEnviron(cls, linkFolder: str):
        """Environment variables of the program in its own environment.

        In another environment than Scipion's, PYTHONPATH is `linkFolder`, with a link to this
        package alone: its own folder may be Scipion's site-packages, which must not be visible.
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
        """Shell command of the program: activation, interpreter, `-m cryoposes_plugin`."""
        module = f"-m {os.path.basename(PACKAGE_FOLDER)}"
        activation = (cls.getVar(CRYOPOSES_ENV_ACTIVATION) or "").strip().rstrip("&; ")
        if activation:
            conda = cls.getCondaActivationCmd() or "" if "conda" in activation else ""
            python = shlex.quote(cls.getVar(CRYOPOSES_PYTHON) or "python")
            return f"{conda} {activation} && {python} {module}".strip()
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
        """A sentence if there is no interpreter that can run the program."""
        if cls.getVar(CRYOPOSES_ENV_ACTIVATION):
            return []
        chosen = cls.getVar(CRYOPOSES_PYTHON)
        if chosen and not os.path.exists(os.path.expanduser(chosen)):
            return [
                f"{CRYOPOSES_PYTHON} is {chosen}, which does not exist; correct it in the "
                "configuration of Scipion."
            ]
        if not chosen and not has_tensorflow() and not cls._getBuiltPython():
            return [
                f"TensorFlow is not installed in {sys.executable}; run 'scipion installb "
                f"{PACKAGE_NAME}', or set {CRYOPOSES_ENV_ACTIVATION} to an environment with "
                "TensorFlow."
            ]
        return []

    @classmethod
    def defineBinaries(cls, env):
        """An environment for the program, made by venv (without conda) from Python 3.10 to 3.12."""
        find = (
            "for p in python3.11 python3.12 python3.10 python3; do if $p -c 'import sys, venv, "
            "ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; "
            "then $p -m venv --clear env && exit 0; fi; done; echo 'No Python 3.10, 3.11 or 3.12 "
            "with venv was found; install one.'; exit 1"
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
    """Add the columns of this program to those that scipion-em-relion passes on.

    Its import, export and refinement then keep the columns, and so does RELION. Returns whether
    scipion-em-relion has such a list.
    """
    if importlib.util.find_spec("relion") is None:
        return False
    try:
        labels = importlib.import_module("relion.constants").PARTICLE_EXTRA_LABELS
    except (ImportError, AttributeError) as error:
        logger.warning("Scores will be lost in the protocols of RELION: %s", error)
        return False
    labels.extend(name for name in COLUMNS if name not in labels)
    return True


def prefer_viewers_that_work() -> bool:
    """Stop preferring Xmipp's volume viewer if Xmipp is not installed; returns whether it was
    preferred.

    Scipion prefers that viewer in any case, and without Xmipp no volume can be opened. The other
    viewers stay in Scipion's order: ChimeraX if it is installed, then the one of this plugin.
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
    """Whether the plugin and the Java programs of Xmipp are installed."""
    programs = os.path.join(pwem.Config.XMIPP_HOME or "", "bindings", "java")
    return importlib.util.find_spec("xmipp3") is not None and os.path.isdir(programs)


def compute_requirements() -> List[str]:
    """Packages that the program needs; with the CUDA libraries if there is an NVIDIA GPU."""
    if not os.path.exists(NVIDIA_DRIVER):
        return list(COMPUTE_REQUIREMENTS)
    return [CUDA_REQUIREMENT if r.startswith("tensorflow==") else r for r in COMPUTE_REQUIREMENTS]


def has_tensorflow() -> bool:
    """Whether this interpreter has TensorFlow, which is not imported to find out."""
    return importlib.util.find_spec("tensorflow") is not None


# pyworkflow takes name and folder of the plugin from the module of this class.
Plugin.__module__ = __package__
