"""The protocols of Scipion, one per file and one for each command."""

from .protocol_base import ProtCryoposesBase
from .protocol_calibrate import ProtCryoposesCalibrate
from .protocol_compare import ProtCryoposesCompare
from .protocol_consensus import ProtCryoposesConsensus
from .protocol_expand_symmetry import ProtCryoposesExpandSymmetry
from .protocol_filter import ProtCryoposesFilter
from .protocol_forecast import ProtCryoposesForecast
from .protocol_infer import ProtCryoposesInfer
from .protocol_initial_volume import ProtCryoposesInitialVolume
from .protocol_iterate import ProtCryoposesIterate
from .protocol_merge_sets import ProtCryoposesMergeSets
from .protocol_mirror import ProtCryoposesMirror
from .protocol_reconstruct import ProtCryoposesReconstruct
from .protocol_recover import ProtCryoposesRecover
from .protocol_refine import ProtCryoposesRefine
from .protocol_relax_symmetry import ProtCryoposesRelaxSymmetry
from .protocol_simulate import ProtCryoposesSimulate
from .protocol_streaming import ProtCryoposesStreaming
from .protocol_train import ProtCryoposesTrain

__all__ = [
    "ProtCryoposesBase",
    "ProtCryoposesCalibrate",
    "ProtCryoposesCompare",
    "ProtCryoposesConsensus",
    "ProtCryoposesExpandSymmetry",
    "ProtCryoposesFilter",
    "ProtCryoposesForecast",
    "ProtCryoposesInfer",
    "ProtCryoposesInitialVolume",
    "ProtCryoposesIterate",
    "ProtCryoposesMergeSets",
    "ProtCryoposesMirror",
    "ProtCryoposesReconstruct",
    "ProtCryoposesRecover",
    "ProtCryoposesRefine",
    "ProtCryoposesRelaxSymmetry",
    "ProtCryoposesSimulate",
    "ProtCryoposesStreaming",
    "ProtCryoposesTrain",
]
