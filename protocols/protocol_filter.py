"""The protocol of `filter`."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List

import numpy as np
from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import FILTER, Config
from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.core.io.names import ACCEPTED_NAME, REJECTED_NAME
from cryoposes_plugin.core.scores import JUNK, WRONG_BASIN, cost, title_of
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import convert, forms, results

from .protocol_base import ParticleInput
from .protocol_streaming import GROWING, ProtCryoposesStreaming

#: For an input that is still growing.
SMALLEST_BATCH = 100


class ProtCryoposesFilter(ProtCryoposesStreaming):
    """Splits particles into those with confident poses and the rest. Both sets are outputs, so
    nothing is lost.

    With a threshold, the outputs grow while the input grows. A fraction of the particles, a false
    discovery rate and the same share of every view can only be determined when all of them are
    there, so the run waits until the input is closed.
    """

    _label = FilterConfig.title
    # A dictionary, because two Enum members of one class would be aliases of each other.
    _possibleOutputs = {"outputAccepted": SetOfParticles, "outputRejected": SetOfParticles}
    CONFIG = FilterConfig
    PARTICLES = (ParticleInput("particles", "inputParticles", images=False),)
    CITATIONS = ("Chung2023",)
    STREAMED = {"outputAccepted": ACCEPTED_NAME, "outputRejected": REJECTED_NAME}

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(form, FilterConfig, "particles", "SetOfParticles")
        forms.add_group(form, FilterConfig, FILTER)
        forms.add_streaming(form, SMALLEST_BATCH)

    def _input_problems(self) -> List[str]:
        problems = super()._input_problems()
        if problems or self._automatic():
            return problems or self._stale_problems()
        score = FilterConfig.__dataclass_fields__["score"].metadata["choices"][self.score.get()]
        return self._score_problems(score) or self._threshold_problems(score)

    def _automatic(self) -> bool:
        return self.threshold.get() is None and self.keepQuantile.get() is None

    def _score_problems(self, score: str) -> List[str]:
        particles = self.inputParticles.get()
        if not particles.getFirstItem().hasAttribute(f"_{score}"):
            return [
                f"Particles: they have no '{title_of(score)}'; choose another score, or estimate "
                "their poses with `infer` first."
            ]
        return self._stale_problems()

    def _stale_problems(self) -> List[str]:
        """A sentence if the first particle has no probability or no score of its own pose."""
        particles = self.inputParticles.get()
        first = particles.getFirstItem()
        if self._automatic() and not any(
            first.hasAttribute(f"_{name}") for name in (JUNK, WRONG_BASIN)
        ):
            return [
                f"Particles: they have neither '{title_of(JUNK)}' nor '{title_of(WRONG_BASIN)}'; "
                "estimate their poses with `infer` and a volume first, or give a fraction or a "
                "threshold, and a score."
            ]
        if convert.scored_at_another_pose(particles):
            return [
                "Particles: their poses were changed by another program after the scores were "
                "computed; filter before that step, or refine the poses with `refine` first."
            ]
        return []

    def _threshold_problems(self, score: str) -> List[str]:
        """A sentence if no score reaches the threshold."""
        threshold = self.threshold.get()
        if threshold is None or self.inputParticles.get().isStreamOpen():
            return []
        values = convert.scores_of(self.inputParticles.get(), score)
        if np.min(cost(score, values)) <= cost(score, threshold):
            return []
        return [
            f"--threshold is {threshold:g} and the scores range from {values.min():.6g} to "
            f"{values.max():.6g}, so none of the {len(values)} particles would be kept; give "
            "another value."
        ]

    def _check(self, config: Config) -> None:
        if not self.inputParticles.get().isStreamOpen():
            config.check_number(self.inputParticles.get().getSize())

    def _create_outputs(self) -> None:
        metrics, outputs = self._metrics(), {}
        for name in ("accepted", "rejected"):
            output = f"output{name.capitalize()}"
            # Scipion keeps the output of an earlier run, so an output without particles is emptied.
            if metrics[name] or hasattr(self, output):
                outputs[output] = self._split_off(name, metrics[name])
        self._define(**outputs)

    def _split_off(self, name: str, number: int):
        particles = self._createSetOfParticles(suffix=f"_{name}")
        if not number:
            particles.copyInfo(self.inputParticles.get())
            return particles
        results.update_particles(
            particles, self.inputParticles.get(), self._read_table(f"{name}.star")
        )
        return particles

    def _decides_each_alone(self) -> bool:
        return self.threshold.get() is not None and not self.evenViews.get()

    def _batch_config(self, star: str) -> Config:
        return dataclasses.replace(super()._batch_config(star), allow_none=True)

    def _filled_outputs(self, metrics: Dict[str, Any]) -> List[str]:
        return [output for output in self.STREAMED if metrics[output[len("output") :].lower()]]

    def _fill(self, output, particles, table) -> None:
        results.append_particles(output, particles, table, where=convert.id_range(table.ids))

    def _join_metrics(self, done: List[Dict[str, Any]]) -> Dict[str, Any]:
        counts = {
            name: sum(metrics[name] for metrics in done)
            for name in ("particles", "accepted", "rejected")
        }
        return {**counts, "score": done[-1]["score"], "threshold": done[-1]["threshold"]}

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        from cryoposes_plugin.commands.filter.run import criterion, reasons

        lines = [
            f"{counted(metrics['accepted'], 'particle')} accepted, {metrics['rejected']} "
            f"rejected, by {criterion(metrics)}.",
            *reasons(metrics),
        ]
        if self.isInStreaming():
            return [*lines, GROWING]
        if not metrics["accepted"]:
            lines.append("No particle was kept: the accepted set is empty.")
        if not metrics["rejected"]:
            lines.append("Every particle was kept: the rejected set is empty.")
        return lines
