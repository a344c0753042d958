"""Spellings of one id or one label in a data set are brought together, with a warning.

Ids are one where they look the same: in the two forms that Unicode has for letters with accents
(NFC and NFD). Case counts in ids. Genres and tags are one where case, width, outer and repeated
spaces are all that differs; of their spellings the commonest is kept.
"""

import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from datasets import columns as c
from datasets.arrays import StrArray
from datasets.errors import DataWarning
from datasets.tables.values import object_array
from datasets.texts.unicode_forms import by_composed, composed, folded

_NAMES = (c.TITLE, c.ARTIST, c.ALBUM)
"""Columns of names, in which case and spaces count."""

_SHOWN = 3
"""Spellings that a warning names."""


def label_key(column: str, text: str) -> str:
    """Return what spellings of a value of this column have in common.

    Examples:
        >>> label_key("genre", "Rock") == label_key("genre", " rock ")
        True
        >>> label_key("artist", "AIR") == label_key("artist", "Air")  # two bands
        False
    """
    return composed(text) if column in _NAMES else folded(text)


def other_forms(text: str) -> list[str]:
    """Return a text in the other forms of Unicode that look the same, if there are any.

    Examples:
        >>> [len(form) for form in other_forms("caf" + chr(0xE9))], other_forms("cafe")
        ([5], [])
    """
    if text.isascii():
        return []
    forms = (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    return [form for form in dict.fromkeys(forms) if form != text]


def known_spellings(ids: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Map ids that are not known, but for their Unicode form, to those that are.

    Args:
        ids: ids, some of them unknown.
        known: the known ids.

    Examples:
        >>> found = known_spellings(["cafe" + chr(0x301), "b"], ["caf" + chr(0xE9), "b"])
        >>> [len(text) for pair in found.items() for text in pair]
        [5, 4]
    """
    odd = {text for text in set(ids) if not text.isascii()}
    if not odd:
        return {}
    with_accents = [text for text in known if not text.isascii()]
    unknown = odd.difference(with_accents)
    if not unknown:
        return {}
    first = {key: group[0] for key, group in by_composed(with_accents).items()}
    return {text: first[key] for text in unknown if (key := composed(text)) in first}


def warn_of_forms(name: str, taken: Mapping[str, str]) -> None:
    """Warn that ids were taken for known ones that differ from them by the Unicode form alone."""
    if taken:
        shown = [f"{one!a} for {known!a}" for one, known in list(taken.items())[:_SHOWN]]
        rest = f" and {len(taken) - _SHOWN:,} more" if len(taken) > _SHOWN else ""
        warnings.warn(
            f"{name}: ids are taken for the same text in another Unicode form:"
            f" {', '.join(shown)}{rest}",
            DataWarning,
            stacklevel=3,
        )


def one_form_each(ids: StrArray, name: str) -> StrArray:
    """Give all rows of an id the Unicode form that most of them have.

    Args:
        ids: ids by row.
        name: the table and column, for the warning.
    """
    groups = _several(by_composed(text for text in set(ids) if not text.isascii()))
    if not groups:
        return ids
    counts = Counter(text for text in ids if not text.isascii())
    taken = _commonest(groups, counts, lambda text: text)
    warn_of_forms(name, taken)
    return object_array(taken.get(text, text) for text in ids)


def warn_of_equal_looking_items(ids: StrArray, place: Callable[[int], str], name: str) -> None:
    """Warn of two items whose ids look the same; they stay two."""
    groups = _several(by_composed(text for text in ids if not text.isascii()))
    if groups:
        one, other, *_ = next(iter(groups.values()))
        rows = pd.Index(ids, dtype=object).get_indexer(pd.Index([one, other], dtype=object))
        warnings.warn(
            f"{name}: items {one!a} ({place(int(rows[0]))}) and {other!a} "
            f"({place(int(rows[1]))}) are one text in two Unicode forms; they stay two items"
            + (f" ({len(groups) - 1:,} more such ids)" if len(groups) > 1 else ""),
            DataWarning,
            stacklevel=3,
        )


def one_spelling_each(columns: list["pd.Series[Any]"], name: str) -> list[StrArray]:
    """Give every label of some columns, which share their labels, its commonest spelling.

    Args:
        columns: labels by row; their name says which spellings are one (`label_key`).
        name: the table and column, for the warning.
    """
    column = str(columns[0].name)
    keys: dict[str, list[str]] = {}
    for text in dict.fromkeys(text for one in columns for text in pd.unique(one)):
        if text:
            keys.setdefault(label_key(column, text), []).append(text)
    groups = _several(keys)
    if not groups:
        return [one.to_numpy() for one in columns]
    counts = Counter(text for one in columns for text in one)
    taken = _commonest(groups, counts, str if column in _NAMES else str.strip)
    pairs = list(taken.items())
    shown = [f"{_shown(one)} ({counts[one]:,} rows) as {_shown(kept)}" for one, kept in pairs]
    rest = f" and {len(shown) - _SHOWN:,} more" if len(shown) > _SHOWN else ""
    warnings.warn(
        f"{name}: spellings of one value are read as the commonest of them:"
        f" {', '.join(shown[:_SHOWN])}{rest}",
        DataWarning,
        stacklevel=3,
    )
    return [object_array(taken.get(text, text) for text in one) for one in columns]


def _several(groups: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {key: group for key, group in groups.items() if len(group) > 1}


def _commonest(
    groups: Mapping[str, list[str]], counts: Mapping[Hashable, int], tidy: Callable[[str], str]
) -> dict[str, str]:
    """Map every spelling of a group to the one with most rows; of equals, the first in order."""
    taken: dict[str, str] = {}
    for group in groups.values():
        kept = tidy(min(group, key=lambda text: (-counts[text], text)))
        taken |= {text: kept for text in group if text != kept}
    return taken


def _shown(text: str) -> str:
    return repr(text) if composed(text) == text else ascii(text)
