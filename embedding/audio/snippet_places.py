"""Where in a recording its snippets lie."""

import hashlib
from pathlib import Path

import numpy as np

from datasets.errors import AudioError
from embedding.audio.config import SnippetConfig

MAX_WINDOWS = 20_000
"""Most windows that a whole recording is cut into: more than a day of 5 s."""

SAMPLED_BYTES = 1 << 16
"""Bytes of the beginning, the middle and the end by which a recording is told from others."""

_SHARE = {"start": 0.0, "middle": 0.5, "end": 1.0}


def snippet_starts(
    frames: int, rate: int, snippet: SnippetConfig, recording: bytes = b""
) -> list[int]:
    """First frame of each snippet, ascending and each once.

    Args:
        frames: length of the recording in frames.
        rate: frames a second.
        snippet: length, place and number of snippets.
        recording: what tells this recording from others (:func:`fingerprint`); it decides random
            places.

    Returns:
        Frames from which on there is room for a snippet; 0 alone in a recording shorter than one.

    Raises:
        AudioError: the recording ends before the wanted time, or has too many windows.
    """
    length = round(snippet.seconds * rate)
    room = max(0, frames - length)
    if snippet.at is not None:
        start = round(snippet.at * rate)
        if start >= frames:
            raise AudioError(
                f"has {frames / rate:.3g} s of sound; a snippet cannot start at {snippet.at:g} s"
            )
        return [min(start, room)]
    if snippet.position == "whole":
        return _windows(room, round((snippet.hop or snippet.seconds) * rate))
    shares = (
        _generator(snippet.seed, recording).random(snippet.count)
        if snippet.position == "random"
        else _SHARE[snippet.position]
    )
    part = frames / snippet.count
    starts = np.floor(np.arange(snippet.count) * part + shares * (part - length))
    return [int(start) for start in np.unique(np.clip(starts, 0, room))]


def fingerprint(path: Path) -> bytes:
    """What tells a recording from others, whatever its file is called: 32 bytes.

    Made from the length and three places of the content, as reading all of a long file would take
    longer than decoding a snippet of it.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        for place in (0, (size - SAMPLED_BYTES) // 2, size - SAMPLED_BYTES):
            stream.seek(max(0, place))
            digest.update(stream.read(SAMPLED_BYTES))
    return digest.digest()


def _windows(room: int, hop: int) -> list[int]:
    number = 1 + -(-room // hop)
    if number > MAX_WINDOWS:
        raise AudioError(f"has {number:,} windows; at most {MAX_WINDOWS:,} can be used")
    return [min(window * hop, room) for window in range(number)]


def _generator(seed: int, recording: bytes) -> np.random.Generator:
    digest = hashlib.sha256(seed.to_bytes(8, "big") + recording).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
