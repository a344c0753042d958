"""Read images of recordings with their labels from an .npz file, in place of audio files.

The file stands alone, or in a folder with CSV tables that describe its rows (docs/genre.md). The
arrays of images, ids, labels and artists are found by shape and name; the result says which.

Nothing is unpickled: `numpy.savez` pickles arrays of Python strings, and these are taken from the
pickle's opcodes without executing it.
"""

import lzma
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
from datasets.system.files import open_regular
from datasets.tables.read_write import read_table
from datasets.tables.spellings import one_spelling_each
from datasets.tables.values import format_value, object_array

_STRING_OPCODES = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")

_GET_OPCODES = ("BINGET", "LONG_BINGET", "GET")

_PUT_OPCODES = ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT")

_OTHER_OPCODES = ("FRAME", "MARK", "APPENDS", "APPEND")


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file, by name.

    Raises:
        DataError: if the file is not an .npz file, is damaged, or holds objects other than text.

    Examples:
        >>> np.savez(folder / "a.npz", genre=np.array(["jazz", "rock"], dtype=object))
        >>> read_npz(folder / "a.npz")["genre"].tolist()
        ['jazz', 'rock']
    """
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _read_npy(archive, name) for name in names}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except _NotTextError as error:
        raise DataError(f"{path}: {error}") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        LookupError,
        MemoryError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is not an .npz file that can be read: {reason}") from None


class _NotTextError(Exception):
    """An array of objects that are not all text."""


def _read_npy(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = header(stream)
        if kind.hasobject:
            return _text_of_pickle(stream, shape, name.removesuffix(".npy"))
    with archive.open(name) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _text_of_pickle(stream: IO[bytes], shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """Return the strings of a pickled one-dimensional array of objects."""
    found: list[Any] | None = None
    memory: list[Any] = []
    last: Any = None
    if len(shape) == 1:
        for code, value, _ in pickletools.genops(stream.read()):
            argument: Any = value
            if code.name in _PUT_OPCODES:
                # NumPy writes protocol 2 or later, which numbers memo entries in order.
                memory.append(last)
            elif code.name == "EMPTY_LIST":
                last, found = None, []
            elif code.name in _STRING_OPCODES:
                last = argument
                if found is not None:
                    found.append(argument)
            elif found is not None and code.name in _GET_OPCODES:
                found.append(memory[argument])
            elif found is not None and code.name not in _OTHER_OPCODES:
                break
            else:
                last = None
    if found is None or len(found) != shape[0] or not all(isinstance(v, str) for v in found):
        raise _NotTextError(
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
    """Images and what is known of each, as `read_image_arrays` returns them.

    Rows of equal id are windows of one recording.

    Examples:
        >>> np.savez(folder / "a.npz", images=images, genre=labels)
        >>> read_image_arrays(folder / "a.npz").images.shape
        (24, 1, 24, 24)
    """

    images: NDArray[Any]
    """[n, height, width] or [n, channels, height, width], dtype as stored."""

    ids: StrArray
    """Recording of each image, [n]."""

    labels: StrArray
    """Label of each image, [n]; "" if unknown."""

    groups: StrArray | None
    """Artist of each image, [n]; "" if unknown. None: no artists were found."""

    taken: Mapping[str, str]
    """Description of what was used as images, ids, labels and groups."""


def is_image_arrays(path: Path) -> bool:
    """Return whether `path` is an .npz file, or a folder with one and without data set tables.

    Examples:
        >>> is_image_arrays(folder)
        False
    """
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
    """Read images and their labels; names that are given override what would be found.

    Args:
        path: an .npz file, or a folder with exactly one.
        images: name of the array of images; None: the only array of 3 or 4 dimensions.
        ids: name of the array (or column) with the recording of each image.
        labels: column (or array) of labels; None: the one named like `tag` (for genres also
            `label` or `class`).
        groups: column (or array) of artists; None: `artist_group`, `artist` or similar.
        tag: what the labels are.

    Raises:
        DataError: if a file cannot be read, tables and images do not match, or an image has NaN.
        InvalidArgumentError: if a name is not there.

    Examples:
        >>> np.savez(folder / "a.npz", images=images, genre=labels)
        >>> read_image_arrays(folder / "a.npz").taken["labels"]
        "'genre' of a.npz"
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
    # Only genres have other usual names; another tag must be named exactly.
    names = LABEL_NAMES if tag == "genre" else (tag,)
    label = _choose_column("labels", labels, names, columns, source)
    if label is None:
        raise DataError(
            f"{source}: no column {tag!r}; name that of the labels with --labels, out of:"
            f" {_names(columns)}"
        )
    group = _choose_column("groups", groups, GROUP_NAMES, columns, source)
    taken["labels"] = f"{label!r} {origin[label]}"
    taken["groups"] = "none found" if group is None else f"{group!r} {origin[group]}"
    given = pd.Series(columns[label], dtype=object, name=label)
    (spelt,) = one_spelling_each([given], f"{source}, column {label!r}")
    return ImageArrays(pictures, values, spelt, None if group is None else columns[group], taken)


def _npz_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.npz"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected one .npz file, found {found}; name the file itself")
    return files[0]


def _images_name(arrays: Mapping[str, NDArray[Any]], wanted: str | None, source: Path) -> str:
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


def _check_pictures(pictures: NDArray[Any], name: str, source: Path) -> None:
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
class _Columns:
    """Columns of n values that describe the images, and where each is from."""

    columns: dict[str, StrArray]
    origin: dict[str, str]
    key: str | None = None
    """The column of recording ids; None: row numbers are used."""

    def add(self, table: Mapping[str, StrArray], rows: IntArray, origin: str) -> None:
        """Add columns of a table, by row; existing names are kept."""
        for name, values in table.items():
            if name not in self.columns:
                self.columns[name], self.origin[name] = values[rows], origin


def _columns(
    source: Path, arrays: Mapping[str, NDArray[Any]], n: int, wanted: str | None
) -> _Columns:
    """Collect arrays of n values, joined by id or by row with the tables beside the file."""
    known = _Columns(
        {name: _stripped_text(array) for name, array in arrays.items() if array.shape == (n,)}, {}
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
            found = _names(known.columns)
            raise InvalidArgumentError(
                f"{source}: no array or column {wanted!r}; there are: {found}"
            )
        known.key = wanted
    return known


def _in_order(file: Path, table: Mapping[str, StrArray], source: Path, n: int) -> IntArray:
    """Return all rows of a table, which must be as many as images."""
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
    """Find an array, and a table's column that has all of its values; most ids first."""
    found = [
        (len(ids), key == column, key, file, column)
        for key in keys
        if (ids := set(columns[key])) and "" not in ids
        for file, table in tables.items()
        for column, values in table.items()
        # A column of labels has the same labels but does not identify rows; a repeated id is an
        # error that is raised later.
        if ids <= set(values) and (key in ID_NAMES or len(set(values)) == len(values))
    ]
    best = max(found, key=lambda match: match[:2], default=None)
    return None if best is None else best[2:]


def _mismatch(
    values: StrArray, key: str, tables: Mapping[Path, Mapping[str, StrArray]], source: Path
) -> DataError:
    """Return the error that names an id missing from the best table."""
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
    return {str(name).strip(): _stripped_text(frame[name].to_numpy()) for name in frame.columns}


def _rows(file: Path, column: str, values: StrArray, ids: StrArray) -> IntArray:
    index = pd.Index(values, dtype=object)
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise DataError(f"{file}: column {column!r} has {format_value(twice)} more than once")
    rows: IntArray = index.get_indexer(pd.Index(ids, dtype=object))
    return rows


def _choose_column(
    what: str,
    wanted: str | None,
    names: Sequence[str],
    columns: Mapping[str, StrArray],
    source: Path,
) -> str | None:
    if wanted is not None:
        if wanted not in columns:
            raise InvalidArgumentError(
                f"{source}: no column {wanted!r} for {what}; there are: {_names(columns)}"
            )
        return wanted
    return next((name for name in names if name in columns), None)


def _names(columns: Mapping[str, StrArray]) -> str:
    return ", ".join(columns) or "none"


def _stripped_text(values: NDArray[Any]) -> StrArray:
    """Convert values to text without surrounding blanks; missing becomes an empty string."""
    return object_array(
        "" if v is None or v != v else str(v).strip() for v in np.asarray(values).tolist()
    )
