"""From ids to rows without reading all the ids: sorted hashes that stay on the disk.

Tables of texts in a model folder: Arrow files that stay on the disk until a row is wanted.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import IntArray, StrArray
from datasets.errors import ArtifactError


class Ids(Protocol):
    """Distinct ids in the order of their rows; a ``pandas.Index`` of texts is one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, row: Any, /) -> Any: ...

    def get_indexer(self, target: Any) -> IntArray:
        """The row of each wanted id, int [n], -1 for one that is not there."""


class HashedIdIndex:
    """Ids whose texts and hashes may be memory-mapped: a lookup touches only what it needs.

    texts: the ids by row, a Series of texts. hashes: uint64 [n], of the ids, ascending. rows: int
    [n], the row of each hash. Equal hashes are told apart by the texts.
    """

    def __init__(self, texts: pd.Series, hashes: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """Raises ValueError where the parts do not fit together."""
        if not len(texts) == len(hashes) == len(rows):
            raise ValueError("a table of ids does not fit its texts")
        self._texts = texts.array
        self._hashes = hashes
        self._rows = rows

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        """The lookup of distinct ids by row."""
        texts = pd.Series(list(ids), dtype=object)
        return cls(texts, *sorted_hashes(texts))

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    @overload
    def __getitem__(self, row: int, /) -> str: ...

    @overload
    def __getitem__(self, row: slice | IntArray, /) -> StrArray: ...

    def __getitem__(self, row: Any, /) -> Any:
        found = self._texts[row]
        return found if isinstance(found, str) else found.to_numpy(dtype=object)

    def get_indexer(self, target: Iterable[object]) -> IntArray:
        """The row of each wanted id, int [n], -1 for one that is not there."""
        wanted = np.array([*target, None], dtype=object)[:-1]  # never a table of characters
        texts = np.flatnonzero([isinstance(one, str) for one in wanted])
        found = np.full(len(wanted), -1, np.intp)
        if not len(texts) or not len(self):
            return found
        keys = hash_ids(wanted[texts])
        places = np.searchsorted(self._hashes, keys)
        while len(texts):  # a second time only where two ids have one hash
            there = places < len(self)
            there[there] = self._hashes[places[there]] == keys[there]
            texts, keys, places = texts[there], keys[there], places[there]
            rows = np.asarray(self._rows[places], np.intp)
            same = self[rows] == wanted[texts]
            found[texts[same]] = rows[same]
            texts, keys, places = texts[~same], keys[~same], places[~same] + 1
        return found


def hash_ids(ids: Iterable[str]) -> NDArray[np.uint64]:
    """64 bits of the BLAKE2b digest of each id, the same on every machine."""
    digests = [
        hashlib.blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8).digest() for one in ids
    ]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def sorted_hashes(ids: Iterable[str]) -> tuple[NDArray[np.uint64], IntArray]:
    """The ids' hashes, ascending, and the row of each: what :class:`HashedIdIndex` looks up in."""
    hashes = hash_ids(ids)
    order = np.argsort(hashes, kind="stable")
    return hashes[order], order.astype(np.int64)


def write_string_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table whose columns are all texts."""
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
    """A table that :func:`write_string_table` wrote, memory-mapped.

    To read some rows of a column write ``table[name].iloc[rows]``; whatever makes an array of a
    column first reads all of it. Raises ArtifactError where it cannot be read.
    """
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from None
    return table.to_pandas(types_mapper=pd.ArrowDtype)
