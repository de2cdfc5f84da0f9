"""The class of objects that the plugin adds to Scipion projects."""

from __future__ import annotations

import os
from typing import Optional

from pwem.objects import EMObject
from pyworkflow.object import Float, Integer, String

from .core.io.names import CARD_NAME

MODEL_FILES = ("model.keras", CARD_NAME)


class PoseModel(EMObject):
    """A trained network: a folder with `model.keras` and `model_card.json`."""

    def __init__(self, folder: Optional[str] = None, **kwargs):
        EMObject.__init__(self, **kwargs)
        self._folder = String(folder)
        self._preset = String()
        self._symmetry = String("C1")
        self._boxSize = Integer()
        self._samplingRate = Float()
        self._validationErrorDeg = Float()

    def __str__(self):
        if not self._boxSize.hasValue():
            return "PoseModel (empty)"
        grid = f"{self.getBoxSize()} px, {self.getSamplingRate():0.2f} Å/px"
        text = f"PoseModel ({self.getPreset()}, {grid}, {self.getSymmetry()}"
        if self.getValidationErrorDeg() is not None:
            text += f", validation error {self.getValidationErrorDeg():0.1f}°"
        return text + ")"

    def getFolder(self) -> Optional[str]:
        return self._folder.get()

    def setFolder(self, folder: str) -> None:
        self._folder.set(folder)

    def getFileName(self) -> Optional[str]:
        return self._folder.get()

    def getFiles(self):
        return (
            {os.path.join(self.getFolder(), name) for name in MODEL_FILES}
            if self.getFolder()
            else set()
        )

    def getPreset(self) -> Optional[str]:
        return self._preset.get()

    def setPreset(self, preset: str) -> None:
        self._preset.set(preset)

    def getSymmetry(self) -> str:
        return self._symmetry.get()

    def setSymmetry(self, symmetry: str) -> None:
        self._symmetry.set(symmetry)

    def getBoxSize(self) -> Optional[int]:
        """Box size (px) of the network, which may differ from that of the particles."""
        return self._boxSize.get()

    def setBoxSize(self, box_size_px: int) -> None:
        self._boxSize.set(box_size_px)

    def getSamplingRate(self) -> Optional[float]:
        """Pixel size (Å) of the network, which may differ from that of the particles."""
        return self._samplingRate.get()

    def setSamplingRate(self, pixel_size_angstrom: float) -> None:
        self._samplingRate.set(pixel_size_angstrom)

    def getValidationErrorDeg(self) -> Optional[float]:
        """Median angular error (degrees) on held-out images."""
        return self._validationErrorDeg.get()

    def setValidationErrorDeg(self, error_deg: Optional[float]) -> None:
        self._validationErrorDeg.set(error_deg)
