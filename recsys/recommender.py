"""The recommender: fit, recommend, explain, find similar items, onboard, update, save and load."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from datasets.arguments import check_whole
from datasets.columns import ITEM_ID
from datasets.errors import ArtifactError, InvalidArgumentError, NotCopiedError, NotFittedError
from datasets.music import MusicDataset, check_dataset
from datasets.progress import stage_bar
from datasets.settings import Configured, check_config
from datasets.system.locks import Order, ThreadLock, patience
from datasets.tables.frames import FrameLike
from datasets.tables.ids import checked_id
from datasets.tables.values import format_value
from recsys.config import RecommenderConfig
from recsys.database.catalog import Catalog
from recsys.database.requests import UpdateMode
from recsys.database.song import Song
from recsys.model import storage
from recsys.model.items import Where
from recsys.model.live import LiveModel
from recsys.model.updates import UpdateReport, checked_request
from recsys.onboarding.prediction import Prediction, predict
from recsys.onboarding.recordings import (
    OnboardingResult,
    build_song,
    build_songs,
    fitted_songs,
    onboarding_report,
)
from recsys.ranking.audience import AudienceOptions, song_audience
from recsys.ranking.batch_files import BatchReport, write_lists
from recsys.ranking.batches import BATCH, recommend_batches, recommend_many
from recsys.ranking.explanation import Explanation, explain
from recsys.ranking.options import (
    History,
    ListArguments,
    ListOptions,
    history_plays,
    shows_list_options,
)
from recsys.ranking.ranking import (
    RankedIds,
    prepared,
    recommend_for_user,
    recommend_ids_for_user,
)
from recsys.ranking.similar import similar_items
from recsys.ranking.similarity import Space
from recsys.tracking.runs import tracked_run
from recsys.training.fit import check_encoder, fit_state

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource
    from embedding.encoders.protocol import Encoder
    from recsys.onboarding.folder import ModelWriter
    from recsys.onboarding.watching import FolderWatcher, WatchArguments
    from recsys.playlists.playlist import Seeds
    from recsys.ranking.subject import ItemOrRecording
    from recsys.sources.given_factors import GivenFactors


class Recommender(Configured):
    """A hybrid music recommender: it learns from plays, metadata and the sound of recordings.

    New songs are recommendable as soon as they are onboarded, new plays as soon as they are given
    to `update`. Threads may ask while others change the model: every answer is given from one
    whole state, and changes wait for each other.

    Args:
        config: settings of the fit and of the search; defaults where not given.

    Examples:
        >>> from recsys import Recommender, RecommenderConfig
        >>> config = RecommenderConfig(seed=0, threads=1, sources=("als",))
        >>> model = Recommender(config).fit(dataset)
        >>> model.recommend("u1", k=3)["rank"].tolist()
        [1, 2, 3]
        >>> recommender.onboard(item_id="fresh", embedding=np.ones(4)).item_id
        'fresh'
        >>> recommender.recommend("u1", only=["fresh"])["cold"].tolist()
        [True]
        >>> recommender.save(folder / "model")
        >>> Recommender.load(folder / "model").info["onboarded"]
        1
    """

    def __init__(self, config: RecommenderConfig | None = None) -> None:
        self.config = RecommenderConfig() if config is None else config
        check_config(self.config, RecommenderConfig)
        self._model: LiveModel | None = None
        self._folder: Path | None = None
        # One writer at a time: rows are numbered in order.
        self._write_lock = ThreadLock("this recommender", Order.MODEL)

    def __repr__(self) -> str:
        """Say what it is: fitted on what, and where it is; never more than a line."""
        try:
            return f"<Recommender: {self._described()}>"
        except Exception:  # a model on a disk that is gone, or half unpickled
            return "<Recommender>"

    def _described(self) -> str:
        model = self._model
        if model is None:
            return f"not fitted; sources {', '.join(self.config.sources)}"
        state, onboarded = model.state, model.items.n_onboarded
        users, items = f"{len(state.user_ids):,} users", f"{len(state.items):,} items"
        since = f", {onboarded:,} onboarded since" if onboarded else ""
        place = "in memory" if self._folder is None else f"in {format_value(str(self._folder))}"
        return f"fitted on {users} and {items}{since}; {place}"

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled and copied: the settings; a fitted model has files and a database."""
        if self._model is not None:
            raise NotCopiedError(
                "a fitted Recommender is not pickled or copied: save(folder) writes it, and "
                "Recommender.load(folder) opens it, in other processes and several times as well"
            )
        return {"config": self.config}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # ------------------------------------------------------------------ fit

    def fit(
        self,
        dataset: MusicDataset,
        embeddings: FrameLike | None = None,
        encoder: "Encoder | None" = None,
        *,
        factors: "GivenFactors | str | Path | None" = None,
        progress: bool = False,
    ) -> Self:
        """Learn from plays, metadata and recordings.

        Without embeddings and encoder, a network is trained on the data set's labelled recordings;
        without two values of a tag to tell apart, recordings are compared by statistics of their
        sound (a warning and ``info`` say so). Without plays, or with those of one
        user, it goes by sound alone: the sources that need more stay out, as a warning and ``info``
        say. What was learned before is replaced once everything has been learned.

        Args:
            dataset: items, plays and recordings.
            embeddings: item embeddings in place of the network's: index or column item_id, one
                column a dimension; items may be missing.
            encoder: any fitted `embedding.encoders.Encoder`, such as a trained `SongEncoder`, in
                place of training one. The heads of an untrained `embedding.FineTunedEncoder` are
                trained on the data set's tags.
            factors: vectors of the source ``als`` in place of learning them, such as those that
                `recsys.cluster.learn_factors` has learned from more plays than the data set has;
                or the folder where they are.
            progress: show progress bars.

        Returns:
            The recommender itself.

        Raises:
            DataError: data that cannot be learned from.
            InvalidArgumentError: no `MusicDataset`.
            AudioError: a network is to be trained, and none of the recordings can be used.
            InvalidArgumentError: both embeddings and an encoder, or a setting that was changed in
                place and is not valid.
        """
        from threadpoolctl import threadpool_limits

        if embeddings is not None and encoder is not None:
            raise InvalidArgumentError("give embeddings or an encoder, not both")
        check_encoder(encoder)
        check_dataset(dataset)
        check_config(self.config, RecommenderConfig)
        self.config = self.config.checked()
        with tracked_run("fit", enabled=self.config.tracking) as run:
            run.log_params(self.config.model_dump(mode="json"))
            run.log_params({"dataset": {**dataset.summary(), "digest": dataset.digest()}})
            run.log_dataset(dataset, "training")
            with threadpool_limits(self.config.n_threads, user_api="blas"):
                state, audio = fit_state(
                    dataset,
                    self.config,
                    embeddings=embeddings,
                    encoder=encoder,
                    progress=progress,
                    factors=factors,
                )
            catalog = Catalog.in_memory()
            with stage_bar("song database", shown=progress):
                catalog.fill(fitted_songs(state, dataset, audio))
            with stage_bar("index", shown=progress):
                model = LiveModel(state, catalog)
            with self._writing("taking over what was learned", longer=True):
                self._model, self._folder = model, None
            learned = state.info["encoder"] or {}
            if state.encoder is not encoder and learned.get("history"):
                run.log_training(learned["history"])
            run.log_metrics({f"seconds_{name}": s for name, s in state.info["seconds"].items()})
            for kind in ("warm", "cold"):
                weights = state.info["blend"][kind]
                run.log_metrics({f"weight_{kind}_{name}": w for name, w in weights.items()})
        return self

    # ------------------------------------------------------------------ recommend

    @shows_list_options
    def recommend(
        self,
        user_id: str | None = None,
        k: int = 10,
        *,
        history: History | None = None,
        **options: Unpack[ListArguments],
    ) -> pd.DataFrame:
        """Recommend the k best items to one user.

        A user who is unknown and has no history gets the most popular items: then
        ``attrs["fallback"]`` is ``"popular"``, the score is the number of users who have played an
        item, and there are no shares. Where nobody has played anything yet, it is ``"varied"``: the
        most typical song of each kind of sound in turn, the largest kind first. Fewer than k rows
        are returned only if fewer items are left.

        Args:
            user_id: a user of the model.
            k: length of the list.
            history: for anybody else, the items they have played, or a mapping from item to plays.
            exclude_seen: leave out what the user has played; True by default.
            exclude: ids of items to leave out.
            only: ids of items to choose from.
            where: a column (artist, album, genre, any tag) with a value, or several of which an
                item must have one; of several columns, all must fit. Case and spaces around a value
                are ignored. If the list is empty because no item has a value,
                ``attrs["unmatched"]`` says so.
            per_artist: at most this many items of one artist.
            diversity: from 0, the order of scores, to 1, the items least alike, by maximal marginal
                relevance among the best candidates. Scores stay as they are.
            popularity_correction: from 0 to 1, how much of an item's standardised log popularity is
                taken off its standardised score to order the list. Scores stay as they are; the
                list of popular items is not corrected.
            discovery: the share of nDCG that the list may lose so that new songs, which nobody has
                played, are in it: 0 for a list as good as it can be, up to 1; as configured if not
                given. If the fit could not measure it, ``attrs["discovery"]`` says so.
            new: "only" for new songs alone, or how many places are theirs: a whole number, or a
                share of k as a float (1 is one place, 1.0 all). The best new songs for the user
                get them, spread so that every song has a chance; the best known songs get the
                rest. Where too few are left, the others fill the list, and ``attrs["new_places"]``
                says so; a list of "only" new songs, and one of 0, stays one.

        Returns:
            Columns rank (from 1), item_id, score, title, artist, genre, cold and new (both: nobody
            has played the item), and share_als, share_fm and so on: how much of the score each
            source gave, adding to 1.

        Raises:
            UnknownItemError: an item that is not in the catalogue.
            InvalidArgumentError: a number out of its range, an unknown column, or not exactly one
                of user id and history.

        Examples:
            >>> frame = recommender.recommend("u1", k=3, where={"genre": "jazz"}, per_artist=1)
            >>> frame["genre"].tolist()
            ['jazz', 'jazz', 'jazz']
            >>> recommender.recommend(history={"s1": 2, "s3": 1}, k=5).shape[0]
            5
            >>> recommender.recommend("nobody").attrs["fallback"]
            'popular'
            >>> recommender.recommend("u1", k=3, new=1)["new"].tolist().count(True)
            1
        """
        model = self._fitted()
        plays = None if history is None else history_plays(history)
        return recommend_for_user(model, user_id, plays, ListOptions(k=k, **options))

    @shows_list_options
    def recommend_ids(
        self,
        user_id: str | None = None,
        k: int = 10,
        *,
        history: History | None = None,
        **options: Unpack[ListArguments],
    ) -> RankedIds:
        """Recommend the k best items to one user as arrays: for programs, without a table.

        The list is that of `recommend`, which adds the texts of the items and makes a table of it,
        in less than half of the time.

        Args:
            user_id: a user of the model.
            k: length of the list.
            history: for anybody else, the items they have played, or a mapping from item to plays.
            **options: the options of `recommend`.

        Returns:
            ``ids``, ``scores`` and ``shares`` [k, sources], best item first; the names of the
            ``sources``; which items are ``new``; and the ``attrs`` of the table of `recommend`.

        Raises:
            UnknownItemError, InvalidArgumentError: as `recommend`.

        Examples:
            >>> ids, scores, shares = recommender.recommend_ids("u1", k=3)
            >>> ids.tolist() == recommender.recommend("u1", k=3)["item_id"].tolist()
            True
            >>> scores.dtype, shares.sum(axis=1).round(6).tolist()
            (dtype('float32'), [1.0, 1.0, 1.0])
            >>> recommender.recommend_ids("nobody").attrs
            {'fallback': 'popular'}
        """
        model = self._fitted()
        plays = None if history is None else history_plays(history)
        return recommend_ids_for_user(model, user_id, plays, ListOptions(k=k, **options))

    @shows_list_options
    def recommend_many(
        self,
        user_ids: Iterable[str],
        k: int = 10,
        *,
        histories: Mapping[str, History] | None = None,
        **options: Unpack[ListArguments],
    ) -> pd.DataFrame:
        """Recommend the k best items to each of many users.

        Args:
            user_ids: users, known or not.
            k: length of each list.
            histories: what users have played whom the model does not know, by user id: a history
                as in `recommend`. Those of users of the model are not looked at.
            **options: the options of `recommend`.

        Returns:
            Columns user_id, rank, item_id, score, new; users in the order given. Users about whom
            nothing is known get the most popular items and are listed in
            ``attrs["fallback_users"]``.

        Examples:
            >>> lists = recommender.recommend_many(["u1", "u2"], k=2)
            >>> lists[["user_id", "rank"]].to_numpy().tolist()
            [['u1', 1], ['u1', 2], ['u2', 1], ['u2', 2]]
            >>> lists = recommender.recommend_many(["x"], k=2, histories={"x": ["s1", "s3"]})
            >>> lists.attrs.get("fallback_users", [])
            []
        """
        model = self._fitted()
        return recommend_many(model, user_ids, ListOptions(k=k, **options), BATCH, histories)

    @shows_list_options
    def recommend_batches(
        self,
        user_ids: Iterable[str] | None = None,
        k: int = 10,
        *,
        batch_size: int = BATCH,
        **options: Unpack[ListArguments],
    ) -> Iterator[pd.DataFrame]:
        """Recommend to many users, one table per batch: only one batch is in memory.

        Args:
            user_ids: users, read only as far as the batches are; all users if not given.
            k: length of each list.
            batch_size: users per table.
            **options: the options of `recommend`.

        Returns:
            An iterator of tables as `recommend_many` returns.

        Raises:
            InvalidArgumentError: before the first batch, what `recommend` raises, or a batch
                size below 1.

        Examples:
            >>> [len(batch) for batch in recommender.recommend_batches(k=2, batch_size=40)]
            [80, 40]
        """
        model = self._fitted()
        return recommend_batches(model, user_ids, ListOptions(k=k, **options), batch_size)

    @shows_list_options
    def write_recommendations(
        self,
        out: str | Path,
        users: str | Path | None = None,
        k: int = 10,
        *,
        batch_size: int = BATCH,
        progress: bool = False,
        **options: Unpack[ListArguments],
    ) -> BatchReport:
        """Write the lists of all users to a Parquet file: user_id, rank, item_id, score, new.

        A run that was killed continues where it stopped, if the model and the arguments are the
        same. The file appears only when it is complete.

        Args:
            out: the file, ending in .parquet.
            users: a text file of user ids, one a line, or a table with a column user_id; all users
                if not given.
            k: length of each list.
            batch_size: users per batch.
            progress: show a progress bar.
            **options: the options of `recommend`.

        Raises:
            InvalidArgumentError: what `recommend_batches` raises, or `out` cannot be a file.
            DataError: the file of users cannot be read.
            ArtifactError: `out` cannot be written, or another run is writing it.

        Examples:
            >>> recommender.write_recommendations(folder / "lists.parquet", k=2).rows
            120
        """
        model, file = self._fitted(), None if users is None else Path(users)
        options_of_lists = ListOptions(k=k, **options)
        return write_lists(model, Path(out), file, options_of_lists, batch_size, progress=progress)

    def explain(
        self,
        user_id: str | None,
        item_id: str,
        *,
        history: History | None = None,
        n: int = 5,
    ) -> Explanation:
        """Explain the score of an item for a user.

        Args:
            user_id: a user of the model; None with a history.
            item_id: the item.
            history: as for `recommend`.
            n: how many of the nearest played items to name, by taste and by sound.

        Returns:
            The share of each source and the score, as `recommend` has them; the played items
            nearest to the item; and the artist, album, genre and tags that it shares with them.

        Raises:
            UnknownUserError: no such user.
            UnknownItemError: no such item.
            InvalidArgumentError: n below 1, not exactly one of user id and history, or a user about
                whom nothing is known.

        Examples:
            >>> why = recommender.explain("u1", "s3")
            >>> round(sum(why.shares.values()), 6)
            1.0
        """
        model = self._fitted()
        plays = None if history is None else history_plays(history)
        return explain(model, user_id, item_id, plays, n)

    def similar(
        self,
        item_id: "ItemOrRecording | None" = None,
        k: int = 10,
        *,
        by: Space = "fused",
        recording: "AudioSource | None" = None,
        embedding: ArrayLike | None = None,
    ) -> pd.DataFrame:
        """List the k items most similar to an item, or to a song that is not onboarded.

        A recording or an embedding is heard and mapped as by `onboard`, and the model stays as it
        is. If the recording is that of an item as well, the item is listed, too.

        Args:
            item_id: an item; or a recording, as for `onboard`. A text that is no item's id is taken
                for the path of a file that exists.
            k: length of the list.
            by: "sound" (cosine of embeddings), "taste" (cosine of the vectors of the sources that
                know who plays the items), or "fused" (all sources).
            recording: a recording in place of an item.
            embedding: a song's vector in place of an item, as for `onboard`.

        Returns:
            Columns rank, item_id, score (cosine, -1 to 1), title, artist, genre, cold.

        Raises:
            UnknownItemError: neither an item of the catalogue nor a file.
            AudioError: a recording that cannot be used.
            InvalidArgumentError: the song has nothing to compare by, an embedding that does not
                fit, or not exactly one of item, recording and embedding.

        Examples:
            >>> recommender.similar("s1", k=2, by="sound")["genre"].tolist()
            ['jazz', 'jazz']
            >>> recommender.similar(embedding=[0, 1, 0, 0], k=2)["genre"].tolist()
            ['jazz', 'jazz']
        """
        model = self._fitted()
        return similar_items(model, item_id, k, by, recording=recording, embedding=embedding)

    def audience(
        self,
        item_id: "ItemOrRecording | None" = None,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Iterable[str] = (),
        users: Iterable[str] | None = None,
        where: Where | None = None,
        recording: "AudioSource | None" = None,
        embedding: ArrayLike | None = None,
        title: str = "",
        artist: str = "",
        album: str = "",
        genre: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """List the k users who will like a song best: an item, or one that is not onboarded.

        A recording or an embedding is heard and mapped as by `onboard`, and the model stays as it
        is. Users of whose taste nothing is known are never listed.

        Args:
            item_id: an item; or a recording, as for `onboard`. A text that is no item's id is taken
                for the path of a file that exists.
            k: how many users.
            exclude_seen: leave out the users who have played the item.
            exclude: ids of users to leave out.
            users: ids of users to choose from; all if not given.
            where: as for `recommend`: only users who have played an item that fits.
            recording: a recording in place of an item.
            embedding: a song's vector in place of an item, as for `onboard`.
            title: of a song that is no item, like the next four; they count as they do for
                `onboard`.
            artist: likewise.
            album: likewise.
            genre: likewise.
            tags: likewise.

        Returns:
            Columns rank (from 1), user_id, score and share_als and so on, as `recommend` gives them
            for this item; like, the id of the item that the user has played which is most like the
            song, "" where none is like it; and reason, both in words. Equal scores are in the order
            of the users. An empty table says why in ``attrs["empty"]``.

        Raises:
            UnknownItemError: neither an item of the catalogue nor a file.
            UnknownUserError: a user of `exclude` or `users` is not in the model.
            AudioError: a recording that cannot be used.
            InvalidArgumentError: a number out of its range, an unknown column, an embedding that
                does not fit, or not exactly one of item, recording and embedding.

        Examples:
            >>> recommender.audience("new-1", k=2)["rank"].tolist()
            [1, 2]
            >>> recommender.audience(embedding=[0, 1, 0, 0], k=3, where={"genre": "jazz"}).shape[0]
            3
        """
        options = AudienceOptions(k, exclude_seen, exclude, users, where)
        texts = {"title": title, "artist": artist, "album": album, "genre": genre}
        return song_audience(
            self._fitted(),
            item_id,
            {**texts, "tags": _checked_tags(tags)},
            options,
            recording=recording,
            embedding=embedding,
        )

    def playlist(
        self,
        seeds: "Seeds",
        length: int = 20,
        *,
        path: bool = False,
        by: Space = "fused",
        per_artist: int | None = None,
        exclude: Iterable[str] = (),
        where: Where | None = None,
        include_seeds: bool = True,
        user_id: str | None = None,
        playable: bool = False,
        recordings: str | Path | None = None,
    ) -> pd.DataFrame:
        """Make a playlist of songs like one or several, or of a path from song to song.

        The songs are in an order in which each is near the one before, beginning at the first seed,
        with two of one artist side by side only where that cannot be avoided. No song comes twice,
        nor two items with the same recording, or with the same artist and title.

        Args:
            seeds: the id of an item or a recording (path, bytes or file object; a text that is no
                id may be a path), or several of them in a list.
            length: songs in the playlist, seeds included.
            path: go from each seed to the next in small steps, forward all along the way. Without,
                each seed in turn adds the song that is nearest to it.
            by: "sound", "taste" or "fused", as for `similar`.
            per_artist: at most this many songs of one artist, seeds included.
            exclude: ids of items to leave out, among seeds too.
            where: as for `recommend`; for all songs but the seeds.
            include_seeds: whether the seeds are in the playlist; of a path they are the ends.
            user_id: a user whose taste counts as much as likeness in choosing the songs.
            playable: choose only songs with a recording that is there.
            recordings: the folder where the recordings are now, if they were moved since the model
                has heard them.

        Returns:
            Columns rank, item_id ("" for a recording that is no item), score (cosine to the nearest
            seed), distance (1 - cosine to the song before), title, artist, genre, cold, and path
            ("" where no recording is there). Fewer rows than asked for only if no more songs fit.
            What could not be done is in ``attrs["notes"]``, a line each.

        Raises:
            UnknownItemError: an item that is not in the catalogue.
            UnknownUserError: no such user.
            AudioError: a recording that cannot be used.
            InvalidArgumentError: no seed, one given twice, more than the length has room for, or
                one that has nothing to compare by; a path from one seed; options out of range.

        Examples:
            >>> recommender.playlist("s1", length=3, by="sound")["genre"].tolist()
            ['jazz', 'jazz', 'jazz']
            >>> songs = recommender.playlist(["s1", "s2"], length=6, path=True, per_artist=2)
            >>> songs["item_id"].iloc[0], songs["item_id"].iloc[-1], len(songs)
            ('s1', 's2', 6)
        """
        from recsys.playlists.playlist import PlaylistOptions, make_playlist

        options = PlaylistOptions(
            length, path, by, per_artist, exclude, where, include_seeds, user_id, playable,
            recordings,
        )  # fmt: skip
        return make_playlist(self._fitted(), seeds, options)

    def search(self, text: str, k: int = 10) -> pd.DataFrame:
        """Search items by their title, artist or id.

        Args:
            text: words; every one must be in the title, the artist or the id. Case is ignored.
            k: number of items at most.

        Returns:
            Columns item_id, title, artist, album and genre, in the order of the data set, but first
            those that the text names: ``attrs["named"]`` is how many. An item is named by its id
            (then by nothing else), its title, or artist and title as "A - B".

        Raises:
            InvalidArgumentError: no text, or k below 1.

        Examples:
            >>> found = recommender.search("song 2")
            >>> found["item_id"].tolist()[:2], found.attrs["named"]
            (['s2', 's4'], 1)
        """
        check_whole("k", k)
        if not isinstance(text, str):
            raise InvalidArgumentError(f"text must be a text, not {format_value(text)}")
        items = self._fitted().items
        named = items.rows_named(text)
        others = items.rows_mentioning(text) if len(named) < k else named
        rows = list(dict.fromkeys([*named.tolist(), *others.tolist()]))[:k]
        found = items.describe(np.array(rows, np.intp))
        found.attrs["named"] = min(len(named), k)
        return found

    # ------------------------------------------------------------------ new items and plays

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

        If the model has been saved or loaded, the item is on the disk before this returns.
        Onboarding the same id again replaces the item.

        Args:
            recording: a path, the content as bytes, or a binary file object such as an upload.
            item_id: a new id, or that of an item that nobody has played.
            title: shown in lists, like the next three.
            artist: also counts in the options of `recommend`.
            album: likewise.
            genre: likewise.
            tags: further texts by name.
            embedding: the item's vector in place of a recording, if the model was fitted on given
                embeddings.

        Returns:
            The id; for a recording, the value of its first tag that the network predicts; and how
            familiar the song sounds, as `predict` says it. Songs of low familiarity are recommended
            more carefully: their vectors are shrunk towards what is known without hearing them.

        Raises:
            AudioError: a recording that cannot be used.
            InvalidArgumentError: an id that is blank or has users, or an embedding that does not
                fit; nothing is added.

        Examples:
            >>> added = recommender.onboard(item_id="n", title="New", embedding=[1, 0, 0.1, 0])
            >>> added.item_id, added.predicted, added.familiarity > 0.1
            ('n', None, True)
        """
        model = self._fitted()
        song = build_song(
            model, recording, embedding,
            Song(checked_id("item_id", item_id), title, artist, album, genre, _checked_tags(tags)),
        )  # fmt: skip
        self._add_songs([song], model)
        return OnboardingResult.from_song(song)

    def predict(
        self,
        recording: "AudioSource | None" = None,
        *,
        embedding: ArrayLike | None = None,
    ) -> Prediction:
        """Say what a recording sounds like, and how familiar that is; the model stays as it is.

        Args:
            recording: as for `onboard`.
            embedding: as for `onboard`.

        Returns:
            The predicted tags, and the familiarity of the sound: the share of songs by artists left
            out that are at least as far from what the model learned from, 0 to 1, or None where
            that is not known.

        Raises:
            AudioError: a recording that cannot be used.
            InvalidArgumentError: an embedding that does not fit, or not one of both.

        Examples:
            >>> recommender.predict(embedding=[1, 0, 0.1, 0]).familiarity > 0.1
            True
        """
        return predict(self._fitted(), recording, embedding)

    def onboard_many(
        self,
        dataset: MusicDataset,
        embeddings: FrameLike | None = None,
        *,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Add all items of a data set, with the embeddings of their recordings or given ones.

        Interactions in the data set are ignored. An item without a usable recording is added by its
        metadata alone.

        Args:
            dataset: the items and their recordings.
            embeddings: item embeddings in place of the network's, as for `fit`.
            progress: show a progress bar.

        Returns:
            Columns item_id, status ("heard" or "metadata only") and familiarity, NaN where it is
            not known; why recordings were left out is in ``attrs["recordings_left_out"]``.

        Examples:
            >>> songs = pd.DataFrame({"item_id": ["a", "b"], "title": "", "artist": "", "album": "",
            ...                       "genre": "jazz"})
            >>> recommender.onboard_many(type(dataset)(items=songs))["status"].tolist()
            ['metadata only', 'metadata only']
        """
        check_dataset(dataset)
        model = self._fitted()
        songs, audio = build_songs(model, dataset, embeddings, progress=progress)
        self._add_songs(songs, model)
        return onboarding_report(songs, audio)

    def onboard_folder(
        self,
        folder: str | Path,
        metadata: str | Path | FrameLike | None = None,
        progress: bool = False,
        *,
        threads: int | None = None,
        duplicates: Literal["keep", "skip"] = "keep",
        remove_missing: bool = False,
    ) -> pd.DataFrame:
        """Add every recording in a folder and below; what the model has unchanged is skipped.

        Items are added in batches, each recommendable, and durable as by `onboard`, at once:
        an interrupted run continues where it stopped. A recording that cannot be used is skipped.
        Title, artist and so on are read from the files' tags. A file that was renamed, moved or
        retagged stays the same item: it is known by its sound.

        Args:
            folder: the folder.
            metadata: a CSV or Parquet file or a table with a column path (a file's path within the
                folder, or its name alone), and any of item_id, title, artist, album, genre and
                tags, which come before those of the files. A recording without an item_id there
                gets its path without the suffix, or with it where another one has that id.
            progress: show a progress bar.
            threads: processes that decode; as configured if not given.
            duplicates: "keep" makes an item of each new recording that sounds like another one,
                "skip" does not.
            remove_missing: take out the songs of earlier runs whose files are gone, unless all
                are: then the folder is perhaps not the one that it was.

        Returns:
            Columns item_id, path, status, reason and familiarity (of the item; NaN where it is not
            known). The status is "added"; "updated": the item has
            this recording, and now its new texts or path; "unchanged": it has both already;
            "failed"; "duplicate"; "missing": an item of an earlier run whose file is gone, or
            "removed". Files come first, by path. What is in the folder and is no recording is in
            ``attrs["passed_over"]``, each with path and reason.

        Raises:
            DataError: no folder, nothing in it, or metadata that cannot be used.
            InvalidArgumentError: a model without a network.
        """
        from recsys.onboarding.folder import onboard_folder

        model = self._fitted()
        report = onboard_folder(
            model,
            self._folder_writer(model),
            Path(folder),
            Path(metadata) if isinstance(metadata, str) else metadata,
            workers=self.config.n_threads if threads is None else threads,
            progress=progress,
            duplicates=duplicates,
            remove_missing=remove_missing,
        )
        report["familiarity"] = self._fitted().items.familiarity_of_ids(report[ITEM_ID])
        return report

    def tag_folder(
        self,
        folder: str | Path,
        *,
        write: bool = False,
        least: float = 0.5,
        overwrite: bool = False,
        unfamiliar: bool = False,
        journal: str | Path | None = None,
        threads: int | None = None,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Say what the tags of a folder's recordings would be by what the model hears, or write it.

        Genre, mood and every other tag that the encoder predicts get a field in the files' own
        tags: ID3 (mp3, wav, aiff), Vorbis comments (flac, ogg, opus) or MP4 (m4a). What somebody
        else has written there stays. The sound and all other tags stay the same, and
        `recsys.tagging.undo_tags` gives back what was there before.

        Args:
            folder: the folder.
            write: write into the files; otherwise nothing is changed.
            least: least probability of a value.
            overwrite: also write over what somebody else has written.
            unfamiliar: also tag recordings that sound unlike what the model has learned from.
            journal: file that keeps what was written; by default beside the folder, called after
                it with ".coldtune-tags.jsonl" behind its name.
            threads: processes that decode; as configured if not given.
            progress: show a progress bar.

        Returns:
            A row for each field of each recording: path, field, old and new (lists of texts),
            status, reason and familiarity. The status is "set", "renewed" (coldtune wrote the old
            value), "overwritten", "unchanged" or "kept" (somebody else's value). A recording
            without a field is "unsure" (no value is probable enough), "unfamiliar" or "failed".
            ``attrs`` say whether it was written, and where the journal is.

        Raises:
            DataError: the folder or the journal cannot be used.
            InvalidArgumentError: the model predicts no tags, or an argument is out of its range.
        """
        from recsys.tagging.folder import TaggingOptions, tag_folder

        return tag_folder(
            self._fitted(),
            Path(folder),
            write=write,
            options=TaggingOptions(least, overwrite, unfamiliar),
            journal=None if journal is None else Path(journal),
            workers=self.config.n_threads if threads is None else threads,
            progress=progress,
        )

    def watch_folder(
        self, folder: str | Path, **options: Unpack["WatchArguments"]
    ) -> "FolderWatcher":
        """Follow a folder: add what arrives, notice what is renamed, changed or deleted.

        The watcher has no state but the model: one that is started later compares the whole folder
        with the model. A file is taken once it is complete, and known by its sound as by
        `onboard_folder`.

        Args:
            folder: the folder.
            settle: seconds for which a file must stay the same to count as complete; one that was
                renamed into its place is complete at once.
            remove: songs to take out when their files are gone: "none", "unplayed", or "all", with
                their plays since the fit.
            allow_mass_removal: take out more than half of the folder's songs at once, too.
            duplicates: as for `onboard_folder`.
            dry_run: change nothing, and say what would be done.
            threads: processes that decode; as configured if not given.
            progress: show progress bars.

        Returns:
            A watcher: its `events()` follow the folder until `stop()`, its `once()` compare the
            folder with the model and end.

        Raises:
            DataError: no such folder.
            InvalidArgumentError: a model without a network, or a number out of its range.
        """
        from recsys.onboarding.watching import FolderWatcher, WatchedModel

        watched = WatchedModel(self._fitted, self._folder_writer, self.refresh)
        options.setdefault("threads", self.config.n_threads)
        return FolderWatcher(watched, Path(folder), **options)

    def update(
        self,
        interactions: FrameLike,
        *,
        batch_id: str | None = None,
        mode: UpdateMode = "add",
    ) -> UpdateReport:
        """Take in new plays, in time proportional to what they touch; lists know them at once.

        The model is the fit plus the sum of all plays since, whatever the order and the batches
        they came in. An item that somebody has played is no longer cold. If the model has been
        saved or loaded, the plays are on the disk before this returns.

        A batch with an id is taken in once, whoever sends it again and whatever happened to the
        process that took it in; so is a play with an event_id. What is known already changes
        nothing. The model keeps the newest 100,000 ids of batches and 1,000,000 of events, through
        `save`, `rebuild` and `load`; `fit` starts without any.

        Args:
            interactions: user_id, item_id, weight and, optionally, timestamp, as in a data set; of
                known and new users and of all items of the catalogue, onboarded ones included.
                A column event_id names the event that each row tells of; "" for none.
            batch_id: a name for these plays, of at most 500 characters.
            mode: "add": the weight is added to what the user has played of the item. "replace": it
                takes the place of that, the plays of the fit included.

        Returns:
            How many plays were taken in, and of how many users and items; its `repeated` is the
            number of plays that were known already.

        Raises:
            DataError: names the row of what is wrong with the table; nothing is taken in.
            InvalidArgumentError: a batch or an event that is known with other plays, or an id or a
                mode that cannot be; nothing is taken in.
            UnknownItemError: names an item that is not in the catalogue; nothing is taken in.

        Examples:
            >>> plays = pd.DataFrame({"user_id": ["ann"], "item_id": ["new-1"], "weight": [1.0]})
            >>> recommender.update(plays)
            UpdateReport(plays=1, users=1, new_users=1, items=1, warmed=1)
        """
        plays, request = checked_request(interactions, batch_id, mode)
        with self._changing("storing plays") as model:
            self._model, report = model.with_plays(plays, request)
        return report

    def remove(self, item_id: str) -> None:
        """Take an item out of the catalogue, its plays since the fit included.

        It is in no list and no history any more. Onboarding it again adds it as an item that nobody
        has played.

        Raises:
            UnknownItemError: no such item.

        Examples:
            >>> recommender.remove("s3")
            >>> recommender.info["now"]["items"]
            29
        """
        item = checked_id("item_id", item_id)
        with self._changing("removing an item") as model:
            self._model = model.without_item(*model.items.known_ids([item]))

    # ------------------------------------------------------------------ on disk

    def save(self, folder: str | Path, *, replace: bool = False) -> None:
        """Write the model to a folder, replacing a model that is there in a single step.

        From then on, onboarded items and plays are stored there, too. What other processes have
        stored in this model is saved with it.

        Args:
            folder: a new folder, that of this model, or that of another one.
            replace: also over songs and plays that came to the model there and that this one does
                not have, and over a model that took the place of this one.

        Raises:
            ArtifactError: the model cannot be written, or another process has put a new model in
                the place of this one; what was there is left as it was.
            InvalidArgumentError: another model there took in songs or plays that would be lost.
            BusyError: another process has been writing there for too long.

        Examples:
            >>> recommender.save(folder / "model")
            >>> (folder / "model" / "manifest.json").is_file()
            True
        """
        place = Path(folder).absolute()  # the working directory may change later
        with self._writing("saving the model", longer=True):
            self._model = storage.save_model(place, prepared(self._fitted()), replace=replace)
            self._folder = place

    @classmethod
    def load(cls, folder: str | Path, *, encoder: "Encoder | None" = None) -> Self:
        """Open a model that `save` wrote. Every file is checked before anything is used.

        A model whose encoder is not on this machine (a function, an ONNX file that was moved, an
        encoder to be fetched) knows its songs all the same; only what hears new recordings raises
        `EncoderUnavailableError`.

        Args:
            folder: where it was saved.
            encoder: the encoder that it was made with, where that cannot be saved or was moved.

        Raises:
            ArtifactError: no model there, a file missing or changed, or a newer format.
            InvalidArgumentError: the encoder is another one.
            EncoderUnavailableError, EncoderError: the given encoder cannot work.

        Examples:
            >>> recommender.save(folder / "model")
            >>> Recommender.load(folder / "model").info["now"]["users"]
            60
        """
        place = Path(folder).absolute()
        check_encoder(encoder)
        model = storage.load_model(place)
        if encoder is not None:
            model = model.heard_by(encoder)
        recommender = cls(model.state.config)
        recommender._model = model
        recommender._folder = place
        return recommender

    @property
    def info(self) -> dict[str, Any]:
        """Facts about the model: data set, items, blend weights, network, times, versions.

        ``familiarity`` says from how many songs and artists it is known how familiar a recording
        sounds, and below which familiarity songs are recommended more carefully; or why it is not
        known (``unknown``). It is missing in models of earlier versions.
        ``sources_left_out`` says which sources the plays were too few for, and is empty otherwise.
        ``encoder`` describes the network, or the statistics of sound (its ``method``) in its place;
        ``network`` says why there is none in spite of recordings, or which tags it could not be
        trained on, and is empty otherwise.

        ``dataset`` and ``items`` are those of the fit (after a rebuild, ``items`` those at that
        time); ``now`` counts what there is: users, items, with_listeners, with_embedding.
        ``index`` says how items are searched: the method ("exact", "screened", "pruned" or
        "annoy"), its settings and, where it is not exact, its measured recall and on how many
        users.
        """
        model = self._fitted()
        return {
            **model.state.info,
            "now": model.counts(),
            "onboarded": model.items.n_onboarded,
            "index": dict(model.index_info),
        }

    def refresh(self) -> bool:
        """Take in what other processes have done to the saved model.

        A model that was replaced is loaded again. Answers under way are completed from the old
        state. If nothing was done, this costs reading the manifest and one number.

        Returns:
            Whether there was anything to take in.

        Raises:
            ArtifactError: the model cannot be read.

        Examples:
            >>> recommender.save(folder / "model")
            >>> reader = Recommender.load(folder / "model")
            >>> recommender.onboard(item_id="n", embedding=np.ones(4)).item_id
            'n'
            >>> reader.refresh()
            True
        """
        with self._writing("refreshing the model"):
            model = self._fitted()
            if self._folder is None:
                return False
            self._model = storage.refresh_model(self._folder, model)
            return self._model is not model

    def rebuild(self) -> None:
        """Merge everything since the fit into the fitted state; lists stay the same.

        The plays, users and items since the fit are then in the matrices and in the index, which
        makes opening and searching faster; nothing is learned, with one exception: sources that the
        fit left out for want of plays (``info["sources_left_out"]``) are learned, and blended, as
        soon as two users have played two items or more. A model that has been saved or
        loaded is replaced on the disk in a single step, and the song database keeps the songs.

        Raises:
            ArtifactError: the model cannot be written; everything is as before.

        Examples:
            >>> recommender.onboard(item_id="n", embedding=np.ones(4)).item_id
            'n'
            >>> recommender.rebuild()
            >>> recommender.info["onboarded"]
            0
        """
        from threadpoolctl import threadpool_limits

        from recsys.training.relearning import relearned

        with (
            self._writing("rebuilding the model", longer=True),
            threadpool_limits(self.config.n_threads, user_api="blas"),
        ):
            model = self._fitted()
            if self._folder is None:
                self._model = relearned(model)
            else:
                self._model = storage.replace_model(
                    self._folder, model, lambda one: prepared(relearned(one))
                )

    @property
    def live(self) -> LiveModel:
        """The model as it is now, which never changes: several questions to it have one answer.

        Changes go through this recommender.

        Raises:
            NotFittedError: there is none yet.

        Examples:
            >>> before = recommender.live
            >>> recommender.remove("s3")
            >>> before.counts()["items"], recommender.live.counts()["items"]
            (30, 29)
        """
        return self._fitted()

    def _fitted(self) -> LiveModel:
        if self._model is None:
            raise NotFittedError("this recommender is not fitted: call fit, or load a saved one")
        return self._model

    @contextmanager
    def _writing(self, doing: str, *, longer: bool = False) -> Iterator[None]:
        """Hold off other threads that would change the model."""
        with self._write_lock.held(doing, seconds=patience(longer=longer)):
            yield

    @contextmanager
    def _changing(self, doing: str) -> Iterator[LiveModel]:
        """Hold off other changes; yield the model, with what other processes have stored in it."""
        with self._writing(doing):
            model = self._fitted()
            if self._folder is None:
                yield model
                return
            with storage.held_for_change(self._folder, model, doing):
                yield model.reopened()

    def _folder_writer(self, model: LiveModel) -> "ModelWriter":
        """What changes this recommender for a folder whose recordings `model` has heard."""
        from recsys.onboarding.folder import ModelWriter

        def relocate(paths: Mapping[str, Mapping[str, str]]) -> None:
            with self._changing("storing paths") as now:
                self._model = now.with_new_paths(paths)

        return ModelWriter(
            add=lambda songs: self._add_songs(songs, model),
            retell=lambda songs: self._add_songs(songs, model, told_anew=True),
            remove=self.remove,
            relocate=relocate,
        )

    def _add_songs(
        self, songs: Sequence[Song], heard_by: LiveModel, *, told_anew: bool = False
    ) -> None:
        """Add songs whose embeddings were made for a model, this one or an earlier one.

        Songs that are only told anew are in it already, and may have been played.
        """
        with self._changing("storing songs") as model:
            if any(song.embedding is not None for song in songs) and not model.hears_like(heard_by):
                raise ArtifactError(
                    "the model was replaced by one that hears otherwise while recordings were "
                    f"embedded for it; onboard {songs[0].item_id!r} again"
                )
            if told_anew:
                self._model = model.with_new_texts(model.items.with_known_spellings(songs))
            else:
                self._model = model.with_songs(model.items.with_known_spellings(songs))


def _checked_tags(tags: object) -> dict[str, str]:
    if tags is not None and not isinstance(tags, Mapping):
        raise InvalidArgumentError(
            f"tags must be texts by name, as in {{'mood': 'calm'}}, not {format_value(tags)}"
        )
    return dict(tags or {})
