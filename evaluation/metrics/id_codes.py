"""From columns of ids to whole numbers, without a Python object a row where it can be helped."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from datasets.arrays import IntArray
from datasets.errors import EvaluationError

Codes32 = NDArray[np.int32]


class IdCodes:
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
