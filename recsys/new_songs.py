"""The scores of new songs beside those of known ones: exposure, calibration, chances.

A score means another thing for a song that nobody has played than for a known one, and some new
songs have high scores for everybody. So two things are done before both stand in one list:

- Exposure: a song's score is divided by the deviation of its scores over the users, as far as
  `gamma` says. Every song then competes with its own level, as in the rescaling of hubs by
  Schnitzer, Flexer, Schedl and Widmer (Local and global scaling reduce hubs in space, JMLR 2012).
- Calibration: two logistic regressions on the validation split say how likely it is that somebody
  plays a song of a score, for known songs and for new ones. A new song's *list score* is the score
  of a known song that is as likely to be played.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from datasets.arrays import Float32Array, Float64Array


@dataclass(frozen=True)
class NewSongCalibration:
    """How scores of known and of new songs become chances, as a fit has measured them.

    Raises:
        ValueError: a number that is not finite, a slope that is not positive, or a `gamma` that is
            not from 0 to 1.

    Examples:
        >>> measured = NewSongCalibration(-5.0, 0.5, -4.0, 1.0, gamma=0.5)
        >>> measured.list_scores(np.array([2.0])).tolist()  # logits: -4 + 1 · 2 = -5 + .5 · 6
        [6.0]
        >>> measured.adjusted(np.float32([[5]]), np.array([7.0]), 1.0).tolist()
        [[1.0]]
    """

    alpha_k: float
    """Intercept of the logistic regression of known songs."""

    beta_k: float
    """Its slope."""

    alpha_n: float
    """Intercept of the logistic regression of new songs, on their adjusted scores."""

    beta_n: float
    """Its slope."""

    gamma: float = 2 / 3
    """How much a song competes with its own level: 0 not at all, 1 with nothing else."""

    def __post_init__(self) -> None:
        """Check all numbers: they may come from a file."""
        numbers = [getattr(self, one.name) for one in fields(self)]
        if not all(np.isfinite(number) for number in numbers):
            raise ValueError("a calibration of new songs has a number that is not finite")
        if min(self.beta_k, self.beta_n) <= 0:
            raise ValueError("a calibration of new songs has a slope that is not positive")
        if not 0 <= self.gamma <= 1:
            raise ValueError("a calibration of new songs has a gamma that is not from 0 to 1")

    def adjusted(
        self,
        scores: Float32Array,
        deviation: Float32Array | Float64Array,
        typical: float,
    ) -> Float32Array:
        """Let each song compete with its own level.

        Args:
            scores: scores of new songs, [users, songs].
            deviation: deviation of each song's scores over the model's users, positive, [songs].
            typical: mean of the deviations of new songs that have been heard.

        Returns:
            ``score · typical / sqrt(gamma · deviation² + (1 - gamma) · typical²)``, float32 [users,
            songs]: what is not `gamma` keeps songs of which little is known from being blown up.
            Taking the mean over the users off as well costs nDCG on Last.fm (with VGGish .144 with
            none of it, .132 with a quarter, .112 with half of it) and shows hardly more songs.
        """
        square = self.gamma * np.asarray(deviation, np.float64) ** 2
        factor = typical / np.sqrt(square + (1 - self.gamma) * typical**2)
        return np.asarray(scores * factor.astype(np.float32), np.float32)

    def list_scores(self, adjusted: Float64Array) -> Float64Array:
        """Return the scores of known songs that are as likely to be played as new ones."""
        return (self.alpha_n + self.beta_n * adjusted - self.alpha_k) / self.beta_k

    @property
    def level(self) -> float:
        """The list score of a new song whose adjusted score is 0."""
        return (self.alpha_n - self.alpha_k) / self.beta_k

    def chances(self, list_scores: Float64Array) -> Float64Array:
        """Return how likely songs of these list scores are to be played, 0 to 1."""
        from scipy.special import expit

        return np.asarray(expit(self.alpha_k + self.beta_k * list_scores), np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        return cls(**{one.name: float(values[one.name]) for one in fields(cls)})


TYPICAL = NewSongCalibration(-5.7, 0.63, -5.7, 0.63)
"""Stands in where a fit has measured nothing: as on Last.fm; scores of both mean the same."""
