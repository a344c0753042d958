"""Tables of texts as Arrow files, and indexes from ids to rows, memory-mapped from the disk."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import BoolArray, IntArray, StrArray
from datasets.errors import ArtifactError
from recsys.model.checks import check_array, check_rows

_TEXT: Any = pd.Series([""]).dtype
"""What pandas makes of texts: objects, before version 3."""


_FEW = 32
"""Up to so many texts are read one by one."""


class Ids(Protocol):
    """Distinct ids in the order of their rows, such as a ``pandas.Index`` of texts."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, row: Any, /) -> Any: ...

    def get_indexer(self, target: Any) -> IntArray:
        """Return the row of each id, int [n]; -1 for an unknown one."""


class HashedIdIndex:
    """An index from ids to rows by binary search in their hashes.

    Texts and hashes may be memory-mapped: a lookup reads only what it needs.

    Args:
        texts: the ids by row.
        hashes: hashes of the ids, uint64 [n], ascending.
        rows: the row of each hash, int [n]. Ids of equal hashes are told apart by their texts.
    """

    def __init__(self, texts: pd.Series, hashes: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """Raise ValueError if the parts do not fit together."""
        if not len(texts) == len(hashes) == len(rows):
            raise ValueError("a table of ids does not fit its texts")
        check_array("hashes of ids", hashes, "u", -1)
        check_rows("rows of ids", rows, len(texts))
        self._texts = TextColumn(texts)
        self._hashes = hashes
        self._rows = rows

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def row(self, one: str) -> int:
        """Return the row of one id, -1 for an unknown one."""
        key = hash_ids([one])[0]
        place = int(self._hashes.searchsorted(key))
        while place < len(self._hashes) and self._hashes[place] == key:
            row = int(self._rows[place])
            if self._texts.one(row) == one:
                return row
            place += 1  # two ids of one hash
        return -1

    @overload
    def __getitem__(self, row: int, /) -> str: ...

    @overload
    def __getitem__(self, row: slice | IntArray, /) -> StrArray: ...

    def __getitem__(self, row: Any, /) -> Any:
        if isinstance(row, int | np.integer):
            return self._texts.one(int(row))
        if isinstance(row, slice):
            row = np.arange(*row.indices(len(self)))
        return self._texts.take(row)

    def get_indexer(self, target: Iterable[object]) -> IntArray:
        """Return the row of each id, int [n]; -1 for an unknown one."""
        wanted = np.array([*target, None], dtype=object)[:-1]  # always one column
        texts = np.flatnonzero([isinstance(one, str) for one in wanted])
        found = np.full(len(wanted), -1, np.intp)
        if not len(texts) or not len(self):
            return found
        keys = hash_ids(wanted[texts])
        places = np.searchsorted(self._hashes, keys)
        while len(texts):  # loops again only on a hash collision
            there = places < len(self)
            there[there] = self._hashes[places[there]] == keys[there]
            texts, keys, places = texts[there], keys[there], places[there]
            rows = np.asarray(self._rows[places], np.intp)
            same = self[rows] == wanted[texts]
            found[texts[same]] = rows[same]
            texts, keys, places = texts[~same], keys[~same], places[~same] + 1
        return found


def hash_ids(ids: Iterable[str]) -> NDArray[np.uint64]:
    """Hash ids to 64 bits of their BLAKE2b digests, the same on every machine."""
    digests = [
        hashlib.blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8).digest() for one in ids
    ]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def sorted_hashes(ids: Iterable[str]) -> tuple[NDArray[np.uint64], IntArray]:
    """Return the ids' hashes, ascending, and the row of each, for `HashedIdIndex`."""
    hashes = hash_ids(ids)
    order = np.argsort(hashes, kind="stable")
    return hashes[order], order.astype(np.int64)


def row_of(ids: Ids, one: object) -> int:
    """Return the row of one id, -1 for an unknown one: `Ids.get_indexer`, without its arrays."""
    if not isinstance(one, str):
        return -1
    if isinstance(ids, HashedIdIndex):
        return ids.row(one)
    if isinstance(ids, pd.Index):
        try:
            return int(cast(int, ids.get_loc(one)))  # ids are distinct
        except KeyError:
            return -1
    return int(ids.get_indexer([one])[0])


def rows_of_ids(ids: Ids, several: Sequence[object]) -> IntArray:
    """Return the rows of ids, int [n]; -1 for an unknown one."""
    if isinstance(ids, HashedIdIndex):
        return ids.get_indexer(several)
    return np.array(ids.get_indexer(pd.Index(several, dtype=object)), np.intp)


class TextColumn:
    """A column of texts, of which some rows are read at a time.

    Examples:
        >>> column = TextColumn(pd.Series(["a", "b", "c"]))
        >>> column.take(np.array([2, 0])).tolist(), column.one(1)
        (['c', 'a'], 'b')
    """

    def __init__(self, column: pd.Series) -> None:
        """Open a column; one that is memory-mapped stays where it is."""
        self._column: Any = column.array
        self._arrow: Any = None
        """The same as one piece of Arrow's, if it is one."""
        if isinstance(self._column, pd.arrays.ArrowExtensionArray):
            parts = self._column.__arrow_array__().chunks
            if len(parts) == 1 and str(parts[0].type) == "large_string":
                self._arrow = parts[0]
                _, bounds, texts = self._arrow.buffers()
                self._bounds = np.frombuffer(bounds, np.int64)[self._arrow.offset :]
                self._texts = memoryview(texts if texts is not None else b"")

    def __len__(self) -> int:
        return len(self._column)

    def __iter__(self) -> Iterator[str]:
        return iter(self._column)

    def one(self, row: int) -> str:
        """Return the text of a row."""
        if self._arrow is None:
            return str(self._column[row])
        start, stop = self._bounds[row : row + 2].tolist()
        return str(self._texts[start:stop], "utf-8")

    def take(self, rows: IntArray) -> StrArray:
        """Return the texts of rows, object [len(rows)]."""
        if self._arrow is None:
            return np.array(self._column[rows], object)
        if len(rows) > _FEW:
            import pyarrow as pa

            found: StrArray = self._arrow.take(pa.array(rows)).to_numpy(zero_copy_only=False)
            return found
        # Without Arrow, whose call alone takes longer.
        bounds = zip(self._bounds[rows].tolist(), self._bounds[rows + 1].tolist(), strict=True)
        texts = np.empty(len(rows), object)
        texts[:] = [str(self._texts[start:stop], "utf-8") for start, stop in bounds]
        return texts


def text_array(texts: StrArray) -> Any:
    """Return texts as a column of a new table, of the type that pandas would find for them.

    Without a text there is nothing to find, and they stay objects.

    Examples:
        >>> pd.DataFrame({"title": text_array(np.array(["a"], object))}).dtypes["title"]
        <StringDtype(na_value=nan)>
    """
    if not len(texts) or not isinstance(_TEXT, pd.StringDtype):
        return texts
    import pyarrow as pa

    make: Any = pd.arrays.ArrowStringArray  # whose stubs have no dtype
    return make(pa.array(texts, pa.large_string()), dtype=_TEXT)


class FilledCells:
    """The cells of a table of texts that are not empty, by row.

    Most of thousands of tags are empty for any one item: a row takes as long as it has texts.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        """Find the cells; the table may be memory-mapped."""
        self._names = [str(name) for name in table.columns]
        self._texts = [table.iloc[:, column].array for column in range(len(self._names))]
        found = [np.flatnonzero(_is_filled(texts)) for texts in self._texts]
        rows = np.concatenate([np.empty(0, np.intp), *found])
        columns = np.repeat(np.arange(len(found), dtype=np.int32), [len(one) for one in found])
        order = np.argsort(rows, kind="stable")
        self._columns = columns[order]
        self._starts = np.searchsorted(rows[order], np.arange(len(table) + 1))

    def of(self, row: int) -> dict[str, str]:
        """Return the texts of a row that are not empty, by column."""
        start, stop = self._starts[row : row + 2]
        own = self._columns[start:stop].tolist()
        return {self._names[column]: str(self._texts[column][row]) for column in own}


def _is_filled(texts: Any) -> BoolArray:
    if isinstance(texts, pd.arrays.ArrowExtensionArray):
        import pyarrow.compute as pc

        lengths = pc.binary_length(texts.__arrow_array__())
        return np.asarray(lengths.to_numpy() > 0)
    return np.asarray(texts != "", bool)


def write_string_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table whose columns are all texts as an Arrow file."""
    import pyarrow as pa

    # Large: a column may have more than 2 GiB. One batch: taking rows from several is slow.
    columns = {
        str(name): pa.array(table[name].to_numpy(dtype=object), pa.large_string())
        for name in table.columns
    }
    batch = pa.RecordBatch.from_pydict(columns)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def read_string_table(path: Path) -> pd.DataFrame:
    """Open a table that `write_string_table` wrote, memory-mapped.

    ``table[name].iloc[rows]`` reads only these rows; an array of a column reads all of it.

    Raises:
        ArtifactError: it cannot be read.
    """
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)  # offsets and UTF-8, which nothing checks later
        if any(kind != pa.large_string() for kind in table.schema.types):
            raise pa.ArrowInvalid("a column is not text")
        if any(column.null_count for column in table.columns):
            raise pa.ArrowInvalid("a text is missing")
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from None
    return table.to_pandas(types_mapper=pd.ArrowDtype)
