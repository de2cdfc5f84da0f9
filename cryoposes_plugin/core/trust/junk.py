"""The probability that an image is junk, from statistics of images and of decoys.

A classifier learns from a twin what particles, particles at wrong poses, and decoys of each kind
look like (target-decoy approach, Elias and Gygi 2007; Kall et al. 2007). The shares of the kinds in
the set are found by expectation maximisation (Saerens et al. 2002). Probabilities are calibrated on
images that the classifier did not learn from: those of the kinds (Kull et al. 2019) before, and that
of junk, by isotonic regression, after the shares are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict

import numpy as np

from ..image_kinds import NOISE, OFF_CENTRE, OTHER, PARTICLE, SCRAMBLED

#: Class of particles whose pose is wrong; it is learned if there are so many of them.
WRONG_POSE = "wrong pose"
FEWEST_WRONG = 12

#: With fewer, the votes of the trees that did not learn from an image scatter more than those of all.
_TREES = 1000
#: Weight of the classifier's own probability within a step of the calibration.
_TIES = 1e-3
#: Iterations and convergence of expectation maximisation, and the least share of a class.
_ITERATIONS, _CONVERGED, _LEAST_SHARE = 500, 1e-7, 1e-6
#: Kinds of junk that a particle at a wrong pose looks like, and how clearly.
_LIKE_WRONG_POSES, _CLEARLY = (NOISE, OTHER, SCRAMBLED, OFF_CENTRE), 0.5
#: An image is hopeless if it shows the particle with less than this probability.
HOPELESS = 0.01


@dataclass(frozen=True)
class JunkEstimate:
    """Junk among N particles, and among the M images of the twin, which were not learned from.

    Attributes
    ----------
    probability : (N,) that an image is junk.
    wrong_pose : (N,) that the pose is wrong, if the image shows the particle.
    shares : share of each class in the set.
    twin_probability : (M,) of the twin's images, with the shares of the set.
    twin_kind : (M,) their kinds.
    """

    probability: np.ndarray
    wrong_pose: np.ndarray
    shares: Dict[str, float]
    twin_probability: np.ndarray
    twin_kind: np.ndarray


class JunkClassifier:
    """Tells junk of several kinds from particles.

    Parameters
    ----------
    features : (M, F) of particles and decoys.
    kind : (M,) PARTICLE, WRONG_POSE, or the kind of decoy.
    seed : of the classifier.
    """

    def __init__(self, features: np.ndarray, kind: np.ndarray, seed: int):
        from sklearn.ensemble import ExtraTreesClassifier
        from sklearn.linear_model import LogisticRegression

        self.kind = kind
        self.classes, label = np.unique(kind, return_inverse=True)
        self._trained = np.bincount(label) / len(label)
        self._model = ExtraTreesClassifier(
            _TREES,
            min_samples_leaf=2,
            max_features=0.5,
            bootstrap=True,
            oob_score=True,
            random_state=seed,
        ).fit(features, label)
        # Votes on each image of the trees that did not learn from it; votes are too cautious.
        votes = _log_votes(np.nan_to_num(self._model.oob_decision_function_))
        self._calibrated = LogisticRegression(solver="newton-cg", max_iter=1000).fit(votes, label)
        self._held_out = self._calibrated.predict_proba(votes)

    def estimate(self, features: np.ndarray) -> JunkEstimate:
        """Junk among images with these features (N, F)."""
        raw = self._calibrated.predict_proba(_log_votes(self._model.predict_proba(features)))
        shares = self._shares(raw)
        given, held_out = (_with_shares(p, self._trained, shares) for p in (raw, self._held_out))
        calibrate = self._calibration(self._junk(held_out), shares)
        return JunkEstimate(
            calibrate(self._junk(given)),
            self._wrong_pose(given),
            dict(zip(self.classes.tolist(), shares.tolist())),
            calibrate(self._junk(held_out)),
            self.kind,
        )

    @property
    def _shows_particle(self) -> np.ndarray:
        return np.isin(self.classes, (PARTICLE, WRONG_POSE))

    def _junk(self, probability: np.ndarray) -> np.ndarray:
        return probability[:, ~self._shows_particle].sum(axis=1)

    def _shares(self, raw: np.ndarray) -> np.ndarray:
        """(K,) shares of the classes in a set, from probabilities (N, K) under those of training."""
        shares = np.full(len(self.classes), 1.0 / len(self.classes))
        for _ in range(_ITERATIONS):
            before = shares
            shares = _with_shares(raw, self._trained, shares).mean(axis=0)
            # Poses go wrong in the set as often as in the twin: their share is not free.
            shares = self._poses_as_in_twin(np.maximum(shares, _LEAST_SHARE))
            if np.abs(shares - before).max() < _CONVERGED:
                break
        return shares

    def _poses_as_in_twin(self, shares: np.ndarray) -> np.ndarray:
        shows = self._shows_particle
        if np.count_nonzero(shows) == 2:
            shares = shares.copy()
            shares[shows] = shares[shows].sum() * self._trained[shows] / self._trained[shows].sum()
        return shares / shares.sum()

    def _calibration(self, score: np.ndarray, shares: np.ndarray):
        """Isotonic map of probabilities, from those of held-out images, weighted to the shares."""
        from sklearn.isotonic import IsotonicRegression

        label = np.searchsorted(self.classes, self.kind)
        weight = (shares / self._trained)[label] / len(label)
        junk = ~self._shows_particle[label]
        isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        isotonic.fit(score, junk.astype(np.float64), sample_weight=weight)

        def calibrate(values: np.ndarray) -> np.ndarray:
            # Isotonic steps tie images that the classifier still ranks.
            steps = isotonic.predict(values)
            return steps + _TIES * (values - steps)

        return calibrate

    def _wrong_pose(self, probability: np.ndarray) -> np.ndarray:
        """(N,) probability of a wrong pose, if the image shows the particle.

        Calibrated on the twin's particles where enough of their poses are wrong. Where an image looks
        like one without the particle, a wrong pose is likelier than a right one even if it is rare.
        """
        particles = np.isin(self.kind, (PARTICLE, WRONG_POSE))
        rare = 1.0 / (np.count_nonzero(particles) + 1.0)
        unlike = probability[:, np.isin(self.classes, _LIKE_WRONG_POSES)].sum(axis=1)
        unlike = np.where(unlike > _CLEARLY, unlike, 0.0)
        right = np.maximum(1.0 - self._junk(probability), 1e-12)
        rarely = rare * unlike / (rare * unlike + right)
        if WRONG_POSE not in self.classes:
            return rarely
        from sklearn.isotonic import IsotonicRegression

        isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        held_out = self._share_wrong(self._held_out[particles])
        isotonic.fit(held_out, (self.kind[particles] == WRONG_POSE).astype(np.float64))
        return np.maximum(isotonic.predict(self._share_wrong(probability)), rarely)

    def _share_wrong(self, probability: np.ndarray) -> np.ndarray:
        """(N,) of the probability of a particle, the part at a wrong pose."""
        of = dict(zip(self.classes.tolist(), probability.T))
        return of[WRONG_POSE] / np.maximum(of[WRONG_POSE] + of[PARTICLE], 1e-12)


def _log_votes(votes: np.ndarray) -> np.ndarray:
    """Features of Dirichlet calibration (Kull et al. 2019)."""
    return np.log(np.maximum(votes, 1.0 / _TREES))


def _with_shares(probability: np.ndarray, trained: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(N, K) probabilities under other shares of the classes (Saerens et al. 2002, eq. 2)."""
    weighted = probability * (shares / trained)
    return weighted / np.maximum(weighted.sum(axis=1, keepdims=True), 1e-300)
