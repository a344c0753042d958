"""New items in whole lists: how many places they take, which of them are shown, and what it costs.

A whole list is made from everything there is, known and new items together, as a service shows it.
New items that are ranked among themselves alone may be ranked well and never be shown to anybody.

nDCG of one kind in whole lists keeps the places as they are and counts only items of that kind as
relevant: a hit of the other kind takes a place. It is a mean over the users to whom an item of the
kind is relevant. That of both kinds together counts everything, over all users.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from datasets.arguments import check_whole
from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.metrics.hits import HitEncoder, HitMatrix
from evaluation.metrics.ranking import ndcg
from evaluation.splitting.split import Split

BUDGETS: Final = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of nDCG that may be paid for new items, at which ``frontier`` measures lists."""

TEN: Final = 10
"""A new item shown to so many users has a fair chance to be heard."""

Kind = Literal["both", "new", "known"]
"""Which items count as relevant."""


@dataclass(frozen=True)
class WholeListFigures:
    """What lists of known and new items together are like; see ``WholeLists.measure``.

    Examples:
        >>> figures = WholeListFigures(10, 200, 60, 0.05, 12, 4, 0.1, 0.2, 0.03, 0.21, {})
        >>> f"{figures.share:.0%} of places, {figures.shown} of {figures.n_new} new items shown"
        '5% of places, 12 of 60 new items shown'
    """

    k: int
    """Length of the lists."""
    n_users: int
    """Number of users, those without a list included."""
    n_new: int
    """Number of new items that could be in lists."""
    share: float
    """Share of all places that new items take, 0 to 1."""
    shown: int
    """New items in at least one user's list."""
    shown_to_ten: int
    """New items in at least ten users' lists."""
    largest_share: float
    """Share of the users whose lists have the new item that is in most lists."""
    ndcg: float
    """nDCG@k of both kinds together; NaN where no user has a relevant item."""
    ndcg_new: float
    """nDCG@k of new items in whole lists; NaN where no new item is relevant to anybody."""
    ndcg_known: float
    """nDCG@k of known items in whole lists; NaN where no known item is relevant to anybody."""
    values: dict[str, Float64Array]
    """{"ndcg", "ndcg_new", "ndcg_known", "new_share": one value a user, [n_users]}; NaN for a user
    without a relevant item of the kind, or without a list."""

    def to_dict(self) -> dict[str, Any]:
        """Return all figures but the values per user."""
        return {
            name: getattr(self, name)
            for name in (
                "k", "n_users", "n_new", "share", "shown", "shown_to_ten", "largest_share",
                "ndcg", "ndcg_new", "ndcg_known",
            )
        }  # fmt: skip


class WholeLists:
    """Measure lists of known and new items together, against what users played in the test.

    Args:
        users: ids of the users that lists are made for.
        known: ids of the items with plays in training.
        new: ids of the items that nobody has played in training.
        relevant: user_id and item_id of what is tested; other users and items are ignored.
        seen: user_id and item_id that lists must not have, usually those of training; None: no
            restriction.

    Raises:
        InvalidArgumentError: no new item, or an item that is both known and new.
        EvaluationError: nothing is relevant to a user, or an id comes twice.

    Examples:
        >>> relevant = pd.DataFrame({"user_id": ["u", "u", "v"], "item_id": ["a", "x", "b"]})
        >>> lists = WholeLists(["u", "v"], ["a", "b", "c"], ["x", "y"], relevant)
        >>> given = pd.DataFrame({"user_id": ["u", "u", "v", "v"], "rank": [1, 2, 1, 2],
        ...                       "item_id": ["x", "c", "b", "y"], "score": [2.0, 1.0, 2.0, 1.0]})
        >>> found = lists.measure(given, k=2)
        >>> found.share, found.shown, found.shown_to_ten, found.largest_share
        (0.5, 2, 0, 0.5)
        >>> found.ndcg_new  # x is the only new item that is relevant to u, and comes first
        1.0
    """

    def __init__(
        self,
        users: Sequence[str],
        known: Iterable[str],
        new: Collection[str],
        relevant: pd.DataFrame,
        seen: pd.DataFrame | None = None,
    ) -> None:
        known, added = list(known), list(new)
        if not added:
            raise InvalidArgumentError("there is no new item to look for in lists")
        both = set(known) & set(added)
        if both:
            raise InvalidArgumentError(f"item {min(both)!r} is given as known and as new")
        self._take(HitEncoder(users, [*known, *added], relevant, seen), len(added))

    def _take(self, encoder: HitEncoder, n_new: int) -> None:
        self.encoder = encoder
        """Checks lists, and knows what is relevant."""
        self.is_new: BoolArray = np.arange(len(encoder.items)) >= len(encoder.items) - n_new
        """[n_items]: which of the encoder's items are new: its last ones."""

    @classmethod
    def from_encoder(cls, encoder: HitEncoder, n_new: int) -> "WholeLists":
        """Measure lists by an encoder whose last ``n_new`` items are new, at least one."""
        lists = cls.__new__(cls)
        lists._take(encoder, n_new)
        return lists

    @classmethod
    def from_split(cls, dataset: MusicDataset, split: Split) -> "WholeLists":
        """Take the test users, the items and the tested plays of a split.

        A "mixed" split (``evaluation.mixed_split``) tests new and known items alike; a "cold" one
        tests new items alone, so that nDCG of known items is not defined there.

        Args:
            dataset: the whole data set.
            split: a split with new items. It is not checked for leaks here.

        Raises:
            InvalidArgumentError: the split has no new items.
            EvaluationError: no user has both training and tested plays.

        Examples:
            >>> from evaluation import Random, mixed_split
            >>> split = mixed_split(dataset, among=dataset.items["item_id"])
            >>> lists = WholeLists.from_split(dataset, split)
            >>> model = Random().fit(split.training(dataset))
            >>> model = model.onboard_many(split.onboarding(dataset))
            >>> found = lists.measure(model.recommend_many(lists.users, 10), k=10)
            >>> found.n_new, 0 < found.share < 1
            (5, True)
        """
        if not split.cold_items:
            raise InvalidArgumentError(f"split {split.name!r} has no new items")
        train, test = (
            _played(dataset.interactions.iloc[rows]) for rows in (split.train_rows, split.test_rows)
        )
        users = sorted(set(test[USER_ID]) & set(train[USER_ID]))
        if not users:
            raise EvaluationError(f"split {split.name!r} has no user with training and a test")
        held_out = {*split.cold_items, *split.excluded_items}
        known = [item for item in dataset.items[ITEM_ID] if item not in held_out]
        return cls(users, known, split.cold_items, test, train)

    @property
    def users(self) -> list[str]:
        """Ids of the users that lists are made for."""
        return list(self.encoder.users)

    @property
    def new_items(self) -> list[str]:
        """Ids of the new items."""
        return list(self.encoder.items[self.is_new])

    @property
    def seen(self) -> pd.DataFrame:
        """user_id and item_id of what lists must not have."""
        user, item = self.encoder.seen
        return pd.DataFrame({USER_ID: self.encoder.users[user], ITEM_ID: self.encoder.items[item]})

    def measure(self, lists: pd.DataFrame, k: int = 10) -> WholeListFigures:
        """Measure the lists that one model made of everything it has.

        Args:
            lists: columns user_id, rank (1, 2, … within a user), item_id, score; rows in any
                order. A user may be missing and counts 0.
            k: greatest rank that the lists have.

        Raises:
            EvaluationError: an invalid list (``HitEncoder.hits``).
            InvalidArgumentError: ``k`` < 1.
        """
        check_whole("k", k, 1)
        return self.measure_hits(self.encoder.hits(lists, k), k)

    def measure_hits(self, hits: HitMatrix, k: int) -> WholeListFigures:
        """Measure lists that are encoded already, within their first ``k`` places."""
        items = hits.items[:, :k]
        per_user, exposure = new_places(items, self.is_new)
        n_listed = (items >= 0).sum(axis=1)
        values = {
            name: kind_ndcg(hits, k, self.encoder.relevant, self.is_new, kind)
            for name, kind in _NDCG_KINDS.items()
        }
        with np.errstate(invalid="ignore"):
            values["new_share"] = per_user / n_listed
        return WholeListFigures(
            k=k,
            n_users=len(items),
            n_new=int(self.is_new.sum()),
            share=float(per_user.sum() / max(n_listed.sum(), 1)),
            shown=int((exposure >= 1).sum()),
            shown_to_ten=int((exposure >= TEN).sum()),
            largest_share=float(exposure.max() / len(items)),
            **{name: _mean(values[name]) for name in _NDCG_KINDS},
            values=values,
        )


_NDCG_KINDS: Final[dict[str, Kind]] = {"ndcg": "both", "ndcg_new": "new", "ndcg_known": "known"}


def new_places(items: IntArray, is_new: BoolArray) -> tuple[IntArray, IntArray]:
    """Count the places that new items take.

    Args:
        items: lists as columns of the items, [n_users, k], -1 after the end of a list.
        is_new: [n_items].

    Returns:
        Places of new items in each list, [n_users], and lists that each new item is in, [n_new].

    Examples:
        >>> new_places(np.array([[2, 0], [2, 1], [0, -1]]), np.array([False, True, True]))
        (array([1, 2, 0]), array([1, 2]))
    """
    taken = np.append(is_new, False)[items]  # -1 (no item) selects the False
    exposure = np.bincount(items[taken], minlength=len(is_new))[is_new]
    return taken.sum(axis=1), exposure


def kind_ndcg(
    hits: HitMatrix,
    k: int,
    relevant: tuple[IntArray, IntArray],
    is_new: BoolArray,
    kind: Kind,
) -> Float64Array:
    """Compute nDCG@k in whole lists with only the items of one kind counted as relevant.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.
        relevant: rows of users and columns of items of the relevant pairs, [n_pairs] each.
        is_new: [n_items].
        kind: which items count.

    Returns:
        [n_users]; NaN for a user without a relevant item of the kind.

    Examples:
        The user's list is the new item 1, then the known item 0; both are relevant, so the known
        one has its hit at rank 2 where it might be first:

        >>> hits = HitMatrix(np.array([[True, True]]), n_relevant=np.array([2]),
        ...                  n_listed=np.array([2]), items=np.array([[1, 0]]))
        >>> pairs, new = (np.array([0, 0]), np.array([0, 1])), np.array([False, True])
        >>> [kind_ndcg(hits, 2, pairs, new, kind).round(3)[0] for kind in ("both", "new", "known")]
        [np.float64(1.0), np.float64(1.0), np.float64(0.631)]
    """
    if kind == "both":
        return ndcg(hits, k)
    counts = is_new if kind == "new" else ~is_new
    user, item = relevant
    n_relevant = np.bincount(user[counts[item]], minlength=len(hits.items))
    rows = np.flatnonzero(n_relevant)
    own = np.append(counts, False)[hits.items[rows]]
    of_kind = HitMatrix(
        hits.matrix[rows] & own, n_relevant[rows], hits.n_listed[rows], hits.items[rows]
    )
    values = np.full(len(hits.items), np.nan)
    values[rows] = ndcg(of_kind, k)
    return values


def random_new_items(
    lists: pd.DataFrame, new: Sequence[str], seed: int = 0, *, seen: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Put new items drawn at random in the places that a model gives to new items.

    The control of all figures of new items in whole lists: it shows as many new items at the same
    cost in places, and knows nothing of them. No list gets an item twice.

    Args:
        lists: columns user_id, rank, item_id, score.
        new: ids of the new items.
        seed: decides which items are drawn.
        seen: user_id and item_id of new items that a user must not get; None: there are none.

    Returns:
        The same table with other new items; scores stay those of the places.

    Examples:
        >>> lists = pd.DataFrame({"user_id": ["u", "u", "v"], "rank": [1, 2, 1],
        ...                       "item_id": ["x", "a", "b"], "score": [2.0, 1.0, 1.0]})
        >>> drawn = random_new_items(lists, ["x", "y", "z"], seed=0)
        >>> bool(drawn["item_id"][0] in ("x", "y", "z")), drawn["item_id"][1:].tolist()
        (True, ['a', 'b'])
    """
    names = np.array(sorted(new), dtype=object)
    is_new = lists[ITEM_ID].isin(names).to_numpy()
    random = np.random.default_rng(seed)
    barred: dict[Any, set[str]] = {}
    if seen is not None:
        own = seen[seen[ITEM_ID].isin(names)]
        barred = own.groupby(USER_ID, observed=True)[ITEM_ID].agg(set).to_dict()
    rows = np.flatnonzero(is_new)
    users = lists[USER_ID].to_numpy(dtype=object)[rows]
    drawn = np.empty(len(rows), dtype=object)
    order = np.argsort(users, kind="stable")
    for part in np.split(order, np.flatnonzero(users[order][1:] != users[order][:-1]) + 1):
        if not len(part):
            continue
        allowed = names
        if barred.get(users[part[0]]):
            allowed = np.array([n for n in names if n not in barred[users[part[0]]]], dtype=object)
        drawn[part] = random.choice(allowed, len(part), replace=False)
    items = lists[ITEM_ID].to_numpy(dtype=object, copy=True)
    items[rows] = drawn
    return lists.assign(**{ITEM_ID: items})


FRONTIER_COLUMNS: Final = (
    "discovery", "share", "shown", "shown_to_ten", "largest_share",
    "ndcg", "ndcg_new", "ndcg_known", "cost",
)  # fmt: skip
"""Columns of ``frontier``."""


def frontier(
    recommend: Callable[[list[str], int, float], pd.DataFrame],
    truth: WholeLists,
    *,
    k: int = 10,
    budgets: Sequence[float] = BUDGETS,
    control_seed: int | None = None,
) -> pd.DataFrame:
    """Measure what new items cost against how many of them are shown, budget by budget.

    ``cost`` is the share of nDCG@k of both kinds together that is lost against the budget 0 (below
    0 where lists gain). Budgets are what a model may pay; the cost is what it did pay on the test.

    Args:
        recommend: called with users, k and a budget; returns lists of known and new items together
            (user_id, rank, item_id, score).
        truth: the users, and what they played in the test.
        k: length of the lists.
        budgets: shares of nDCG, 0 to 1; 0 is added where it is missing.
        control_seed: also measure the same lists with random new items in the places of new items
            (``random_new_items``), by this seed.

    Returns:
        A row a budget, ascending, with ``FRONTIER_COLUMNS``; with a control the columns
        ``random_shown``, ``random_ndcg``, ``random_ndcg_new`` and ``random_cost`` as well.

    Raises:
        InvalidArgumentError: a budget that is not between 0 and 1.
        EvaluationError: an invalid list.

    Examples:
        >>> from evaluation import Popularity, mixed_split
        >>> split = mixed_split(dataset, among=dataset.items["item_id"])
        >>> model = Popularity().fit(split.training(dataset))
        >>> truth = WholeLists.from_split(dataset, split)
        >>> found = frontier(lambda users, k, budget: model.recommend_many(users, k), truth,
        ...                  budgets=(0.01,))
        >>> found[["discovery", "share", "cost"]].to_numpy().tolist()  # it has no new items
        [[0.0, 0.0, 0.0], [0.01, 0.0, 0.0]]
    """
    wanted = checked_budgets(budgets)
    rows: list[dict[str, Any]] = []
    free: float | None = None
    seen = truth.seen
    for budget in wanted:
        lists = recommend(truth.users, k, budget)
        found = truth.measure(lists, k)
        free = found.ndcg if free is None else free
        row: dict[str, Any] = {"discovery": budget, **found.to_dict()}
        row = {name: row[name] for name in FRONTIER_COLUMNS if name in row}
        row["cost"] = _loss(found.ndcg, free)
        if control_seed is not None:
            drawn = random_new_items(lists, truth.new_items, control_seed, seen=seen)
            control = truth.measure(drawn, k)
            row["random_shown"] = control.shown
            row["random_ndcg"] = control.ndcg
            row["random_ndcg_new"] = control.ndcg_new
            row["random_cost"] = _loss(control.ndcg, free)
        rows.append(row)
    return pd.DataFrame(rows)


def checked_budgets(budgets: Sequence[float]) -> list[float]:
    """Return budgets ascending, each once, with 0 among them.

    Raises:
        InvalidArgumentError: a budget that is not a number from 0 to 1.
    """
    try:
        found = {float(budget) for budget in budgets}
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            f"budgets must be numbers from 0 to 1, not {budgets!r}"
        ) from None
    wrong = [budget for budget in found if not 0 <= budget <= 1]
    if wrong:
        raise InvalidArgumentError(f"a budget must be a share from 0 to 1, not {wrong[0]!r}")
    return sorted(found | {0.0})


def _loss(ndcg_now: float, free: float) -> float:
    """Share of ``free`` that is lost."""
    return 1.0 - ndcg_now / free if free > 0 else float("nan")


def _played(interactions: pd.DataFrame) -> pd.DataFrame:
    played = interactions[interactions[WEIGHT] > 0]
    return played[[USER_ID, ITEM_ID]].drop_duplicates()


def _mean(values: Float64Array) -> float:
    """Mean of the users who have a value; NaN without any."""
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else float("nan")
