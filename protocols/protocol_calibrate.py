"""The protocol *check calibration*."""

from __future__ import annotations

from typing import Any, Dict, List

from cryoposes_plugin.commands.calibrate.config import CalibrateConfig
from cryoposes_plugin.core.values import counted

from .protocol_base import ParticleInput
from .protocol_comparison import ProtCryoposesComparison


class ProtCryoposesCalibrate(ProtCryoposesComparison):
    """Checks whether expected errors and probabilities of a set are right.

    They are compared with the true poses of the particles, or, where these are unknown, with a
    second, independent estimate. The results are pictures, a report, and the sentences of the
    summary.
    """

    _label = CalibrateConfig.title
    CONFIG = CalibrateConfig
    PARTICLES = (
        ParticleInput("particles", "inputParticles", poses=True, images=False),
        ParticleInput("truth", "inputTruth", poses=True, images=False),
        ParticleInput("other", "inputOther", poses=True, images=False),
    )

    def _defineParams(self, form):
        self._define_comparison(form, optional=("truth", "other"))

    def _input_problems(self) -> List[str]:
        second = "inputTruth" if self._pointed("inputTruth") is not None else "inputOther"
        return super()._input_problems() or self._common_problems("inputParticles", second)

    def _create_outputs(self) -> None:
        """Pictures and report are all."""

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        return [f"{counted(metrics['particles'], 'particle')}.", metrics["verdict"]]
