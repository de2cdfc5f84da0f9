"""Simulate projections."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import Config
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.core.io.names import PARTICLES_NAME
from cryoposes_plugin.core.words import counted
from cryoposes_plugin.scipion import convert, forms, results

from .protocol_base import ParticleInput, ProtCryoposesBase


class ProtCryoposesSimulate(ProtCryoposesBase):
    """Makes projections of one or several volumes with known poses: y = C S P x + n, with CTF C, shift S and noise n.

    The images can take CTFs, acquisition, box and pixel size of an existing particle set, and poses of another one. The
    result carries all that RELION and cryoSPARC ask for.
    """

    _label = "simulate projections"
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = SimulateConfig
    PARTICLES = (
        ParticleInput("like", "inputLike", images=False),
        ParticleInput("orientations_from", "inputPoses", poses=True, images=False),
    )

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_volumes(
            form,
            "Volumes to project. Several make a mixture in equal parts; the class id of a particle says which "
            "one it shows.",
        )
        forms.add_pointer(
            form,
            "like",
            "SetOfParticles",
            "Optional. Particles whose CTFs, acquisition, box and pixel size are taken; their poses are not used.",
            optional=True,
            name="inputLike",
        )
        forms.add_fields(form, SimulateConfig, "number", "box_size_px", "pixel_size_angstrom")
        forms.add_fields(form, SimulateConfig, "resolution_angstrom", "assembly")
        form.addSection(label="Poses")
        forms.add_fields(form, SimulateConfig, "orientations")
        forms.add_pointer(
            form,
            "orientations_from",
            "SetOfParticles",
            "Particles whose poses are taken, in their order and over again.",
            name="inputPoses",
            condition=_orientations("particles"),
            pointer_condition="hasAlignmentProj",
        )
        forms.add_fields(
            form,
            SimulateConfig,
            "preferred_directions_deg",
            "preferred_concentration",
            condition=_orientations("preferred"),
        )
        forms.add_fields(form, SimulateConfig, "shift_distribution", "shift_px")
        form.addSection(label="Imaging")
        forms.add_fields(form, SimulateConfig, "ctf")
        forms.add_fields(form, SimulateConfig, *forms.CTF_FIELDS, condition="ctf")
        forms.add_fields(
            form,
            SimulateConfig,
            "snr",
            "noise_variance",
            "noise_correlation_px",
            "normalise",
            "particle_diameter_angstrom",
            "projector",
        )
        forms.add_execution(form, SimulateConfig, gpu=True)

    def _check(self, config: Config) -> None:
        if config.projector == "astra" and self._computes_here():
            from cryoposes_plugin.core.imaging.astra_projector import require_cuda

            require_cuda()
        like = self._pointed("inputLike")
        if config.ctf and like is not None:
            convert.check_particles(
                like, forms.label_of(self.CONFIG, "like"), ctf=True, images=False
            )

    def _create_outputs(self) -> None:
        like = self._pointed("inputLike")
        particles = self._createSetOfParticles()
        magnification = None if like is None else like.getAcquisition().getMagnification()
        results.create_particles(particles, self._read_table(PARTICLES_NAME), magnification)
        self._define(outputParticles=particles)

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        size = f"{metrics['box_size_px']} px at {metrics['pixel_size_angstrom']:.3f} Å/px"
        lines = [f"{counted(metrics['particles'], 'image')} of {size}."]
        if metrics.get("snr"):
            lines.append(f"SNR over the whole box: {metrics['snr']:.3g}.")
        if metrics.get("images_per_second"):
            lines.append(f"{metrics['images_per_second']:.0f} images a second.")
        return lines

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        return (
            [f"{metrics['particles']} projections were simulated with known poses."]
            if metrics
            else []
        )


def _orientations(name: str) -> str:
    choices = SimulateConfig.__dataclass_fields__["orientations"].metadata["choices"]
    return f"orientations == {choices.index(name)}"
