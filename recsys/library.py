"""The catalogue of a running recommender: the fitted items and those onboarded since.

Here external ids meet row numbers, which never leave the library. Rows count through: the fitted
items first, then the onboarded ones in order of arrival. An item onboarded again, or played since
the fit, gets a new row and its old one is retired.

A library never changes: what changes the catalogue returns another one that shares all that is
the same. So an answer that was begun goes on with the state it began with.
"""

import copy
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from datasets.columns import ITEM_ID, ITEM_TEXT
from datasets.errors import InvalidArgumentError, UnknownItemError
from datasets.values import is_unicode
from recsys.catalog import Catalog
from recsys.change_store import Play
from recsys.fusion import fuse_items
from recsys.hearing import Hearing
from recsys.learning import PLAY_BOUNDS
from recsys.retrieval import Rows, Searcher
from recsys.retrieval_building import build_index, needs_file, open_index
from recsys.song_rows import Recording, Scores, Song
from recsys.sources.base import Floats, ItemContent
from recsys.state import FittedState
from recsys.updating import Learner, Since, Updated, fused_user

if TYPE_CHECKING:
    from embedding.recording_source import Source

_NO_SOUND = "this model knows no sound: it was fitted without recordings or embeddings"


class Library:
    """What can be recommended, and where it stands."""

    def __init__(
        self, state: FittedState, catalog: Catalog, index_file: Path | None = None
    ) -> None:
        """index_file: a saved index's sidecar; without one it is built where it is needed."""
        self.state = state
        self.catalog = catalog
        self.generation: str | None = None
        """The generation of the model folder that this is, once it has been saved or loaded."""
        self.kept: dict[str, Any] = {}
        """What others derive from these items and keep as long as them."""
        self.index_file = index_file
        self.index_info: dict[str, Any]
        """The method of search, its settings, and the recall that was measured with them."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if index_file is None and needs_file(len(state.items), state.config.retrieval):
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
        self.searcher = Searcher(index, state.item_vectors)
        self._learner = Learner(state)
        self._hearing = None if state.encoder is None else Hearing(state.encoder)
        self._of_the_fit = copy.copy(self.searcher)
        self._open()

    def _open(self) -> None:
        """Take in everything that happened since the fit."""
        self.searcher = copy.copy(self._of_the_fit)
        self.kept = {}
        self._late: list[Song] = []
        """One for each late row. Only ever longer, and shared with the libraries before and after;
        so is the next one."""
        self._late_listeners: list[int] = []
        self._late_row: dict[str, int] = {}
        """The row of each item that is no more in that of the fit; -1 where it was removed."""
        self._onboarded: set[str] = set()
        self._retired: list[int] = []
        self._since = Since()
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

    def _fork(self) -> "Library":
        other = copy.copy(self)
        other.searcher = copy.copy(self.searcher)
        other._late_row = dict(self._late_row)
        other._onboarded = set(self._onboarded)
        other._retired = list(self._retired)
        for name in ("listeners", "by_popularity", "current", "_users", "_user_vectors"):
            other.__dict__.pop(name, None)
        return other

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

    # ------------------------------------------------------------------ users

    def user_row(self, user_id: object) -> int | None:
        """The row of a user who has played something, None for anybody else."""
        row = int(self.user_rows([user_id])[0])
        return row if row >= 0 else None

    def user_rows(self, user_ids: Sequence[object]) -> Rows:
        """Rows of users, -1 for those who have played nothing: those of the fit, then others."""
        ids = pd.Index(list(user_ids), dtype=object)
        rows = np.array(self.state.user_ids.get_indexer(ids), np.intp)
        if self._since.by_user:
            newcomers, _ = self._users
            for position in np.flatnonzero(rows < 0).tolist():
                rows[position] = newcomers.get(ids[position], -1)
        return rows

    def user_vectors(self, rows: Rows) -> Floats:
        """Fused vectors [len(rows), D] of users; zero for row -1."""
        n = len(self.state.user_vectors)
        fitted = (rows >= 0) & (rows < n)
        vectors = np.array(self.state.user_vectors[np.where(fitted, rows, 0)])
        vectors[~fitted] = 0
        if self._since.by_user:
            touched = self._users[1]
            for position, row in enumerate(rows.tolist()):
                if row in touched:
                    if row not in self._user_vectors:
                        self._user_vectors[row] = self.fold_in(*self.history(row))
                    vectors[position] = self._user_vectors[row]
        return vectors

    @property
    def user_ids(self) -> Any:
        """Ids of all users who have played something: those of the fit, then others."""
        if not self._since.by_user:
            return self.state.user_ids
        return np.array([*self.state.user_ids, *self._users[0]], object)

    def seen(self, user_row: int) -> Rows:
        """Rows of the items that a user has played."""
        return self.history(user_row)[0]

    def seen_by(self, user_rows: Rows) -> sp.csr_matrix:
        """What users have played, CSR [len(user_rows), rows]; nothing for row -1."""
        shape = (len(user_rows), len(self.searcher))
        if not self._retired and not self._since.by_user and (user_rows >= 0).all():
            plays = self.state.plays[user_rows]  # nothing has moved: no step for each user
            return sp.csr_matrix((plays.data, plays.indices, plays.indptr), shape=shape)
        nothing = np.empty(0, np.intp)
        own = [self.seen(row) if row >= 0 else nothing for row in user_rows.tolist()]
        indptr = np.cumsum([0, *map(len, own)], dtype=np.int32)
        indices = np.concatenate([nothing, *own]).astype(np.int32)
        return sp.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=shape)

    def fold_in(self, rows: Rows, weights: Floats) -> Floats:
        """The fused vector [D] of somebody who played these rows so often."""
        return fused_user(self.state, self.fold_in_sources(rows, weights))

    def fold_in_sources(self, rows: Rows, weights: Floats) -> dict[str, Floats]:
        """The same as vectors [d] of each source."""
        fused, is_cold = self.searcher.vectors(rows), self.is_cold(rows)
        vectors = {block.name: block.unfuse_items(fused, is_cold) for block in self.state.blocks}
        return self._learner.fold_in(vectors, weights)

    def history(self, user_row: int) -> tuple[Rows, Floats]:
        """Rows of what a user has played, and how often."""
        rows, weights = np.empty(0, np.intp), np.empty(0, np.float32)
        if user_row < len(self.state.user_vectors):
            start, stop = self.state.plays.indptr[user_row : user_row + 2]
            rows = np.asarray(self.state.plays.indices[start:stop], np.intp)
            weights = np.asarray(self.state.plays.data[start:stop], np.float32)
        if self._retired:
            rows = self.current[rows]
            rows, weights = rows[rows >= 0], weights[rows >= 0]
        if not self._since.by_user or user_row not in self._users[1]:
            return rows, weights
        plays = dict(zip(rows.tolist(), weights.tolist(), strict=True))
        since = self._since.by_user[self._users[1][user_row]]
        for row, weight in zip(self.rows(since).tolist(), since.values(), strict=True):
            plays[row] = plays.get(row, 0.0) + weight
        rows = np.sort(np.fromiter(plays, np.intp, len(plays)))
        total = np.array([plays[row] for row in rows.tolist()])
        return rows, np.clip(total, *PLAY_BOUNDS).astype(np.float32)

    @property
    def touched_users(self) -> dict[int, str]:
        """By row, the ids of those who have played something since the fit."""
        return self._users[1]

    @cached_property
    def _users(self) -> tuple[dict[str, int], dict[int, str]]:
        """Rows of the users who are new since the fit, and who has played since by row."""
        ids = list(self._since.by_user)
        rows = np.array(self.state.user_ids.get_indexer(pd.Index(ids, dtype=object)), np.intp)
        new = rows < 0
        rows[new] = len(self.state.user_vectors) + np.arange(new.sum())
        of_row = dict(zip(rows.tolist(), ids, strict=True))
        return {ids[position]: int(rows[position]) for position in np.flatnonzero(new)}, of_row

    @cached_property
    def _user_vectors(self) -> dict[int, Floats]:
        return {}

    @cached_property
    def current(self) -> Rows:
        """Where the item of each row of the fit is now; -1 where it is gone."""
        n = len(self.state.items)
        rows = np.arange(n)
        rows[[row for row in self._retired if row < n]] = -1
        moved = [item_id for item_id in self._since.by_item if item_id not in self._onboarded]
        rows[self.state.item_ids.get_indexer(pd.Index(moved, dtype=object))] = [
            self._late_row[item_id] for item_id in moved
        ]
        return rows

    # ------------------------------------------------------------------ items

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
            songs = [self._late[row - n] for row in rows[late].tolist()]
            arrived = [getattr(one, name) if own else one.tags.get(name, "") for one in songs]
            texts[late] = np.array(arrived, object)
        return texts

    def is_cold(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether nobody has played the items of these rows, at the fit or since."""
        n = len(self.state.items)
        if not self._late_listeners:
            return np.asarray(self.state.listeners[rows] == 0)
        cold = self.state.listeners[np.where(rows < n, rows, 0)] == 0
        for position in np.flatnonzero(rows >= n).tolist():
            cold[position] = self._late_listeners[rows[position] - n] == 0
        return np.asarray(cold)

    @cached_property
    def listeners(self) -> NDArray[np.intp]:
        """How many people have played the item of each row, int [rows]."""
        late = self._late_listeners[: len(self.searcher) - len(self.state.items)]
        return np.concatenate([self.state.listeners, np.array(late, np.intp)])

    @cached_property
    def by_popularity(self) -> Rows:
        """Rows of the items that somebody has played, most listeners first."""
        if not self._since.by_item:
            return self.state.by_popularity
        warm = np.concatenate(
            [self.state.by_popularity, np.arange(len(self.state.items), len(self.searcher))]
        )
        warm = warm[self.listeners[warm] > 0]
        return np.asarray(warm[np.argsort(-self.listeners[warm], kind="stable")])

    @property
    def retired(self) -> Rows:
        """Rows that were replaced and must not be found any more."""
        return np.array(self._retired, np.intp)

    @property
    def n_onboarded(self) -> int:
        """Items onboarded since the fit."""
        return len(self._onboarded)

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
        there = [song.item_id for song in songs if self._row(song.item_id) >= 0]
        rows = self.rows(there)
        played = np.flatnonzero(~self.is_cold(rows))
        if len(played):
            raise InvalidArgumentError(
                f"item {there[played[0]]!r} has listeners already; "
                "fit again to change what the model knows of it"
            )

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

    def _newcomers(self, users: Iterable[str]) -> list[str]:
        """Those of the users whom the fit does not know."""
        ids = list(users)
        rows = self.state.user_ids.get_indexer(pd.Index(ids, dtype=object))
        return [user for user, row in zip(ids, rows, strict=True) if row < 0]

    def _fuse(self, songs: Sequence[Song]) -> Floats:
        content = self._content(songs)
        vectors = {
            name: source.item_vectors(content) for name, source in self.state.sources.items()
        }
        return fuse_items(self.state.blocks, vectors, np.ones(len(songs), bool))

    def _take(self, songs: Sequence[Song], vectors: Floats) -> None:
        """Songs that nobody has played, in place of those with the same ids."""
        self._append(songs, vectors, [0] * len(songs))
        self._onboarded.update(song.item_id for song in songs)

    def _append(self, songs: Sequence[Song], vectors: Floats, listeners: Sequence[int]) -> None:
        first = len(self.searcher)
        number = first - len(self.state.items)
        # What is behind is of a change that could not be stored.
        self._late[number:] = songs
        self._late_listeners[number:] = listeners
        self.searcher.append(vectors)
        for row, song in enumerate(songs, start=first):
            self._retire(song.item_id, row)

    def _retire(self, item_id: str, row: int) -> None:
        """From now on an item is in another row; -1: it is gone."""
        old = self._row(item_id)
        if old >= 0:
            self._retired.append(old)
        self._late_row[item_id] = row
        if row < 0:
            self._onboarded.discard(item_id)

    def _row(self, item_id: str) -> int:
        found = self._late_row.get(item_id)
        return self._fitted_row(item_id) if found is None else found

    def _fitted_row(self, item_id: str) -> int:
        return int(self.state.item_ids.get_indexer(pd.Index([item_id], dtype=object))[0])

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
        predicted, bases = self._learner.bases(self._content(songs), fitted)
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
                    {name: vectors[place] for name, vectors in predicted.items()},
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

    def songs(self, item_ids: Sequence[str]) -> list[Song]:
        """Items by their texts and embeddings. Raises UnknownItemError."""
        rows = self.rows(item_ids)
        texts = {str(name): self.texts(str(name), rows) for name in self.state.items.columns}
        embeddings, known = self.embeddings(rows)
        tags = [name for name in texts if name not in (ITEM_ID, *ITEM_TEXT)]
        return [
            Song(
                **{name: texts[name][number] for name in (ITEM_ID, *ITEM_TEXT)},
                tags={name: texts[name][number] for name in tags if texts[name][number]},
                embedding=embeddings[number] if known[number] else None,
            )
            for number in range(len(rows))
        ]

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
