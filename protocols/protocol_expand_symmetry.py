"""The protocol of `expand-symmetry`."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import Config
from cryoposes_plugin.commands.expand_symmetry.config import ExpandSymmetryConfig
from cryoposes_plugin.core.io.names import PARTICLES_NAME
from cryoposes_plugin.core.scores import EXPANDED_FROM
from cryoposes_plugin.scipion import convert, forms, results, set_rows

from .protocol_base import SAMPLE, ParticleInput, ProtCryoposesBase


class ProtCryoposesExpandSymmetry(ProtCryoposesBase):
    """Repeats each particle at each symmetry mate of its pose, for a search of each subunit by
    itself, or keeps the best copy of each particle of such a set.

    Copies get ids of their own and keep everything else that their particle has; collapsed
    particles have their first ids again.
    """

    _label = ExpandSymmetryConfig.title
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = ExpandSymmetryConfig
    PARTICLES = (ParticleInput("particles", "inputParticles", poses=True, images=False),)

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(
            form,
            ExpandSymmetryConfig,
            "particles",
            "SetOfParticles",
            pointer_condition="hasAlignmentProj",
        )
        forms.add_fields(form, ExpandSymmetryConfig, "collapse")
        forms.add_fields(
            form, ExpandSymmetryConfig, "pseudo_symmetry", "symmetry", condition="not collapse"
        )

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.commands.expand_symmetry.run import result_of

        result_of(config, convert.sample_table(self._pointed("inputParticles"), SAMPLE))

    def _create_outputs(self) -> None:
        table, given = self._read_table(PARTICLES_NAME), self.inputParticles.get()
        particles = self._createSetOfParticles()
        particles.copyInfo(given)
        rows = self._collapsed_rows(table) if self.collapse.get() else self._expanded_rows(table)
        taken = self._taken(table)
        taken["texts"] = (*taken["texts"], EXPANDED_FROM)
        results.append_copies(particles, [given], table, [rows], **taken)
        self._define(outputParticles=particles)

    @staticmethod
    def _expanded_rows(table) -> Dict[int, List[int]]:
        rows: Dict[int, List[int]] = {}
        for row, source in enumerate(table.extra[EXPANDED_FROM]):
            rows.setdefault(int(source), []).append(row)
        return rows

    def _collapsed_rows(self, table) -> Dict[int, List[int]]:
        """Each particle is made from the first of its copies, which differ in what the table has."""
        left = {int(identity): row for row, identity in enumerate(table.ids)}
        rows: Dict[int, List[int]] = {}
        label = f"_{EXPANDED_FROM}"
        columns = set_rows.read_columns(self.inputParticles.get(), label.__eq__)
        for identity, source in zip(columns[set_rows.ID].values, columns[label].values):
            if int(source) in left:
                rows[int(identity)] = [left.pop(int(source))]
        return rows

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        return list(metrics.get("notes", []))
