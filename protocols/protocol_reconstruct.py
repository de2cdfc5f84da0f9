"""The protocol of `reconstruct`."""

from __future__ import annotations

import csv
from typing import Any, Dict, List

from pwem.objects import FSC, SetOfFSCs, Volume

from cryoposes_plugin.commands.config import RECONSTRUCTION, Config
from cryoposes_plugin.commands.reconstruct.config import ReconstructConfig
from cryoposes_plugin.core.io.names import FSC_NAME, HALF1_NAME, HALF2_NAME, VOLUME_NAME
from cryoposes_plugin.core.io.star_labels import not_modelled
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import forms

from .protocol_base import ParticleInput, ProtCryoposesBase

_FREQUENCY = "frequency_per_angstrom"
#: Columns of fsc.csv and the names of their curves.
_CURVES = {
    "corrected": "half maps, masked, corrected",
    "unmasked": "half maps, unmasked",
    "masked": "half maps, masked",
    "randomised": "half maps, masked, phases randomised",
    "reference": "map against the reference",
}


class ProtCryoposesReconstruct(ProtCryoposesBase):
    """Reconstructs a volume and two half maps from particles with poses, and computes their Fourier
    shell correlation.

    If the poses of both halves come from the same network or the same reference, the halves are not
    independent, and the curves are labelled accordingly.
    """

    _label = ReconstructConfig.title
    _possibleOutputs = {"outputVolume": Volume, "outputFSC": SetOfFSCs}
    CONFIG = ReconstructConfig
    PARTICLES = (ParticleInput("particles", "inputParticles", poses=True),)
    VOLUMES = (("reference", "inputReference"), ("mask", "inputMask"))

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(
            form,
            ReconstructConfig,
            "particles",
            "SetOfParticles",
            pointer_condition="hasAlignmentProj",
        )
        forms.add_pointer(form, ReconstructConfig, "reference", "Volume", optional=True)
        frame = forms.add_frame(form, ReconstructConfig, RECONSTRUCTION)
        forms.add_fields(frame, ReconstructConfig, "symmetry", "mask_diameter_angstrom", "method")
        forms.add_pointer(frame, ReconstructConfig, "mask", "VolumeMask", optional=True)
        forms.add_fields(frame, ReconstructConfig, "box_px", "pixel_size_angstrom")
        forms.add_fields(frame, ReconstructConfig, "weights", condition="method == 0")
        forms.add_fields(frame, ReconstructConfig, "cgls_iterations", condition="method == 1")
        forms.add_fields(frame, ReconstructConfig, "padding", condition="method == 0")
        forms.add_computation(form, ReconstructConfig)

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.commands.plausibility import check_diameter
        from cryoposes_plugin.commands.reconstruct.inputs import map_grid
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry
        from cryoposes_plugin.core.particles.grids import Grid

        parse_symmetry(config.symmetry)
        check_diameter(
            config.command,
            "mask_diameter_angstrom",
            config.mask_diameter_angstrom,
            self._width_angstrom(),
        )
        particles = self._pointed("inputParticles")
        map_grid(config, Grid(particles.getXDim(), particles.getSamplingRate()))
        if config.method == "cgls" and self._computes_here():
            from cryoposes_plugin.core.reconstruction.cgls import require_astra

            require_astra()

    def _create_outputs(self) -> None:
        volume = Volume(self._run_file(VOLUME_NAME))
        volume.setSamplingRate(self._metrics()["pixel_size_angstrom"])
        volume.setHalfMaps([self._run_file(HALF1_NAME), self._run_file(HALF2_NAME)])
        self._define(outputVolume=volume, outputFSC=self._make_fscs())

    def _make_fscs(self):
        with open(self._run_file(FSC_NAME), newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        curves, label = self._createSetOfFSCs(), self._metrics()["fsc_statement"]
        for column, name in _CURVES.items():
            points = [
                (float(row[_FREQUENCY]), float(row[column])) for row in rows if row.get(column)
            ]
            if points:
                curve = FSC(objLabel=name if column == "reference" else f"{name}. {label}")
                curve.setData([x for x, _ in points], [y for _, y in points])
                curves.append(curve)
        return curves

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        lines = [f"{counted(metrics['particles'], 'particle')}; half sets: {metrics['half_sets']}."]
        lines += [
            f"Resolution at FSC 0.143, {curve}: {metrics[key]:.2f} Å."
            for curve in ("corrected", "unmasked")
            for key in (f"resolution_{curve}_0143_angstrom",)
        ]
        if "resolution_reference_05_angstrom" in metrics:
            lines.append(
                "Resolution at FSC 0.5, against the reference: "
                f"{metrics['resolution_reference_05_angstrom']:.2f} Å."
            )
        lines.append(metrics["fsc_statement"])
        lines += [
            metrics[name] for name in ("views_statement", "weights_statement") if name in metrics
        ]
        return lines + not_modelled(metrics.get("not_modelled", []))

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        method = (
            "conjugate gradients (CGLS)" if metrics.get("method") == "cgls" else "Fourier inversion"
        )
        return (
            [f"A volume and two half maps were reconstructed by {method} (Cryoposes)."]
            if metrics
            else []
        )
