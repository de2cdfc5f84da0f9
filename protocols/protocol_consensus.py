"""The protocol of `consensus`."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List

import pyworkflow.protocol.params as params
from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import COMPARISON, Config, option_named
from cryoposes_plugin.commands.consensus.config import ConsensusConfig
from cryoposes_plugin.core.io.names import ACCEPTED_NAME, REJECTED_NAME
from cryoposes_plugin.core.scores import CONSENSUS
from cryoposes_plugin.scipion import convert, forms, results

from .protocol_base import ParticleInput, ProtCryoposesBase


class ProtCryoposesConsensus(ProtCryoposesBase):
    """Keeps the particles on whose poses several estimates agree within their own errors, at the
    weighted mean of these poses.

    The sets are matched by particle id. The rest of the first set is the second output, with the
    reason.
    """

    _label = ConsensusConfig.title
    _possibleOutputs = {"outputAccepted": SetOfParticles, "outputRejected": SetOfParticles}
    CONFIG = ConsensusConfig
    PARTICLES = (ParticleInput("particles", "inputParticles", poses=True, images=False),)

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(
            form,
            ConsensusConfig,
            "particles",
            "SetOfParticles",
            pointer_condition="hasAlignmentProj",
        )
        form.addParam(
            "inputOthers",
            params.MultiPointerParam,
            pointerClass="SetOfParticles",
            pointerCondition="hasAlignmentProj",
            label=forms.label_of(ConsensusConfig, "others"),
            important=True,
            help=option_named(ConsensusConfig, "others").metadata["help"],
        )
        forms.add_group(form, ConsensusConfig, COMPARISON)

    def _make_config(self) -> Config:
        """In Scipion particles are matched by id, whichever files their images are in."""
        return dataclasses.replace(super()._make_config(), join_by="id")

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry

        parse_symmetry(config.symmetry)

    # -------------------------- the other sets -------------------------------
    def _others(self) -> Dict[str, SetOfParticles]:
        """File to write -> set of particles, in the order of the form."""
        sets = [pointer.get() for pointer in self.inputOthers]
        return {self._getExtraPath(f"other_{i + 1}.star"): value for i, value in enumerate(sets)}

    def _input_paths(self) -> Dict[str, Any]:
        return {**super()._input_paths(), "others": tuple(self._others())}

    def _write_volumes(self) -> None:
        super()._write_volumes()
        for path, particles in self._others().items():
            self._write_table(path, convert.particles_to_table(particles, None))

    def _input_problems(self) -> List[str]:
        problems, first = super()._input_problems(), self._pointed("inputParticles")
        what = forms.label_of(ConsensusConfig, "others")
        for particles in self._others().values():
            problems += convert.particle_problems(particles, what, True, False, False)
            if not first.getIdSet() & particles.getIdSet():
                problems.append(
                    f"{what}: a set of {particles.getSize()} particles has no particle id in "
                    "common with the first; give sets of the same particles."
                )
        return problems

    # -------------------------- results --------------------------------------
    def _create_outputs(self) -> None:
        metrics, outputs = self._metrics(), {}
        for name, file, number in (
            ("accepted", ACCEPTED_NAME, metrics["agree"]),
            ("rejected", REJECTED_NAME, metrics["particles"] - metrics["agree"]),
        ):
            output = f"output{name.capitalize()}"
            # Scipion keeps the output of an earlier run, so an output without particles is emptied.
            if number or hasattr(self, output):
                outputs[output] = self._part(name, file, number)
        self._define(**outputs)

    def _part(self, name: str, file: str, number: int) -> SetOfParticles:
        particles, given = self._createSetOfParticles(suffix=f"_{name}"), self.inputParticles.get()
        if not number:
            particles.copyInfo(given)
            return particles
        table = self._read_table(file)
        taken = self._taken(table)
        taken["texts"] = (*taken["texts"], CONSENSUS)
        results.update_particles(particles, given, table, **taken)
        return particles

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        return list(metrics.get("notes", []))
