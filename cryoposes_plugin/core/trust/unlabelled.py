"""Junk in a set of which no image is known to show a particle, told by decoys made of its own images.

The set is a mixture of particles and junk of unknown shares. Each image has a score: its distances
from the bulk of the set and what the network says of it, in the combination that tells the half of
the set closest to its bulk from decoys, as in Percolator (Kall et al. 2007). Each half of the set is
scored by what was learned from the other half, so that images and decoys stand alike. The scores of
particles are normally distributed, those of junk lie above them; the shares are those of a mixture of
normal distributions (McLachlan and Peel 2000), and

    P(junk | s) = sum_k share_k f_k(s) / f_set(s)    over the distributions of junk,

made to rise with the score. What kinds of junk the scores tell from particles is seen from the decoys.
Junk that looks like particles is no part of such a mixture: of each kind, as much is expected among
the particles, for what is seen beyond them, as its decoys say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Tuple

import numpy as np
from scipy.stats import norm

from ..image_kinds import NOISE, OTHER
from .bulk import Bulk
from .image_statistics import Statistics
from .own_decoys import KINDS

#: Regularisation of the combination.
_C = 0.1
#: Most normal distributions of the scores, starts of each fit, least variance in that of the set, and
#: scores at which the probability is computed.
_MOST_PARTS, _STARTS, _LEAST, _GRID = 5, 3, 1e-4, 2001
#: Images above this probability are seen to be junk.
_SEEN = 0.5
#: By this share, images differ within a step of an isotonic regression.
_TIES = 1e-3
#: Decoys of a kind are told if at least this share of them is less like the set than its median image
#: is: half of them are if they look the same.
LEAST_TOLD = 0.9
#: Below this area under the ROC curve the network is no surer of the set than of decoys.
LEAST_SURER = 0.6
_TINY = 1e-9


@dataclass(frozen=True)
class Unlabelled:
    """Junk among N images and M decoys.

    Attributes
    ----------
    probability : (N,) that an image is junk.
    decoy_probability : (M,) of the decoys.
    told : by kind, share of the decoys that are less like the set than its median image.
    surer : area under the ROC curve of the network's certainty, set against halves of particles that
        do not belong together; 0.5 where the network is no surer of the set's images.
    """

    probability: np.ndarray
    decoy_probability: np.ndarray
    told: Dict[str, float]
    surer: float

    @property
    def not_told(self) -> List[str]:
        """Kinds of which junk would be taken for particles."""
        return [kind for kind, share in self.told.items() if share < LEAST_TOLD]

    @property
    def can_tell(self) -> bool:
        """Whether junk is told: noise at least, by a network that knows the images."""
        return self.tells_noise and self.network_is_surer

    @property
    def tells_noise(self) -> bool:
        """Whether the images are not like noise."""
        return self.told[NOISE] >= LEAST_TOLD

    @property
    def network_is_surer(self) -> bool:
        """Whether the network is surer of the set's images than of halves of them."""
        return self.surer >= LEAST_SURER


def junk_of_unlabelled(
    of_set: Statistics, of_decoys: Statistics, kind: np.ndarray, seed: int
) -> Unlabelled:
    """Junk among the images of a set.

    Parameters
    ----------
    of_set : N images.
    of_decoys : M decoys.
    kind : (M,) of the decoys.
    seed : of the division into halves.
    """
    from sklearn.metrics import roc_auc_score

    scores, decoy_scores = _scores(of_set, of_decoys, seed)
    middle = np.median(scores)
    told = {k: float((decoy_scores[kind == k] > middle).mean()) for k in KINDS if k in kind}
    clear = np.isin(kind, [k for k, share in told.items() if share >= LEAST_TOLD])
    mixture = Mixture(scores, decoy_scores[clear] if clear.any() else decoy_scores, seed)
    # Of the junk, one image in M + 1 may look better than all of M decoys.
    floor = min(mixture.share / max(1.0 - mixture.share, _TINY) / (len(kind) + 1), 1.0)

    seen = floor + (1.0 - floor) * mixture.probability(scores)
    limit = scores[seen <= _SEEN].max(initial=scores.min())
    # Halves of two particles are no junk that there is.
    kinds = {k: decoy_scores[kind == k] for k in told if told[k] >= LEAST_TOLD and k != OTHER}
    hidden = HiddenJunk(scores, limit, kinds, _numbers_of_kinds(of_set, of_decoys, kind, seen))

    def probability(values: np.ndarray) -> np.ndarray:
        clear_of_particles = floor + (1.0 - floor) * mixture.probability(values)
        return np.maximum(clear_of_particles, hidden.probability(values))

    halves = of_decoys.network[kind == OTHER, 0]
    label = np.repeat([0, 1], [len(scores), len(halves)])
    return Unlabelled(
        probability(scores),
        probability(decoy_scores),
        told,
        float(roc_auc_score(label, np.concatenate([of_set.network[:, 0], halves]))),
    )


class Mixture:
    """Scores as a mixture of normal distributions, as many as the Bayesian information criterion
    asks for.

    The largest stands for particles. Another is junk if more of the decoys lie below its mean than
    particles lie above.

    Parameters
    ----------
    scores : (N,) of the set.
    decoys : (M,) scores of decoys.
    seed : of the starts.
    """

    def __init__(self, scores: np.ndarray, decoys: np.ndarray, seed: int):
        from sklearn.mixture import GaussianMixture

        column = scores[:, None]
        fits = [
            GaussianMixture(k, n_init=_STARTS, random_state=seed, reg_covar=_LEAST * scores.var())
            for k in range(1, _MOST_PARTS + 1)
        ]
        self._model = min((fit.fit(column) for fit in fits), key=lambda fit: fit.bic(column))

        means, largest = self._model.means_[:, 0], np.argmax(self._model.weights_)
        width = np.sqrt(self._model.covariances_[largest, 0, 0])
        above = norm.sf(means, means[largest], width)
        self._junk = (decoys[:, None] < means).mean(axis=0) > above
        self._junk &= means > means[largest]
        self._grid = np.linspace(scores.min(), scores.max(), _GRID)
        self._on_grid = _rising_about(self._of(self._grid), self._grid < means[largest])

    @property
    def share(self) -> float:
        """Of junk."""
        return float(self._model.weights_[self._junk].sum())

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """(M,) that images with these scores are junk; it does not fall with the score."""
        return np.interp(scores, self._grid, self._on_grid)

    def _of(self, scores: np.ndarray) -> np.ndarray:
        return self._model.predict_proba(scores[:, None])[:, self._junk].sum(axis=1)


def _rising_about(values: np.ndarray, below: np.ndarray) -> np.ndarray:
    """(G,) made to rise away from the middle of the particles, (G,) bool `below` which some lie.

    A broad distribution of junk exceeds that of particles far below their middle too, where there
    is none of it: the probability there is at most that of the middle.
    """
    out = values.copy()
    out[~below] = np.maximum.accumulate(values[~below])
    start = out[~below][:1]
    falling = np.concatenate([start, values[below][::-1]])
    out[below] = np.minimum.accumulate(falling)[1:][::-1] if len(start) else values[below]
    return out


class HiddenJunk:
    """Junk among particles, by the decoys that score like particles.

    Parameters
    ----------
    scores : (N,) of the set.
    limit : beyond it images are seen to be junk.
    decoys : scores of the decoys, by kind.
    seen : number of images of each kind beyond the limit.
    """

    def __init__(
        self,
        scores: np.ndarray,
        limit: float,
        decoys: Mapping[str, np.ndarray],
        seen: Mapping[str, float],
    ):
        from sklearn.isotonic import IsotonicRegression

        self._scores = np.sort(scores[scores <= limit])
        number = len(self._scores)
        expected = np.zeros(number + 1)
        for kind, own in decoys.items():
            beyond = max(int((own > limit).sum()), 1)
            place = np.searchsorted(self._scores, own[own <= limit])
            expected += seen[kind] / beyond * np.bincount(place, minlength=number + 1)

        rank = np.arange(number) / number
        steps = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(rank, expected[:-1])
        self._values = steps * (1.0 + _TIES * (rank - 1.0))

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """(M,) that images with these scores are such junk; it does not fall with the score."""
        return np.interp(scores, self._scores, self._values)


def _numbers_of_kinds(
    of_set: Statistics, of_decoys: Statistics, kind: np.ndarray, junk: np.ndarray
) -> Dict[str, float]:
    """Number of images of each kind of decoy.

    Parameters
    ----------
    of_set, of_decoys : N images, M decoys.
    kind : (M,) of the decoys.
    junk : (N,) probability that an image is junk.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    given, decoys = (np.concatenate(s[1:], axis=1) for s in (of_set, of_decoys))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=_C, max_iter=500))
    model.fit(decoys, kind)
    return dict(zip(model.classes_.tolist(), junk @ model.predict_proba(given)))


def _scores(of_set: Statistics, of_decoys: Statistics, seed: int) -> Tuple[np.ndarray, np.ndarray]:
    """(N,) and (M,), higher for what is less like the bulk of the set."""
    half = np.random.default_rng([seed, 23]).permutation(len(of_set.defocus)) % 2
    features, decoys = np.zeros((len(half), 3)), np.zeros((len(of_decoys.defocus), 3))
    for number in (0, 1):
        own = half == number
        for column, values in enumerate(_GROUPS):
            other = of_set.take(~own)
            bulk = Bulk(values(other), other.defocus)
            given = of_set.take(own)
            features[own, column] = bulk.log_distance(values(given), given.defocus)
            decoys[:, column] += 0.5 * bulk.log_distance(values(of_decoys), of_decoys.defocus)

    near = features[:, 0] <= np.median(features[:, 0])
    features = np.concatenate([features, of_set.network], axis=1)
    decoys = np.concatenate([decoys, of_decoys.network], axis=1)
    scores, of_decoy = np.zeros(len(features)), np.zeros(len(decoys))
    for number in (0, 1):
        own = half == number
        model = _combination(features[near & ~own], decoys)
        scores[own] = model(features[own])
        of_decoy += 0.5 * model(decoys)
    return scores, of_decoy


#: What distances are measured in: everything, the power by frequency, and the rings.
_GROUPS = (
    lambda s: np.concatenate([s.bands, s.rings], axis=1),
    lambda s: s.bands,
    lambda s: s.rings,
)


def _combination(particles: np.ndarray, decoys: np.ndarray):
    """The linear function of features that tells particles (N, F) from decoys (M, F)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    label = np.repeat([0, 1], [len(particles), len(decoys)])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=_C, class_weight="balanced", max_iter=1000)
    )
    return model.fit(np.concatenate([particles, decoys]), label).decision_function
