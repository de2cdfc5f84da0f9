"""The names of the files and folders that a run writes. Plain enough for Python 3.8."""

from __future__ import annotations

#: What was asked for, what it depends on, its numbers (written last), and the page that shows it.
CONFIG_NAME, MANIFEST_NAME = "config.json", "manifest.json"
METRICS_NAME, REPORT_NAME = "metrics.json", "report.html"

PARTICLES_NAME, STACK_NAME = "particles.star", "particles.mrcs"
#: Of cryoSPARC's particle files, which are written beside STAR files of the same name.
CS_SUFFIX, CS_NAME = ".cs", "particles.cs"
ACCEPTED_NAME, REJECTED_NAME = "accepted.star", "rejected.star"
COVARIANCE_NAME = "covariance.npz"
#: Junk probabilities of a set's images and of its decoys.
DECOYS_NAME = "decoys.npz"

VOLUME_NAME, HALF1_NAME, HALF2_NAME = "volume.mrc", "half1.mrc", "half2.mrc"
MASK_NAME, FSC_NAME = "mask.mrc", "fsc.csv"

#: Folder of a network, its description in there, and the history of its training.
MODEL_NAME, CARD_NAME, HISTORY_NAME = "model", "model_card.json", "history.csv"

#: Errors of poses, one row a particle.
ERRORS_NAME = "errors.csv"

#: Of a search for an initial volume: the folders of its two parts and the history of the first.
SEARCH_NAME, REFINEMENT_NAME = "search", "refinement"
SEARCH_HISTORY_NAME = "search.csv"

#: Of rotations from a file of distances.
ROTATIONS_NAME, RESIDUALS_NAME = "rotations.npy", "residuals.npy"
EXPECTED_ERRORS_NAME = "expected_errors.npy"
