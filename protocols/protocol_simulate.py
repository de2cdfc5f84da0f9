"""The protocol of `simulate`."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import BACKGROUND, FAULTS, IMAGE_SIZE, NOISE, Config
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.core.io.names import PARTICLES_NAME
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import convert, forms, results

from .protocol_base import ParticleInput, ProtCryoposesBase


class ProtCryoposesSimulate(ProtCryoposesBase):
    """Simulates projections of one or several volumes with known poses: y = C S P x + n, with CTF
    C, shift S and noise n.

    CTFs, acquisition parameters, box size and pixel size can be taken from an existing particle
    set, and poses from another one. The result has everything that RELION and cryoSPARC require.

    A fraction of the images can be junk of five kinds: noise, another molecule, a neighbour, a
    particle far off centre, an edge. `compare` and `calibrate` then know which images are junk.

    With the faults of real images, particles also have neighbours, duplicates, ice of differing
    thickness, preferred views, and CTFs that differ from the stated ones.
    """

    _label = SimulateConfig.title
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = SimulateConfig
    VOLUMES = (("moving_part", "inputMovingPart"),)
    PARTICLES = (
        ParticleInput("like", "inputLike", images=False),
        ParticleInput("orientations_from", "inputPoses", poses=True, images=False),
        ParticleInput("noise_like", "inputNoiseLike"),
    )

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_volumes(form, SimulateConfig)
        forms.add_pointer(form, SimulateConfig, "like", "SetOfParticles", optional=True)
        forms.add_fields(form, SimulateConfig, "volume_weights", "number", "junk_fraction")
        forms.add_group(form, SimulateConfig, IMAGE_SIZE)

        forms.add_computation(form, SimulateConfig)

        form.addSection(label="Faults")
        forms.add_group(form, SimulateConfig, FAULTS)
        forms.add_pointer(
            form, SimulateConfig, "moving_part", "VolumeMask", optional=True, name="inputMovingPart"
        )

        form.addSection(label="Poses")
        forms.add_fields(form, SimulateConfig, "orientations")
        forms.add_pointer(
            form,
            SimulateConfig,
            "orientations_from",
            "SetOfParticles",
            name="inputPoses",
            condition=_orientations("particles"),
            pointer_condition="hasAlignmentProj",
        )
        forms.add_fields(
            form,
            SimulateConfig,
            "preferred_directions_deg",
            "preferred_concentration",
            condition=f"{_orientations('preferred')} or preset != 0 or preferredShare is not None",
        )
        forms.add_fields(form, SimulateConfig, "shift_distribution", "shift_px")

        form.addSection(label="CTF and noise")
        forms.add_group(form, SimulateConfig, NOISE)
        forms.add_pointer(form, SimulateConfig, "noise_like", "SetOfParticles", optional=True)
        forms.add_group(form, SimulateConfig, BACKGROUND)
        forms.add_ctf_group(form, SimulateConfig)

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
        lines = [f"{counted(metrics['particles'], 'image')}, {size}."]
        if metrics.get("junk"):
            kinds = ", ".join(f"{name} {n}" for name, n in metrics["junk_by_kind"].items())
            lines.append(f"Junk: {counted(metrics['junk'], 'image')} ({kinds}).")
        if metrics.get("snr"):
            lines.append(f"SNR of the particles, over the whole box: {metrics['snr']:.3g}.")
        if metrics.get("images_per_second"):
            lines.append(f"{metrics['images_per_second']:.0f} images per second.")
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
