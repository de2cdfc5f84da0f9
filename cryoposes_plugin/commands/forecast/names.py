"""The names of what a forecast writes."""

from __future__ import annotations

#: Folders of the steps.
TWIN_NAME, TRAINING_NAME, POSES_NAME = "twin", "training", "poses"
FILTER_NAME, RECONSTRUCTION_NAME = "filter", "reconstruction"
#: Of the twin: what was measured on the set; written last.
MEASURED_NAME = "measured.json"
#: Resolution against number of images.
CURVE_NAME = "resolution.csv"
