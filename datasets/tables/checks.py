"""Check and normalise the three tables of a data set.

A raw frame may have columns of any type. A normalised frame has exactly the documented columns,
text as Python `str` (dtype object on every version of pandas), weights as float64, times as
datetime64[ns], and a RangeIndex.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datasets import columns as c
from datasets.errors import DataError
from datasets.tables.frames import as_frame
from datasets.tables.recordings import RecordingChecker
from datasets.tables.spellings import (
    known_spellings,
    one_form_each,
    one_spelling_each,
    warn_of_equal_looking_items,
    warn_of_forms,
)
from datasets.tables.times import as_timestamps
from datasets.tables.values import (
    BadValueError,
    as_text,
    as_weights,
    format_value,
    is_unicode,
    object_array,
)
from datasets.texts.suggestions import close_names

ITEM_COLUMNS = (c.ITEM_ID, *c.ITEM_TEXT)
AUDIO_COLUMNS = (c.ITEM_ID, c.PATH, c.TITLE, c.GENRE)
INTERACTION_COLUMNS = (c.USER_ID, c.ITEM_ID, c.WEIGHT)


def _row(row: int) -> str:
    return f"row {row + 1}"


@dataclass(frozen=True)
class Origin:
    """Where a table came from, for error messages."""

    name: str
    """The file, or the table's name if it is in memory."""
    place: Callable[[int], str] = _row
    """Maps a row's position to text: `line 12` (CSV) or `row 11`, counted from 1."""

    def error(self, row: int, column: str, problem: str, count: int = 1) -> DataError:
        """Return the error for a value; `count` rows have the same kind of problem."""
        more = "" if count == 1 else f" ({count - 1:,} more such row{'s' if count > 2 else ''})"
        return DataError(f"{self.name}, {self.place(row)}, column {column!r}: {problem}{more}")


def empty_audio() -> pd.DataFrame:
    """Return an audio table without recordings."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in AUDIO_COLUMNS})


def empty_interactions() -> pd.DataFrame:
    """Return an interaction table without interactions."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in INTERACTION_COLUMNS})


def check_tables(
    items: Any,
    audio: Any,
    interactions: Any,
    root: Path | None,
    origins: tuple[Origin, Origin, Origin],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Check and normalise the three tables.

    Args:
        items: raw items.
        audio: raw recordings.
        interactions: raw interactions.
        root: folder of relative recording paths; None if paths are absolute.
        origins: names of the three tables in error messages.

    Returns:
        Normalised items, audio and interactions.

    Raises:
        DataError: at the first problem.
    """
    checked = check_items(items, origins[0])
    ids = checked[c.ITEM_ID]
    recordings = check_audio(audio, origins[1], ids, root)
    for name in checked.columns:
        if name not in (c.ITEM_ID, c.TITLE):
            both = [checked[name], *([recordings[name]] if name == c.GENRE else [])]
            spelt = one_spelling_each(both, f"{origins[0].name}, column {name!r}")
            for table, texts in zip((checked, recordings), spelt, strict=False):
                table[name] = pd.Series(texts, dtype=object)
    return checked, recordings, check_interactions(interactions, origins[2], ids)


def check_items(table: object, origin: Origin) -> pd.DataFrame:
    """Check items: unique non-blank ids, four text columns; further columns become tags.

    Raises:
        DataError: at the first problem.
    """
    raw = _named(table, ITEM_COLUMNS, origin, ITEM_COLUMNS)
    if raw.empty:
        raise DataError(f"{origin.name} has no items")
    texts = {
        name: _text(raw, name, origin, required=name == c.ITEM_ID)
        for name in [*ITEM_COLUMNS, *(n for n in raw.columns if n not in ITEM_COLUMNS)]
    }
    ids = texts[c.ITEM_ID]
    if len(set(ids)) < len(ids):
        series = pd.Series(ids, dtype=object)
        repeated = series.duplicated().to_numpy()
        row = int(repeated.argmax())
        first = origin.place(int((series == ids[row]).to_numpy().argmax()))
        problem = (
            f"{format_value(ids[row])} is there already, in {first}; an item_id must be unique"
        )
        raise origin.error(row, c.ITEM_ID, problem, int(repeated.sum()))
    warn_of_equal_looking_items(ids, origin.place, origin.name)
    return _frame(texts)


def check_audio(
    table: object, origin: Origin, item_ids: "pd.Series[Any]", root: Path | None
) -> pd.DataFrame:
    """Check recordings: known items, existing files inside `root`; title and genre may be blank.

    Raises:
        DataError: at the first problem.
    """
    raw = _named(table, (c.ITEM_ID, c.PATH), origin, AUDIO_COLUMNS)
    texts = {
        name: _text(raw, name, origin, required=name in (c.ITEM_ID, c.PATH))
        if name in raw.columns
        else np.full(len(raw), "", dtype=object)
        for name in AUDIO_COLUMNS
    }
    texts[c.ITEM_ID] = _known(texts[c.ITEM_ID], item_ids, origin)
    finder = RecordingChecker(root)
    problems = [(row, finder.problem(path)) for row, path in enumerate(texts[c.PATH])]
    wrong = [(row, problem) for row, problem in problems if problem is not None]
    if wrong:
        raise origin.error(wrong[0][0], c.PATH, wrong[0][1], len(wrong))
    return _frame(texts)


def check_interactions(
    table: object,
    origin: Origin,
    item_ids: "pd.Series[Any] | None",
    *,
    with_events: bool = False,
) -> pd.DataFrame:
    """Check interactions: non-blank users, known items, weights >= 0, valid times.

    Args:
        table: the table, of pandas or another library (`frames.as_frame`).
        origin: its name in error messages.
        item_ids: the known items; None to skip that check.
        with_events: keep the column event_id, if there is one; "" where it is blank.

    Raises:
        DataError: at the first problem.
    """
    optional = (c.TIMESTAMP, c.EVENT_ID) if with_events else (c.TIMESTAMP,)
    raw = _named(table, INTERACTION_COLUMNS, origin, (*INTERACTION_COLUMNS, *optional))
    users = _text(raw, c.USER_ID, origin, required=True)
    items = _text(raw, c.ITEM_ID, origin, required=True)
    users = one_form_each(users, f"{origin.name}, column {c.USER_ID!r}")
    if item_ids is None:
        items = one_form_each(items, f"{origin.name}, column {c.ITEM_ID!r}")
    else:
        items = _known(items, item_ids, origin)
    result = _frame({c.USER_ID: users, c.ITEM_ID: items})
    result[c.WEIGHT] = _located(c.WEIGHT, origin, lambda: as_weights(raw[c.WEIGHT]))
    if c.TIMESTAMP in raw.columns:
        result[c.TIMESTAMP] = _located(c.TIMESTAMP, origin, lambda: as_timestamps(raw[c.TIMESTAMP]))
    if with_events and c.EVENT_ID in raw.columns:
        events = _text(raw, c.EVENT_ID, origin, required=False)
        result[c.EVENT_ID] = pd.Series(events, dtype=object)
    return result


def _named(
    table: object, required: Sequence[str], origin: Origin, expected: Sequence[str]
) -> pd.DataFrame:
    """Return a table as a pandas frame with its column names stripped and checked."""
    raw = as_frame(table, origin.name, expected)
    names: list[str] = []
    for position, name in enumerate(raw.columns, start=1):
        if not isinstance(name, str):
            raise DataError(f"{origin.name}: column {position} is named {name!r}, which is no text")
        if not name.strip():
            hint = "; was the table saved with its row numbers?" if position == 1 else ""
            raise DataError(f"{origin.name}: column {position} has no name{hint}")
        if "\0" in name or not is_unicode(name):
            raise DataError(f"{origin.name}: the name of column {position} is not valid text")
        if name.strip() in names:
            raise DataError(f"{origin.name}: two columns are named {name.strip()!r}")
        names.append(name.strip())
    missing = [name for name in required if name not in names]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        wanted = ", ".join(repr(name) for name in missing)
        found = ", ".join(format_value(name) for name in names) or "none"
        in_index = c.ITEM_ID in missing and pd.api.types.is_string_dtype(raw.index.dtype)
        hint = "; are the ids the index? Name it 'item_id'" if in_index and len(raw) else ""
        others = [name for name in names if name not in required]
        hint = hint or next(
            (
                f"; is {format_value(close[0])} meant for {name!r}? Rename it"
                for name in missing
                if (close := close_names(name, others))
            ),
            "",
        )
        raise DataError(f"{origin.name}: column{plural} {wanted} missing; there are: {found}{hint}")
    return raw.set_axis(names, axis="columns")


def _text(raw: pd.DataFrame, name: str, origin: Origin, *, required: bool) -> Any:
    identifier = name in (c.ITEM_ID, c.USER_ID, c.EVENT_ID)
    return _located(
        name, origin, lambda: as_text(raw[name], required=required, identifier=identifier)
    )


def _located(column: str, origin: Origin, convert: Callable[[], Any]) -> Any:
    try:
        return convert()
    except BadValueError as error:
        raise origin.error(error.row, column, error.problem, error.count) from None


def _known(ids: Any, known: "pd.Series[Any]", origin: Origin) -> Any:
    """Return ids of items as the items have them; DataError for one that they do not have."""
    unknown = set(ids) - set(known)
    if unknown and (spelt := known_spellings(unknown, known)):
        warn_of_forms(f"{origin.name}, column {c.ITEM_ID!r}", spelt)
        ids = object_array(spelt.get(item_id, item_id) for item_id in ids)
        unknown -= spelt.keys()
    if unknown:
        rows = [row for row, item_id in enumerate(ids) if item_id in unknown]
        problem = f"{format_value(ids[rows[0]])} is not among the items"
        raise origin.error(rows[0], c.ITEM_ID, problem, len(rows))
    return ids


def _frame(texts: dict[str, Any]) -> pd.DataFrame:
    # As series of dtype object, because pandas 3 converts bare arrays to its own string type.
    return pd.DataFrame({name: pd.Series(text, dtype=object) for name, text in texts.items()})
