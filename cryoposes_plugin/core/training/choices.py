"""Choices of a training. Plain values, free of TensorFlow, which Scipion's GUI can import."""

LOSSES = ("geodesic", "chordal", "quaternion", "bingham", "matrix-fisher")
#: Of networks that give poses, and of those that give distances between images.
POSE_TRAINING_STYLES = ("single", "siamese", "siamese+auxiliary")
DISTANCE_TRAINING_STYLES = ("siamese", "landmarks")
TRAINING_STYLES = (*POSE_TRAINING_STYLES, "landmarks")
PAIR_SAMPLINGS = ("random", "stratified")
#: The representation whose numbers are the parameters of a likelihood.
REPRESENTATION_OF_LIKELIHOOD = {"bingham": "bingham10", "matrix-fisher": "svd9"}
