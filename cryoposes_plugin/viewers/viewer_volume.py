"""Slices and projections of volumes, which no other viewer shows in a default installation."""

from __future__ import annotations

import os
from typing import List

from pwem.objects import EMObject, SetOfVolumes, Volume
from pyworkflow.viewer import DESKTOP_TKINTER, View, Viewer

from cryoposes_plugin.scipion.figure_window import FigureView, SliderWindow

#: Number of volumes whose windows are opened at once.
_MOST_WINDOWS = 6


class CentralSlicesViewer(Viewer):
    """Central slices, projections and a slider through all slices. ChimeraX goes first if
    installed.
    """

    _name = "slices and projections"
    _environments = [DESKTOP_TKINTER]
    _targets = [Volume, SetOfVolumes]

    @classmethod
    def can_handle_this(cls, classHierarchy, instance=None):
        target = super().can_handle_this(classHierarchy, instance)
        return EMObject if target is not None and chimera_is_installed() else target

    def _visualize(self, obj, **kwargs):
        volumes = [v.clone() for v in obj.iterItems()] if isinstance(obj, SetOfVolumes) else [obj]
        views: List[View] = []
        for volume in volumes[:_MOST_WINDOWS]:
            views += [slices_view(volume, self.formWindow), SectionsView(volume, self.formWindow)]
        if len(volumes) > _MOST_WINDOWS:
            views.append(
                self.infoMessage(
                    f"Only the first {_MOST_WINDOWS} of {len(volumes)} volumes are shown."
                )
            )
        return views


class SectionsView(View):
    """A window with one slice and a slider."""

    def __init__(self, volume: Volume, parent=None):
        self.volume, self.parent = volume, parent

    def show(self):
        data, pixel = read(self.volume), self.volume.getSamplingRate()
        title = f"{name_of(self.volume)}: slices"
        SliderWindow(
            title, lambda axis, i: section(data, pixel, axis, i), "xyz", len(data), self.parent
        ).show()


def section(data, pixel_size_angstrom: float, axis: str, index: int):
    """Figure of one slice.

    Parameters
    ----------
    data : (D, D, D) array [z, y, x].
    pixel_size_angstrom : its pixel size.
    axis : axis across which the slice is taken, "x", "y" or "z".
    index : number of the slice, from 0.
    """
    from cryoposes_plugin.core.plots import volume_section

    return volume_section(data, pixel_size_angstrom, axis, index)


def slices_view(volume: Volume, parent=None) -> FigureView:
    """Central slices and projections of a volume, with the pixel size that Scipion has."""

    def draw():
        from cryoposes_plugin.core.plots import volume_slices

        return volume_slices(read(volume), volume.getSamplingRate(), name_of(volume))

    return FigureView(f"{name_of(volume)}: slices and projections", draw, parent)


def read(volume: Volume):
    """(D, D, D) array [z, y, x], from any format that Scipion reads."""
    import numpy as np
    from pwem.emlib.image import ImageHandler

    return np.asarray(
        ImageHandler().read(volume.getLocation()).getData(), dtype=np.float32
    ).squeeze()


def name_of(volume: Volume) -> str:
    return volume.getObjLabel() or os.path.basename(volume.getFileName())


def chimera_is_installed() -> bool:
    from pwem.viewers.viewer_chimera import Chimera

    program = Chimera.getProgram()
    return bool(program) and os.path.exists(program)


def chimera_views(volume: Volume) -> List[View]:
    from pwem.viewers.viewer_chimera import ChimeraView

    return [ChimeraView(volume.getFileName())]
