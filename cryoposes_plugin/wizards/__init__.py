"""Wizards beside the parameters of the forms: each proposes a value from the input."""

from .wizards import (
    GridWizard,
    MaskDiameterWizard,
    ModelLibraryWizard,
    NeedsWizard,
    SymmetryWizard,
    ThresholdWizard,
)

__all__ = [
    "GridWizard",
    "MaskDiameterWizard",
    "ModelLibraryWizard",
    "NeedsWizard",
    "SymmetryWizard",
    "ThresholdWizard",
]
