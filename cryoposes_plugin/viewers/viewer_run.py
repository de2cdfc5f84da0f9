"""Viewer of a run: its pictures, report, particles and volumes, also while it is running."""

from __future__ import annotations

import os
import webbrowser
from typing import Dict, List

from pwem.objects import SetOfParticles, Volume
from pyworkflow import Config
from pyworkflow.protocol.params import LabelParam
from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer, View, Viewer

from cryoposes_plugin.core.io.names import CARD_NAME, HISTORY_NAME, REPORT_NAME
from cryoposes_plugin.objects import PoseModel
from cryoposes_plugin.protocols import (
    ProtCryoposesCalibrate,
    ProtCryoposesCompare,
    ProtCryoposesConsensus,
    ProtCryoposesExpandSymmetry,
    ProtCryoposesFilter,
    ProtCryoposesForecast,
    ProtCryoposesInfer,
    ProtCryoposesInitialVolume,
    ProtCryoposesIterate,
    ProtCryoposesMergeSets,
    ProtCryoposesMirror,
    ProtCryoposesReconstruct,
    ProtCryoposesRecover,
    ProtCryoposesRefine,
    ProtCryoposesRelaxSymmetry,
    ProtCryoposesSimulate,
    ProtCryoposesTrain,
)
from cryoposes_plugin.scipion.figure_window import FigureView

from .viewer_volume import chimera_is_installed, chimera_views, slices_view


class ReportView(View):
    """Opens a page in the web browser."""

    def __init__(self, path: str):
        self.path = os.path.abspath(path)

    def show(self):
        webbrowser.open("file://" + self.path)


class CryoposesRunViewer(ProtocolViewer):
    """One line for each picture, drawn from the files that the run has at that moment."""

    _label = "pictures and report"
    _environments = [DESKTOP_TKINTER]
    _targets = [
        ProtCryoposesSimulate,
        ProtCryoposesInitialVolume,
        ProtCryoposesForecast,
        ProtCryoposesTrain,
        ProtCryoposesInfer,
        ProtCryoposesRefine,
        ProtCryoposesRelaxSymmetry,
        ProtCryoposesExpandSymmetry,
        ProtCryoposesFilter,
        ProtCryoposesReconstruct,
        ProtCryoposesRecover,
        ProtCryoposesIterate,
        ProtCryoposesMirror,
        ProtCryoposesMergeSets,
        ProtCryoposesConsensus,
        ProtCryoposesCompare,
        ProtCryoposesCalibrate,
    ]

    def _defineParams(self, form):
        form.addSection(label="Pictures")
        pictures = self.pictures()
        if not pictures:
            form.addParam(
                "nothing",
                LabelParam,
                label="There is nothing to show yet, because the run has not written a result.",
            )
        for name, picture in pictures.items():
            hint = " It is updated every few seconds while it is open." if picture.live else ""
            form.addParam(
                _param(name), LabelParam, label=picture.title, help=f"{picture.title}.{hint}"
            )

        form.addSection(label="Results")
        for name, output in self._shown_outputs().items():
            kind = "Volume (slices)" if isinstance(output, Volume) else "Particles"
            form.addParam(
                _param(name), LabelParam, label=f"{kind}: {name}", help=f"Opens {output}."
            )
        if self._volumes() and chimera_is_installed():
            form.addParam(
                "showInChimera",
                LabelParam,
                label="Volume in ChimeraX",
                help="Opens the volume in ChimeraX.",
            )
        form.addParam(
            "showReport",
            LabelParam,
            label="Report",
            help="Opens the report of the run in the web browser.",
        )

    def _getVisualizeDict(self):
        handlers = {_param(name): self._show_picture for name in self.pictures()}
        handlers.update({_param(name): self._show_output for name in self._shown_outputs()})
        return {**handlers, "showInChimera": self._show_in_chimera, "showReport": self._show_report}

    def pictures(self) -> Dict:
        """Name -> Picture, from the files that the run has now."""
        from cryoposes_plugin.commands.pictures import pictures_of

        return pictures_of(self.protocol.shown_run())

    def _shown_outputs(self) -> Dict:
        return {
            name: output
            for name, output in self.protocol.iterOutputAttributes()
            if isinstance(output, (SetOfParticles, Volume))
        }

    def _volumes(self) -> List[Volume]:
        return [output for output in self._shown_outputs().values() if isinstance(output, Volume)]

    def _show_picture(self, paramName=None) -> List[View]:
        for name, picture in self.pictures().items():
            if _param(name) == paramName:
                return [FigureView(picture.title, picture.draw, self.formWindow, picture.live)]
        return [self.infoMessage("This run does not have that picture yet.")]

    def _show_output(self, paramName=None) -> List[View]:
        output = {_param(name): output for name, output in self._shown_outputs().items()}[paramName]
        if isinstance(output, Volume):
            return [slices_view(output, self.formWindow)]
        for viewer_class in Config.getDomain().findViewers(output, DESKTOP_TKINTER)[:1]:
            viewer_class(
                project=self.getProject(), protocol=self.protocol, parent=self.formWindow
            ).visualize(output)
        return []

    def _show_in_chimera(self, paramName=None) -> List[View]:
        return [view for volume in self._volumes() for view in chimera_views(volume)]

    def _show_report(self, paramName=None) -> List[View]:
        path = os.path.join(self.protocol.shown_run(), REPORT_NAME)
        if not os.path.exists(path):
            return [self.infoMessage("This run has not written a report yet.")]
        return [ReportView(path)]


class PoseModelViewer(Viewer):
    """The learning curve of a network, and its model card as text."""

    _name = "model card and learning curve"
    _environments = [DESKTOP_TKINTER]
    _targets = [PoseModel]

    def _visualize(self, obj, **kwargs):
        from cryoposes_plugin.commands.train.pictures import learning_curve_of

        run = os.path.dirname(os.path.abspath(obj.getFolder()))
        views = [self.textView([os.path.join(obj.getFolder(), CARD_NAME)], title="Model card")]
        if os.path.exists(os.path.join(run, HISTORY_NAME)):
            views.append(
                FigureView("Learning curve", lambda: learning_curve_of(run), self.formWindow)
            )
        return views


def _param(name: str) -> str:
    """'best_and_worst' -> 'showBestAndWorst', a name that hides no attribute of the viewer."""
    return "show" + "".join(word[:1].upper() + word[1:] for word in name.split("_"))
