"""Recommender: learn, recommend, find similar items, onboard new ones, save and load.

A model that is held in memory and, once saved or loaded, on the disk as well.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import pandas as pd
from numpy.typing import ArrayLike

from datasets.errors import InvalidArgumentError, NotFittedError
from datasets.music import MusicDataset
from recsys.config import RecommenderConfig
from recsys.database.catalog import Catalog
from recsys.database.song import Song
from recsys.model import storage
from recsys.model.items import Where
from recsys.model.live import LiveModel
from recsys.model.updates import UpdateReport, checked_plays
from recsys.onboarding.recordings import (
    OnboardingResult,
    build_song,
    build_songs,
    fitted_songs,
    onboarding_report,
)
from recsys.ranking.arguments import History, texts_of
from recsys.ranking.batch_files import BatchReport, write_lists
from recsys.ranking.batches import BATCH, Wishes, filters_of, in_batches, many_lists
from recsys.ranking.explanation import Explanation, explain
from recsys.ranking.filters import make_filters
from recsys.ranking.ranking import list_for, similar_to
from recsys.ranking.similarity import Space
from recsys.tracking.runs import tracked_run
from recsys.training.fit import fit_state

if TYPE_CHECKING:
    from embedding import SongEncoder
    from embedding.audio.source import AudioSource


class HeldModel:
    """One library at a time, put in place of the one before it in a single step.

    Whoever answers takes the library once and goes on with it; changes wait for each other.
    """

    def __init__(self, config: RecommenderConfig | None = None) -> None:
        self.config = config or RecommenderConfig()
        self._model: LiveModel | None = None
        self._folder: Path | None = None
        self._turn = threading.RLock()  # items are numbered in order of arrival

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder, replacing the model that is there in a single step.

        From then on, onboarded items are stored there too. Raises ArtifactError where it cannot
        be written; what was there is left as it was.
        """
        place = Path(folder).absolute()  # the working directory may change later
        with self._turn:
            storage.save(place, self._fitted())
            self._folder = place

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open a model that :meth:`save` wrote. Every file is checked before anything is used.

        Raises ArtifactError: no model there, a file missing or changed, a newer format.
        """
        place = Path(folder).absolute()
        library = storage.load(place)
        recommender = cls(library.state.config)
        recommender._model = library
        recommender._folder = place
        return recommender

    @property
    def info(self) -> dict[str, Any]:
        """Facts about the model: data set, items, blend weights, network, times, versions.

        ``dataset`` and ``items`` are those of the fit (``items`` after a rebuild those it had
        then); ``now`` counts what there is: users, items, with_listeners, with_embedding.
        ``index``: how it is searched: the method ("exact", "pruned" or "annoy"), its settings,
        and, where it is not exact, the recall measured with them on so many users' queries.
        """
        library = self._fitted()
        return {
            **library.state.info,
            "now": library.counts(),
            "onboarded": library.items.n_onboarded,
            "index": dict(library.index_info),
        }

    def refresh(self) -> bool:
        """Take in what other processes have done to the saved model; whether that was anything.

        A model that was replaced is loaded anew. Every answer is from one whole state: those that
        are being given meanwhile go on with the old one. Where nothing was done, this costs a look
        at the manifest and at a number. Raises ArtifactError where the model cannot be read.
        """
        with self._turn:
            library = self._fitted()
            if self._folder is None:
                return False
            self._model = storage.refreshed(self._folder, library)
            return self._model is not library

    def rebuild(self) -> None:
        """Make all that happened since the fit part of it; lists stay the same.

        The plays, users and items since are then in the matrices and the index, which is faster to
        open and to search; nothing is learned anew. A model that has been saved or loaded is
        replaced on the disk in a single step, and the song database keeps the songs. Raises
        ArtifactError where it cannot be written; all is as it was then.
        """
        from recsys.model.rebuild import rebuilt

        with self._turn:
            library = self._fitted()
            if self._folder is None:
                self._model = rebuilt(library)
            else:
                self._model = storage.replace(self._folder, library, rebuilt)

    def _change(self, change: Callable[[LiveModel], LiveModel]) -> None:
        """Put a changed library in place of this one."""
        with self._turn:
            library = self._fitted()
            if self._folder is None:
                self._model = change(library)
                return
            with storage.current(self._folder, library):
                self._model = change(library.reopened())

    def _fitted(self) -> LiveModel:
        if self._model is None:
            raise NotFittedError("this recommender is not fitted: call fit, or load a saved one")
        return self._model


class Recommender(HeldModel):
    """A hybrid of what people play and what songs sound like.

    >>> recommender = Recommender(RecommenderConfig(seed=0)).fit(dataset)      # doctest: +SKIP
    >>> recommender.recommend("u2", k=10)                                      # doctest: +SKIP
    """

    # ------------------------------------------------------------------ learning

    def fit(
        self,
        dataset: MusicDataset,
        embeddings: pd.DataFrame | None = None,
        encoder: "SongEncoder | None" = None,
        *,
        progress: bool = False,
    ) -> Self:
        """Learn from recordings and listening.

        embeddings: own item embeddings in place of the network's: index item_id, one column a
        dimension; items may be missing. encoder: a trained SongEncoder to use in place of
        training one. With neither, a network is trained on the data set's labelled recordings;
        without recordings the recommender learns from listening and metadata alone.

        What was learned before is replaced once everything has been learned. Raises DataError for
        data that cannot be learned from, and InvalidArgumentError where both are given, or
        recordings have fewer than two labels.
        """
        from threadpoolctl import threadpool_limits

        if embeddings is not None and encoder is not None:
            raise InvalidArgumentError("give embeddings or an encoder, not both")
        with tracked_run("fit", enabled=self.config.tracking) as run:
            run.params(self.config.model_dump(mode="json"))
            run.params({"dataset": {**dataset.summary(), "digest": dataset.digest()}})
            run.dataset(dataset, "training")
            with threadpool_limits(self.config.n_threads, user_api="blas"):
                state, heard = fit_state(
                    dataset, self.config, embeddings=embeddings, encoder=encoder, progress=progress
                )
            catalog = Catalog.in_memory()
            catalog.fill(fitted_songs(state, dataset, heard))
            library = LiveModel(state, catalog)
            with self._turn:
                self._model, self._folder = library, None
            if state.encoder is not None and encoder is None:
                run.history(state.encoder.history_)
            run.metrics({f"seconds_{name}": s for name, s in state.info["seconds"].items()})
            for kind in ("warm", "cold"):
                weights = state.info["blend"][kind]
                run.metrics({f"weight_{kind}_{name}": w for name, w in weights.items()})
        return self

    # ------------------------------------------------------------------ recommending

    def recommend(
        self,
        user_id: str | None = None,
        k: int = 10,
        *,
        history: History | None = None,
        exclude_seen: bool = True,
        exclude: Iterable[str] = (),
        only: Iterable[str] | None = None,
        where: Where | None = None,
        per_artist: int | None = None,
        diversity: float = 0.0,
        popularity_correction: float = 0.0,
    ) -> pd.DataFrame:
        """The k items a user will like best.

        user_id: a user of the training data. history: for anybody else, the items they played, or
        a mapping from item to plays. A user who is unknown and has no history gets the popular
        items, with ``attrs["fallback"] == "popular"``, the number of listeners as score and no
        shares.

        exclude_seen: leave out what the user has played. exclude, only: item ids to leave out, to
        choose from. where: a column (artist, album, genre, any tag) with a value, or several of
        which an item must have one; of several columns, all must fit. Case and spaces around a
        value do not count. per_artist: at most so many items of one artist. Fewer than k rows are
        returned only when fewer items are left.

        diversity: 0 is the order of scores, 1 the items least alike, by maximal marginal relevance
        among the best candidates. popularity_correction: from 0 to 1, how much of an item's
        standardised log popularity is taken off its standardised score. Both change which items are
        in the list and their order, not what ``score`` says; the popular items know no correction.

        Returns columns rank (from 1), item_id, score, title, artist, genre, cold (nobody had
        played it when the model was fitted), and share_als, share_fm and so on: how much of the
        score each source gave, adding to 1.

        Raises UnknownItemError for an item id that is not in the catalogue and
        InvalidArgumentError for a number out of its range, an unknown column or a user id together
        with a history.
        """
        library = self._fitted()
        filters = make_filters(
            library, k, exclude_seen=exclude_seen, exclude=exclude, only=only, where=where,
            per_artist=per_artist, diversity=diversity,
            popularity_correction=popularity_correction,
        )  # fmt: skip
        return list_for(library, user_id, history, filters)

    def recommend_many(
        self,
        user_ids: Iterable[str],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Iterable[str] = (),
        only: Iterable[str] | None = None,
        where: Where | None = None,
        per_artist: int | None = None,
        diversity: float = 0.0,
        popularity_correction: float = 0.0,
    ) -> pd.DataFrame:
        """The k best items for each of many users, as :meth:`recommend`.

        Returns columns user_id, rank, item_id, score; users in the order given. Users who are
        unknown get the popular items and are listed in ``attrs["fallback_users"]``.
        """
        library = self._fitted()
        filters = make_filters(
            library, k, exclude_seen=exclude_seen, exclude=exclude, only=only, where=where,
            per_artist=per_artist, diversity=diversity,
            popularity_correction=popularity_correction,
        )  # fmt: skip
        return many_lists(library, texts_of("user_ids", user_ids), filters, BATCH)

    def recommend_batches(
        self,
        user_ids: Iterable[str] | None = None,
        k: int = 10,
        *,
        batch_size: int = BATCH,
        **wishes: Unpack[Wishes],
    ) -> Iterator[pd.DataFrame]:
        """As :meth:`recommend_many`, a frame at a time for ``batch_size`` users each.

        user_ids: all users where not given; it is read as far as the batches are. However many
        users there are, only one batch is in memory. wishes: the filters of :meth:`recommend`.

        Raises, before the first batch, what :meth:`recommend` raises, and InvalidArgumentError for
        a batch size below 1.
        """
        library = self._fitted()
        return in_batches(library, user_ids, filters_of(library, k, **wishes), batch_size)

    def write_recommendations(
        self,
        out: str | Path,
        users: str | Path | None = None,
        k: int = 10,
        *,
        batch_size: int = BATCH,
        progress: bool = False,
        **wishes: Unpack[Wishes],
    ) -> BatchReport:
        """Write everybody's list to a Parquet file: user_id, rank, item_id, score.

        users: a text file of user ids, one a line; all users where not given. wishes: the filters
        of :meth:`recommend`. A run that was killed goes on where it was, if the model and the
        arguments are the same; ``out`` is there only when it is whole.

        Raises what :meth:`recommend_batches` raises, InvalidArgumentError where no file can be at
        ``out``, DataError for a file of users that cannot be read, and ArtifactError where ``out``
        cannot be written or another run writes it.
        """
        library = self._fitted()
        filters = filters_of(library, k, **wishes)
        file = None if users is None else Path(users)
        return write_lists(library, Path(out), file, filters, batch_size, progress=progress)

    def explain(
        self,
        user_id: str | None,
        item_id: str,
        *,
        history: History | None = None,
        n: int = 5,
    ) -> Explanation:
        """Why a user, or somebody with a history and no user id, gets an item.

        The share of each source and the score, as :meth:`recommend` has them; the n played items
        nearest by taste and by sound; and the artist, album, genre and tags that the item has in
        common with what was played.

        Raises UnknownUserError, UnknownItemError, and InvalidArgumentError for n < 1, for a user id
        together with a history, or where nothing is known of the user's taste.
        """
        return explain(self._fitted(), user_id, item_id, history, n)

    def similar(self, item_id: str, k: int = 10, *, by: Space = "fused") -> pd.DataFrame:
        """The k items most like an item.

        by: "sound" (cosine of embeddings), "taste" (cosine of what ALS and the factorization
        machine say of who plays them), or "fused" (all sources).
        Returns rank, item_id, score (cosine, -1 to 1), title, artist, genre, cold.
        Raises UnknownItemError, and InvalidArgumentError where the item has nothing to compare.
        """
        return similar_to(self._fitted(), str(item_id), k, by)

    # ------------------------------------------------------------------ new items

    def onboard(
        self,
        recording: "AudioSource | None" = None,
        *,
        item_id: str,
        title: str = "",
        artist: str = "",
        album: str = "",
        genre: str = "",
        tags: Mapping[str, str] | None = None,
        embedding: ArrayLike | None = None,
    ) -> OnboardingResult:
        """Add one item that nobody has played; it is recommendable at once.

        recording: a path, the content as bytes, or a binary file object such as an upload; or
        embedding: its vector, where the model was fitted on given embeddings. When the model has
        been saved or loaded, the item is on the disk before this returns. Onboarding the same id
        again replaces the item.

        Raises AudioError for a recording that cannot be used and InvalidArgumentError for an id
        that is blank or has listeners, or an embedding that does not fit; nothing is added then.
        """
        song = build_song(
            self._fitted(), recording, embedding, item_id=item_id, title=title, artist=artist,
            album=album, genre=genre, tags=dict(tags or {}),
        )  # fmt: skip
        self._add([song])
        return OnboardingResult.from_song(song)

    def onboard_many(
        self,
        dataset: MusicDataset,
        embeddings: pd.DataFrame | None = None,
        *,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Add all items of a data set, with the embeddings of their recordings or given ones.

        The items' interactions, if any, are not looked at. An item without a usable recording is
        added by its metadata alone. Returns item_id and status ("heard" or "metadata only"), and
        the reasons why recordings were left out in ``attrs["recordings_left_out"]``.
        """
        songs, heard = build_songs(self._fitted(), dataset, embeddings, progress=progress)
        self._add(songs)
        return onboarding_report(songs, heard)

    def onboard_folder(
        self,
        folder: str | Path,
        metadata: str | Path | pd.DataFrame | None = None,
        progress: bool = False,
        *,
        threads: int | None = None,
    ) -> pd.DataFrame:
        """Add every recording in a folder and below; what is in the model unchanged is skipped.

        metadata: a CSV or Parquet file or a table with a column path (a file's path from the
        folder on, or its name alone), and any of item_id, title, artist, album, genre and tags. A
        recording without an item_id there gets its path without the suffix. threads: processes
        that decode; as configured where not given.

        Items are added in batches, each recommendable, and durable as by :meth:`onboard`, at once:
        what was interrupted goes on where it was. A recording that cannot be used is skipped.

        Returns item_id, path, status ("added", "unchanged": the item has this recording and these
        texts already, "failed") and reason (why it failed), by path.

        Raises DataError for no folder, nothing in it, or metadata that cannot be used;
        InvalidArgumentError for a model without a network of its own.
        """
        from recsys.onboarding.folder import onboard_folder

        return onboard_folder(
            self._fitted(),
            self._add,
            Path(folder),
            Path(metadata) if isinstance(metadata, str) else metadata,
            workers=self.config.n_threads if threads is None else threads,
            progress=progress,
        )

    def _add(self, songs: Sequence[Song]) -> None:
        def add(library: LiveModel) -> LiveModel:
            library.items.check_new(songs)
            return library.with_songs(songs)

        self._change(add)

    def update(self, interactions: pd.DataFrame) -> UpdateReport:
        """Take in new plays, in time proportional to what they touch; lists know them at once.

        interactions: user_id, item_id, weight and, where known, timestamp, as in a data set; of
        users known or new, and of all items of the catalogue, those onboarded included. An item
        with listeners is no longer cold. The model is the fit and the sum of all plays since,
        whatever the order and the batches they came in. When the model has been saved or loaded,
        the plays are on the disk before this returns.

        Raises DataError for a table that is none, naming the row, and UnknownItemError naming an
        item that is not in the catalogue; nothing is taken in then.
        """
        plays = checked_plays(interactions)
        counts = UpdateReport(0, 0, 0, 0, 0)

        def update(library: LiveModel) -> LiveModel:
            nonlocal counts
            changed, counts = library.with_plays(plays)
            return changed

        self._change(update)
        return counts

    def remove(self, item_id: str) -> None:
        """Take an item out of the catalogue, its plays since the fit included.

        It is in no list and no history any more; to onboard it again brings it back as an item
        that nobody has played. Raises UnknownItemError.
        """
        self._change(lambda library: library.without_item(item_id))
