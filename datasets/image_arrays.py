"""Pictures of recordings as arrays, with their labels: what stands in for audio files.

A folder with one ``.npz`` file and, beside it, tables (CSV) of what is known of its rows, or the
``.npz`` file alone. What is taken for what is found by shape and name, and said; see
docs/genre.md.

Arrays out of an .npz file, without ever unpickling: text saved as objects is still read.

``numpy.savez`` pickles an array of Python strings. Its stream holds the strings one after another,
so they are taken from there, and nothing in the file is executed.
"""

import pickletools
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import IntArray, StrArray
from datasets.errors import DataError, InvalidArgumentError
from datasets.tables.read_write import read_table
from datasets.tables.values import format_value, object_array

Array = NDArray[Any]

_STRINGS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")

_MEMORY = ("BINGET", "LONG_BINGET", "GET")

_REMEMBERING = ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT")

_BETWEEN = ("FRAME", "MARK", "APPENDS", "APPEND")


def read_npz(path: Path) -> dict[str, Array]:
    """Every array of an .npz file by name.

    Raises :class:`~datasets.errors.DataError` for a file that is none, is damaged, or holds
    objects that are not text (the array is named).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _read(archive, name) for name in names}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except _ObjectsError as error:
        raise DataError(f"{path}: {error}") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        EOFError,
        LookupError,
        MemoryError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is not an .npz file that can be read: {reason}") from None


class _ObjectsError(Exception):
    """An array of objects that are not all text."""


def _read(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = header(stream)
        if kind.hasobject:
            return _texts(stream, shape, name.removesuffix(".npy"))
    with archive.open(name) as stream:
        array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _texts(stream: IO[bytes], shape: tuple[int, ...], name: str) -> Array:
    """The strings that a pickled one-dimensional array of objects consists of."""
    found: list[Any] | None = None
    memory: list[Any] = []
    last: Any = None
    if len(shape) == 1:
        for code, value, _ in pickletools.genops(stream.read()):
            argument: Any = value
            if code.name in _REMEMBERING:
                # NumPy writes protocol 2 or later, where what is remembered is numbered in order.
                memory.append(last)
            elif code.name == "EMPTY_LIST":
                last, found = None, []
            elif code.name in _STRINGS:
                last = argument
                if found is not None:
                    found.append(argument)
            elif found is not None and code.name in _MEMORY:
                found.append(memory[argument])
            elif found is not None and code.name not in _BETWEEN:
                break
            else:
                last = None
    if found is None or len(found) != shape[0] or not all(isinstance(v, str) for v in found):
        raise _ObjectsError(
            f"array {name!r} holds Python objects, which are not loaded; save text as a text array"
            " (values.astype(str)) and numbers as numbers"
        )
    return object_array(found)


LABEL_NAMES: Final = ("genre", "label", "labels", "class", "tag")

GROUP_NAMES: Final = (
    "artist_group", "artist", "artist_id", "artists", "performer", "group", "groups",
)  # fmt: skip

ID_NAMES: Final = ("id", "ids", "clip", "song", "item_id", "name", "file")


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Pictures and what is known of each; rows of equal id are windows of one recording."""

    images: Array
    """[n, height, width] or [n, channels, height, width], numbers as stored."""

    ids: StrArray
    """The recording that a picture belongs to, [n]."""

    labels: StrArray
    """Its label, [n]; "" where there is none."""

    groups: StrArray | None
    """Its artist, [n]; "" where unknown. None: nothing was found that names artists."""

    taken: Mapping[str, str]
    """What was taken for images, ids, labels and groups, in words."""


def is_image_arrays(path: Path) -> bool:
    """Whether ``path`` is an .npz file, or a folder with one that is no folder of tables."""
    if path.is_dir():
        no_tables = not any((path / f"items{end}").exists() for end in (".csv", ".parquet"))
        return no_tables and any(path.glob("*.npz"))
    return path.suffix == ".npz"


def read_image_arrays(
    path: Path,
    *,
    images: str | None = None,
    ids: str | None = None,
    labels: str | None = None,
    groups: str | None = None,
    tag: str = "genre",
) -> ImageArrays:
    """Read pictures and their labels; names that are given override what would be found.

    Args:
        path: an .npz file, or a folder with exactly one.
        images: name of the array of pictures; by default the only one of 3 or 4 dimensions.
        ids: name of the array (or column) that names the recording of each picture.
        labels: column (or array) of labels; by default the one named like ``tag`` (for genres also
            ``label`` or ``class``).
        groups: column (or array) of artists; by default ``artist_group``, ``artist`` or alike.
        tag: what the labels are.

    Raises :class:`~datasets.errors.DataError` for files that cannot be read, do not match or hold
    NaN, and :class:`~datasets.errors.InvalidArgumentError` for a name that is not there.
    """
    source = _npz_file(path)
    arrays = read_npz(source)
    name = _images_name(arrays, images, source)
    pictures = arrays.pop(name)
    _check_pictures(pictures, name, source)
    taken = {"images": f"array {name!r} {list(pictures.shape)} of {source.name}"}
    known = _columns(source, arrays, len(pictures), ids)
    columns, origin, key = known.columns, known.origin, known.key
    if key is None:
        values, taken["ids"] = (
            object_array(f"row {n + 1}" for n in range(len(pictures))),
            "row numbers",
        )
    else:
        values, taken["ids"] = columns[key], f"{key!r} {origin[key]}"
    # Any other tag is one column; taking genres for it would answer another question.
    names = LABEL_NAMES if tag == "genre" else (tag,)
    label = _choose("labels", labels, names, columns, source)
    if label is None:
        raise DataError(
            f"{source}: no column {tag!r}; name that of the labels with --labels, out of:"
            f" {_listed(columns)}"
        )
    group = _choose("groups", groups, GROUP_NAMES, columns, source)
    taken["labels"] = f"{label!r} {origin[label]}"
    taken["groups"] = "none found" if group is None else f"{group!r} {origin[group]}"
    return ImageArrays(
        pictures, values, columns[label], None if group is None else columns[group], taken
    )


def _npz_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.npz"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected one .npz file, found {found}; name the file itself")
    return files[0]


def _images_name(arrays: Mapping[str, Array], wanted: str | None, source: Path) -> str:
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()) or "none"
    if wanted is not None:
        if wanted not in arrays:
            raise InvalidArgumentError(f"{source}: no array {wanted!r}; there are: {shapes}")
        return wanted
    found = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    if len(found) != 1:
        raise DataError(
            f"{source}: expected one array [n, height, width] or [n, channels, height, width];"
            f" name it with --images out of: {shapes}"
        )
    return found[0]


def _check_pictures(pictures: Array, name: str, source: Path) -> None:
    if pictures.ndim not in (3, 4) or 0 in pictures.shape or pictures.dtype.kind not in "fiu":
        raise DataError(
            f"{source}: {name!r} must be numbers [n, height, width] or [n, channels, height,"
            f" width], not {pictures.dtype} {list(pictures.shape)}"
        )
    if pictures.dtype.kind == "f":
        # Row by row, so that no second array of that size is needed.
        for row, picture in enumerate(pictures):
            if not np.isfinite(picture).all():
                raise DataError(f"{source}: {name!r}, row {row}: contains NaN or infinite values")


@dataclass
class _Known:
    """What is known of the pictures: columns of n values, and where each is from."""

    columns: dict[str, StrArray]
    origin: dict[str, str]
    key: str | None = None
    """The column that names the recordings; None where row numbers have to do."""

    def add(self, table: Mapping[str, StrArray], rows: IntArray, origin: str) -> None:
        """Further columns out of a table; a name that is there already stays as it is."""
        for name, values in table.items():
            if name not in self.columns:
                self.columns[name], self.origin[name] = values[rows], origin


def _columns(source: Path, arrays: Mapping[str, Array], n: int, wanted: str | None) -> _Known:
    """Arrays of n values, joined by id, or row by row, with the table beside the file."""
    known = _Known(
        {name: _text(array) for name, array in arrays.items() if array.shape == (n,)}, {}
    )
    known.origin = dict.fromkeys(known.columns, f"of {source.name}")
    tables = {file: _table(file) for file in sorted(source.parent.glob("*.csv"))}
    if wanted is not None and wanted in arrays and wanted not in known.columns:
        shape = list(arrays[wanted].shape)
        raise DataError(f"{source}: {wanted!r} has the shape {shape}, and there are {n} pictures")
    keys = [wanted] if wanted in known.columns else list(known.columns)
    match = _match(keys, known.columns, tables)
    named = [name for name in (wanted, *ID_NAMES) if name in known.columns]
    if match is not None:
        key, file, column = match
        known.add(
            tables[file],
            _rows(file, column, tables[file][column], known.columns[key]),
            f"of {file.name}",
        )
        known.origin[key] += f", which is {column!r} of {file.name}"
        known.key = key
    elif named and tables:
        raise _mismatch(known.columns[named[0]], named[0], tables, source)
    else:
        for file, table in tables.items():
            known.add(table, _in_order(file, table, source, n), f"of {file.name}, row by row")
        known.key = next((name for name in ID_NAMES if name in known.columns), None)
    if wanted is not None:
        if wanted not in known.columns:
            found = _listed(known.columns)
            raise InvalidArgumentError(
                f"{source}: no array or column {wanted!r}; there are: {found}"
            )
        known.key = wanted
    return known


def _in_order(file: Path, table: Mapping[str, StrArray], source: Path, n: int) -> IntArray:
    """All rows of a table; there must be one a picture, as nothing says which is which."""
    length = len(next(iter(table.values())))
    if length != n:
        raise DataError(
            f"{file} has {length} rows and {source.name} {n} pictures, with no array of ids"
            " that says which is which"
        )
    return np.arange(n)


def _match(
    keys: Sequence[str],
    columns: Mapping[str, StrArray],
    tables: Mapping[Path, Mapping[str, StrArray]],
) -> tuple[str, Path, str] | None:
    """An array, a table and its column that holds all of the array's values; most ids first."""
    found = [
        (len(ids), key == column, key, file, column)
        for key in keys
        if (ids := set(columns[key])) and "" not in ids
        for file, table in tables.items()
        for column, values in table.items()
        # A column of labels holds the same labels, but says nothing of which row is which; an id
        # that comes twice is an error that is told of later.
        if ids <= set(values) and (key in ID_NAMES or len(set(values)) == len(values))
    ]
    best = max(found, key=lambda match: match[:2], default=None)
    return None if best is None else best[2:]


def _mismatch(
    values: StrArray, key: str, tables: Mapping[Path, Mapping[str, StrArray]], source: Path
) -> DataError:
    """The error that names an id which the nearest table lacks."""
    ids = set(values)
    shared, file, column = max(
        (len(ids & set(column)), file, name)
        for file, table in tables.items()
        for name, column in table.items()
    )
    if not shared:
        return DataError(
            f"{file}: no column has the ids of {key!r}, such as {format_value(values[0])}"
        )
    missing = sorted(ids - set(tables[file][column]))
    return DataError(
        f"{file}: column {column!r} lacks {len(missing)} of the {len(ids)} ids of {key!r} in"
        f" {source.name}, such as {format_value(missing[0])}"
    )


def _table(file: Path) -> dict[str, StrArray]:
    frame = read_table(file, (*ID_NAMES, *LABEL_NAMES, *GROUP_NAMES)).frame
    if not len(frame.columns):
        raise DataError(f"{file} has no columns")
    return {str(name).strip(): _text(frame[name].to_numpy()) for name in frame.columns}


def _rows(file: Path, column: str, values: StrArray, ids: StrArray) -> IntArray:
    index = pd.Index(values, dtype=object)
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise DataError(f"{file}: column {column!r} has {format_value(twice)} more than once")
    rows: IntArray = index.get_indexer(pd.Index(ids, dtype=object))
    return rows


def _choose(
    what: str,
    wanted: str | None,
    names: Sequence[str],
    columns: Mapping[str, StrArray],
    source: Path,
) -> str | None:
    if wanted is not None:
        if wanted not in columns:
            raise InvalidArgumentError(
                f"{source}: no column {wanted!r} for {what}; there are: {_listed(columns)}"
            )
        return wanted
    return next((name for name in names if name in columns), None)


def _listed(columns: Mapping[str, StrArray]) -> str:
    return ", ".join(columns) or "none"


def _text(values: Array) -> StrArray:
    """Values as text without surrounding blanks; "" where there is none."""
    return object_array(
        "" if v is None or v != v else str(v).strip() for v in np.asarray(values).tolist()
    )
