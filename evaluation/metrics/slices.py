"""Figures of parts of the items and of the users, from lists that are there already.

A slice of items keeps, of what is relevant, its own items: nothing is fitted or asked again, a hit
elsewhere in the list is then a miss, and the users without a relevant item in the slice are left
out. A slice of users keeps the users. The slices of one kind divide all that is relevant.
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
"""(what it is a slice by, its name)."""

BY_WARMTH: Final = "items"
"""By listeners in training: cold 0, semi-cold 1 to 9, warm 10 or more."""
BY_POPULARITY: Final = "popularity"
"""Head, middle and tail: the items that together have the first, second, last third of plays."""
BY_ACTIVITY: Final = "listeners"
"""Light, medium and heavy: thirds of the users by the number of items they have in training."""
BY_GENRE: Final = "genre"
"""The genres with most that is relevant, and the rest."""

OTHER_GENRES: Final = "other genres"
UNKNOWN_GENRE: Final = "unknown genre"

_METRICS: Final = {"ndcg": ndcg, "recall": recall}
_WARM = 10
_GENRES = 12


class Slices:
    """Which users, and which of their relevant items, belong to each slice.

    ``relevant`` is (user rows, item columns) of one judge, each pair once; ``facts`` are those of
    the same users and items; ``activity`` [n_users] is the number of items that each user has in
    training. A kind that has a single slice says nothing that the table does not, and is left out;
    ``items`` stays, as it says which of the three the items are.
    """

    def __init__(
        self, relevant: tuple[IntArray, IntArray], facts: ItemFacts, activity: IntArray
    ) -> None:
        user, item = relevant
        self._of_item: dict[SliceName, BoolArray] = {}
        self._n_relevant: dict[SliceName, IntArray] = {}
        self.rows: dict[SliceName, IntArray] = {}
        """Rows of the users that take part in each slice, ascending."""
        self.bounds: dict[SliceName, tuple[int, int]] = {}
        """Least and most listeners of the items, or items of the users, that a slice holds."""
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
        """{(by, slice, metric, k): a value for each user in ``rows``}; nDCG and recall."""
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
    """[n_items] "cold", "semi-cold" or "warm", by listeners in training: 0, 1 to 9, 10 or more."""
    return np.array(["cold", "semi-cold", "warm"])[np.digitize(listeners, [1, _WARM])]


def popularity_thirds(listeners: IntArray) -> NDArray[np.str_]:
    """[n_items] "head", "middle" or "tail", by whose the first third of all plays is, and so on.

    A play is a pair of a user and an item. Items with equally many listeners stay together, in the
    slice where the first of them belongs; without any plays all are tail.
    """
    counts, place = np.unique(listeners, return_inverse=True)
    plays = np.bincount(place, weights=listeners.astype(np.float64), minlength=len(counts))
    more_popular = plays[::-1].cumsum()[::-1] - plays
    share = more_popular / plays.sum() if plays.sum() else np.ones(len(counts))
    share = np.where(counts > 0, share, 1.0)
    return np.array(["head", "middle", "tail"])[np.digitize(share, [1 / 3, 2 / 3])][place]


def activity_thirds(activity: IntArray) -> NDArray[np.str_]:
    """[n_users] "light", "medium" or "heavy"; users with equally many items stay together."""
    cuts = np.quantile(activity, [1 / 3, 2 / 3])
    return np.array(["light", "medium", "heavy"])[np.searchsorted(cuts, activity, side="left")]


def _genres(facts: ItemFacts, relevant: IntArray) -> StrArray:
    """[n_items] name of the genre, of the rest, or of none."""
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
    """From most to least known; genres by name, then the rest and the unknown."""
    if name in _ORDER:
        return _ORDER.index(name), ""
    return len(_ORDER) + (_LAST.index(name) + 1 if name in _LAST else 0), name
