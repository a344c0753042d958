"""Inputs of an encoder made of one recording: in memory, or on disk if they are many.

Of an hour at 48 kHz, windows of samples take 700 MB. So the inputs of a long recording are written
to a file while it is decoded, and read in parts where they are embedded.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias
from uuid import uuid4

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import DiskFullError
from datasets.system.temporary import room_for, temporary_folder

MAX_BYTES_IN_MEMORY = 32 << 20
"""Inputs of a recording beyond this are written to a file, if there is a folder for it; and of
those in a file, about as much is read at a time."""


class InputsOnDisk:
    """Inputs of a long recording in a temporary file, read in parts.

    Args:
        path: the file, float32.
        shape: of all inputs, [n, *input_shape].
        offset: bytes before the first of them.

    Examples:
        >>> np.arange(6, dtype=np.float32).tofile(folder / "inputs")
        >>> inputs = InputsOnDisk(folder / "inputs", (3, 2))
        >>> [part.tolist() for part in inputs.parts(2)]
        [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0]]]
    """

    def __init__(self, path: Path, shape: tuple[int, ...], offset: int = 0) -> None:
        self.path = path
        self.shape = shape
        self.offset = offset

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes of all inputs."""
        return len(self.shape)

    @property
    def bytes_each(self) -> int:
        """Size of one input."""
        return 4 * math.prod(self.shape[1:])

    def parts(self, n: int) -> Iterator[Float32Array]:
        """Read the inputs in order, ``n`` at a time."""
        each = math.prod(self.shape[1:])
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            for first in range(0, len(self), n):
                count = min(n, len(self) - first)
                read = np.fromfile(stream, np.float32, count * each)
                yield read.reshape(count, *self.shape[1:])

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


AnyInputs: TypeAlias = Float32Array | InputsOnDisk
"""Inputs of one recording, [n, *input_shape]."""


class Inputs(NamedTuple):
    """What an encoder is given of one recording."""

    values: AnyInputs
    """float32 [n, *input_shape] of the front end."""

    rate: int
    """Sample rate of the file, Hz."""


@contextmanager
def folder_for_inputs() -> Iterator[Path | None]:
    """Provide a temporary folder for the inputs of long recordings; None where none can be made."""
    with ExitStack() as stack:
        folder = None
        with suppress(DiskFullError, OSError):  # then they stay in memory
            folder = stack.enter_context(temporary_folder())
        yield folder


class InputsCollector:
    """Collects the inputs of one recording as they are made.

    Args:
        folder: where to write them if they are many; None keeps them in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._parts: list[Float32Array] = []
        self._bytes = 0
        self._path: Path | None = None
        self._written = 0
        self._shape: tuple[int, ...] = ()

    def add(self, inputs: Float32Array) -> slice:
        """Take inputs [n, *input_shape]; return what `collected` is told to have them."""
        inputs = np.ascontiguousarray(inputs, dtype=np.float32)
        first = self._written + sum(map(len, self._parts))
        self._shape = inputs.shape[1:]
        self._parts.append(inputs)
        self._bytes += inputs.nbytes
        if self._folder is not None and self._bytes > MAX_BYTES_IN_MEMORY:
            try:
                self._write()
            except (DiskFullError, OSError):
                if self._written:
                    raise
                self.remove()
                self._folder = self._path = None  # a full disk costs memory instead
        return slice(first, first + len(inputs))

    def collected(self, wanted: list[slice]) -> AnyInputs:
        """Return inputs that were taken.

        Args:
            wanted: what `add` returned for them, consecutive; what was taken before is left out.
        """
        first = wanted[0].start
        if self._path is None:
            together = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
            return together[first:]
        self._write()
        bytes_before = first * 4 * math.prod(self._shape)
        return InputsOnDisk(self._path, (self._written - first, *self._shape), bytes_before)

    def remove(self) -> None:
        """Delete the file, if there is one."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Append what is in memory to the file."""
        if not self._parts:
            return
        assert self._folder is not None
        if self._path is None:
            self._path = self._folder / f"inputs-{uuid4().hex}"
        with room_for(self._folder, "the sound of a long recording"), self._path.open("ab") as file:
            for part in self._parts:
                file.write(part.data)
        self._written += sum(map(len, self._parts))
        self._parts, self._bytes = [], 0
