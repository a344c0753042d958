"""The catalogue of a running recommender: the fitted items and those onboarded since.

Here external ids meet row numbers, which never leave the library. Rows count through: the fitted
items first, then the onboarded ones in order of arrival. An item onboarded again gets a new row
and its old one is retired.
"""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from datasets.columns import ITEM_ID, ITEM_TEXT
from datasets.errors import InvalidArgumentError, UnknownItemError
from datasets.values import is_unicode
from recsys.catalog import Catalog
from recsys.fusion import fuse_items
from recsys.hearing import Hearing
from recsys.retrieval import AnnoyIndex, Rows, Searcher, make_index, uses_annoy
from recsys.song_rows import Recording, Scores, Song
from recsys.sources.base import Floats, ItemContent
from recsys.state import FittedState

if TYPE_CHECKING:
    from embedding.recording_source import Source

_NO_SOUND = "this model knows no sound: it was fitted without recordings or embeddings"


class Library:
    """What can be recommended, and where it stands."""

    def __init__(
        self, state: FittedState, catalog: Catalog, index_file: Path | None = None
    ) -> None:
        """index_file: a saved Annoy index; without one it is built where it is needed."""
        self.state = state
        self.catalog = catalog
        self.generation: str | None = None
        """The generation of the model folder that this is, once it has been saved or loaded."""
        self.kept: dict[str, Any] = {}
        """What others derive from these items and keep as long as them."""
        self.index_file = index_file
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if index_file is None and uses_annoy(len(state.items), state.config.retrieval):
            self._folder = tempfile.TemporaryDirectory(prefix="coldtune-")
            self.index_file = Path(self._folder.name) / "index.annoy"
            AnnoyIndex.build(
                state.item_vectors, self.index_file, state.config.retrieval, state.config.seed
            )
        index = make_index(
            state.item_vectors, state.config.retrieval, state.config.n_threads, self.index_file
        )
        self.searcher = Searcher(index, state.item_vectors)
        self._late: list[Song] = []
        self._late_row: dict[str, int] = {}
        self._retired: list[int] = []
        self._hearing = None if state.encoder is None else Hearing(state.encoder)
        songs = catalog.onboarded()
        self._take(songs, self._fuse(songs))

    # ------------------------------------------------------------------ ids and rows

    def row(self, item_id: str) -> int:
        """The row of an item. Raises UnknownItemError."""
        return int(self.rows([item_id])[0])

    def rows(self, item_ids: Iterable[str]) -> Rows:
        """Rows of items, in their order. Raises UnknownItemError naming the first unknown one."""
        ids = list(item_ids)
        fitted = self.state.item_ids.get_indexer(pd.Index(ids, dtype=object))
        rows = [self._late_row.get(name, row) for name, row in zip(ids, fitted, strict=True)]
        for name, row in zip(ids, rows, strict=True):
            if row < 0:
                raise UnknownItemError(f"no item {name!r} in the catalogue")
        return np.array(rows, np.intp)

    def user_row(self, user_id: object) -> int | None:
        """The row of a user of the training data, None for anybody else."""
        row = self.state.user_ids.get_indexer(pd.Index([user_id], dtype=object))[0]
        return int(row) if row >= 0 else None

    def seen(self, user_row: int) -> Rows:
        """Rows of the items that a user has played."""
        start, stop = self.state.plays.indptr[user_row : user_row + 2]
        return np.asarray(self.state.plays.indices[start:stop], np.intp)

    def ids(self, rows: Rows) -> NDArray[np.object_]:
        """Item ids of rows."""
        return self.texts(ITEM_ID, rows)

    def describe(self, rows: Rows) -> pd.DataFrame:
        """item_id, title, artist, album and genre of rows."""
        return pd.DataFrame({name: self.texts(name, rows) for name in (ITEM_ID, *ITEM_TEXT)})

    def texts(self, name: str, rows: Rows) -> NDArray[np.object_]:
        """A column of the items, tags included, for rows: ``""`` where it is unknown.

        Raises InvalidArgumentError for a column that no item of the fit has.
        """
        if name not in self.state.items.columns:
            choices = ", ".join(map(str, self.state.items.columns))
            raise InvalidArgumentError(f"items have no column {name!r}; there are: {choices}")
        n = len(self.state.items)
        late = rows >= n
        fitted = self.state.items[name].iloc[np.where(late, 0, rows)]  # only these are read
        texts: NDArray[np.object_] = fitted.to_numpy(dtype=object, copy=True)
        if late.any():
            own = name in (ITEM_ID, *ITEM_TEXT)
            arrived = np.array(
                [getattr(one, name) if own else one.tags.get(name, "") for one in self._late],
                object,
            )
            texts[late] = arrived[rows[late] - n]
        return texts

    def is_cold(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether nobody had played the items of these rows at the fit."""
        n = len(self.state.items)
        return (rows >= n) | (self.state.listeners[np.where(rows < n, rows, 0)] == 0)

    @property
    def retired(self) -> Rows:
        """Rows that were replaced and must not be found any more."""
        return np.array(self._retired, np.intp)

    @property
    def n_onboarded(self) -> int:
        """Items onboarded since the fit."""
        return len(self._late_row)

    def embeddings(self, rows: Rows) -> tuple[Floats, NDArray[np.bool_]]:
        """Embeddings [len(rows), e], and which of them are there."""
        n = len(self.state.items)
        fitted = np.where(rows < n, rows, 0)
        vectors, known = self.state.embeddings[fitted], self.state.has_embedding[fitted]
        vectors, known = np.array(vectors), np.array(known)
        for position in np.flatnonzero(rows >= n):
            embedding = self._late[rows[position] - n].embedding
            known[position] = embedding is not None
            vectors[position] = 0 if embedding is None else embedding
        return vectors, known

    # ------------------------------------------------------------------ new items

    def hear(self, source: "Source") -> tuple[Floats, Scores, tuple[Recording, ...]]:
        """Embedding and tag probabilities of a recording, and how the song database names it.

        source: a path, the recording's bytes, or a binary file object such as an upload.

        Raises AudioError for one that cannot be used, InvalidArgumentError when the model has no
        network to hear with.
        """
        return self.hearing.hear(source)

    @property
    def hearing(self) -> Hearing:
        """The network and its decoding process; the process is there from the first recording on.

        Raises InvalidArgumentError when the model has no network to hear with.
        """
        if self._hearing is None:
            raise InvalidArgumentError(
                "this model was fitted without recordings of its own: onboard with embedding="
                if self.state.has_embedding.any()
                else _NO_SOUND
            )
        return self._hearing

    def check_embedding(self, embedding: ArrayLike | None, item_id: str) -> Floats:
        """An embedding as float32 [e]. Raises InvalidArgumentError where it does not fit."""
        try:
            with np.errstate(over="ignore"):
                vector = np.asarray(embedding, np.float32)
        except (TypeError, ValueError):
            raise InvalidArgumentError(f"embedding of item {item_id!r}: is not numeric") from None
        width = self.state.embeddings.shape[1]
        if not width:
            raise InvalidArgumentError(_NO_SOUND)
        if vector.shape != (width,):
            raise InvalidArgumentError(
                f"embedding of item {item_id!r}: has shape {vector.shape}, "
                f"the model's have ({width},)"
            )
        if not np.isfinite(vector).all():
            raise InvalidArgumentError(
                f"embedding of item {item_id!r}: has a value that is not a finite number"
            )
        return vector

    def check_new(self, songs: Sequence[Song]) -> None:
        """Raises InvalidArgumentError for an item that cannot be onboarded."""
        seen: set[str] = set()
        for song in songs:
            if not isinstance(song.item_id, str) or not song.item_id.strip():
                raise InvalidArgumentError(f"item_id must be a text, not {song.item_id!r}")
            if song.item_id in seen:
                raise InvalidArgumentError(f"item {song.item_id!r} is given twice")
            seen.add(song.item_id)
            columns = {name: getattr(song, name) for name in (ITEM_ID, *ITEM_TEXT)}
            for name, value in (*columns.items(), *song.tags.items()):
                if not isinstance(name, str) or not isinstance(value, str):
                    raise InvalidArgumentError(
                        f"{name} of item {song.item_id!r} must be a text, not {value!r}"
                    )
                if not is_unicode(name + value) or "\0" in name + value:
                    raise InvalidArgumentError(
                        f"{name!r} of item {song.item_id!r}: {value!r} is not valid Unicode text "
                        "or holds a NUL character"
                    )
            if taken := sorted(columns.keys() & song.tags.keys()):
                raise InvalidArgumentError(
                    f"tags of item {song.item_id!r}: {taken[0]!r} is an argument of its own"
                )
        ids = [song.item_id for song in songs]
        fitted = self.state.item_ids.get_indexer(pd.Index(ids, dtype=object))
        played = fitted[(fitted >= 0) & (self.state.listeners[fitted] > 0)]
        if len(played):
            raise InvalidArgumentError(
                f"item {self.state.item_ids[played[0]]!r} has listeners already; "
                "fit again to change what the model knows of it"
            )

    def add(self, songs: Sequence[Song]) -> None:
        """Store songs durably, then make them findable. All of them, or none."""
        if not songs:
            return
        # First what can fail: a song that no load could take in again must not be stored.
        vectors = self._fuse(songs)
        self.catalog.put(songs)
        self._take(songs, vectors)

    def _fuse(self, songs: Sequence[Song]) -> Floats:
        content = self._content(songs)
        vectors = {
            name: source.item_vectors(content) for name, source in self.state.sources.items()
        }
        return fuse_items(self.state.blocks, vectors, np.ones(len(songs), bool))

    def _take(self, songs: Sequence[Song], vectors: Floats) -> None:
        fitted = self.state.item_ids.get_indexer(
            pd.Index([song.item_id for song in songs], dtype=object)
        )
        first = len(self.searcher)
        self._late.extend(songs)  # before other threads can find their rows
        self.searcher.append(vectors)
        for number, (song, row) in enumerate(zip(songs, fitted, strict=True), start=first):
            old = self._late_row.get(song.item_id, row)
            if old >= 0:
                self._retired.append(int(old))
            self._late_row[song.item_id] = number

    def _content(self, songs: Sequence[Song]) -> ItemContent:
        embeddings = np.zeros((len(songs), self.state.embeddings.shape[1]), np.float32)
        known = np.array([song.embedding is not None for song in songs], bool)
        for row, song in enumerate(songs):
            if song.embedding is not None:
                embeddings[row] = song.embedding
        texts = [
            {**{name: getattr(song, name) for name in ITEM_TEXT}, **song.tags} for song in songs
        ]
        frame = pd.DataFrame(texts).fillna("")
        return ItemContent(embeddings, known, self.state.vocabulary.encode(frame))
