"""The protocol of `infer`."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import REFINEMENT, Config
from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.core.io.names import PARTICLES_NAME
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import convert, forms, results

from .protocol_base import ParticleInput
from .protocol_streaming import GROWING, ProtCryoposesStreaming

#: For a growing input. Noise and scale are measured on each batch, on up to 768 images.
SMALLEST_BATCH = 1000


class ProtCryoposesInfer(ProtCryoposesStreaming):
    """Estimates the pose of each particle with a trained network, and the uncertainty of each pose.

    With a volume, the best hypotheses of the network are refined against it to noise-limited
    accuracy, shifts are measured, and each pose gets an expected error in degrees. Without a
    volume, the shifts of the input are kept.

    The particles keep their ids, CTFs and coordinates, and get poses and two uncertainties of the
    network (trace and largest dispersion of a Bingham distribution; the more negative, the more
    certain). While the input grows, the output grows with it.
    """

    _label = InferConfig.title
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = InferConfig
    PARTICLES = (ParticleInput("particles", "inputParticles"),)
    VOLUMES = (("volume", "inputVolume"),)
    CITATIONS = ("Chung2023",)
    STREAMED = {"outputParticles": PARTICLES_NAME}

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(form, InferConfig, "particles", "SetOfParticles")
        forms.add_pointer(form, InferConfig, "model", "PoseModel")
        forms.add_pointer(form, InferConfig, "volume", "Volume", optional=True)

        frame = forms.add_frame(form, InferConfig, REFINEMENT, "inputVolume is not None")
        forms.add_fields(
            frame, InferConfig, "refine", "assign", condition="inputVolume is not None"
        )
        forms.add_fields(
            frame, InferConfig, "max_shift_px", condition="inputVolume is not None and assign == 0"
        )
        forms.add_fields(
            frame,
            InferConfig,
            "hypotheses",
            "working_box_px",
            condition="inputVolume is not None and refine",
        )
        forms.add_streaming(form, SMALLEST_BATCH)

        forms.add_computation(form, InferConfig)

    def _input_paths(self) -> Dict[str, Any]:
        return {**super()._input_paths(), "model": self.inputModel.get().getFolder()}

    def _rounds_of_chunks(self) -> int:
        """The global search of doubtful poses needs the poses of all particles."""
        return 2 if self._pointed("inputVolume") is not None and self.refine.get() else 1

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
        """Why a batch was not refined; its scores are not those of refined poses."""
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
            **_quality(joined),
        }

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        from cryoposes_plugin.commands.infer.report import summary_of

        lines = [f"Poses of {counted(metrics['particles'], 'particle')} estimated."]
        summary = summary_of(metrics)
        if summary:
            lines.append(summary)
        if metrics.get("left_out"):
            lines.append(
                f"No pose for {counted(metrics['left_out'], 'particle')}, because their batches "
                "were left out (see below)."
            )
        if self.isInStreaming():
            return [*lines, GROWING, *metrics.get("notes", [])]
        missing = (
            self.inputParticles.get().getSize() - metrics["particles"] - metrics.get("left_out", 0)
        )
        if missing:
            lines.append(f"No pose for {counted(missing, 'particle')} disabled in the input.")
        return lines + metrics.get("notes", [])

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        return (
            [f"Poses of {metrics['particles']} particles were estimated by a network (Cryoposes)."]
            if metrics
            else []
        )


def _quality(batches: List[Dict[str, Any]]) -> Dict[str, Any]:
    """What the summary says, as far as all batches tell it and it can be joined."""
    joined: Dict[str, Any] = {}
    if not batches:
        return joined
    for name in ("likely_particles", "likely_wrong"):
        if all(name in metrics for metrics in batches):
            joined[name] = sum(metrics[name] for metrics in batches)
    if all("junk_share" in metrics for metrics in batches):
        junk = sum(metrics["junk_share"] * metrics["particles"] for metrics in batches)
        joined["junk_share"] = junk / sum(metrics["particles"] for metrics in batches)
    verdicts = {metrics.get("verdict") for metrics in batches}
    if len(verdicts) == 1 and None not in verdicts:
        joined["verdict"] = verdicts.pop()
    return joined
