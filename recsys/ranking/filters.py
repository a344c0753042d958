"""What a list may hold and how it is ordered: the wishes of a caller, as rows and numbers."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.arguments import check_whole
from datasets.arrays import IntArray
from datasets.columns import ARTIST
from datasets.errors import InvalidArgumentError
from recsys.model.live import Library
from recsys.ranking.arguments import check_k, check_share, texts_of
from recsys.ranking.similarity import knows_likeness

Where = Mapping[str, str | int | Iterable[str | int]]
"""From a column of the items to a value, or several of which an item has one."""

_POOL = 10
_LEAST_POOL = 100
"""Lists that are reordered are chosen from this many times k candidates, and from no fewer."""


@dataclass(frozen=True)
class Filters:
    """Which items a list may hold, how many, and what counts besides the score."""

    k: int
    """Length of the list."""
    exclude_seen: bool
    """Leave out what the user has played."""
    exclude: IntArray
    """Rows to leave out."""
    only: IntArray | None
    """Rows to choose from, None for all; what ``where`` asks for is in here."""
    per_artist: int | None = None
    """At most this many items of an artist."""
    diversity: float = 0.0
    """0 for the best scores, 1 for items as different as can be."""
    popularity_correction: float = 0.0
    """Share of the standardised log popularity taken off the standardised score."""

    @property
    def by_score_alone(self) -> bool:
        """Whether the list is simply the k best scores of what is eligible."""
        return self.per_artist is None and not self.diversity and not self.popularity_correction

    @property
    def pool_size(self) -> int:
        """How many of the best candidates the list is chosen from, unless a cap needs more."""
        if self.by_score_alone:
            return self.k
        if not self.diversity and not self.popularity_correction:
            return 2 * self.k  # in the order of scores, so that more candidates change nothing
        return max(_LEAST_POOL, _POOL * self.k)


def make_filters(
    library: Library,
    k: int,
    *,
    exclude_seen: bool,
    exclude: Iterable[str],
    only: Iterable[str] | None,
    where: Where | None,
    per_artist: int | None,
    diversity: float,
    popularity_correction: float,
) -> Filters:
    """The wishes of a caller, checked.

    Raises InvalidArgumentError for a number out of its range, an unknown column, or diversity where
    nothing tells items apart, and UnknownItemError for an unknown item.
    """
    check_k(k)
    if per_artist is not None:
        check_whole("per_artist", per_artist)
    check_share("diversity", diversity)
    check_share("popularity_correction", popularity_correction)
    if diversity and not knows_likeness(library):
        raise InvalidArgumentError(
            "diversity needs embeddings or a source that knows taste, and this model has neither"
        )
    rows = None if only is None else library.rows(texts_of("only", only))
    if where:
        having = rows_where(library, where)
        rows = having if rows is None else np.intersect1d(rows, having)
    return Filters(
        k=int(k),
        exclude_seen=exclude_seen,
        exclude=library.rows(texts_of("exclude", exclude)),
        only=rows,
        per_artist=None if per_artist is None else int(per_artist),
        diversity=float(diversity),
        popularity_correction=float(popularity_correction),
    )


def rows_where(library: Library, where: Where) -> IntArray:
    """Rows of the items that have one of the values asked for in every column, ascending.

    Case and spaces around a value do not count; ``""`` is what items have whose value is unknown.
    IntArray that were replaced are among them. Raises InvalidArgumentError for an unknown column, or
    where a value is no text.
    """
    if not isinstance(where, Mapping):
        raise InvalidArgumentError(f"where must be columns with their values, not {where!r}")
    chosen = np.ones(len(library.searcher), bool)
    for column, given in where.items():
        several = [given] if isinstance(given, str | int) else given
        if not isinstance(several, Iterable):
            raise InvalidArgumentError(f"where: values of {column!r} must be texts, not {given!r}")
        values = list(several)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
                raise InvalidArgumentError(
                    f"where: values of {column!r} must be texts, not {value!r}"
                )
        column_codes, numbers = _codes(library, column)
        asked = (_folded(str(value)) for value in values)
        having = [numbers[value] for value in asked if value in numbers]
        wanted = np.zeros(len(numbers), bool)  # after that: other threads may add numbers
        wanted[having] = True
        chosen &= wanted[column_codes]
    return np.flatnonzero(chosen)


def artist_of(library: Library, rows: IntArray) -> IntArray:
    """Numbers [len(rows)], equal for items of one artist, case and outer spaces aside; -1: none."""
    codes, numbers = _codes(library, ARTIST)
    own = codes[rows].astype(np.intp)
    own[own == numbers.get("", -1)] = -1
    return own


class _Codes:
    """The values of a column as numbers, 4 bytes a row, made when first asked for.

    The texts of a row never change, so that onboarding makes none of them wrong: it adds rows.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._turn = threading.Lock()
        self._codes = np.empty(0, np.int32)
        self._numbers: dict[str, int] = {}

    def up_to(self, library: Library) -> tuple[NDArray[np.int32], dict[str, int]]:
        """The numbers of a library's rows, and which number each value has."""
        count = len(library.searcher)
        with self._turn:
            old = len(self._codes)
            if count > old:
                texts = library.texts(self._column, np.arange(old, count))
                numbers = self._numbers
                new = [numbers.setdefault(_folded(str(text)), len(numbers)) for text in texts]
                self._codes = np.append(self._codes, np.array(new, np.int32))
            return self._codes[:count], self._numbers


def _codes(library: Library, column: str) -> tuple[NDArray[np.int32], dict[str, int]]:
    """Numbers of the values of a column, and the number of each value."""
    found: _Codes | None = library.kept.get(f"codes of {column}")
    if found is None:
        library.texts(column, np.empty(0, np.intp))  # a column that is not there is not kept
        # Of two threads that come here at once, both go on with the one that was first.
        found = library.kept.setdefault(f"codes of {column}", _Codes(column))
    return found.up_to(library)


def _folded(text: str) -> str:
    return text.strip().casefold()
