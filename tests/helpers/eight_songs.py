"""Eight recordings, low and high ones in turn, and six listeners: the smallest catalogue to fit."""

from pathlib import Path

import numpy as np
import pandas as pd

from datasets.arrays import Float32Array
from datasets.music import MusicDataset
from tests.helpers.recordings import write_song

EARS = {
    "architecture": "IC(2,5,8)PF(16)O",
    "epochs": 2,
    "batch_size": 8,
    "snippet": {"seconds": 1.0},
    "hyperimage": {"height": 32, "width": 32, "n_fft": 1024, "tempogram_frames": 32},
}
"""A network that is trained in a moment."""


def eight_songs(
    root: Path,
    genres: tuple[str, str] = ("low", "high"),
    *,
    titles: bool = False,
    suffix: str = ".wav",
    **columns: object,
) -> MusicDataset:
    """Write the recordings and return the catalogue; the last two songs have no listeners.

    Args:
        root: where to write them.
        genres: of the low songs and of the high ones.
        titles: whether songs have their ids as titles; otherwise none.
        suffix: format of the recordings.
        **columns: further columns of the items.
    """
    ids = [f"song-{n}" for n in range(8)]
    for number, name in enumerate(ids):
        write_song(root / f"{name}{suffix}", number)
    plays = [(f"user-{u}", ids[n], 1.0) for u in range(6) for n in range(6) if (n + u) % 2]
    items = {"item_id": ids, "title": ids if titles else "", "artist": ids, "album": ""}
    return MusicDataset(
        items=pd.DataFrame(items).assign(genre=[genres[n % 2] for n in range(8)], **columns),
        audio=pd.DataFrame({"item_id": ids, "path": [f"{name}{suffix}" for name in ids]}),
        interactions=pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]),
        root=root,
    )


def bands(windows: Float32Array) -> Float32Array:
    """Loudness of eight bands of frequency: [n, 8]."""
    spectrum = np.abs(np.fft.rfft(windows, axis=1))[:, 1:]
    parts = np.array_split(spectrum, 8, axis=1)
    return np.log1p(np.stack([part.sum(axis=1) for part in parts], axis=1))
