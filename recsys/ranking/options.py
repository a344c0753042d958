"""Arguments of recommendations, checked: options of lists, ids and listening histories."""

import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict, TypeVar

import numpy as np

from datasets.arguments import check_flag, check_share, check_whole, is_whole
from datasets.errors import InvalidArgumentError
from datasets.tables.ids import checked_id, checked_ids
from datasets.tables.values import format_value, is_real
from recsys.data import PLAY_BOUNDS
from recsys.model.items import Where

History = Sequence[str] | Mapping[str, float]
"""Items that somebody has played: a list of item ids, or a mapping from item id to plays."""

New = Literal["only"] | int | float
"""How much of a list is for new songs: all of it, a number of its places, or a share of them."""

_POOL = 10
_LEAST_POOL = 100
"""Lists that are reordered are chosen from this many times k candidates, and from no fewer."""

Method = TypeVar("Method", bound=Callable[..., object])


class ListArguments(TypedDict, total=False):
    """The keyword arguments of `Recommender.recommend` that become `ListOptions`."""

    exclude_seen: bool
    exclude: Iterable[str]
    only: Iterable[str] | None
    where: Where | None
    per_artist: int | None
    diversity: float
    popularity_correction: float
    discovery: float | None
    new: New | None


@dataclass(frozen=True)
class ListOptions:
    """What a recommendation list may hold, how long it is, and how it is ordered.

    Raises:
        InvalidArgumentError: a number out of its range, or an invalid or missing id.

    Examples:
        >>> ListOptions(k=5, per_artist=1).reranks
        True
        >>> ListOptions(k=0)
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: k must be a whole number of at least 1, not 0
    """

    k: int = 10
    """Length of the list."""

    exclude_seen: bool = True
    """Leave out what the user has played."""

    exclude: Iterable[str] = ()
    """Ids of items to leave out; kept as a list."""

    only: Iterable[str] | None = None
    """Ids of items to choose from, kept as a list; None for all."""

    where: Where | None = None
    """Columns with the value, or the values, of which an item must have one."""

    per_artist: int | None = None
    """At most this many items of one artist; None for any number."""

    diversity: float = 0.0
    """From 0, the order of scores, to 1, the items least alike (maximal marginal relevance)."""

    popularity_correction: float = 0.0
    """Share of the standardised log popularity taken off the standardised score, 0 to 1."""

    discovery: float | None = None
    """Share of nDCG that the list may lose so that new songs are in it, 0 to 1; None as fitted."""

    new: New | None = None
    """``"only"``, a number of places for new songs, or a share of the places as a float; None
    leaves it to the scores. At most k places count: 1 is one place, 1.0 is all of them."""

    reranks: bool = field(init=False)
    """Whether the list is more than the k best scores of what may be in it."""

    def __post_init__(self) -> None:
        """Check all options; ids are read once, so that they may come from a generator."""
        object.__setattr__(self, "exclude", checked_ids("exclude", self.exclude))
        if self.only is not None:
            object.__setattr__(self, "only", checked_ids("only", self.only))
        if isinstance(self.where, Mapping):
            read = {name: _reread(values) for name, values in self.where.items()}
            object.__setattr__(self, "where", read)
        check_flag("exclude_seen", self.exclude_seen)
        check_whole("k", self.k)
        if self.per_artist is not None:
            check_whole("per_artist", self.per_artist)
        check_share("diversity", self.diversity)
        check_share("popularity_correction", self.popularity_correction)
        if self.discovery is not None:
            check_share("discovery", self.discovery)
        if self.new is not None:
            _check_new(self.new)
        changes_order = bool(self.diversity or self.popularity_correction)
        object.__setattr__(self, "reranks", changes_order or self.per_artist is not None)

    @property
    def new_places(self) -> int:
        """How many places of the list are for new songs, where `new` says so.

        Examples:
            >>> [ListOptions(k=10, new=new).new_places for new in ("only", 3, 25, 0.25, 1.0, 0)]
            [10, 3, 10, 3, 10, 0]
        """
        if self.new is None or isinstance(self.new, str):
            return self.k if self.new else 0
        if isinstance(self.new, numbers.Integral):
            return min(int(self.new), self.k)
        # The nearest whole number, half a place upwards; what rounding left of it is none.
        return math.floor(round(float(self.new) * self.k, 6) + 0.5)

    @property
    def pool_size(self) -> int:
        """How many candidates a reranked list is chosen from, unless a cap needs more."""
        if not self.diversity and not self.popularity_correction:
            return 2 * self.k  # in the order of scores, so that more candidates change nothing
        return max(_LEAST_POOL, _POOL * self.k)


def _check_new(new: Any) -> None:
    """Raise InvalidArgumentError for what is neither "only" nor a number or share of places."""
    if isinstance(new, str):
        fits = new == "only"
    elif isinstance(new, numbers.Integral):
        fits = is_whole(new, 0)
    else:
        is_number = isinstance(new, numbers.Real) and not isinstance(new, bool | np.bool_)
        fits = is_number and 0 <= float(new) <= 1
    if not fits:
        raise InvalidArgumentError(
            "new must be 'only', a whole number of places of at least 0, or a share of the places "
            f"from 0.0 to 1.0, not {format_value(new)}"
        )


def _reread(values: Any) -> Any:
    """The values that a filter wants, which every batch of lists reads again."""
    return list(values) if isinstance(values, Iterator) else values


def shows_list_options(method: Method) -> Method:
    """Let the signature of a method that takes ``**options`` name the fields of `ListOptions`."""
    signature = inspect.signature(method)
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type
        )
        for one in fields(ListOptions)
        if one.init and one.name != "k"
    ]
    shown = signature.replace(parameters=[*own, *options])
    method.__signature__ = shown  # type: ignore[attr-defined]
    return method


def history_plays(history: History) -> dict[str, float]:
    """Read the plays of each item of a history; 1 each for a list of items.

    Raises:
        InvalidArgumentError: an invalid or missing id, one given twice, or plays that are not a
            positive number.
    """
    if not isinstance(history, Mapping):
        return dict.fromkeys(checked_ids("history", history), 1.0)
    least, most = PLAY_BOUNDS
    plays: dict[str, float] = {}
    for number, (given_id, given) in enumerate(history.items(), 1):
        item = checked_id(f"history: id number {number}", given_id)
        weight = np.nan
        if is_real(given) or isinstance(given, str):
            with suppress(ValueError, OverflowError):
                weight = float(given)
        if not least <= weight <= most:
            raise InvalidArgumentError(
                f"history: plays of item {item!r} must be a positive number, "
                f"not {format_value(given)}"
            )
        if item in plays:
            raise InvalidArgumentError(f"history: item {item!r} is given twice")
        plays[item] = weight
    return plays
