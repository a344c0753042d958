"""The splits that an evaluation can be asked for by name."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from datasets.columns import WEIGHT
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.splitting.cold import cold_folds, cold_split, cold_user_split, semi_cold_split
from evaluation.splitting.split import Split
from evaluation.splitting.temporal import leave_last_split, time_split, time_windows
from evaluation.splitting.warm import user_folds, warm_folds, warm_split

_USER_FOLDS = 5
"""Folds over users where no number is given: they cannot do without."""


@dataclass(frozen=True)
class _Wish:
    """A split asked for."""

    dataset: MusicDataset
    name: str
    number: int | None
    """What stands behind the colon, as in semi-cold:2."""
    fraction: float
    folds: int
    """1 for no folds."""
    seed: int
    among: Collection[str] | None
    """The items that may be cold or thin; None for those with a recording."""


@dataclass(frozen=True)
class SplitKind:
    """A kind of split by name."""

    meaning: str
    make: Callable[[_Wish], list[Split]]
    number: str = ""
    """What a number behind a colon says; "" where none can stand there."""
    in_folds: bool = False
    """Whether folds can take its place."""
    least: int = 1
    """The smallest number that can stand behind a colon."""


def _warm(wish: _Wish) -> list[Split]:
    if wish.folds > 1:
        return warm_folds(wish.dataset, wish.folds, wish.seed, name=wish.name)
    return [warm_split(wish.dataset, wish.fraction, wish.seed, name=wish.name)]


def _last(wish: _Wish) -> list[Split]:
    return [leave_last_split(wish.dataset, wish.number or 1, wish.seed, name=wish.name)]


def _time(wish: _Wish) -> list[Split]:
    windows = wish.number or wish.folds
    if windows > 1:
        return time_windows(wish.dataset, windows, name=wish.name)
    return [time_split(wish.dataset, wish.fraction, name=wish.name)]


def _users(wish: _Wish) -> list[Split]:
    folds = wish.folds if wish.folds > 1 else _USER_FOLDS
    return user_folds(wish.dataset, folds, wish.seed, fraction=wish.fraction, name=wish.name)


def _cold(wish: _Wish, by: Literal["artist", "item"] = "artist") -> list[Split]:
    if wish.folds > 1:
        return cold_folds(
            wish.dataset, wish.folds, wish.seed, by=by, among=wish.among, name=wish.name
        )
    return [_single_cold(wish, by)]


def _cold_items(wish: _Wish) -> list[Split]:
    return _cold(wish, "item")


def _cold_by_date(wish: _Wish) -> list[Split]:
    return [_single_cold(wish, "first seen")]


def _single_cold(wish: _Wish, by: Literal["artist", "item", "first seen"]) -> Split:
    return cold_split(
        wish.dataset, wish.fraction, wish.seed, by=by, among=wish.among, name=wish.name
    )


def _semi_cold(wish: _Wish) -> list[Split]:
    keep = 1 if wish.number is None else wish.number
    return [
        semi_cold_split(
            wish.dataset, keep, wish.fraction, wish.seed, among=wish.among, name=wish.name
        )
    ]


def _cold_users(wish: _Wish) -> list[Split]:
    return [
        cold_user_split(wish.dataset, wish.fraction, wish.number or 0, wish.seed, name=wish.name)
    ]


KINDS = {
    "warm": SplitKind("a share of every user's items", _warm, in_folds=True),
    "cold": SplitKind("items nobody has played, whole artists of them", _cold, in_folds=True),
    "cold-items": SplitKind("the same, single items", _cold_items, in_folds=True),
    "cold-by-date": SplitKind("the items that were first played last", _cold_by_date),
    "semi-cold": SplitKind("items of which N listeners are left, 1 by default", _semi_cold, "N"),
    "time": SplitKind("what is played after a moment, in N windows", _time, "N", in_folds=True),
    "last": SplitKind("the last N items of every user, 1 by default", _last, "N"),
    "users": SplitKind("a share of the items of some users, all in turn", _users, in_folds=True),
    "cold-users": SplitKind(
        "users who come after training, with N items", _cold_users, "N", least=0
    ),
}
"""Every split that can be named, and what is tested in it."""


def named_splits(
    dataset: MusicDataset,
    names: Sequence[str],
    *,
    fraction: float,
    folds: int,
    seed: int,
    among: Collection[str] | None = None,
) -> tuple[list[Split], list[str]]:
    """Splits by name, such as "cold" or "semi-cold:2", and why others could not be made.

    folds: of those that can be had in folds; 1 for single splits. among: the items that may be held
    out, by default those with a recording. Raises InvalidArgumentError for a
    name that is not in :data:`KINDS`, one that is given twice, or a number where none can be, and
    EvaluationError where nobody has played anything or no split can be made of this data.
    """
    all_alike = _Wish(dataset, "", None, fraction, folds, seed, among)
    parsed = _parsed(names)
    if not (dataset.interactions[WEIGHT] > 0).any():
        raise EvaluationError("nobody has played anything: there is nothing to hold out and test")
    splits, reasons = [], []
    for kind, label, number in parsed:
        wish = replace(all_alike, name=label, number=number)
        try:
            splits.extend(kind.make(wish))
        except EvaluationError as error:
            reasons.append(f"split “{label}”: {error}")
    if not splits:
        raise EvaluationError(f"nothing can be measured: {'; '.join(reasons)}")
    return splits, [f"Not measured: {reason}" for reason in reasons]


def check_split_names(names: Sequence[str]) -> None:
    """Raise InvalidArgumentError for names that :func:`named_splits` would refuse."""
    _parsed(names)


def _parsed(names: Sequence[str]) -> list[tuple[SplitKind, str, int | None]]:
    """Kind, label and number of every split that is named."""
    if not names:
        raise InvalidArgumentError("no split is named")
    found = [_parse(name) for name in names]
    if len({label for _, label, _ in found}) < len(found):
        raise InvalidArgumentError(f"a split is named twice: {', '.join(names)}")
    return found


def _parse(text: str) -> tuple[SplitKind, str, int | None]:
    name, colon, number = text.partition(":")
    kind = KINDS.get(name)
    if kind is None:
        raise InvalidArgumentError(f"no split {name!r}; there are: {', '.join(KINDS)}")
    if colon and kind.number and number.isdecimal() and int(number) < kind.least:
        raise InvalidArgumentError(
            f"split {text!r}: the number behind {name} must be at least {kind.least}"
        )
    if colon and not (kind.number and number.isdecimal()):
        raise InvalidArgumentError(
            f"split {text!r}: a whole number can follow the colon, as in {name}:2"
            if kind.number
            else f"split {text!r}: no number can follow {name!r}"
        )
    return kind, f"{name} {number}" if colon else name, int(number) if colon else None
