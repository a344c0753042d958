"""Arrays out of an .npz file, without ever unpickling: text saved as objects is still read.

``numpy.savez`` pickles an array of Python strings. Its stream holds the strings one after another,
so they are taken from there, and nothing in the file is executed.
"""

import pickletools
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError
from datasets.tables.values import objects

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
    return objects(found)
