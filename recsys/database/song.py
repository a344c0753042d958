"""A song with its recordings, and its conversion to and from rows of the song database."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.tables.values import is_unicode
from datasets.texts.unicode_forms import caseless
from recsys.database.schema import recordings as _recordings
from recsys.database.schema import songs as _songs

Scores = dict[str, dict[str, float]]
"""Predicted probabilities: {tag: {value: probability}}, as {"genre": {"jazz": 0.8, ...}}."""

_PLAIN = [
    column.name
    for column in _songs.columns
    if column.name not in ("embedding", "checksum", "familiarity")
]
_OF_RECORDING = [column.name for column in _recordings.columns if column.name != "item_id"]


@dataclass(frozen=True)
class SongRecording:
    """An audio file of a song, and the key of its hyper-images in their cache.

    Examples:
        >>> SongRecording("jazz.wav", "9f86d0", "a1", "b2", image_key="b2/9f86d0").path
        'jazz.wav'
    """

    path: str
    """Path or name of the file when it was embedded; undecodable bytes are escaped."""
    digest: str
    """Hex SHA-256 of the file's content."""
    snippet: str
    """Digest of the SnippetConfig."""
    hyperimage: str
    """Digest of the HyperImageConfig; of encoders that hear no images, of their front end."""
    image_key: str
    """Key of the hyper-images in their cache; "" where there are none."""
    sound: str = field(default="", compare=False)
    """Hex SHA-256 of its audio without tags; "" where it was not computed. The song database keeps
    it in a table of its own, and songs that are read from there are without."""


@dataclass(frozen=True)
class Song:
    """An item of the catalogue with all that the song database stores of it.

    Examples:
        >>> song = Song("s1", title="Blue", artist="Ana", genre="jazz", tags={"mood": "calm"})
        >>> Song.from_rows(song.to_row(), song.recording_rows()) == song
        True
    """

    item_id: str
    title: str = ""
    artist: str = ""
    album: str = ""
    genre: str = ""
    """The genre given with the data; predicted ones are in `scores`."""
    tags: dict[str, str] = field(default_factory=dict)
    """Further tags given with the data: {column: value}."""
    embedding: Float32Array | None = None
    """Embedding of its audio, float32 [e]; None without a recording."""
    scores: Scores | None = None
    """Predicted probabilities of tags; None without a recording."""
    onboarded: int | None = None
    """Position in order of arrival, from 1; None for songs of the fit."""
    recordings: tuple[SongRecording, ...] = ()
    """The audio files that the embedding was computed from."""
    familiarity: float | None = None
    """How much it sounds like what the model learned from, 0 to 1 (`recsys.content.familiarity`);
    None where that is not known."""

    def to_row(self) -> dict[str, Any]:
        """Convert to a row of the table `songs`; its checksum covers the recordings too.

        Raises:
            InvalidArgumentError: a text is not valid Unicode, which no database can store.
        """
        row: dict[str, Any] = {
            "item_id": self.item_id,
            "title": self.title,
            "artist": self.artist,
            "album": self.album,
            "genre": self.genre,
            "tags": json.dumps(self.tags, ensure_ascii=False, sort_keys=True),
            "embedding": (
                None if self.embedding is None else self.embedding.astype("<f4").tobytes()
            ),
            "score_vector": (
                None if self.scores is None else json.dumps(self.scores, ensure_ascii=False)
            ),
            "onboarded": self.onboarded,
        }
        for name, value in row.items():
            if isinstance(value, str) and not is_unicode(value):
                raise InvalidArgumentError(
                    f"{name} of item {self.item_id!r}: {value!r} is not valid Unicode text"
                )
        texts = (self.title, self.artist, self.album, self.item_id)
        row["search"] = search_key("\n".join(str(value) for value in texts))
        row["familiarity"] = self.familiarity
        return {**row, "checksum": _checksum(row, self.recording_rows())}

    def recording_rows(self) -> list[dict[str, Any]]:
        """Convert the recordings to rows of the table `recordings`."""
        return [
            {
                "item_id": self.item_id,
                **{name: getattr(one, name) for name in _OF_RECORDING if name != "number"},
                "number": number,
            }
            for number, one in enumerate(self.recordings)
        ]

    @classmethod
    def from_rows(cls, row: Mapping[str, Any], recordings: Sequence[Mapping[str, Any]]) -> "Song":
        """Build a song from its rows; the inverse of `to_row` and `recording_rows`.

        Raises:
            ArtifactError: the checksum does not match.
        """
        try:
            whole = _checksum(row, recordings) == row["checksum"]
        except TypeError:  # a value of a type that is never stored there
            whole = False
        if not whole:
            raise ArtifactError(f"the song database is damaged: row of item {row['item_id']!r}")
        vector, scores = row["embedding"], row["score_vector"]
        return cls(
            **{name: row[name] for name in ("item_id", "title", "artist", "album", "genre")},
            tags=json.loads(row["tags"]),
            embedding=None if vector is None else _embedding(vector),
            scores=None if scores is None else json.loads(scores),
            onboarded=row["onboarded"],
            recordings=tuple(
                SongRecording(**{name: one[name] for name in _OF_RECORDING if name != "number"})
                for one in recordings
            ),
            familiarity=row["familiarity"],
        )


def _embedding(stored: bytes) -> Float32Array:
    """The embedding that is stored in these bytes; NaN if they are no numbers."""
    if len(stored) % 4:
        return np.full(1, np.nan, np.float32)
    return np.frombuffer(stored, "<f4").astype(np.float32)


def search_key(text: str) -> str:
    """Normalise a text for search: without case, and with accents in one Unicode form."""
    return caseless(text)


def _checksum(row: Mapping[str, Any], recordings: Sequence[Mapping[str, Any]]) -> str:
    embedding = row["embedding"]
    content = [row[name] for name in _PLAIN]
    content += [[one[name] for name in _OF_RECORDING] for one in recordings]
    if row["familiarity"] is not None:  # rows of earlier versions have none
        content.append({"familiarity": row["familiarity"]})
    digest = hashlib.sha256(json.dumps(content).encode())
    digest.update(b"none" if embedding is None else b"some" + embedding)
    return digest.hexdigest()
