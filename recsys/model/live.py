"""The live model: what a fit has learned plus everything that happened since.

New items, plays and removals are stored in the song database first and are then part of what is
recommended. A live model never changes: what changes the catalogue returns another model that
shares all that stays the same, so that an answer under way is given from one whole state.
"""

import copy
import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array
from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.system.temporary import temporary_folder
from recsys.audio.recordings import RecordingEmbedder
from recsys.database.catalog import Catalog
from recsys.database.changes import ChangePosition, Changes, Play
from recsys.database.requests import PlaysRequest
from recsys.database.song import Song
from recsys.fusion import fuse_users, unfuse_items
from recsys.index.build import (
    IndexFiles,
    build_index,
    index_files,
    needs_index_files,
    open_index,
)
from recsys.index.exact import ExactIndex
from recsys.index.growing import GrowingIndex
from recsys.index.screen import Screen
from recsys.model.items import (
    NO_SOUND,
    ItemTable,
    check_texts,
    reachable_content,
    with_familiarity,
)
from recsys.model.repair import usable_plays, usable_songs
from recsys.model.state import FittedState
from recsys.model.tables import row_of
from recsys.model.updates import (
    IncrementalUpdater,
    UpdateReport,
    corrections_of,
    is_known_batch,
    known_plays,
    new_plays,
)
from recsys.model.user_search import UserSearch
from recsys.model.users import ActiveUsers, FoldedIn, PlaysSinceFit, UserTable
from recsys.sources.fold_in import fold_in_user

if TYPE_CHECKING:
    from embedding.encoders.protocol import Encoder

logger = logging.getLogger("coldtune")

_SCREEN = "screen"
"""Name of the screen of exact search among the prepared arrays."""

_LISTENERS = 128
"""Listeners of a single song that an index is made for, besides the users."""


class LiveModel:
    """A fitted model with the items, plays and removals since the fit; a change returns another.

    Attributes:
        state: what the fit has learned.
        items: the items, by id and by row.
        users: the users and what they have played.
        index: finds the items nearest to a vector.
        index_of_the_fit: the same among the items of the fit.
        catalog: the song database, which stores every change.
        revision: of the song database, as far as the model has taken it in.

    Examples:
        >>> from recsys.model import load_model
        >>> recommender.save(folder / "model")
        >>> model = load_model(folder / "model")
        >>> later, report = model.with_plays([Play("ann", "s1", 2.0)])
        >>> report.new_users, later.counts()["users"] - model.counts()["users"]
        (1, 1)
    """

    state: FittedState
    items: ItemTable
    users: UserTable
    index: GrowingIndex
    index_of_the_fit: GrowingIndex
    catalog: Catalog
    revision: tuple[str, int]
    _position: ChangePosition

    def __init__(
        self,
        state: FittedState,
        catalog: Catalog,
        index_file: Path | None = None,
        prepared: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Open a fitted state and take in the changes that its song database has stored.

        Args:
            state: what the fit has learned.
            catalog: the song database.
            index_file: a saved index; without one it is built where it is needed.
            prepared: saved arrays that lists are made with.
        """
        self.state = state
        self.catalog = catalog
        self.generation: str | None = None
        """The generation of the model folder that this is, once it has been saved or loaded."""
        self.index_file = index_file
        self._index_files: IndexFiles | None = None
        """Files of the index that have no names any more."""
        if index_file is None and needs_index_files(len(state.items), state.config.retrieval):
            # Without names, nothing of them stays, however the process ends.
            with temporary_folder() as folder:
                sidecar = self._build_index(folder)
                index, info = open_index(state.item_vectors, sidecar, state.config.n_threads)
                self._index_files = IndexFiles(sidecar)
        else:
            index, info = open_index(
                state.item_vectors,
                index_file,
                state.config.n_threads,
                partial(_asked_with, state),
                Screen.from_arrays(prepared or {}, _SCREEN),
            )
        self.index_info = info
        """The method of search, its settings, and the recall that was measured with them."""
        self.index_of_the_fit = GrowingIndex(index, state.item_vectors)
        self._audio = None if state.encoder is None else RecordingEmbedder(state.encoder)
        self._updater = IncrementalUpdater(state)
        self._index = index
        self.prepared: Mapping[str, NDArray[Any]] = prepared or {}
        """Arrays that lists are made with, as they were saved: what a process would otherwise
        compute for its first list. Empty where the model was not saved, or by an earlier version.
        """
        self.user_search = UserSearch(state)
        """Finds the users who score an item highest; shared with all copies."""
        self._reported: set[str] = set()
        """Items whose stored embedding was logged as unusable; shared with all copies."""
        self._take_in_changes()

    def __repr__(self) -> str:
        return f"<LiveModel: {self.state!r}, {self.items.n_onboarded:,} items onboarded since>"

    def reopened(self) -> "LiveModel":
        """Return the model with what other processes have stored; itself if that is nothing.

        New songs and plays are taken in as this process' own are. Where anything else was done,
        everything since the fit is read again.
        """
        if self.catalog.revision() == self.revision:
            return self
        other = copy.copy(self)
        later = self.catalog.changes_after(self._position)
        if later is None:
            other._take_in_changes()
        else:
            other._take_in_later(later)
        return other

    def saved_as(self, catalog: Catalog, generation: str, index_file: Path | None) -> "LiveModel":
        """Return the model with the files of a folder, to which it has just been written.

        Answers under way go on with those that it had.
        """
        other = copy.copy(self)
        other.catalog, other.generation, other.index_file = catalog, generation, index_file
        other._index_files = None
        return other

    def with_prepared(self, arrays: Mapping[str, NDArray[Any]]) -> "LiveModel":
        """Return the model with such arrays, and with those that its own search needs."""
        other = copy.copy(self)
        screen = self._index.screen() if isinstance(self._index, ExactIndex) else None
        other.prepared = {**arrays, **({} if screen is None else screen.to_arrays(_SCREEN))}
        return other

    def write_index(self, folder: Path) -> Path | None:
        """Write the index into a folder; return its sidecar, None for a search without files.

        Raises:
            OSError: it cannot be written.
        """
        if self._index_files is not None:
            return self._index_files.copy_to(folder)
        if self.index_file is None:
            return None
        try:
            for file in index_files(self.index_file):
                shutil.copyfile(file, folder / file.name)
        except (FileNotFoundError, ArtifactError):  # another process saved over the model it is of
            return self._build_index(folder)
        return folder / self.index_file.name

    def _build_index(self, folder: Path) -> Path:
        state = self.state
        users, *others = _asked_with(state)
        settings = state.config.retrieval, state.config.seed
        return build_index(state.item_vectors, users, folder, *settings, others)

    @property
    def audio(self) -> RecordingEmbedder:
        """The network, with the process that decodes recordings for it.

        Raises:
            InvalidArgumentError: the model has no network.
        """
        if self._audio is None:
            if reason := self.state.info.get("network"):
                raise InvalidArgumentError(f"this model cannot hear recordings: {reason}")
            raise InvalidArgumentError(
                "this model was fitted without recordings of its own: onboard with embedding="
                if self.state.has_embedding.any()
                else NO_SOUND
            )
        self._audio.check()
        return self._audio

    def heard_by(self, encoder: "Encoder") -> "LiveModel":
        """Return the model with another encoder in the place of its own, such as a file moved.

        Raises:
            InvalidArgumentError: the encoder is not the one that the model was made with.
            EncoderUnavailableError, EncoderError: it cannot work.
        """
        from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
        from embedding.encoders.loading import check_same_encoder

        own = self.state.encoder
        if isinstance(own, FineTunedEncoder) and not isinstance(encoder, FineTunedEncoder):
            check_same_encoder(encoder, own.backbone)
            encoder = own.on(encoder)
        else:
            check_same_encoder(encoder, own)
        other = copy.copy(self)
        other.state = replace(self.state, encoder=encoder)
        other._audio = RecordingEmbedder(encoder)
        return other

    def hears_like(self, other: "LiveModel") -> bool:
        """Return whether embeddings made for another model are those that this one would make."""
        if self.state.embeddings.shape[1] != other.state.embeddings.shape[1]:
            return False
        own, others = self.state.encoder, other.state.encoder
        if own is others or own is None or others is None:
            return own is others
        return own.digest() == others.digest()

    def counts(self) -> dict[str, int]:
        """Count what there is now, changes since the fit included.

        Returns:
            ``users`` who have played something, ``items``, and of these ``with_listeners`` and
            ``with_embedding``.
        """
        # Without a table of the rows in use, which of a million takes most of a second.
        items, retired = self.items, self.items.retired
        added = np.arange(len(self.state.items), len(items))
        heard = _count(self.state.has_embedding) + _count(items.has_embedding(added))
        return {
            "users": len(self.users),
            "items": len(items) - len(retired),
            "with_listeners": _count(items.user_counts) - _count(items.user_counts[retired]),
            "with_embedding": heard - _count(items.has_embedding(retired)),
        }

    def vectors_of_new(self, songs: Sequence[Song]) -> Float32Array:
        """Compute fused vectors [n, D] of songs that nobody has played, in the model or not."""
        return self.state.fuse_content(reachable_content(self.state, songs))

    # ------------------------------------------------------------------ changes

    def with_songs(self, songs: Sequence[Song]) -> "LiveModel":
        """Store songs durably, all of them or none, and return the model with them.

        Raises:
            InvalidArgumentError: a song that cannot be onboarded; see `ItemTable.check_new`.
        """
        self.items.check_new(songs)
        if not songs:
            return self
        songs = with_familiarity(self.state, songs)
        other = copy.copy(self)
        other._add_songs(songs)  # first: a song that no model can take in must not be stored
        return other._stored(self.catalog.put(songs))

    def with_new_texts(self, songs: Sequence[Song]) -> "LiveModel":
        """Store songs that were onboarded since the fit anew, durably; return the model with them.

        They may have been played: their vectors are computed from their users again.

        Args:
            songs: items with the embeddings that they had; each is in the catalogue and not of the
                fit.
        """
        check_texts(songs)
        other = copy.copy(self)
        other._add_songs(songs)
        touched = {song.item_id for song in songs} & set(self._plays.by_item)
        for user in self.users.not_in_fit(
            {user for item_id in touched for user in self._plays.by_item[item_id]}
        ):
            touched.update(self._plays.by_user[user])
        other._recompute_items(touched)
        return other._stored(self.catalog.put(songs))

    def with_new_paths(self, paths: Mapping[str, Mapping[str, str]]) -> "LiveModel":
        """Store durably where recordings are now; return the model, which recommends the same.

        Args:
            paths: by item, the path by the digest of the recording's content. What the catalogue
                does not have is passed over.
        """
        other = copy.copy(self)
        return other._stored(self.catalog.relocate(paths))

    def with_plays(
        self, plays: Sequence[Play], request: PlaysRequest | None = None
    ) -> tuple["LiveModel", UpdateReport]:
        """Store plays durably, all of them or none, and return the model with them.

        Args:
            plays: the plays.
            request: how they came; what is known of it already is not taken in again.

        Raises:
            UnknownItemError: names the first item that is not in the catalogue.
            InvalidArgumentError: names a batch or an event that is known with other plays.
        """
        request = request or PlaysRequest()
        given = len(plays)
        if is_known_batch(self.catalog, request):
            logger.warning("batch %r was taken in before: nothing was changed", request.batch_id)
            return self, UpdateReport(0, 0, 0, 0, 0).with_repeated(given)
        plays, events = new_plays(self.catalog, plays, request)
        if len(plays) < given:
            logger.warning(
                "%d of %d plays were taken in before, by their event_id, and do not count again",
                given - len(plays),
                given,
            )
        plays = known_plays(plays, self.items, self.users)
        if request.mode == "replace":
            self.items.rows(play.item_id for play in plays)
            plays = corrections_of(self.state, self.items, self._plays, plays)
        other, report = self.taking_in(plays)
        if not plays and request.batch_id is None:
            return self, report.with_repeated(given)
        stored = self.catalog.add_plays(plays, request, events)
        return other._stored(stored), report.with_repeated(given - len(plays))

    def taking_in(self, plays: Sequence[Play]) -> tuple["LiveModel", UpdateReport]:
        """Return a copy with plays that are not stored: what `with_plays` would make of them."""
        items = list(dict.fromkeys(play.item_id for play in plays))
        n_cold = int(self.items.is_cold(self.items.rows(items)).sum())
        if not plays:
            return copy.copy(self), UpdateReport(0, 0, 0, 0, 0)
        users = list(dict.fromkeys(play.user_id for play in plays))
        n_unknown = int((self.users.rows(users) < 0).sum())
        other = copy.copy(self)
        other._add_plays(plays)
        return other, UpdateReport(len(plays), len(users), n_unknown, len(items), n_cold)

    def without_item(self, item_id: str) -> "LiveModel":
        """Remove an item durably and return the model without it.

        Raises:
            UnknownItemError: no such item in the catalogue.
        """
        self.items.row(item_id)
        other = copy.copy(self)
        other._plays = self._plays.without(item_id)
        other._active = self._active.those_of(other._plays)
        other.items = self.items.without([item_id])
        touched: set[str] = set()
        for user in self.users.not_in_fit(self._plays.by_item.get(item_id, ())):
            touched.update(other._plays.by_user.get(user, ()))
        other._recompute_items(touched)
        other._give_up_rows()
        in_fit = row_of(self.state.item_ids, item_id) >= 0
        return other._stored(self.catalog.remove(item_id, of_the_fit=in_fit))

    # These write to a copy that nobody else has seen yet.

    def _take_in_changes(self) -> None:
        """Start from the fit and take in everything the song database has stored since."""
        changes = self.catalog.changes()
        self._folded_in: dict[int, FoldedIn] = {}
        self.items, self.index = ItemTable(self.state), self.index_of_the_fit
        plays = usable_plays(changes)
        self._plays = PlaysSinceFit().plus(plays)
        self._active = ActiveUsers(self.state).plus(play.user_id for play in plays)
        self._add_songs(usable_songs(self.state, changes.songs, self._reported))
        self.items = self.items.without(changes.removed)
        self._recompute_items(self._plays.by_item)
        self._give_up_rows()
        self.revision, self._position = changes.revision, changes.position

    def _take_in_later(self, changes: Changes) -> None:
        """Take in songs and plays that others have stored since."""
        songs = usable_songs(self.state, changes.songs, self._reported)
        if songs:
            self._add_songs(songs)
        plays = usable_plays(changes)
        if plays:
            self._add_plays(plays)
        self.revision, self._position = changes.revision, changes.position

    def _add_songs(self, songs: Sequence[Song]) -> None:
        self._add_rows(self.items.with_onboarded(songs), self.vectors_of_new(songs))

    def _add_plays(self, plays: Sequence[Play]) -> None:
        users = list(dict.fromkeys(play.user_id for play in plays))
        self._plays = self._plays.plus(plays)
        self._active = self._active.plus(users)
        # A new user's plays change that user's vector, and so every item the user has played.
        touched = {play.item_id for play in plays}
        for user in self.users.not_in_fit(users):
            touched.update(self._plays.by_user[user])
        self._recompute_items(touched)

    def _recompute_items(self, item_ids: Collection[str]) -> None:
        """Give items that were played since the fit new rows, with vectors from their users."""
        self.users = self._users()
        if not item_ids:
            return
        songs, vectors, user_counts = self._updater.recompute(
            self.items, self.users, self._plays, item_ids
        )
        self._add_rows(self.items.with_played(songs, user_counts), vectors)

    def _add_rows(self, items: ItemTable, vectors: Float32Array) -> None:
        # Of a copy that is given up, be it that it cannot be stored, others get the row numbers.
        self._folded_in = dict(self._folded_in)
        self.items, self.index = items, copy.copy(self.index)
        self.index.append(vectors)
        self._give_up_rows()
        self.users = self._users()

    def _give_up_rows(self) -> None:
        """Free the added rows that were retired, once they are more than those in use."""
        if self.items.is_wasteful:
            self.items, kept = self.items.compacted()
            self.index = self.index.keeping(kept)
            self._folded_in = {}
            self.users = self._users()

    def _users(self) -> UserTable:
        return UserTable(
            self.state, self.items, self.index, self._plays, self._active, self._folded_in
        )

    def _stored(self, position: ChangePosition) -> "LiveModel":
        """Note the change that was just stored, and where it ends."""
        self.revision, self._position = (self.revision[0], position.revision), position
        return self


def _count(values: NDArray[Any]) -> int:
    """How many of the values are not 0."""
    return int(np.count_nonzero(values))


def _asked_with(state: FittedState) -> list[Float32Array]:
    """Vectors such as an index is asked with: of users, and of listeners of a single song each.

    The latter tell what histories may be like whose songs have little in common.
    """
    known = state.by_popularity[: 10 * _LISTENERS]
    rows = known[np.linspace(0, len(known) - 1, min(len(known), _LISTENERS)).astype(np.intp)]
    items = unfuse_items(
        state.blocks, np.asarray(state.item_vectors[rows]), np.zeros(len(rows), bool)
    )
    one = np.ones(1, np.float32)
    listeners = [
        fuse_users(
            state.blocks,
            fold_in_user(
                state.sources,
                {name: own[place : place + 1] for name, own in items.items()},
                one,
                state.item_grams,
            ),
        )
        for place in range(len(rows))
    ]
    nobody = np.empty((0, state.user_vectors.shape[1]), np.float32)
    return [state.user_vectors, np.concatenate([nobody, *listeners])]
