"""Whether the particles of a set look like those of its twin, from which all is learned that is said
of them: a classifier two-sample test (Lopez-Paz and Oquab 2017).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Trees of the classifier, fewest images in a leaf, and parts of the images, each of which is told
#: apart by what was learned from the others.
_TREES, _LEAF, _FOLDS = 100, 5, 5
#: Fewer images show nothing; so many of a set are enough, about as many as a twin has.
_FEWEST, _MOST = 50, 1000
#: Images and simulated ones are unlike from this area under the ROC curve on. It is 0.5 where they
#: cannot be told apart.
UNLIKE = 0.85


class TwinTest(NamedTuple):
    """area : under the ROC curve of a classifier that tells particles of a set from those of its twin,
    for images that it did not learn from; 0.5 where it cannot, or where there are too few.
    """

    area: float

    @property
    def unlike(self) -> bool:
        """Whether what the twin shows says little of the set."""
        return self.area >= UNLIKE

    @property
    def sentence(self) -> str:
        """The warning."""
        return (
            "The images that are called particles are unlike the simulated ones from which "
            "probabilities and expected errors were learned: a classifier tells them apart with an "
            f"area under the ROC curve of {self.area:.2f} (0.5 if they are alike; below "
            f"{UNLIKE:g} is usual). Shares of junk, probabilities, expected errors and bounds may "
            "be far off. Most often too many poses are wrong: compare with another seed or network, "
            "train at the noise of these images (--like), or use fewer, better particles."
        )


def compared_with_twin(
    of_set: np.ndarray, of_twin: np.ndarray, twin_weight: np.ndarray, seed: int
) -> TwinTest:
    """How like the particles of a set and its twin are.

    Parameters
    ----------
    of_set : (N, F) features of images that are likely particles.
    of_twin : (M, F) of images of the twin that are.
    twin_weight : (M,) how many images of a set like the given one each stands for.
    seed : of the classifier.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    used = twin_weight > 0
    of_twin, twin_weight = of_twin[used], twin_weight[used]
    if min(len(of_set), len(of_twin)) < _FEWEST:
        return TwinTest(0.5)
    rows = np.random.default_rng(seed).permutation(len(of_set))[:_MOST]
    features = np.concatenate([of_set[rows], of_twin])
    label = np.repeat([1, 0], [len(rows), len(of_twin)])
    weight = np.concatenate([np.full(len(rows), 1.0 / len(rows)), twin_weight / twin_weight.sum()])
    weight *= len(label) / 2

    votes = np.empty(len(label))
    for learned, held_out in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(
        features, label
    ):
        trees = ExtraTreesClassifier(
            _TREES, min_samples_leaf=_LEAF, max_features=0.5, random_state=seed
        )
        trees.fit(features[learned], label[learned], sample_weight=weight[learned])
        votes[held_out] = trees.predict_proba(features[held_out])[:, 1]
    return TwinTest(float(roc_auc_score(label, votes, sample_weight=weight)))
