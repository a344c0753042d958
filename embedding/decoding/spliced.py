"""A file that is read as if some of its bytes were others, without copying it.

libsndfile believes headers. Where a header is wrong or missing and the rest of the file tells what
it should be, libsndfile gets the file with another header; where garbage lies between the frames of
an mp3, it gets the frames.
"""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, BinaryIO, TypeAlias

Piece: TypeAlias = bytes | range
"""Bytes, or where they are in the file."""


class SplicedFile(io.RawIOBase):
    """Pieces of a file and other bytes, one after the other, as one file to be read.

    Args:
        stream: the file; it is closed with this one.
        pieces: its content, in order.
    """

    def __init__(self, stream: BinaryIO, pieces: Sequence[Piece]) -> None:
        self._stream = stream
        self._pieces = list(pieces)
        self._ends = list(accumulate(len(piece) for piece in self._pieces))
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a place; see `io.IOBase.seek`."""
        end = self._ends[-1] if self._ends else 0
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, with less than its size only at the end."""
        target = memoryview(buffer).cast("B")
        filled, number = 0, bisect_right(self._ends, self._at)
        while filled < len(target) and number < len(self._pieces):
            piece = self._pieces[number]
            inside = self._at - (self._ends[number] - len(piece))
            part = piece[inside : inside + len(target) - filled]
            if isinstance(part, range):
                self._stream.seek(part.start)
                data = self._stream.read(len(part))
            else:
                data = part
            target[filled : filled + len(data)] = data
            filled += len(data)
            self._at += len(data)
            if len(data) < len(part):  # the file became shorter
                break
            number = bisect_right(self._ends, self._at)
        return filled

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()
