"""Estimate poses."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import Config
from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.core.io.names import PARTICLES_NAME
from cryoposes_plugin.core.words import counted
from cryoposes_plugin.scipion import convert, forms, results

from .protocol_base import ParticleInput
from .protocol_streaming import GROWING, ProtCryoposesStreaming

#: Of a growing input; the noise and the strength of the volume are measured anew on each batch, on 768 images at most.
SMALLEST_BATCH = 1000


class ProtCryoposesInfer(ProtCryoposesStreaming):
    """Estimates the orientation of each particle with a trained network, and how sure the network is of it.

    The particles keep their ids, CTFs and coordinates, and gain poses and two scores (trace and largest dispersion of a
    Bingham distribution; more negative is more certain). With a volume the network's best hypotheses are refined
    against it, to the limit that the noise sets, and each pose gets its expected error in degrees; without one the
    input's shifts are kept. While the input grows, the output grows with it.
    """

    _label = "estimate poses"
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = InferConfig
    PARTICLES = (ParticleInput("particles", "inputParticles"),)
    VOLUMES = (("volume", "inputVolume"),)
    CITATIONS = ("Chung2023",)
    STREAMED = {"outputParticles": PARTICLES_NAME}

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(
            form,
            "particles",
            "SetOfParticles",
            "Particles whose poses are wanted. They may have any box and pixel "
            "size that covers what the network looks at.",
        )
        forms.add_pointer(form, "model", "PoseModel", "A network trained by 'train pose network'.")
        forms.add_pointer(
            form,
            "volume",
            "Volume",
            "Optional. The volume that the network was trained on: poses are refined against it. Without it the "
            "network's orientations and the input's shifts are what there is.",
            optional=True,
        )
        forms.add_fields(
            form, InferConfig, "refine", "max_shift_px", condition="inputVolume is not None"
        )
        forms.add_fields(
            form,
            InferConfig,
            "hypotheses",
            "working_box_px",
            condition="inputVolume is not None and refine",
        )
        forms.add_fields(form, InferConfig, "batch_size")
        forms.add_streaming(form, SMALLEST_BATCH)
        forms.add_execution(form, InferConfig, gpu=True)

    def _input_paths(self) -> Dict[str, Any]:
        return {**super()._input_paths(), "model": self.inputModel.get().getFolder()}

    def _check(self, config: Config) -> None:
        convert.check_gives_poses(
            config.model, self.inputParticles.get(), forms.label_of(self.CONFIG, "particles")
        )

    def _create_outputs(self) -> None:
        self._define(outputParticles=self._create_particles())

    def _prepare_output(self, output, particles) -> None:
        super()._prepare_output(output, particles)
        output.setAlignmentProj()

    def _fill(self, output, particles, table) -> None:
        results.append_particles(
            output, particles, table, **self._taken(table), where=convert.id_range(table.ids)
        )

    def _batch_problem(self, metrics: Dict[str, Any]) -> Optional[str]:
        """Scores of refined and of unrefined poses do not belong into one set."""
        return metrics.get("not_refined")

    def _join_metrics(self, done: List[Dict[str, Any]]) -> Dict[str, Any]:
        left_out = [metrics for metrics in done if self._batch_problem(metrics)]
        joined = [metrics for metrics in done if not self._batch_problem(metrics)]
        notes = [note for metrics in joined for note in metrics["notes"]] + [
            m["not_refined"] for m in left_out
        ]
        return {
            "particles": sum(metrics["particles"] for metrics in joined),
            "left_out": sum(metrics["particles"] for metrics in left_out),
            "notes": list(dict.fromkeys(notes)),
        }

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        lines = [f"Poses of {counted(metrics['particles'], 'particle')} estimated."]
        if metrics.get("left_out"):
            lines.append(
                "Without a pose, because their batches were left out (see below): "
                f"{counted(metrics['left_out'], 'particle')}."
            )
        if self.isInStreaming():
            return [*lines, GROWING, *metrics.get("notes", [])]
        missing = (
            self.inputParticles.get().getSize() - metrics["particles"] - metrics.get("left_out", 0)
        )
        if missing:
            lines.append(
                f"Disabled in the input, and without a pose: {counted(missing, 'particle')}."
            )
        return lines + metrics.get("notes", [])

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        return (
            [f"Poses of {metrics['particles']} particles were estimated by a network (Cryoposes)."]
            if metrics
            else []
        )
