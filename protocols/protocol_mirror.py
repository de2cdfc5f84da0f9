"""The protocol of `mirror`."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfParticles, Volume, VolumeMask

from cryoposes_plugin.commands.config import Config
from cryoposes_plugin.commands.mirror.config import MirrorConfig
from cryoposes_plugin.core.io.names import HALF1_NAME, HALF2_NAME, MASK_NAME, VOLUME_NAME
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import forms

from .protocol_base import ParticleInput, ProtCryoposesBase


class ProtCryoposesMirror(ProtCryoposesBase):
    """Gives a volume, its half maps and its mask the other hand, and the poses of its particles with
    them.

    The images stay as they are: the mirrored volume at the mirrored poses has the same projections.
    """

    _label = MirrorConfig.title
    _possibleOutputs = {
        "outputVolume": Volume,
        "outputMask": VolumeMask,
        "outputParticles": SetOfParticles,
    }
    CONFIG = MirrorConfig
    PARTICLES = (ParticleInput("particles", "inputParticles", poses=True, images=False),)
    VOLUMES = (("volume", "inputVolume"), ("mask", "inputMask"))

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(form, MirrorConfig, "volume", "Volume", optional=True)
        forms.add_pointer(form, MirrorConfig, "mask", "VolumeMask", optional=True)
        forms.add_pointer(
            form,
            MirrorConfig,
            "particles",
            "SetOfParticles",
            pointer_condition="hasAlignmentProj",
            optional=True,
        )
        forms.add_fields(form, MirrorConfig, "flip")

    def _check(self, config: Config) -> None:
        """The program checks what is left."""

    def _input_paths(self) -> Dict[str, Any]:
        halves = {name: self._volume_path(name) for name in self._halves()}
        return {**super()._input_paths(), **halves}

    def _volume_files(self) -> Dict[str, Any]:
        halves = {self._volume_path(name): half for name, half in self._halves().items()}
        return {**super()._volume_files(), **halves}

    def _halves(self) -> Dict[str, Volume]:
        """The half maps of the volume by option; none if it has none."""
        volume = self._pointed("inputVolume")
        names = [] if volume is None else [n for n in (volume.getHalfMaps() or "").split(",") if n]
        halves: Dict[str, Volume] = {}
        if len(names) == 2:
            for option, name in zip(("half1", "half2"), names):
                halves[option] = Volume(name)
                halves[option].setSamplingRate(volume.getSamplingRate())
        return halves

    def _pixel_size_problems(self) -> List[str]:
        return [] if self._pointed("inputParticles") is None else super()._pixel_size_problems()

    def _create_outputs(self) -> None:
        outputs: Dict[str, Any] = {}
        for name, param, file, kind in (
            ("outputVolume", "inputVolume", VOLUME_NAME, Volume),
            ("outputMask", "inputMask", MASK_NAME, VolumeMask),
        ):
            given = self._pointed(param)
            if given is not None:
                outputs[name] = kind(self._run_file(file))
                outputs[name].setSamplingRate(given.getSamplingRate())
        if self._halves():
            halves = [self._run_file(HALF1_NAME), self._run_file(HALF2_NAME)]
            outputs["outputVolume"].setHalfMaps(halves)
        if self._pointed("inputParticles") is not None:
            outputs["outputParticles"] = self._create_particles()
        self._define(**outputs)

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        return [
            f"Mirrored: {counted(len(metrics['volumes']), 'volume')} and the poses of "
            f"{counted(metrics['particles'], 'particle')}.",
            metrics["statement"],
        ]
