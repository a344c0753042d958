"""The catalogue of a running recommender: the fitted items and those onboarded since.

Here external ids meet row numbers, which never leave the library. Rows count through: the fitted
items first, then the onboarded ones in order of arrival. An item onboarded again, or played since
the fit, gets a new row and its old one is retired.

A library never changes: what changes the catalogue returns another one that shares all that is
the same. So an answer that was begun goes on with the state it began with.
"""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError
from recsys.audio import RecordingEmbedder
from recsys.content.shrinkage import has_content
from recsys.data import PLAY_BOUNDS
from recsys.database.catalog import Catalog
from recsys.database.changes import Play
from recsys.database.song import Scores, Song, SongRecording
from recsys.fusion import fuse_items
from recsys.index.build import build_index, needs_index_files, open_index
from recsys.index.growing import GrowingIndex
from recsys.model.items import NO_SOUND, check_texts, checked_embedding, content_of
from recsys.model.state import FittedState
from recsys.model.updates import Since, Updated
from recsys.model.users import Listeners

if TYPE_CHECKING:
    from embedding.audio.source import Source


class Library(Listeners):
    """What can be recommended, and where it stands."""

    def __init__(
        self, state: FittedState, catalog: Catalog, index_file: Path | None = None
    ) -> None:
        """index_file: a saved index's sidecar; without one it is built where it is needed."""
        self.catalog = catalog
        self.generation: str | None = None
        """The generation of the model folder that this is, once it has been saved or loaded."""
        self.index_file = index_file
        self.index_info: dict[str, Any]
        """The method of search, its settings, and the recall that was measured with them."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if index_file is None and needs_index_files(len(state.items), state.config.retrieval):
            self._folder = tempfile.TemporaryDirectory(prefix="coldtune-")
            self.index_file = build_index(
                state.item_vectors,
                state.user_vectors,
                Path(self._folder.name),
                state.config.retrieval,
                state.config.seed,
            )
        index, self.index_info = open_index(
            state.item_vectors, self.index_file, state.config.n_threads
        )
        self._hearing = None if state.encoder is None else RecordingEmbedder(state.encoder)
        super().__init__(state, GrowingIndex(index, state.item_vectors))
        self._open()

    def _open(self) -> None:
        """Take in everything that happened since the fit."""
        self._clear()
        changes = self.catalog.changes()
        self._take(changes.songs, self._fuse(changes.songs))
        for item_id in changes.removed:
            self._retire(item_id, -1)
        self._since = Since().plus(changes.plays)
        self._place(self._since.by_item)
        self.revision = changes.revision

    def reopened(self) -> "Library":
        """The library with what other processes have done to it; itself where that is nothing."""
        if self.catalog.revision() == self.revision:
            return self
        other = self._fork()
        other._open()
        return other

    # ------------------------------------------------------------------ new items

    def hear(self, source: "Source") -> tuple[Float32Array, Scores, tuple[SongRecording, ...]]:
        """Embedding and tag probabilities of a recording, and how the song database names it.

        source: a path, the recording's bytes, or a binary file object such as an upload.

        Raises AudioError for one that cannot be used, InvalidArgumentError when the model has no
        network to hear with.
        """
        return self.hearing.embed(source)

    @property
    def hearing(self) -> RecordingEmbedder:
        """The network and its decoding process; the process is there from the first recording on.

        Raises InvalidArgumentError when the model has no network to hear with.
        """
        if self._hearing is None:
            raise InvalidArgumentError(
                "this model was fitted without recordings of its own: onboard with embedding="
                if self.state.has_embedding.any()
                else NO_SOUND
            )
        return self._hearing

    def check_embedding(self, embedding: ArrayLike | None, item_id: str) -> Float32Array:
        """An embedding as float32 [e]. Raises InvalidArgumentError where it does not fit."""
        return checked_embedding(self.state, embedding, item_id)

    def check_new(self, songs: Sequence[Song]) -> None:
        """Raises InvalidArgumentError for an item that cannot be onboarded."""
        check_texts(songs)
        there = [song.item_id for song in songs if self._row(song.item_id) >= 0]
        played = np.flatnonzero(~self.is_cold(self.rows(there)))
        if len(played):
            raise InvalidArgumentError(
                f"item {there[played[0]]!r} has listeners already; "
                "fit again to change what the model knows of it"
            )

    # ------------------------------------------------------------------ changes

    def add(self, songs: Sequence[Song]) -> "Library":
        """Store songs durably; the library with them. All of them, or none."""
        if not songs:
            return self
        # First what can fail: a song that no load could take in again must not be stored.
        vectors = self._fuse(songs)
        self.catalog.put(songs)
        other = self._fork()
        other._take(songs, vectors)
        return other._stored()

    def update(self, plays: Sequence[Play]) -> tuple["Library", Updated]:
        """Store plays durably; the library with them, and what has changed. All, or none.

        Raises UnknownItemError naming the first item that is not in the catalogue.
        """
        items = list(dict.fromkeys(play.item_id for play in plays))
        cold = self.is_cold(self.rows(items))
        if not plays:
            return self, Updated(0, 0, 0, 0, 0)
        users = list(dict.fromkeys(play.user_id for play in plays))
        unknown = int((self.user_rows(users) < 0).sum())
        other = self._fork()
        other._since = self._since.plus(plays)
        # What a newcomer plays now changes what they say of everything they have played.
        touched = set(items)
        for user in self._newcomers(users):
            touched.update(other._since.by_user[user])
        other._place(touched)
        self.catalog.add_plays(plays)
        counts = Updated(len(plays), len(users), unknown, len(items), int(cold.sum()))
        return other._stored(), counts

    def remove(self, item_id: str) -> "Library":
        """Take an item out durably; the library without it. Raises UnknownItemError."""
        self.row(item_id)
        other = self._fork()
        other._since = self._since.without(item_id)
        other._retire(item_id, -1)
        touched: set[str] = set()
        for user in self._newcomers(self._since.by_item.get(item_id, ())):
            touched.update(other._since.by_user.get(user, ()))
        other._place(touched)
        self.catalog.remove(item_id)
        return other._stored()

    def _stored(self) -> "Library":
        """This library, which knows everything up to the change that was just stored."""
        self.revision = (self.revision[0], self.revision[1] + 1)
        return self

    def _fuse(self, songs: Sequence[Song]) -> Float32Array:
        content = content_of(self.state, songs)
        vectors = {
            name: source.item_vectors(content) for name, source in self.state.sources.items()
        }
        return fuse_items(self.state.blocks, vectors, np.ones(len(songs), bool))

    def _take(self, songs: Sequence[Song], vectors: Float32Array) -> None:
        """Songs that nobody has played, in place of those with the same ids."""
        self._append(songs, vectors, [0] * len(songs))
        self._onboarded.update(song.item_id for song in songs)

    def _place(self, item_ids: Iterable[str]) -> None:
        """Make the vectors of items anew from who plays them."""
        touched, since = sorted(item_ids), self._since
        if not touched:
            return
        newcomers = sorted(
            self._newcomers(set().union(*(since.by_item[item_id] for item_id in touched)))
        )
        needed = sorted(set(touched).union(*(since.by_user[user] for user in newcomers)))
        position = {item_id: number for number, item_id in enumerate(needed)}
        songs = self.songs(needed)
        fitted = [None if name in self._onboarded else self._fitted_row(name) for name in needed]
        content = content_of(self.state, songs)
        predicted, bases = self._learner.bases(content, fitted)
        is_known = has_content(content)
        folded = {}
        for user in newcomers:
            history = sorted(since.by_user[user])
            places = [position[item_id] for item_id in history]
            plays = np.array([since.by_user[user][item_id] for item_id in history])
            folded[user] = self._learner.fold_in(
                {name: vectors[places] for name, vectors in bases.items()},
                np.clip(plays, *PLAY_BOUNDS).astype(np.float32),
            )
        placed = []
        for item_id in touched:
            place = position[item_id]
            placed.append(
                self._learner.item(
                    {name: vectors[place] for name, vectors in predicted.items()}
                    if is_known[place]
                    else None,
                    {name: vectors[place] for name, vectors in bases.items()},
                    fitted[place],
                    since.by_item[item_id],
                    folded,
                )
            )
        self._append(
            [songs[position[item_id]] for item_id in touched],
            np.stack([vector for vector, _ in placed]),
            [count for _, count in placed],
        )
