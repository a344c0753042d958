"""Encode recommendation lists as hit matrices: which recommended items are relevant.

``HitEncoder`` knows the users, the candidate items and the right answers of one experiment. It
checks the lists of a model and encodes them as a ``HitMatrix``, which all metrics take. Ids
are translated a column at a time (``IdEncoder``), and relevant items are looked up a block of
users at a time, so that catalogues of millions of items need little memory.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
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
from datasets.tables.values import format_value


@dataclass(frozen=True, eq=False)
class TopHits:
    """The hits within the first k places of all lists, by user and in the order of the list."""

    row: IntArray
    """[n_hits]: the user's row."""
    column: IntArray
    """[n_hits]: rank - 1."""
    count: IntArray
    """[n_users]: number of hits of each user."""


@dataclass(frozen=True, eq=False)
class HitMatrix:
    """Which recommendations were right: everything that the ranking metrics need.

    There is one row per user of the ``HitEncoder``, in its order; a user without
    recommendations is a row of misses.

    Examples:
        Two users, lists of up to 3 items; the first has items 4, 0, 2, of which 0 is relevant:

        >>> hits = HitMatrix(
        ...     matrix=np.array([[False, True, False], [True, False, False]]),
        ...     n_relevant=np.array([2, 1]),
        ...     n_listed=np.array([3, 1]),
        ...     items=np.array([[4, 0, 2], [3, -1, -1]]),
        ... )
        >>> hits.first(2).count.tolist()  # hits of each user within the first two places
        [1, 1]
    """

    matrix: BoolArray
    """[n_users, k]: whether the item at rank column + 1 is relevant."""
    n_relevant: IntArray
    """[n_users]: number of relevant items, at least 1."""
    n_listed: IntArray
    """[n_users]: length of the list that the model gave, 0 to k."""
    items: IntArray
    """[n_users, k]: the recommended items as columns of the encoder's, -1 after a list's end."""

    @cached_property
    def _first(self) -> dict[int, TopHits]:
        """Results of ``first`` by k, as every metric asks for them."""
        return {}

    def first(self, k: int) -> TopHits:
        """Return the hits within the first ``k`` places.

        Raises:
            InvalidArgumentError: ``k`` is below 1 or above the length of the lists.
        """
        if k not in self._first:
            n_users, width = self.matrix.shape
            if not 1 <= k <= width:
                raise InvalidArgumentError(f"k must be 1 to {width}, not {k}")
            row, column = np.divmod(np.flatnonzero(self.matrix[:, :k]), k)
            self._first[k] = TopHits(row, column, np.bincount(row, minlength=n_users))
        return self._first[k]


class HitEncoder:
    """Check recommendation lists, and encode them as hits, for one set of users and candidates.

    Ids are encoded once and reused for every model.

    Args:
        users: ids of the test users.
        candidates: ids of the items that may be recommended.
        relevant: user_id and item_id of the test side; rows of other users or items are ignored.
        seen: user_id and item_id that must not be recommended, usually those of training; None: no
            restriction. Rows of other users or items are ignored.

    Attributes:
        users: index of the user ids; positions are the rows of all matrices.
        items: index of the candidate ids; positions are the columns.
        n_relevant: [n_users], number of relevant candidates of each user.

    Raises:
        EvaluationError: a user has no relevant item, or an id comes twice or is no text.

    Examples:
        >>> relevant = pd.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "c"]})
        >>> truth = HitEncoder(["u", "v"], ["a", "b", "c"], relevant)
        >>> lists = pd.DataFrame({"user_id": ["u", "u", "v"], "rank": [1, 2, 1],
        ...                       "item_id": ["b", "a", "a"], "score": [0.9, 0.8, 0.7]})
        >>> truth.hits(lists, k=2).matrix.tolist()
        [[False, True], [False, False]]
    """

    def __init__(
        self,
        users: Iterable[str],
        candidates: Iterable[str],
        relevant: pd.DataFrame,
        seen: pd.DataFrame | None = None,
    ) -> None:
        self._user_ids = IdEncoder(users, "user")
        self._item_ids = IdEncoder(candidates, "candidate item")
        self.users = self._user_ids.index
        self.items = self._item_ids.index
        self._relevant = self._pairs(relevant)
        self.n_relevant = np.diff(self._relevant.ends)
        if (self.n_relevant == 0).any():
            user = self.users[int(self.n_relevant.argmin())]
            raise EvaluationError(f"test user {user!r} has no relevant item among the candidates")
        self._seen = None if seen is None else self._pairs(seen)

    def hits(self, recommendations: pd.DataFrame, k: int) -> HitMatrix:
        """Encode the lists of one model.

        Args:
            recommendations: columns user_id, rank (1, 2, ... within a user), item_id, score; rows
                in any order. Users may be missing.
            k: greatest rank allowed, and the number of columns of the result.

        Raises:
            EvaluationError: naming user and item, for a missing column, a user who was not asked
                for, an item that is no candidate, ranks that are not 1, 2, ... up to ``k``, a score
                that is not finite, an item twice in one list, or an item that the user has in
                training.
        """
        rows, items, matrix = self._checked(recommendations, k)
        n_listed = np.zeros(len(self.users), np.int64)
        np.add.at(n_listed, rows.run_user, rows.run_length)
        return HitMatrix(matrix, self.n_relevant, n_listed, items)

    def scores(self, recommendations: pd.DataFrame) -> Float64Array:
        """Arrange a full ranking as a matrix of scores.

        Args:
            recommendations: as for ``hits``, with up to as many ranks as candidates.

        Returns:
            [n_users, n_candidates] scores; NaN for an item that was not ranked.

        Raises:
            EvaluationError: whatever ``hits`` refuses, and scores that grow down a list: these
                are distances, and would turn the item-wise AUC upside down.
        """
        rows, items, _ = self._checked(recommendations, len(self.items))
        score = recommendations[SCORE].to_numpy(dtype=np.float64)
        down = np.full(items.shape, np.nan)
        rows.scatter(score, down)
        rise = np.diff(down, axis=1) > 1e-6 * (np.abs(score).max(initial=0.0) + 1e-30)
        if rise.any():
            user, column = np.argwhere(rise)[0]
            raise EvaluationError(
                f"scores must fall with the rank, and those of user {self.users[user]!r} rise"
                f" after rank {column + 1}; is the score a distance?"
            )
        # One column more, the last, takes what is written for no item (-1).
        matrix = np.full((len(self.users), len(self.items) + 1), np.nan)
        np.put_along_axis(matrix, items, down, axis=1)
        return matrix[:, :-1]

    def part(self, start: int, stop: int) -> "HitEncoder":
        """Return an encoder of the users from row ``start`` to before row ``stop`` only."""
        part = HitEncoder.__new__(HitEncoder)
        part._user_ids = IdEncoder(self.users[start:stop], "user")
        part._item_ids = self._item_ids
        part.users, part.items = part._user_ids.index, self.items
        part._relevant = self._relevant.part(start, stop)
        part.n_relevant = self.n_relevant[start:stop]
        part._seen = None if self._seen is None else self._seen.part(start, stop)
        return part

    def relevance(self) -> BoolArray:
        """Return which items are relevant to which users, [n_users, n_candidates]."""
        matrix = np.zeros((len(self.users), len(self.items)), dtype=bool)
        matrix[self.relevant] = True
        return matrix

    @property
    def relevant(self) -> tuple[IntArray, IntArray]:
        """User rows and item columns of the relevant pairs, each once, by user: [n_pairs] each."""
        return self._relevant.user, self._relevant.item

    @property
    def seen(self) -> tuple[IntArray, IntArray]:
        """User rows and item columns of the pairs in training; empty if they were not given."""
        if self._seen is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return self._seen.user, self._seen.item

    def _pairs(self, frame: pd.DataFrame) -> "_PairKeys":
        """Encode the pairs of which both user and item are known."""
        user = np.repeat(*self._user_ids.encode_runs(frame[USER_ID]))
        item = self._item_ids.encode(frame[ITEM_ID])
        return _PairKeys.encode(user, item, len(self.users), len(self.items))

    def _checked(
        self, recommendations: pd.DataFrame, k: int
    ) -> tuple["_ListRows", IntArray, BoolArray]:
        """Check lists; return their rows, the items [n_users, k] and which are relevant."""
        _require_columns(recommendations, (USER_ID, RANK, ITEM_ID, SCORE))
        run_user, run_length = self._user_ids.encode_runs(recommendations[USER_ID])
        item = self._item_ids.encode(recommendations[ITEM_ID])
        if len(recommendations):  # the columns of an empty frame have no types
            if not pd.api.types.is_integer_dtype(recommendations[RANK].dtype):
                raise EvaluationError("the rank of a recommendation must be a whole number")
            if not pd.api.types.is_numeric_dtype(recommendations[SCORE].dtype):
                raise EvaluationError("the score of a recommendation must be a number")
        rank = recommendations[RANK].to_numpy(dtype=np.int64, na_value=0)
        score = recommendations[SCORE].to_numpy(dtype=np.float64, na_value=np.nan)
        # Valid lists are recognised cheaply; only for others the faulty row is looked for.
        if (
            run_user.min(initial=0) >= 0
            and item.min(initial=0) >= 0
            and np.isfinite(score).all()
            and rank.min(initial=1) >= 1
            and rank.max(initial=1) <= k
        ):
            rows = _ListRows(run_user, run_length, rank, len(self.users), k)
            items = items_by_rank(rows, item)
            if items is not None and not has_repeated_item(items):
                matrix = mark_relevant(items, self._relevant, self._seen)
                if matrix is not None:
                    return rows, items, matrix
        user = np.repeat(run_user, run_length)
        raise self._fault(recommendations, user, item, rank, score, k)

    def _fault(
        self,
        recommendations: pd.DataFrame,
        user: NDArray[np.int32],
        item: NDArray[np.int32],
        rank: IntArray,
        score: Float64Array,
        k: int,
    ) -> EvaluationError:
        """Say what is wrong with faulty lists, naming the first faulty row."""
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
        first = int(wrong.argmax())
        # Each from its column: a row of several columns would turn whole numbers to floats.
        ids = {name: recommendations[name].iloc[first] for name in (USER_ID, ITEM_ID)}
        other = [name for name, value in ids.items() if not isinstance(value, str)]
        if other:
            kind = type(ids[other[0]]).__name__
            problem += f"; {other[0]} must be text, as in the data set, and is of type {kind}"
        return EvaluationError(
            f"user {format_value(ids[USER_ID])}, item {format_value(ids[ITEM_ID])}: {problem}"
            f" ({int(wrong.sum())} recommendations in all)"
        )


class IdEncoder:
    """Encode ids as their positions in a list of distinct ids.

    Columns that Arrow holds, and categorical ones, are encoded without a Python object per row.

    Args:
        ids: the ids.
        what: what an id is called in error messages.

    Raises:
        EvaluationError: an id comes twice or is no text.

    Examples:
        >>> IdEncoder(["a", "b", "c"], "item").encode(pd.Series(["c", "a", "x"])).tolist()
        [2, 0, -1]
    """

    def __init__(self, ids: Iterable[str], what: str) -> None:
        # A pandas column gives all its objects at once, which is faster than iterating over it.
        at_once = np.asarray(ids, dtype=object) if hasattr(ids, "__array__") else list(ids)
        self.index = pd.Index(at_once, dtype=object)
        try:
            self._arrow = pa.array(self.index, type=pa.large_string())
        except (pa.ArrowInvalid, TypeError) as error:
            raise EvaluationError(f"every {what} must be text: {error}") from None
        if len(self._arrow.unique()) < len(self.index):
            twice = self.index[self.index.duplicated()][0]
            raise EvaluationError(f"{what} given twice: {twice!r}")

    def encode(self, column: "pd.Series[Any]") -> NDArray[np.int32]:
        """Return the code of every row, [n_rows]; -1 for an unknown id."""
        arrow = _arrow_strings(column)
        if arrow is not None:
            return self._encode_arrow(arrow)
        if isinstance(column.dtype, pd.CategoricalDtype):
            return self._codes(column.cat.categories)[column.cat.codes.to_numpy()]
        # Each distinct id is looked up once.
        codes, distinct = pd.factorize(column)
        return self._codes(distinct)[codes]

    def encode_runs(self, column: "pd.Series[Any]") -> tuple[NDArray[np.int32], IntArray]:
        """Return the codes and the lengths of runs of equal ids, [n_runs] each.

        Much cheaper than ``encode`` where runs are long, as those of the users of lists. Two
        neighbouring runs may have the same id.
        """
        arrow = _arrow_strings(column)
        if arrow is not None:
            runs = [pc.run_end_encode(part, run_end_type=pa.int64()) for part in arrow.chunks]
            lengths = [np.diff(run.run_ends.to_numpy(), prepend=0) for run in runs]
            values = pa.chunked_array([run.values for run in runs], type=arrow.type)
            return self._encode_arrow(values), np.concatenate([np.empty(0, np.int64), *lengths])
        starts = _run_starts(column)
        return self.encode(column.iloc[starts]), np.diff(starts, append=len(column))

    def _encode_arrow(self, values: Any) -> NDArray[np.int32]:
        found = pc.index_in(values, value_set=self._arrow.cast(values.type), skip_nulls=True)
        codes: NDArray[np.int32] = found.fill_null(-1).to_numpy()
        return codes

    def _codes(self, distinct: Any) -> NDArray[np.int32]:
        """Return the code of each id, and -1 at the end, which index -1 (a missing id) selects."""
        codes = self.index.get_indexer(pd.Index(distinct, dtype=object))
        return np.append(codes, -1).astype(np.int32)


_ROWS = 100_000
"""Rows of a frame scattered at once: few enough for intermediate results to stay in the cache."""

_CELLS = 2_000_000
"""Cells (users * items) of the table that lists are looked up in; for the same reason."""

_LEAST_USERS = 32
"""Users looked up at once, however large the catalogue: below, the overhead of NumPy dominates."""

_RELEVANT = 1
_SEEN = 2


@dataclass(frozen=True, eq=False)
class _ListRows:
    """The position of each row of a frame of lists in a matrix [n_users, k]."""

    run_user: NDArray[np.int32]
    """[n_runs]: the user of each run of rows."""
    run_length: IntArray
    """[n_runs]: number of rows of each run."""
    rank: IntArray
    """[n_rows]: 1 to k."""
    n_users: int
    k: int

    def scatter(self, values: NDArray[np.generic], matrix: NDArray[np.generic]) -> None:
        """Write ``values`` [n_rows] to their positions in ``matrix`` [n_users, k]."""
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
    """Distinct (user, item) pairs as one sorted integer key each."""

    keys: IntArray
    """user * (n_items + 1) + item + 1, ascending."""
    ends: IntArray
    """[n_users + 1]: the keys of user u are ``keys[ends[u]:ends[u + 1]]``."""
    n_items: int

    @classmethod
    def encode(
        cls, user: NDArray[np.int32], item: NDArray[np.int32], n_users: int, n_items: int
    ) -> "_PairKeys":
        """Encode pairs; those with an unknown user or item (-1) are left out."""
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
        """Keys of the users ``start`` to before ``stop``, counted from user ``start``."""
        return self.keys[self.ends[start] : self.ends[stop]] - start * (self.n_items + 1)

    def part(self, start: int, stop: int) -> "_PairKeys":
        """The pairs of the users ``start`` to before ``stop`` only."""
        ends = self.ends[start : stop + 1] - self.ends[start]
        return _PairKeys(self.of_users(start, stop), ends, self.n_items)


def items_by_rank(rows: _ListRows, item: NDArray[np.int32]) -> IntArray | None:
    """Arrange items by user and rank, [n_users, k], with -1 after the end of a list.

    None if the ranks of a user are not 1, 2, ... without gaps.
    """
    items = np.full((rows.n_users, rows.k), -1)
    rows.scatter(item, items)
    listed = items >= 0
    n_listed = np.count_nonzero(listed)
    if n_listed < len(item) or (n_listed < items.size and (listed[:, 1:] > listed[:, :-1]).any()):
        return None
    return items


def has_repeated_item(items: IntArray) -> bool:
    """Tell whether any list, a row of ``items`` [n_users, k], has an item twice."""
    for start, stop in _blocks(items.shape[0], items.shape[1]):
        ordered = np.sort(items[start:stop], axis=1)
        again = ordered[:, 1:] == ordered[:, :-1]
        if again.any() and (again & (ordered[:, 1:] >= 0)).any():
            return True
    return False


def mark_relevant(items: IntArray, relevant: _PairKeys, seen: _PairKeys | None) -> BoolArray | None:
    """Mark the places of the lists ``items`` [n_users, k] whose item is relevant, [n_users, k].

    None if any listed item is among the user's ``seen`` ones.
    """
    found = np.empty(items.shape, dtype=bool)
    width = relevant.n_items + 1
    step = min(_block_size(width), len(items))
    # The first cell of each row of the table stands for no item, -1.
    table = np.zeros(step * width, np.uint8)
    first = (np.arange(step) * width + 1)[:, None]
    for start, stop in _blocks(len(items), width):
        own = relevant.of_users(start, stop)
        table[own] = _RELEVANT
        cells = items[start:stop] + first[: stop - start]
        if seen is not None:
            before = seen.of_users(start, stop)
            table[before] = _SEEN
        state = table[cells]
        np.equal(state, _RELEVANT, out=found[start:stop])
        if seen is not None:
            if (state == _SEEN).any():
                return None
            table[before] = 0
        table[own] = 0
    return found


def _blocks(n_rows: int, width: int) -> Iterator[tuple[int, int]]:
    step = _block_size(width)
    for start in range(0, n_rows, step):
        yield start, min(start + step, n_rows)


def _block_size(width: int) -> int:
    return max(_LEAST_USERS, _CELLS // max(width, 1))


def _arrow_strings(column: "pd.Series[Any]") -> Any:
    """Return the strings of an Arrow-backed column without a copy; None for another column."""
    dtype = column.dtype
    held = isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"
    if isinstance(dtype, pd.ArrowDtype):
        held = dtype.pyarrow_dtype in (pa.string(), pa.large_string())
    if not held:
        return None
    strings = pa.array(column.array)
    return strings if isinstance(strings, pa.ChunkedArray) else pa.chunked_array([strings])


def _run_starts(column: "pd.Series[Any]") -> IntArray:
    """Return where runs of equal values start; every row, if telling them apart is expensive."""
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


def _require_columns(frame: pd.DataFrame, columns: Collection[str]) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise EvaluationError(f"recommendations lack the column(s) {', '.join(missing)}")


def _bad_ranks(user: NDArray[np.int32], rank: IntArray) -> BoolArray:
    """Mark the rows whose rank breaks the order 1, 2, 3, ... within their user, [n_rows]."""
    order = np.lexsort((rank, user))
    start = np.searchsorted(user[order], user[order])
    bad = np.empty(len(order), dtype=bool)
    bad[order] = rank[order] != np.arange(len(order)) - start + 1
    return bad
