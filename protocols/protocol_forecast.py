"""The protocol of `forecast`."""

from __future__ import annotations

from typing import Any, Dict, List

from cryoposes_plugin.commands.config import FORECAST, Config
from cryoposes_plugin.commands.forecast.config import ForecastConfig
from cryoposes_plugin.commands.forecast.names import TRAINING_NAME
from cryoposes_plugin.core.io.names import MODEL_NAME
from cryoposes_plugin.objects import PoseModel
from cryoposes_plugin.scipion import convert, forms

from .protocol_base import ParticleInput, ProtCryoposesBase
from .protocol_train import pose_model


class ProtCryoposesForecast(ProtCryoposesBase):
    """Forecasts what can be reached with a set of particles, before days are spent on it.

    Images like those of the set are simulated from the map, with the CTFs, noise, amplitude and
    views of the set, and go through training, estimation, filter and reconstruction. As their true
    poses are known, the report says which errors, which resolution and which threshold to expect,
    and how many images a wanted resolution needs.
    """

    _label = ForecastConfig.title
    _possibleOutputs = {"outputModel": PoseModel}
    CONFIG = ForecastConfig
    PARTICLES = (ParticleInput("particles", "inputParticles"),)
    VOLUMES = (("volume", "inputVolume"),)

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(form, ForecastConfig, "particles", "SetOfParticles")
        forms.add_pointer(form, ForecastConfig, "volume", "Volume")
        forms.add_pointer(form, ForecastConfig, "model", "PoseModel", optional=True)
        forms.add_fields(form, ForecastConfig, "symmetry")
        forms.add_fields(form, ForecastConfig, "minutes", condition="inputModel is None")
        forms.add_group(form, ForecastConfig, FORECAST)
        forms.add_computation(form, ForecastConfig)

    def _input_paths(self) -> Dict[str, Any]:
        model = self.inputModel.get()
        return {**super()._input_paths(), **({} if model is None else {"model": model.getFolder()})}

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry

        parse_symmetry(config.symmetry)
        if config.model is not None:
            convert.check_gives_poses(
                config.model, self.inputParticles.get(), forms.label_of(self.CONFIG, "particles")
            )

    def _create_outputs(self) -> None:
        """The network, if one was trained."""
        if self.inputModel.get() is None:
            self._define(outputModel=pose_model(self._run_file(MODEL_NAME, TRAINING_NAME)))

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        return metrics["notes"]
