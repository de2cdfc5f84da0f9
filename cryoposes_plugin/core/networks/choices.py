"""Choices of a network. Plain values, free of TensorFlow, which Scipion's GUI can import."""

REPRESENTATIONS = ("bingham10", "svd9", "gram-schmidt6", "quaternion", "axis-angle")
POOLINGS = ("generalised-mean", "max", "average", "max+average")
FILTER_BANKS = ("none", "gaussian", "low-pass")
#: Distances between images by their features, see `models.feature_distances`.
FEATURE_DISTANCES = ("cosine", "euclidean", "trace")
#: Correction of the CTF before the network sees an image.
CTF_CORRECTIONS = ("none", "phase-flip", "premultiply")
