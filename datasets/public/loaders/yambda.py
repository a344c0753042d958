"""Yambda: listens of users of Yandex.Music, with embeddings of the audio.

Parquet files, as in the data card: `flat/SIZE/listens.parquet` (uid, item_id, timestamp,
is_organic, played_ratio_pct, track_length_seconds; one row for each start of a track),
`embeddings.parquet` (item_id, embed, normalized_embed: embeddings from a convolutional network over
the spectrogram, for 7.7 of 9.4 million tracks), `artist_item_mapping.parquet` (artist_id, item_id)
and `album_item_mapping.parquet` (album_id, item_id). The embeddings are one file of 13.8 GB for all
sizes.

An item is a track. A listen counts if at least half of the track was played, as in the authors'
benchmark; all listens of a user and a track are one interaction, with their number as `weight` and
the time of the first as `timestamp`. Timestamps are seconds, rounded to 5, from an unpublished
start: they become times from 1970-01-01, and only differences are meaningful. Organic and
recommended listens (`is_organic`) both count.

Tracks have no names. `artist` is `artist NUMBER`, the lowest of several, so that splits can keep an
artist together; `album` likewise. There is no genre. `embeddings.parquet` of the converted folder
holds the normalized embeddings of the tracks with listens: `fit(music,
embeddings=read_embeddings(music.root))` needs no recordings.

Columns are those of the data card. Checksums of these files were not found, and the files
themselves could not be tried.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray
from datasets.errors import DataError
from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import (
    MissingInputError,
    conversion_progress,
    find_input,
    note_missing,
    report_skipped,
    text_frame,
    write_items,
)
from datasets.public.parquet import embedding_writer, interaction_writer
from datasets.public.play_counts import PlayCounts

_CITATION: Final = (
    "A. Ploshkin et al.: Yambda-5B: a large-scale multi-modal dataset for ranking and"
    " retrieval. arXiv:2505.22238, 2025."
)
_LICENCE: Final = "Apache 2.0"
_HOMEPAGE: Final = "https://huggingface.co/datasets/yandex/yambda"

_PLAYED: Final = 50
"""Percent of a track that must have been played for a listen to count."""

_ROWS: Final = 1 << 18
_EMBEDDING_ROWS: Final = 1 << 13
_SITE: Final = "https://huggingface.co/datasets/yandex/yambda/resolve/main"


def _convert(source: Path, target: Path) -> None:
    """Write tracks, their embeddings and listens, from the four files."""
    path = find_input(source, "listens.parquet")
    sums, too_short, no_ratio = PlayCounts(), 0, 0
    for users, items, times, ratios in _columns(
        path, ("uid", "item_id", "timestamp", "played_ratio_pct")
    ):
        unknown = np.isnan(ratios.astype(np.float64))
        heard = ~unknown & (ratios >= _PLAYED)
        no_ratio += int(unknown.sum())
        too_short += int((~heard & ~unknown).sum())
        sums.add_block(users[heard], items[heard], np.ones(int(heard.sum())), times[heard])
    tracks = sums.items()
    if not len(tracks):
        raise DataError(f"{path}: no listen of half a track or more")
    left_out = [(path.name, f"{too_short:,} listens of less than half the track")]
    if no_ratio:
        left_out.append((path.name, f"{no_ratio:,} listens without played_ratio_pct"))
    without = 0
    try:
        without = len(tracks) - _write_embeddings(source / "embeddings.parquet", target, tracks)
    except MissingInputError as error:
        note_missing(error, "there are no embeddings")
    if without:
        left_out.append(("embeddings.parquet", f"{without:,} tracks have no embedding"))
    report_skipped(target, left_out)
    artists = _first_of(source / "artist_item_mapping.parquet", "artist_id", tracks)
    albums = _first_of(source / "album_item_mapping.parquet", "album_id", tracks)
    rows = [
        (
            str(track),
            "" if artist < 0 else f"artist {artist}",
            "" if album < 0 else f"album {album}",
        )
        for track, artist, album in zip(
            tracks.tolist(), artists.tolist(), albums.tolist(), strict=True
        )
    ]
    write_items(target, text_frame(rows, ("item_id", "artist", "album")))
    with interaction_writer(target, times=True) as add:
        sums.write(add, str, str, times=True)


def _columns(path: Path, names: tuple[str, ...]) -> Iterator[list[NDArray[Any]]]:
    """Yield these columns, [n] each, block by block; null is NaN."""
    for batch in _batches(path, names, _ROWS):
        yield [batch.column(name).to_numpy(zero_copy_only=False) for name in names]


def _batches(path: Path, names: tuple[str, ...], rows: int) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise MissingInputError(f"{path.parent} has no {path.name}")
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in names if name not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{path}: no column {', '.join(missing)}")
            with conversion_progress(path.name, file.metadata.num_rows) as advance:
                for batch in file.iter_batches(rows, columns=list(names), use_threads=False):
                    yield batch
                    advance(batch.num_rows)
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is not a Parquet file that can be read: {reason}") from None


def _first_of(path: Path, name: str, tracks: IntArray) -> IntArray:
    """Return the lowest number of each track in a mapping, -1 if it has none."""
    found = np.full(len(tracks), np.iinfo(np.int64).max)
    try:
        for numbers, items in _columns(path, (name, "item_id")):
            place = np.searchsorted(tracks, items)
            place[place == len(tracks)] = 0
            known = tracks[place] == items
            np.minimum.at(found, place[known], numbers[known].astype(np.int64))
    except MissingInputError as error:
        note_missing(error, f"tracks have no {name.removesuffix('_id')}")
    found[found == np.iinfo(np.int64).max] = -1
    return found


def _write_embeddings(path: Path, target: Path, tracks: IntArray) -> int:
    """Write the embeddings of these tracks; return how many there are."""
    blocks = _embeddings(path, tracks)
    first = next(blocks, None)
    if first is None:
        raise DataError(f"{path}: no embedding of any track that was listened to")
    count, width = 0, first[1].shape[1]
    with embedding_writer(target, width) as add:
        while first is not None:
            for track, embedding in zip(first[0].tolist(), first[1], strict=True):
                if len(embedding) != width:
                    raise DataError(f"{path}: track {track} has {len(embedding)} numbers")
                add(str(track), embedding)
            count += len(first[0])
            first = next(blocks, None)
    return count


def _embeddings(path: Path, tracks: IntArray) -> Iterator[tuple[IntArray, Float32Array]]:
    """Yield (tracks [n], embeddings [n, d]) of the wanted tracks in non-empty blocks."""
    for batch in _batches(path, ("item_id", "normalized_embed"), _EMBEDDING_ROWS):
        items = batch.column("item_id").to_numpy(zero_copy_only=False).astype(np.int64)
        lists = batch.column("normalized_embed")
        wanted = np.isin(items, tracks) & lists.is_valid().to_numpy(zero_copy_only=False)
        if wanted.any():
            taken = lists.take(np.flatnonzero(wanted))
            widths = set(taken.value_lengths().to_pylist())
            if len(widths) != 1:
                raise DataError(f"{path}: embeddings of {sorted(widths)} numbers")
            numbers = taken.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
            yield items[wanted], numbers.reshape(int(wanted.sum()), -1)


def _dataset(size: str, users: str, listens: str) -> PublicDataset:
    return PublicDataset(
        name=f"yambda-{size}",
        title=f"Yambda-5B ({size})",
        description=f"{listens} listens with times of {users} users, and embeddings of the sound.",
        citation=_CITATION,
        licence=_LICENCE,
        homepage=_HOMEPAGE,
        files=(
            RemoteFile("listens.parquet", f"{_SITE}/flat/{size}/listens.parquet", "", None),
            *(
                RemoteFile(f"{name}.parquet", f"{_SITE}/{name}.parquet", "", None)
                for name in ("embeddings", "artist_item_mapping", "album_item_mapping")
            ),
        ),
        convert=_convert,
    )


YAMBDA_50M: Final = _dataset("50m", "10,000", "46 million")
YAMBDA_500M: Final = _dataset("500m", "100,000", "466 million")
