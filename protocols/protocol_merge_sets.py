"""The protocol of `merge-sets`."""

from __future__ import annotations

from typing import Any, Dict, List

import pyworkflow.protocol.params as params
from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import Config, option_named
from cryoposes_plugin.commands.merge_sets.config import MergeSetsConfig
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io.names import PARTICLES_NAME
from cryoposes_plugin.core.scores import MERGED_FROM
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import convert, forms, optics, results

from .protocol_base import SAMPLE, ProtCryoposesBase


class ProtCryoposesMergeSets(ProtCryoposesBase):
    """Makes one particle set of several. Each particle keeps its optics group, and an image that is
    in several sets is taken from the first.

    Scipion's own 'join sets' gives all particles the optics groups of the first set, and compares
    ids, not images.
    """

    _label = MergeSetsConfig.title
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = MergeSetsConfig

    def _defineParams(self, form):
        form.addSection(label="Input")
        form.addParam(
            "inputSets",
            params.MultiPointerParam,
            pointerClass="SetOfParticles",
            minNumObjects=2,
            label=forms.label_of(MergeSetsConfig, "sets"),
            important=True,
            help=option_named(MergeSetsConfig, "sets").metadata["help"],
        )

    def _sets(self) -> Dict[str, SetOfParticles]:
        """File to write -> set of particles, in the order of the form."""
        sets = [pointer.get() for pointer in self.inputSets]
        return {self._getExtraPath(f"set_{i + 1}.star"): value for i, value in enumerate(sets)}

    def _input_paths(self) -> Dict[str, Any]:
        return {"sets": tuple(self._sets())}

    def _write_volumes(self) -> None:
        for path, particles in self._sets().items():
            self._write_table(path, convert.particles_to_table(particles, None))

    def _input_problems(self) -> List[str]:
        what = forms.label_of(MergeSetsConfig, "sets")
        return [
            problem
            for number, particles in enumerate(self._sets().values(), start=1)
            for problem in convert.particle_problems(
                particles, f"{what}, set {number}", images=False
            )
        ]

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.particles.merging import merged_tables

        tables = [convert.sample_table(particles, SAMPLE) for particles in self._sets().values()]
        first = tables[0].optics[0]
        for number, table in enumerate(tables[1:], start=2):
            other = table.optics[0]
            if not optics.can_share_a_set(first, other):
                raise InputError(
                    f"Set 1 has {optics.kind_of_images(first)} and set {number} has "
                    f"{optics.kind_of_images(other)}, and a set of Scipion has images of one kind; "
                    "extract or resample one of them again."
                )
        merged_tables(tables, [f"set {number}" for number in range(1, len(tables) + 1)])

    def _create_outputs(self) -> None:
        table, sets = self._read_table(PARTICLES_NAME), list(self._sets().values())
        particles = self._createSetOfParticles()
        particles.copyInfo(sets[0])
        optics.set_optics(particles, table, sets[0].getAcquisition().getMagnification())
        rows: List[Dict[int, List[int]]] = [{} for _ in sets]
        for row, text in enumerate(table.extra[MERGED_FROM]):
            number, identity = text.split(":")
            rows[int(number) - 1][int(identity)] = [row]
        taken = {**self._taken(table), "poses": table.rotations is not None}
        taken["texts"] = (*taken["texts"], MERGED_FROM)
        results.append_copies(particles, sets, table, rows, **taken, optics_groups=True)
        self._define(outputParticles=particles)

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        groups = counted(metrics["optics_groups"], "optics group")
        number = counted(metrics["particles"], "particle")
        return [f"{number} of {metrics['sets']} sets, in {groups}."]
