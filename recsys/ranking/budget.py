"""How many new songs lists have for the share of nDCG that they may lose.

A list of the best k - n known and the best n new songs, in the order of their list scores
(`recsys.new_songs`), has an expected gain: the sum over ranks r of ``p / log2(r + 1)``, p being the
chance that the song there is played. Without a bonus, n is what maximises it. A *bonus* for every
new song, and beyond it a factor of new songs' odds, let more of them in; both rise along one path
t. How far a budget goes is computed, and not learned: the t at which lists of a sample of the
model's users, with the new songs that there are, are expected to lose that share. So the budget
holds however many songs have been onboarded.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from datasets.arrays import Float64Array, IntArray
from recsys.new_songs import NewSongCalibration

BONUS = 0.13
"""The bonus at t = 1, beside the chance of the tenth known song."""

_SHORT = 64
"""Up to this length of lists, every number of new songs is tried; else so many of them."""

LENGTH = 10
"""Length of the lists that budgets are computed on."""

_STEPS = (*np.linspace(0.25, 1, 4), *np.geomspace(1.25, 1e6, 26))
"""Values of t at which costs are computed; at the last one, new songs stand before all others."""


_MOST_PATHS = 4
"""Paths that are kept: of what is asked in turn, such as before and after a change."""


class Ranked(NamedTuple):
    """The list scores of users' best songs, best first; of [users, n], -inf where there is none."""

    known: Float64Array
    new: Float64Array


class Path:
    """What budgets buy, for one state of a model.

    Examples:
        >>> calibration = NewSongCalibration(-3.0, 1.0, -3.0, 1.0)
        >>> lists = Ranked(np.array([[3.0, 2.0, 1.0]]), np.array([[1.9, 0.0, -1.0]]))
        >>> path = Path(calibration, lists, length=2)
        >>> [path.counts(lists, path.point(budget), 2).tolist() for budget in (0.0, 0.1, 1.0)]
        [[0], [1], [2]]
    """

    def __init__(
        self, calibration: NewSongCalibration, sample: Ranked, length: int = LENGTH
    ) -> None:
        """Compute what each point of the path costs.

        Args:
            calibration: says what a score is worth.
            sample: the best songs of a sample of users, at least those of a list.
            length: of the lists that the costs are those of.
        """
        self.calibration = calibration
        self._length = length
        chances = calibration.chances(sample.known)
        last = chances[:, min(length, chances.shape[1]) - 1] if chances.size else np.zeros(1)
        self._bonus = BONUS * float(last.mean())
        self._costs = np.zeros(1)
        if sample.known.size and np.isfinite(sample.new).any():
            best = self._expected(sample, 0.0)
            self._costs = np.array([0.0, *(1 - self._expected(sample, t) / best for t in _STEPS)])

    def point(self, budget: float) -> float:
        """Return the t that a budget reaches, 0 or more."""
        costs = self._costs
        last = int(np.flatnonzero(costs <= budget)[-1]) if budget else 0
        points = (0.0, *_STEPS)
        if last == len(costs) - 1:
            return float(points[last]) if budget else 0.0
        share = (budget - costs[last]) / (costs[last + 1] - costs[last]) if budget else 0.0
        return float(points[last] + share * (points[last + 1] - points[last]))

    def boost(self, t: float) -> float:
        """Return what is added to the list scores of new songs at a point of the path."""
        return float(np.log(max(t, 1.0))) / self.calibration.beta_k

    def counts(self, lists: Ranked, t: float, k: int) -> IntArray:
        """Return the number of new songs in the list of k of each user, int [users].

        Args:
            lists: the best songs of the users, without a boost.
            t: the point of the path.
            k: length of the lists.
        """
        boosted = Ranked(lists.known, lists.new + self.boost(t))
        chances = [self.calibration.chances(one) for one in boosted]
        tried = _tried(k)
        value = _gains(boosted, chances, tried, k) + self._bonus * min(t, 1.0) * tried
        n_known, n_new = (np.isfinite(one).sum(axis=1) for one in boosted)
        least = np.minimum(np.maximum(k - n_known, 0), n_new)
        most = np.minimum(k, n_new)
        possible = (tried >= least[:, None]) & (tried <= most[:, None])
        best = tried[np.where(possible, value, -np.inf).argmax(axis=1)]
        return np.clip(best, least, most)

    def _expected(self, sample: Ranked, t: float) -> float:
        """The mean gain of lists at a point of the path, by the chances without a boost."""
        k = self._length
        counts = self.counts(sample, t, k)
        boosted = Ranked(sample.known, sample.new + self.boost(t))
        chances = [self.calibration.chances(one) for one in sample]
        gains = _gains(boosted, chances, _tried(k), k)
        return float(gains[np.arange(len(gains)), counts].mean())


def _tried(k: int) -> IntArray:
    """The numbers of new songs to try in lists of k."""
    return np.arange(k + 1) if k <= _SHORT else np.unique(np.linspace(0, k, _SHORT + 1).astype(int))


def _gains(lists: Ranked, chances: Sequence[Float64Array], tried: IntArray, k: int) -> Float64Array:
    """The expected gains of lists of k with these numbers of new songs, float64 [users, tried].

    Args:
        lists: the scores by which they are ordered.
        chances: of the known and of the new songs, 0 where there is none.
        tried: the numbers of new songs.
        k: length of the lists.
    """
    known, new = lists.known[:, :k], lists.new[:, :k]
    # A song stands behind those of its kind before it, and behind the others' that score more, as
    # far as they are in the list; of equal scores, the known song stands first.
    behind = (_ahead(known, new, equal=False), _ahead(new, known, equal=True))
    discount = 1 / np.log2(np.arange(2 * k + 1) + 2)
    gains = np.zeros((len(known), len(tried)))
    for column, n in enumerate(tried.tolist()):
        for own, ahead, n_own, n_other in (
            (chances[0], behind[0], k - n, n),
            (chances[1], behind[1], n, k - n),
        ):
            place = np.minimum(ahead[:, :n_own], n_other) + np.arange(min(n_own, ahead.shape[1]))
            gains[:, column] += (own[:, :n_own] * discount[place]).sum(axis=1)
    return gains


def _ahead(own: Float64Array, other: Float64Array, *, equal: bool) -> IntArray:
    """How many of the others' scores stand before each own one, int [users, n].

    equal: whether equal scores do.
    """
    if not own.shape[1] or not other.shape[1]:
        return np.zeros(own.shape, np.intp)
    if own.shape[1] * other.shape[1] <= _SHORT**2 // 4:
        pair = other[:, None, :], own[:, :, None]
        above = np.greater_equal(*pair) if equal else np.greater(*pair)
        return np.asarray(above.sum(axis=2))
    side: Literal["left", "right"] = "right" if equal else "left"
    return np.stack([np.searchsorted(-b, -a, side=side) for a, b in zip(own, other, strict=True)])


class Paths:
    """What budgets buy for the items of one fit, and what it was computed from."""

    def __init__(self) -> None:
        self._known: tuple[bytes, Float64Array] | None = None
        self._paths: dict[Hashable, Path] = {}

    def known(self, users: IntArray, make: Callable[[], Float64Array]) -> Float64Array:
        """Return the scores of the best known items of these users, computed once."""
        kept = self._known
        if kept is None or kept[0] != users.tobytes():
            self._known = kept = users.tobytes(), make()
        return kept[1]

    def of(self, key: Hashable, make: Callable[[], Path]) -> Path:
        """Return the path that is kept under a key, computed once; the latest few are kept."""
        found = self._paths.get(key)
        if found is None:
            found = make()
            latest = list(self._paths.items())[1 - _MOST_PATHS :]
            self._paths = dict([*latest, (key, found)])
        return found

    def first(self, count: int) -> "Paths":
        """The same: which rows the items have is part of the keys."""
        return self
