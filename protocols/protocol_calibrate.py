"""The protocol *check calibration*."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List

from cryoposes_plugin.commands.calibrate.config import CalibrateConfig
from cryoposes_plugin.commands.config import COMPARISON, COMPUTATION, Config
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import forms

from .protocol_base import ParticleInput, ProtCryoposesBase


class ProtCryoposesCalibrate(ProtCryoposesBase):
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
        form.addSection(label="Input")
        for field in ("particles", "truth", "other"):
            forms.add_pointer(
                form,
                CalibrateConfig,
                field,
                "SetOfParticles",
                pointer_condition="hasAlignmentProj",
                optional=field != "particles",
            )
        forms.add_group(form, CalibrateConfig, COMPARISON)
        forms.add_group(form, CalibrateConfig, COMPUTATION)

    def _input_problems(self) -> List[str]:
        second = "inputTruth" if self._pointed("inputTruth") is not None else "inputOther"
        return super()._input_problems() or self._common_problems("inputParticles", second)

    def _make_config(self) -> Config:
        """In Scipion particles are matched by id, whichever files their images are in."""
        return dataclasses.replace(super()._make_config(), join_by="id")

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry

        parse_symmetry(config.symmetry)

    def _create_outputs(self) -> None:
        """Pictures and report are all."""

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        return [f"{counted(metrics['particles'], 'particle')}.", metrics["verdict"]]
