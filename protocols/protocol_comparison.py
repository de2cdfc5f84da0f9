"""What the protocols on two sets of poses of the same particles have in common."""

from __future__ import annotations

import dataclasses

from cryoposes_plugin.commands.config import COMPARISON, COMPUTATION, Config
from cryoposes_plugin.scipion import forms

from .protocol_base import ProtCryoposesBase


class ProtCryoposesComparison(ProtCryoposesBase):
    """Two sets with poses, matched by id."""

    def _define_comparison(self, form, *, optional=()) -> None:
        """The whole form: pointers to the sets, of which some are optional, and the options."""
        form.addSection(label="Input")
        for item in self.PARTICLES:
            forms.add_pointer(
                form,
                self.CONFIG,
                item.field,
                "SetOfParticles",
                pointer_condition="hasAlignmentProj",
                optional=item.field in optional,
            )
        forms.add_group(form, self.CONFIG, COMPARISON)
        forms.add_group(form, self.CONFIG, COMPUTATION)

    def _make_config(self) -> Config:
        """In Scipion particles are matched by id, whichever files their images are in."""
        return dataclasses.replace(super()._make_config(), join_by="id")

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry

        parse_symmetry(config.symmetry)
