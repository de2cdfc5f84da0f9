"""Helpers beside the forms' parameters: each looks at the input and proposes a value."""

from .wizards import GridWizard, MaskDiameterWizard, SymmetryWizard, ThresholdWizard

__all__ = ["GridWizard", "MaskDiameterWizard", "SymmetryWizard", "ThresholdWizard"]
