"""Accuracy on slices of items and users, computed from the lists of the whole evaluation.

No model is fitted or called again. In a slice of items only its own items count as relevant: a hit
on another item is a miss, and users without a relevant item in the slice are left out. A slice of
users has these users only. The slices of one kind together have all relevant pairs.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray, StrArray
from evaluation.metrics.beyond_accuracy import ItemFacts
from evaluation.metrics.hits import HitMatrix
from evaluation.metrics.ranking import ndcg, recall

SliceName = tuple[str, str]
"""(kind of slice, such as "popularity"; name of the slice, such as "head")."""

BY_WARMTH: Final = "items"
"""Items by number of training users: cold 0, semi-cold 1 to 9, warm 10 or more."""
BY_POPULARITY: Final = "popularity"
"""Items by popularity: head, middle and tail have a third of all plays each."""
BY_ACTIVITY: Final = "listeners"
"""Users by number of training items: light, medium and heavy are a third of the users each."""
BY_GENRE: Final = "genre"
"""Items by genre: those with most relevant pairs, and the rest."""

OTHER_GENRES: Final = "other genres"
UNKNOWN_GENRE: Final = "unknown genre"

_METRICS: Final = {"ndcg": ndcg, "recall": recall}

_WARM = 10
"""Training users from which on an item is called warm."""

_GENRES = 12
"""Genres with a slice of their own."""


class Slices:
    """The slices of one set of users and candidate items.

    A kind with a single slice repeats the overall figures and is left out, except "items", which
    tells whether the items are cold, semi-cold or warm.

    Args:
        relevant: user rows and item columns of the relevant pairs, each once, as
            ``evaluation.metrics.hits.HitEncoder.relevant`` gives them.
        facts: facts of the same users and items.
        activity: [n_users], number of items that each user has in training.

    Attributes:
        rows: {slice: rows of its users, ascending}.
        bounds: {slice: (least, most)} number of users of its items, or items of its users.

    Examples:
        >>> slices = Slices((np.array([0]), np.array([2])), facts, activity=np.array([1]))
        >>> slices.values(hits, ks=[2])["items", "semi-cold", "recall", 2]
        array([1.])
    """

    def __init__(
        self, relevant: tuple[IntArray, IntArray], facts: ItemFacts, activity: IntArray
    ) -> None:
        user, item = relevant
        self._of_item: dict[SliceName, BoolArray] = {}
        self._n_relevant: dict[SliceName, IntArray] = {}
        self.rows: dict[SliceName, IntArray] = {}
        self.bounds: dict[SliceName, tuple[int, int]] = {}
        n_users = len(activity)
        tested = np.flatnonzero(np.bincount(item, minlength=len(facts.listeners)))
        for by, names in (
            (BY_WARMTH, warmth(facts.listeners)),
            (BY_POPULARITY, popularity_thirds(facts.listeners)),
            (BY_GENRE, _genres(facts, item)),
        ):
            there = [str(name) for name in dict.fromkeys(names[tested])]
            if by != BY_WARMTH and len(there) < 2:
                continue
            for name in sorted(there, key=_order):
                inside = names == name
                count = np.bincount(user[inside[item]], minlength=n_users)
                self.rows[by, name] = np.flatnonzero(count)
                self._of_item[by, name] = inside
                self._n_relevant[by, name] = count[count > 0]
                if by == BY_POPULARITY:
                    held = facts.listeners[inside]
                    self.bounds[by, name] = int(held.min()), int(held.max())
        names = activity_thirds(activity)
        there = [name for name in ("light", "medium", "heavy") if (names == name).any()]
        for name in there if len(there) > 1 else ():
            self.rows[BY_ACTIVITY, name] = np.flatnonzero(names == name)
            held = activity[names == name]
            self.bounds[BY_ACTIVITY, name] = int(held.min()), int(held.max())

    def values(
        self, hits: HitMatrix, ks: Sequence[int]
    ) -> dict[tuple[str, str, str, int], Float64Array]:
        """Compute nDCG and recall on every slice.

        Args:
            hits: lists for the same users and items.
            ks: numbers of places that count.

        Returns:
            {(kind, name, metric, k): values of the users in ``rows[kind, name]``}.
        """
        found = {}
        for (by, name), rows in self.rows.items():
            part = HitMatrix(
                hits.matrix[rows], hits.n_relevant[rows], hits.n_listed[rows], hits.items[rows]
            )
            if (by, name) in self._of_item:
                inside = np.append(self._of_item[by, name], False)[part.items]
                part = HitMatrix(
                    part.matrix & inside, self._n_relevant[by, name], part.n_listed, part.items
                )
            for metric, compute in _METRICS.items():
                for k in ks:
                    found[by, name, metric, k] = compute(part, k)
        return found


def warmth(listeners: IntArray) -> NDArray[np.str_]:
    """Classify items by their number of training users.

    Args:
        listeners: [n_items], number of training users.

    Returns:
        [n_items], "cold" (0), "semi-cold" (1 to 9) or "warm" (10 or more).

    Examples:
        >>> warmth(np.array([0, 9, 10])).tolist()
        ['cold', 'semi-cold', 'warm']
    """
    return np.array(["cold", "semi-cold", "warm"])[np.digitize(listeners, [1, _WARM])]


def popularity_thirds(listeners: IntArray) -> NDArray[np.str_]:
    """Divide items into three groups with a third of all plays each, from the most popular on.

    A play is a (user, item) pair here. Items with equally many users stay together, in the group
    where the first of them belongs; without any plays all items are "tail".

    Args:
        listeners: [n_items], number of training users.

    Returns:
        [n_items], "head", "middle" or "tail".

    Examples:
        >>> popularity_thirds(np.array([6, 3, 3, 2, 2, 2])).tolist()
        ['head', 'middle', 'middle', 'tail', 'tail', 'tail']
    """
    counts, place = np.unique(listeners, return_inverse=True)
    plays = np.bincount(place, weights=listeners.astype(np.float64), minlength=len(counts))
    more_popular = plays[::-1].cumsum()[::-1] - plays
    share = more_popular / plays.sum() if plays.sum() else np.ones(len(counts))
    share = np.where(counts > 0, share, 1.0)
    return np.array(["head", "middle", "tail"])[np.digitize(share, [1 / 3, 2 / 3])][place]


def activity_thirds(activity: IntArray) -> NDArray[np.str_]:
    """Divide users into thirds by their number of training items; ties stay together.

    Args:
        activity: [n_users], number of items that each user has in training.

    Returns:
        [n_users], "light", "medium" or "heavy".

    Examples:
        >>> activity_thirds(np.array([1, 2, 5, 6, 20, 30])).tolist()
        ['light', 'light', 'medium', 'medium', 'heavy', 'heavy']
    """
    cuts = np.quantile(activity, [1 / 3, 2 / 3])
    return np.array(["light", "medium", "heavy"])[np.searchsorted(cuts, activity, side="left")]


def _genres(facts: ItemFacts, relevant: IntArray) -> StrArray:
    """Name the genre slice of every item, [n_items], by its number of relevant pairs."""
    names = np.append(facts.genre_names.to_numpy(dtype=object), UNKNOWN_GENRE)
    codes = facts.genres[relevant]
    count = np.bincount(codes[codes >= 0], minlength=len(facts.genre_names))
    rare = np.argsort(-count, kind="stable")[_GENRES:]
    names[rare] = OTHER_GENRES
    found: StrArray = names[facts.genres]
    return found


_ORDER: Final = ("warm", "semi-cold", "cold", "head", "middle", "tail")
_LAST: Final = (OTHER_GENRES, UNKNOWN_GENRE)


def _order(name: str) -> tuple[int, str]:
    """Sort key: from most to least known items; genres by name, then the rest and the unknown."""
    if name in _ORDER:
        return _ORDER.index(name), ""
    return len(_ORDER) + (_LAST.index(name) + 1 if name in _LAST else 0), name
