"""Writes small TensorFlow checkpoints, for tests of what reads them."""

import struct

import numpy as np

from embedding.encoders.musicnn.tensor_bundle import crc32c

TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 10}


def bundle(tensors: dict[str, np.ndarray], shards: int = 1) -> tuple[bytes, bytes]:
    """Index and data of a checkpoint."""
    data = b"".join(values.tobytes() for values in tensors.values())
    entries, offset = {b"": number(1, shards)}, 0
    for name, values in tensors.items():
        entries[name.encode()] = entry(values, offset)
        offset += values.nbytes
    return table(entries), data


def entry(values: np.ndarray, offset: int, **changes: int) -> bytes:
    """What the index says of a tensor."""
    shape = b"".join(text(2, number(1, size)) for size in values.shape)
    fields = {"dtype": TYPES[str(values.dtype)], "size": values.nbytes} | changes
    checksum = varint(6 << 3 | 5) + struct.pack("<I", masked(values.tobytes()))
    return (
        number(1, fields["dtype"])
        + text(2, shape)
        + number(4, offset)
        + number(5, fields["size"])
        + checksum
    )


def table(entries: dict[bytes, bytes], compression: int = 0) -> bytes:
    """A table of two blocks of entries, as LevelDB writes it."""
    items = sorted(entries.items())
    content, handles = b"", {}
    for part in (items[: len(items) // 2], items[len(items) // 2 :]):
        if part:
            place = len(content)
            block = packed(part)
            content += sealed(block, compression)
            handles[part[-1][0]] = varint(place) + varint(len(block))
    place = len(content)
    block = packed(sorted(handles.items()))
    content += sealed(block)
    footer = varint(0) + varint(0) + varint(place) + varint(len(block))
    return content + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def packed(items: list[tuple[bytes, bytes]]) -> bytes:
    """A block: each key as what it shares with the one before, and the rest."""
    content, before = b"", b""
    for key, value in items:
        pairs = zip(key, before, strict=False)
        shared = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(key), len(before)))
        rest = key[shared:]
        content += varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value
        before = key
    return content + struct.pack("<II", 0, 1)


def sealed(block: bytes, compression: int = 0) -> bytes:
    """A block with its trailer."""
    whole = block + bytes([compression])
    return whole + struct.pack("<I", masked(whole))


def masked(content: bytes) -> int:
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
