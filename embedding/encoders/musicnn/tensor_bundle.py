"""Reader of TensorFlow's checkpoints ("tensor bundles"), with NumPy alone.

A checkpoint is two files. ``.index`` is a table of LevelDB's format: blocks of sorted keys, each
written as what it shares with the key before it and the rest, and a last block that says where the
others are. Its values are protocol buffers with type, shape, place, size and checksum of a tensor;
``.data-00000-of-00001`` holds the tensors' bytes.
"""

import math
import struct
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TRAILER = 5
"""Bytes after a block: how it is compressed, and its checksum."""

_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 6: "i1", 9: "<i8", 10: "?"}
"""Types of tensors by their numbers in TensorFlow's types.proto."""

_LONGEST = 2**31
"""Bytes of a tensor beyond which it is taken for damage."""


def read_tensor_bundle(
    index: bytes, data: bytes, names: Collection[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Read the tensors of a checkpoint.

    Args:
        index: content of its ``.index``.
        data: content of its only file of data.
        names: the tensors to read; all by default.

    Returns:
        The tensors by name.

    Raises:
        DataError: the files are damaged, not a checkpoint, of a kind that is not read, or have no
            tensor of one of the names.

    Examples:
        >>> read_tensor_bundle(b"no checkpoint", b"")
        Traceback (most recent call last):
        datasets.errors.DataError: the index is not that of a TensorFlow checkpoint
    """
    try:
        found = dict(_table(index))
        header = _message(found.pop(b"", b""))
        if _number(header, 1, 1) != 1 or _number(header, 2, 0):
            raise DataError("the checkpoint has several files of data, or big-endian numbers")
        entries = {key.decode(): _entry(value) for key, value in found.items()}
    except (IndexError, ValueError, TypeError, struct.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError("the index of the checkpoint is damaged") from error
    wanted = sorted(entries) if names is None else list(names)
    missing = [name for name in wanted if name not in entries]
    if missing:
        raise DataError(f"the checkpoint has no tensor {missing[0]!r}")
    return {name: _tensor(name, entries[name], data) for name in wanted}


def crc32c(content: bytes) -> int:
    """Compute the checksum CRC-32C (Castagnoli) of bytes.

    The parts of the content are gone through together, a byte of each at a time, and their
    checksums joined afterwards: 3 MB take 30 ms.

    Examples:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    length = max(1, math.isqrt(len(content)))
    n = len(content) // length
    table = _crc_table()
    parts = np.frombuffer(content, np.uint8, n * length).reshape(n, length).T
    crcs = np.zeros(n, np.uint32)
    for column in np.ascontiguousarray(parts):
        crcs = table[(crcs ^ column) & 0xFF] ^ (crcs >> np.uint32(8))
    # A checksum without initial value is linear: it passes over the zeros that stand for the
    # parts that follow, and is then added to theirs.
    shift = _over_zeros(length)
    crc = np.uint32(0xFFFFFFFF)
    for part in crcs:
        crc = _apply(shift, crc) ^ part
    for byte in content[n * length :]:
        crc = table[(int(crc) ^ byte) & 0xFF] ^ (crc >> np.uint32(8))
    return int(crc) ^ 0xFFFFFFFF


class _Entry(NamedTuple):
    """What the index says of a tensor."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    has_slices: bool


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a table."""
    if len(content) < _FOOTER or struct.unpack("<Q", content[-8:])[0] != _MAGIC:
        raise DataError("the index is not that of a TensorFlow checkpoint")
    footer = content[-_FOOTER:]
    place = 0
    for _ in range(2):  # where the block of meta data is, which nothing needs
        _, place = _varint(footer, place)
    offset, place = _varint(footer, place)
    size, _ = _varint(footer, place)
    for _, handle in _block(content, offset, size):
        start, place = _varint(handle, 0)
        length, _ = _varint(handle, place)
        yield from _block(content, start, length)


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    end = offset + size
    if end + _TRAILER > len(content) or size < 4:
        raise DataError("the index of the checkpoint is cut short")
    if content[end]:
        raise DataError("the index of the checkpoint is compressed, which is not read")
    (masked,) = struct.unpack_from("<I", content, end + 1)
    if _unmasked(masked) != crc32c(content[offset : end + 1]):
        raise DataError("the index of the checkpoint is damaged: a checksum does not fit")
    (n_restarts,) = struct.unpack_from("<I", content, end - 4)
    last = end - 4 * (n_restarts + 1)
    place, key = offset, b""
    while place < last:
        shared, place = _varint(content, place)
        own, place = _varint(content, place)
        length, place = _varint(content, place)
        key = key[:shared] + content[place : place + own]
        place += own
        yield key, content[place : place + length]
        place += length


def _entry(value: bytes) -> _Entry:
    message = _message(value)
    shape = [
        _number(_message(dimension), 1, 0)
        for dimensions in message.get(2, [])
        for dimension in _message(dimensions).get(2, [])
    ]
    return _Entry(
        dtype=_number(message, 1, 0),
        shape=tuple(shape),
        shard=_number(message, 3, 0),
        offset=_number(message, 4, 0),
        size=_number(message, 5, 0),
        crc=_number(message, 6, 0),
        has_slices=7 in message,
    )


def _tensor(name: str, entry: _Entry, data: bytes) -> NDArray[Any]:
    if entry.dtype not in _TYPES or entry.shard or entry.has_slices:
        raise DataError(f"the checkpoint's tensor {name!r} is of a kind that is not read")
    dtype = np.dtype(_TYPES[entry.dtype])
    size = math.prod(entry.shape) * dtype.itemsize
    if size != entry.size or size > _LONGEST:
        raise DataError(f"the checkpoint's tensor {name!r} has {entry.size:,} bytes, not {size:,}")
    part = data[entry.offset : entry.offset + size]
    if len(part) != size:
        raise DataError(f"the checkpoint's data are cut short: tensor {name!r} is missing")
    if _unmasked(entry.crc) != crc32c(part):
        raise DataError(f"the checkpoint's tensor {name!r} is damaged: its checksum does not fit")
    return np.frombuffer(part, dtype).reshape(entry.shape).copy()


def _message(content: bytes) -> dict[int, list[Any]]:
    """The fields of a protocol buffer by number: numbers, or bytes."""
    fields: dict[int, list[Any]] = {}
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, place = _varint(content, place)
        elif kind == 2:
            length, place = _varint(content, place)
            value = content[place : place + length]
            if len(value) != length:
                raise ValueError("a field is cut short")
            place += length
        elif kind in (1, 5):
            form, length = ("<Q", 8) if kind == 1 else ("<I", 4)
            (value,) = struct.unpack_from(form, content, place)
            place += length
        else:
            raise ValueError("a field of an unknown kind")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _number(message: Mapping[int, list[Any]], field: int, default: int) -> int:
    value = message.get(field, [default])[-1]
    if not isinstance(value, int):
        raise ValueError("a field that should be a number")
    return value


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """The number of seven bits a byte at a place, and the place after it."""
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, place
        if shift > 63:
            raise ValueError("a number that is too long")


def _unmasked(crc: int) -> int:
    """The checksum, which is written rotated and with a constant added."""
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


@cache
def _crc_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & 1, np.uint32(0x82F63B78), np.uint32(0))
    return table


def _over_zeros(n_bytes: int) -> NDArray[np.uint32]:
    """What each bit of a checksum becomes over that many zero bytes, [32]."""
    result = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power = _crc_table()[result & 0xFF] ^ (result >> np.uint32(8))
    while n_bytes:
        if n_bytes & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        n_bytes >>= 1
    return result


def _apply(matrix: NDArray[np.uint32], crcs: Any) -> Any:
    bits = (np.asarray(crcs)[..., None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    return np.bitwise_xor.reduce(np.where(bits, matrix, np.uint32(0)), axis=-1)
