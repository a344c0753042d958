"""Splits by name, as ``coldtune evaluate --splits`` takes them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from datasets.arguments import check_names
from datasets.columns import WEIGHT
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.texts.suggestions import did_you_mean
from evaluation.splitting.cold import cold_folds, cold_split, cold_user_split, semi_cold_split
from evaluation.splitting.mixed import mixed_folds, mixed_split
from evaluation.splitting.split import Split
from evaluation.splitting.temporal import leave_last_split, time_split, time_windows
from evaluation.splitting.warm import user_folds, warm_folds, warm_split

_USER_FOLDS = 5
"""Folds over users where no number is given: a single one cannot be made."""


@dataclass(frozen=True)
class _SplitRequest:
    """A split to make."""

    dataset: MusicDataset
    name: str
    number: int | None
    """The number after the colon, as in semi-cold:2."""
    fraction: float
    """Share held out."""
    folds: int
    """Number of folds; 1 for a single split."""
    seed: int
    among: Collection[str] | None
    """The items that may be cold or few-shot; None for those with a recording."""


@dataclass(frozen=True)
class SplitKind:
    """A kind of split that can be named."""

    meaning: str
    """What is tested, in words."""
    make: Callable[[_SplitRequest], list[Split]]
    """Makes the split, or its folds."""
    number: str = ""
    """Name of the number that may follow a colon; "" for none."""
    least: int = 1
    """The smallest number that may follow the colon."""


def _warm(request: _SplitRequest) -> list[Split]:
    if request.folds > 1:
        return warm_folds(request.dataset, request.folds, request.seed, name=request.name)
    return [warm_split(request.dataset, request.fraction, request.seed, name=request.name)]


def _last(request: _SplitRequest) -> list[Split]:
    return [leave_last_split(request.dataset, request.number or 1, request.seed, name=request.name)]


def _time(request: _SplitRequest) -> list[Split]:
    windows = request.number or request.folds
    if windows > 1:
        return time_windows(request.dataset, windows, name=request.name)
    return [time_split(request.dataset, request.fraction, name=request.name)]


def _users(request: _SplitRequest) -> list[Split]:
    folds = request.folds if request.folds > 1 else _USER_FOLDS
    return user_folds(
        request.dataset, folds, request.seed, fraction=request.fraction, name=request.name
    )


def _cold(request: _SplitRequest, by: Literal["artist", "item"] = "artist") -> list[Split]:
    if request.folds > 1:
        return cold_folds(
            request.dataset,
            request.folds,
            request.seed,
            by=by,
            among=request.among,
            name=request.name,
        )
    return [_single_cold(request, by)]


def _cold_items(request: _SplitRequest) -> list[Split]:
    return _cold(request, "item")


def _cold_by_date(request: _SplitRequest) -> list[Split]:
    return [_single_cold(request, "first seen")]


def _mixed(request: _SplitRequest) -> list[Split]:
    if request.folds > 1:
        return mixed_folds(
            request.dataset, request.folds, request.seed, among=request.among, name=request.name
        )
    return [
        mixed_split(
            request.dataset,
            request.fraction,
            request.seed,
            among=request.among,
            name=request.name,
        )
    ]


def _single_cold(request: _SplitRequest, by: Literal["artist", "item", "first seen"]) -> Split:
    return cold_split(
        request.dataset,
        request.fraction,
        request.seed,
        by=by,
        among=request.among,
        name=request.name,
    )


def _semi_cold(request: _SplitRequest) -> list[Split]:
    keep = 1 if request.number is None else request.number
    return [
        semi_cold_split(
            request.dataset,
            keep,
            request.fraction,
            request.seed,
            among=request.among,
            name=request.name,
        )
    ]


def _cold_users(request: _SplitRequest) -> list[Split]:
    return [
        cold_user_split(
            request.dataset, request.fraction, request.number or 0, request.seed, name=request.name
        )
    ]


SPLIT_KINDS = {
    "warm": SplitKind("a share of every user's items", _warm),
    "cold": SplitKind("items nobody has played, whole artists of them", _cold),
    "cold-items": SplitKind("the same, single items", _cold_items),
    "cold-by-date": SplitKind("the items that were first played last", _cold_by_date),
    "mixed": SplitKind("new items among known ones, the same share of both kinds' plays", _mixed),
    "semi-cold": SplitKind("items of which N listeners are left, 1 by default", _semi_cold, "N"),
    "time": SplitKind("what is played after a moment, in N windows", _time, "N"),
    "last": SplitKind("the last N items of every user, 1 by default", _last, "N"),
    "users": SplitKind("a share of the items of some users, all in turn", _users),
    "cold-users": SplitKind(
        "users who come after training, with N items", _cold_users, "N", least=0
    ),
}
"""Every kind of split that can be named."""


def named_splits(
    dataset: MusicDataset,
    names: Sequence[str],
    *,
    fraction: float,
    folds: int,
    seed: int,
    among: Collection[str] | None = None,
) -> tuple[list[Split], list[str]]:
    """Make splits by name, such as ``"cold"`` or ``"semi-cold:2"``.

    Args:
        dataset: the data set to split.
        names: names of ``SPLIT_KINDS``, with a number after a colon where it has one.
        fraction: share held out by each split.
        folds: folds of the splits that can be had in folds; 1 for single splits.
        seed: seed of all random choices.
        among: ids of the items that may be held out; by default those with a recording.

    Returns:
        The splits, and a sentence for each that cannot be made of this data.

    Raises:
        InvalidArgumentError: an unknown name, a name given twice, or a number where none can be.
        EvaluationError: there are no interactions, or no split can be made.

    Examples:
        >>> names = ["warm", "cold-users:2"]
        >>> splits, remarks = named_splits(dataset, names, fraction=0.2, folds=1, seed=0)
        >>> [split.name for split in splits], remarks
        (['warm', 'cold-users 2'], [])
    """
    template = _SplitRequest(dataset, "", None, fraction, folds, seed, among)
    parsed = _parsed(names)
    if not (dataset.interactions[WEIGHT] > 0).any():
        raise EvaluationError("nobody has played anything: there is nothing to hold out and test")
    splits, reasons = [], []
    for kind, label, number in parsed:
        request = replace(template, name=label, number=number)
        try:
            splits.extend(kind.make(request))
        except EvaluationError as error:
            reasons.append(f"split “{label}”: {error}")
    if not splits:
        raise EvaluationError(f"nothing can be measured: {'; '.join(reasons)}")
    return splits, [f"Not measured: {reason}" for reason in reasons]


def check_split_names(names: Sequence[str]) -> None:
    """Check names as ``named_splits`` takes them.

    Raises:
        InvalidArgumentError: an unknown name, a name given twice, or a number where none can be.
    """
    _parsed(names)


def _parsed(names: Sequence[str]) -> list[tuple[SplitKind, str, int | None]]:
    """Kind, label and number of every named split."""
    names = check_names("splits", names)
    if not names:
        raise InvalidArgumentError("no split is named")
    found = [_parse(name) for name in names]
    if len({label for _, label, _ in found}) < len(found):
        raise InvalidArgumentError(f"a split is named twice: {', '.join(names)}")
    return found


def _parse(text: str) -> tuple[SplitKind, str, int | None]:
    name, colon, number = text.partition(":")
    kind = SPLIT_KINDS.get(name)
    if kind is None:
        hint = did_you_mean(name, SPLIT_KINDS)
        raise InvalidArgumentError(f"no split {name!r}{hint}; there are: {', '.join(SPLIT_KINDS)}")
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
