"""From lists of recommendations to a matrix of hits, refusing lists that are not valid.

Lists and (user, item) pairs as arrays, looked up a block of users at a time.

From columns of ids to whole numbers, without a Python object a row where it can be helped.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID
from datasets.errors import EvaluationError, InvalidArgumentError

Codes32 = NDArray[np.int32]


class IdEncoder:
    """Distinct ids; the code of each is its position.

    Raises :class:`~datasets.errors.EvaluationError`, calling an id ``what``, if one comes twice or
    is no text.
    """

    def __init__(self, ids: Iterable[str], what: str) -> None:
        # A pandas column gives its objects at once, which iterating over it would not.
        at_once = np.asarray(ids, dtype=object) if hasattr(ids, "__array__") else list(ids)
        self.index = pd.Index(at_once, dtype=object)
        try:
            self._arrow = pa.array(self.index, type=pa.large_string())
        except (pa.ArrowInvalid, TypeError) as error:
            raise EvaluationError(f"every {what} must be text: {error}") from None
        if len(self._arrow.unique()) < len(self.index):
            twice = self.index[self.index.duplicated()][0]
            raise EvaluationError(f"{what} given twice: {twice!r}")

    def of(self, column: "pd.Series[Any]") -> Codes32:
        """The code of every row, [n], -1 for an id that is not there."""
        arrow = _arrow_strings(column)
        if arrow is not None:
            return self._of_arrow(arrow)
        if isinstance(column.dtype, pd.CategoricalDtype):
            return self._places(column.cat.categories)[column.cat.codes.to_numpy()]
        # Each distinct id is looked up once.
        codes, distinct = pd.factorize(column)
        return self._places(distinct)[codes]

    def of_runs(self, column: "pd.Series[Any]") -> tuple[Codes32, IntArray]:
        """Codes of runs of equal ids, and the runs' lengths: [n_runs] each.

        Where runs are long, as of the users of lists, this is much cheaper than :meth:`of`. Two
        runs that follow each other may be of one id.
        """
        arrow = _arrow_strings(column)
        if arrow is not None:
            runs = [pc.run_end_encode(part, run_end_type=pa.int64()) for part in arrow.chunks]
            lengths = [np.diff(run.run_ends.to_numpy(), prepend=0) for run in runs]
            values = pa.chunked_array([run.values for run in runs], type=arrow.type)
            return self._of_arrow(values), np.concatenate([np.empty(0, np.int64), *lengths])
        starts = _run_starts(column)
        return self.of(column.iloc[starts]), np.diff(starts, append=len(column))

    def _of_arrow(self, values: Any) -> Codes32:
        found = pc.index_in(values, value_set=self._arrow.cast(values.type), skip_nulls=True)
        codes: Codes32 = found.fill_null(-1).to_numpy()
        return codes

    def _places(self, distinct: Any) -> Codes32:
        """Code of each id, and -1 once more at the end, where the code -1 of no id leads to."""
        places = self.index.get_indexer(pd.Index(distinct, dtype=object))
        return np.append(places, -1).astype(np.int32)


def _arrow_strings(column: "pd.Series[Any]") -> Any:
    """The strings of a column that Arrow holds, not copied; None for another column."""
    dtype = column.dtype
    held = isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"
    if isinstance(dtype, pd.ArrowDtype):
        held = dtype.pyarrow_dtype in (pa.string(), pa.large_string())
    if not held:
        return None
    strings = pa.array(column.array)
    return strings if isinstance(strings, pa.ChunkedArray) else pa.chunked_array([strings])


def _run_starts(column: "pd.Series[Any]") -> IntArray:
    """Where a run of equal values starts; everywhere, if that cannot be told at little cost."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        values = column.cat.codes.to_numpy()
    elif isinstance(column.dtype, np.dtype):
        values = column.to_numpy()
    else:
        return np.arange(len(column))
    try:
        change = np.asarray(values[1:] != values[:-1])
    except TypeError:  # pandas.NA is neither equal to anything nor different
        return np.arange(len(column))
    return np.append(np.zeros(min(len(values), 1), np.int64), np.flatnonzero(change) + 1)


_ROWS = 100_000
"""Rows of a frame placed at once: few enough for what is computed of them to stay in the cache."""

_CELLS = 2_000_000
"""Users × items of the table that a block of lists is looked up in; for the same reason."""

_LEAST_USERS = 32
"""Users looked up at once in a catalogue of any size: below, NumPy's calls cost most."""

_WANTED = 1

_SEEN = 2


@dataclass(frozen=True, eq=False)
class _ListRows:
    """Where each row of a frame of lists belongs in a matrix [n_users, k]."""

    run_user: Codes32
    """[n_runs]: the user of each run of rows."""
    run_length: IntArray
    """[n_runs]: its length."""
    rank: IntArray
    """[n_rows]: 1 … k."""
    n_users: int
    k: int

    def place(self, values: NDArray[np.generic], matrix: NDArray[np.generic]) -> None:
        """Write [n_rows] values to their places in ``matrix``, [n_users, k]."""
        flat = matrix.reshape(-1)
        base = self.run_user.astype(np.int64) * self.k - 1
        ends = np.cumsum(self.run_length)
        n_rows = len(self.rank)
        cuts = np.searchsorted(ends, np.arange(_ROWS, n_rows, _ROWS))
        for first, last in pairwise(np.unique(np.concatenate(([0], cuts, [len(ends)]))).tolist()):
            rows = slice(ends[first] - self.run_length[first], ends[last - 1])
            cell = np.repeat(base[first:last], self.run_length[first:last])
            cell += self.rank[rows]
            flat[cell] = values[rows]


@dataclass(frozen=True, eq=False)
class _PairKeys:
    """(user, item) pairs by user."""

    keys: IntArray
    """user · (n_items + 1) + item + 1, ascending."""
    ends: IntArray
    """[n_users + 1]: the pairs of user u are ``ends[u]`` … ``ends[u + 1]``."""
    n_items: int

    @classmethod
    def of(cls, user: Codes32, item: Codes32, n_users: int, n_items: int) -> "_PairKeys":
        """Distinct pairs of which both sides are known, that is, not -1."""
        width = n_items + 1
        keys = user.astype(np.int64) * width
        keys += item
        keys = keys[(user >= 0) & (item >= 0)] + 1
        keys.sort()
        keys = keys[np.diff(keys, prepend=-1) > 0]
        return cls(keys, np.searchsorted(keys, np.arange(n_users + 1) * width), n_items)

    @property
    def user(self) -> IntArray:
        """[n_pairs]: the user of each pair."""
        return np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends))

    @property
    def item(self) -> IntArray:
        """[n_pairs]: the item of each pair."""
        return self.keys % (self.n_items + 1) - 1

    def of_users(self, start: int, stop: int) -> IntArray:
        """Keys of the pairs of users ``start`` … ``stop``, as if user ``start`` were the first."""
        return self.keys[self.ends[start] : self.ends[stop]] - start * (self.n_items + 1)

    def part(self, start: int, stop: int) -> "_PairKeys":
        """The pairs of users ``start`` … ``stop`` alone."""
        ends = self.ends[start : stop + 1] - self.ends[start]
        return _PairKeys(self.of_users(start, stop), ends, self.n_items)


def items_by_rank(layout: _ListRows, item: Codes32) -> IntArray | None:
    """[n_users, k] items by rank, -1 after the end of a list; None if ranks do not run 1, 2, …"""
    items = np.full((layout.n_users, layout.k), -1)
    layout.place(item, items)
    listed = items >= 0
    placed = np.count_nonzero(listed)
    if placed < len(item) or (placed < items.size and (listed[:, 1:] > listed[:, :-1]).any()):
        return None
    return items


def has_repeated_item(items: IntArray) -> bool:
    """Whether any list, a row of ``items``, has an item twice."""
    for start, stop in _blocks(items.shape[0], items.shape[1]):
        ordered = np.sort(items[start:stop], axis=1)
        again = ordered[:, 1:] == ordered[:, :-1]
        if again.any() and (again & (ordered[:, 1:] >= 0)).any():
            return True
    return False


def mark_relevant(items: IntArray, wanted: _PairKeys, seen: _PairKeys | None) -> BoolArray | None:
    """[n_users, k]: which places of the lists are ``wanted``; None if any of them is ``seen``."""
    found = np.empty(items.shape, dtype=bool)
    width = wanted.n_items + 1
    step = min(_step(width), len(items))
    # The first cell of every row of the table answers for no item, -1.
    table = np.zeros(step * width, np.uint8)
    first = (np.arange(step) * width + 1)[:, None]
    for start, stop in _blocks(len(items), width):
        own = wanted.of_users(start, stop)
        table[own] = _WANTED
        cells = items[start:stop] + first[: stop - start]
        if seen is not None:
            before = seen.of_users(start, stop)
            table[before] = _SEEN
        state = table[cells]
        np.equal(state, _WANTED, out=found[start:stop])
        if seen is not None:
            if (state == _SEEN).any():
                return None
            table[before] = 0
        table[own] = 0
    return found


def _blocks(n_rows: int, width: int) -> Iterator[tuple[int, int]]:
    step = _step(width)
    for start in range(0, n_rows, step):
        yield start, min(start + step, n_rows)


def _step(width: int) -> int:
    return max(_LEAST_USERS, _CELLS // max(width, 1))


@dataclass(frozen=True, eq=False)
class HitMatrix:
    """Which recommendations were right: all that the ranking metrics need.

    Rows are the users asked for, in that order; a user without recommendations is a row of misses.
    """

    matrix: BoolArray
    """[n_users, k]: whether the item at rank column + 1 is relevant."""
    n_relevant: IntArray
    """[n_users]: number of relevant items, at least 1."""
    n_listed: IntArray
    """[n_users]: length of the list the model gave, 0 … k."""
    items: IntArray
    """[n_users, k]: the recommended items as positions in the judge's, -1 after a list's end."""

    _first: dict[int, "FirstHits"] = field(default_factory=dict, init=False, repr=False)

    def first(self, k: int) -> "FirstHits":
        """The hits among the first k places; kept, as every metric asks for them.

        Raises :class:`~datasets.errors.InvalidArgumentError` for a k that the lists do not have.
        """
        if k not in self._first:
            n_users, width = self.matrix.shape
            if not 1 <= k <= width:
                raise InvalidArgumentError(f"k must be 1 to {width}, not {k}")
            row, column = np.divmod(np.flatnonzero(self.matrix[:, :k]), k)
            self._first[k] = FirstHits(row, column, np.bincount(row, minlength=n_users))
        return self._first[k]


@dataclass(frozen=True, eq=False)
class FirstHits:
    """Hits among the first places, by user and in the order of the list."""

    row: IntArray
    """[n_hits]: the user's row."""
    column: IntArray
    """[n_hits]: rank - 1."""
    count: IntArray
    """[n_users]: hits of each user."""


class HitEncoder:
    """Checks and encodes the answers of models for one set of users and candidate items.

    The ids are encoded once and reused for every model. ``users`` are the test users;
    ``relevant`` and ``seen`` hold ``user_id`` and ``item_id`` of the test side and of training,
    of these and perhaps of other users; ``candidates`` are the items that may be recommended.

    Raises :class:`~datasets.errors.EvaluationError` if a user has nothing relevant.
    """

    def __init__(
        self,
        users: Iterable[str],
        candidates: Iterable[str],
        relevant: pd.DataFrame,
        seen: pd.DataFrame | None = None,
    ) -> None:
        self._user_codes = IdEncoder(users, "user")
        self._item_codes = IdEncoder(candidates, "candidate item")
        self.users = self._user_codes.index
        self.items = self._item_codes.index
        self._relevant = self._pairs(relevant)
        self.n_relevant = np.diff(self._relevant.ends)
        if (self.n_relevant == 0).any():
            user = self.users[int(self.n_relevant.argmin())]
            raise EvaluationError(f"test user {user!r} has no relevant item among the candidates")
        self._seen = None if seen is None else self._pairs(seen)

    def hits(self, recommendations: pd.DataFrame, k: int) -> HitMatrix:
        """Judge the lists of one model.

        Raises :class:`~datasets.errors.EvaluationError`, naming user and item, for a missing
        column; a user who was not asked for; an item that is no candidate; ranks that are not
        1, 2, … at most ``k``; a score that is not finite; an item twice in one list; an item the
        user has in training.
        """
        layout, items, matrix = self._checked(recommendations, k)
        n_listed = np.zeros(len(self.users), np.int64)
        np.add.at(n_listed, layout.run_user, layout.run_length)
        return HitMatrix(matrix, self.n_relevant, n_listed, items)

    def scores(self, recommendations: pd.DataFrame) -> Float64Array:
        """[n_users, n_candidates] scores from a full ranking; NaN for an item not ranked.

        Besides what :meth:`hits` refuses, a score that grows down a list is an error: it is then
        a distance, and would turn the item-wise AUC upside down.
        """
        layout, items, _ = self._checked(recommendations, len(self.items))
        score = recommendations[SCORE].to_numpy(dtype=np.float64)
        down = np.full(items.shape, np.nan)
        layout.place(score, down)
        rise = np.diff(down, axis=1) > 1e-6 * (np.abs(score).max(initial=0.0) + 1e-30)
        if rise.any():
            user, column = np.argwhere(rise)[0]
            raise EvaluationError(
                f"scores must fall with the rank, and those of user {self.users[user]!r} rise"
                f" after rank {column + 1}; is the score a distance?"
            )
        # The column after the last takes what is written for no item, -1.
        matrix = np.full((len(self.users), len(self.items) + 1), np.nan)
        np.put_along_axis(matrix, items, down, axis=1)
        return matrix[:, :-1]

    def part(self, start: int, stop: int) -> "HitEncoder":
        """The judge of the users from row ``start`` to before row ``stop`` alone."""
        part = HitEncoder.__new__(HitEncoder)
        part._user_codes = IdEncoder(self.users[start:stop], "user")
        part._item_codes = self._item_codes
        part.users, part.items = part._user_codes.index, self.items
        part._relevant = self._relevant.part(start, stop)
        part.n_relevant = self.n_relevant[start:stop]
        part._seen = None if self._seen is None else self._seen.part(start, stop)
        return part

    def relevance(self) -> BoolArray:
        """[n_users, n_candidates]: which items are relevant to which users."""
        matrix = np.zeros((len(self.users), len(self.items)), dtype=bool)
        matrix[self.relevant] = True
        return matrix

    @property
    def relevant(self) -> tuple[IntArray, IntArray]:
        """(user rows, item columns) of what is relevant, each pair once, by user: [n] each."""
        return self._relevant.user, self._relevant.item

    @property
    def seen(self) -> tuple[IntArray, IntArray]:
        """The same of what users have in training; empty where it was not given."""
        if self._seen is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return self._seen.user, self._seen.item

    def _pairs(self, frame: pd.DataFrame) -> _PairKeys:
        """The pairs whose user and item both take part."""
        user = np.repeat(*self._user_codes.of_runs(frame[USER_ID]))
        item = self._item_codes.of(frame[ITEM_ID])
        return _PairKeys.of(user, item, len(self.users), len(self.items))

    def _checked(
        self, recommendations: pd.DataFrame, k: int
    ) -> tuple[_ListRows, IntArray, BoolArray]:
        """Layout, [n_users, k] items and which of them are relevant, of lists without a fault."""
        require_columns(recommendations, (USER_ID, RANK, ITEM_ID, SCORE))
        run_user, run_length = self._user_codes.of_runs(recommendations[USER_ID])
        item = self._item_codes.of(recommendations[ITEM_ID])
        if len(recommendations):  # an empty frame has no types to speak of
            if not pd.api.types.is_integer_dtype(recommendations[RANK].dtype):
                raise EvaluationError("the rank of a recommendation must be a whole number")
            if not pd.api.types.is_numeric_dtype(recommendations[SCORE].dtype):
                raise EvaluationError("the score of a recommendation must be a number")
        rank = recommendations[RANK].to_numpy(dtype=np.int64, na_value=0)
        score = recommendations[SCORE].to_numpy(dtype=np.float64, na_value=np.nan)
        # That all is well shows at little cost; which row is to blame is looked for only where it
        # is not.
        if (
            run_user.min(initial=0) >= 0
            and item.min(initial=0) >= 0
            and np.isfinite(score).all()
            and rank.min(initial=1) >= 1
            and rank.max(initial=1) <= k
        ):
            layout = _ListRows(run_user, run_length, rank, len(self.users), k)
            items = items_by_rank(layout, item)
            if items is not None and not has_repeated_item(items):
                matrix = mark_relevant(items, self._relevant, self._seen)
                if matrix is not None:
                    return layout, items, matrix
        user = np.repeat(run_user, run_length)
        raise self._fault(recommendations, user, item, rank, score, k)

    def _fault(
        self,
        recommendations: pd.DataFrame,
        user: Codes32,
        item: Codes32,
        rank: IntArray,
        score: Float64Array,
        k: int,
    ) -> EvaluationError:
        """What is wrong with lists that have a fault, and the first row that is to blame."""
        keys = user.astype(np.int64) * (len(self.items) + 1) + item + 1
        seen = np.empty(0, np.int64) if self._seen is None else self._seen.keys
        rules: list[tuple[Any, str]] = [
            (user < 0, "the user was not asked for"),
            (item < 0, "the item is not among the candidates"),
            (~np.isfinite(score), "the score is not a finite number"),
            (rank > k, f"more than {k} recommendations"),
            (_bad_ranks(user, rank), "ranks must run 1, 2, 3, … within a user"),
            (pd.Series(keys).duplicated().to_numpy(), "recommended twice in one list"),
            (np.isin(keys, seen), "recommended although it is in the user's training data"),
        ]
        wrong, problem = next(rule for rule in rules if rule[0].any())
        row = recommendations.iloc[int(wrong.argmax())]
        return EvaluationError(
            f"user {row[USER_ID]!r}, item {row[ITEM_ID]!r}: {problem}"
            f" ({int(wrong.sum())} recommendations in all)"
        )


def require_columns(frame: pd.DataFrame, columns: Collection[str]) -> None:
    """Raise :class:`~datasets.errors.EvaluationError` naming the columns that are missing."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise EvaluationError(f"recommendations lack the column(s) {', '.join(missing)}")


def _bad_ranks(user: Codes32, rank: IntArray) -> BoolArray:
    order = np.lexsort((rank, user))
    start = np.searchsorted(user[order], user[order])
    bad = np.empty(len(order), dtype=bool)
    bad[order] = rank[order] != np.arange(len(order)) - start + 1
    return bad
