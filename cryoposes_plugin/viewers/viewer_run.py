"""Shows what a run has drawn: its one-page report in the browser, its plots in windows."""

from __future__ import annotations

import os
import webbrowser
from typing import List

from pwem.viewers import EmPlotter
from pyworkflow.protocol.params import EnumParam, LabelParam
from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer, View, Viewer

from cryoposes_plugin.objects import PoseModel
from cryoposes_plugin.protocols import (
    ProtCryoposesCompare,
    ProtCryoposesFilter,
    ProtCryoposesInfer,
    ProtCryoposesReconstruct,
    ProtCryoposesSimulate,
    ProtCryoposesTrain,
)
from cryoposes_plugin.scipion import runner

REPORT_NAME = "report.html"
_DPI = 100


class ReportView(View):
    """Opens a page in the browser."""

    def __init__(self, path: str):
        self.path = os.path.abspath(path)

    def show(self):
        webbrowser.open("file://" + self.path)


def image_plotter(path: str) -> EmPlotter:
    """A window with a PNG file."""
    from matplotlib.image import imread

    image = imread(path)
    height, width = image.shape[:2]
    name = os.path.splitext(os.path.basename(path))[0].replace("_", " ")
    plotter = EmPlotter(x=1, y=1, windowTitle=name, figsize=(width / _DPI, height / _DPI))
    axes = plotter.createSubPlot("", "", "")
    axes.imshow(image)
    axes.set_axis_off()
    return plotter


class CryoposesRunViewer(ProtocolViewer):
    """Report and plots of any run of this plugin."""

    _label = "report and plots"
    _environments = [DESKTOP_TKINTER]
    _targets = [
        ProtCryoposesSimulate,
        ProtCryoposesTrain,
        ProtCryoposesInfer,
        ProtCryoposesFilter,
        ProtCryoposesReconstruct,
        ProtCryoposesCompare,
    ]

    def _defineParams(self, form):
        names = [os.path.splitext(os.path.basename(path))[0].replace("_", " ") for path in runner.plots(self.protocol)]
        form.addSection(label="Visualization")
        form.addParam("displayReport", LabelParam, label="Report", help="The run on one page, in the browser.")
        form.addParam(
            "plot", EnumParam, choices=names or ["none yet"], default=0, label="Plot", help="Which plot to open."
        )
        form.addParam("displayPlots", LabelParam, label="All plots", help="Every plot in a window of its own.")

    def _getVisualizeDict(self):
        return {"displayReport": self._show_report, "plot": self._show_plot, "displayPlots": self._show_plots}

    def _show_report(self, paramName=None) -> List[View]:
        path = os.path.join(runner.run_folder(self.protocol), REPORT_NAME)
        if not os.path.exists(path):
            return self._nothing("This run has written no report yet.")
        return [ReportView(path)]

    def _show_plot(self, paramName=None):
        found = runner.plots(self.protocol)
        if not found:
            return self._nothing("This run has drawn no plot yet.")
        return [image_plotter(found[self.plot.get()])]

    def _show_plots(self, paramName=None):
        found = runner.plots(self.protocol)
        return [image_plotter(path) for path in found] or self._nothing("This run has drawn no plot yet.")

    def _nothing(self, sentence: str) -> List[View]:
        return [self.infoMessage(sentence)]


class PoseModelViewer(Viewer):
    """The model card, as text."""

    _label = "model card"
    _environments = [DESKTOP_TKINTER]
    _targets = [PoseModel]

    def _visualize(self, obj, **kwargs):
        return [self.textView([os.path.join(obj.getFolder(), "model_card.json")])]
