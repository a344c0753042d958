"""Make a playlist: look up the seeds, choose songs near them or between them, order, describe."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from datasets.arguments import check_flag, check_whole
from datasets.arrays import Float32Array, IntArray
from datasets.columns import ARTIST, COLD, GENRE, ITEM_ID, PATH, TITLE
from datasets.errors import InvalidArgumentError, UnknownUserError
from datasets.tables.ids import checked_id, checked_ids
from datasets.tables.values import format_value
from datasets.texts.file_names import name_as_text, name_from_text
from datasets.texts.unicode_forms import folded
from recsys.model.items import Where
from recsys.model.live import LiveModel
from recsys.playlists.files import RecordingFiles, some_of
from recsys.playlists.m3u import NOTES
from recsys.playlists.ordering import same_artist_pairs, smooth_order, step_lengths
from recsys.playlists.path import corridor, corridor_size, path_between
from recsys.playlists.seeds import Seed, read_seeds
from recsys.ranking.similarity import Space, unit_vectors

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource

    Seeds: TypeAlias = str | AudioSource | Iterable[str | AudioSource]

DISTANCE = "distance"
"""Column of a playlist: one minus the cosine of a song and the one before."""

_AT_ONCE = 500
"""Songs whose texts and recordings are looked up together."""

_POOL, _LEAST_POOL = 5, 100
"""A user's taste chooses among so many times the songs wanted, and no fewer than this."""


@dataclass(frozen=True)
class PlaylistOptions:
    """What a playlist may hold, how long it is, and what its songs are chosen by.

    Raises:
        InvalidArgumentError: a number out of its range, or an invalid or missing id.

    Examples:
        >>> PlaylistOptions(length=0)
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: length must be a whole number of at least 1, not 0
    """

    length: int = 20
    """Number of songs, seeds included."""

    path: bool = False
    """Go from each seed to the next, instead of gathering songs that are like them."""

    by: Space = "fused"
    """What songs are compared by."""

    per_artist: int | None = None
    """At most this many songs of one artist; None for any number."""

    exclude: Iterable[str] = ()
    """Ids of items to leave out; kept as a list."""

    where: Where | None = None
    """Columns with the value, or the values, of which a song that is not a seed must have one."""

    include_seeds: bool = True
    """Whether the seeds are in the playlist."""

    user_id: str | None = None
    """A user whose taste counts as much as likeness; None for likeness alone."""

    playable: bool = False
    """Only songs with a recording that is there."""

    recordings: str | Path | None = None
    """The folder where the recordings are now, if they were moved."""

    def __post_init__(self) -> None:
        """Check all options; ids are read once, so that they may come from a generator."""
        check_whole("length", self.length)
        for name in ("path", "include_seeds", "playable"):
            check_flag(name, getattr(self, name))
        if self.per_artist is not None:
            check_whole("per_artist", self.per_artist)
        object.__setattr__(self, "exclude", checked_ids("exclude", self.exclude))
        if self.user_id is not None:
            object.__setattr__(self, "user_id", checked_id("user_id", self.user_id))
            if self.path:
                raise InvalidArgumentError("user_id is for songs like the seeds, not for a path")


def make_playlist(model: LiveModel, given: "Seeds", options: PlaylistOptions) -> pd.DataFrame:
    """Make a playlist; see `Recommender.playlist`.

    Args:
        model: the model.
        given: the seeds.
        options: what the playlist may hold.

    Returns:
        The table that `Recommender.playlist` describes.

    Raises:
        UnknownItemError: an item that is not in the catalogue.
        UnknownUserError: no such user.
        AudioError: a recording among the seeds that cannot be used.
        InvalidArgumentError: seeds or options that cannot work with this model.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> options = PlaylistOptions(length=3, by="sound")
        >>> make_playlist(load_model(folder / "model"), "s1", options)["genre"].tolist()
        ['jazz', 'jazz', 'jazz']
    """
    fitted = model.state.info["dataset"].get("folder")
    files = RecordingFiles(
        model.catalog,
        None if fitted is None else Path(name_from_text(fitted)),
        None if options.recordings is None else Path(options.recordings),
    )
    if options.playable and not files.has_any:
        raise InvalidArgumentError(
            "no song can be played: this model knows no recordings, as it was not fitted on any"
        )
    unit_vectors(model, options.by)  # raises if the model has no such vectors
    seeds = read_seeds(model, given, options.by, files)
    maker = _Maker(model, files, seeds, options)
    return maker.path() if options.path else maker.like()


class _Known(NamedTuple):
    """What tells whether two songs are one: digests of recordings, artist and title."""

    keys: frozenset[str | tuple[str, str]]
    item_id: str


class _Maker:
    """One playlist in the making."""

    def __init__(
        self,
        model: LiveModel,
        files: RecordingFiles,
        seeds: Sequence[Seed],
        options: PlaylistOptions,
    ) -> None:
        self._model = model
        self._files = files
        self._options = options
        self._vectors = unit_vectors(model, options.by)
        self._notes: list[str] = []
        self._known: dict[int, _Known] = {}
        self._without_file: dict[str, None] = {}
        self._seeds = seeds
        self._shown = self._seeds_shown()
        self._allowed = self._allowed_rows()
        count = sum(self._shown)
        if count > options.length:
            raise InvalidArgumentError(
                f"length must be at least {count}, the number of seeds, not {options.length}"
            )
        if options.path and len(seeds) == 1:
            raise InvalidArgumentError("a path needs two seeds or more, from where and to where")
        self._wanted = options.length - count

    # ------------------------------------------------------------------ what may be in it

    def _seeds_shown(self) -> list[bool]:
        """Which of the seeds are in the playlist."""
        excluded = set(self._model.items.known_ids(self._options.exclude))
        shown = []
        for seed in self._seeds:
            is_in = self._options.include_seeds and seed.song.item_id not in excluded
            if is_in and not seed.is_item and seed.file is None:
                self._notes.append("a recording that is no file cannot be in the playlist")
                is_in = False
            if is_in and self._options.playable and self._place(seed) is None:
                name = format_value(seed.song.item_id)
                self._notes.append(f"{name} is left out: it has no recording that is there")
                is_in = False
            shown.append(is_in)
        return shown

    def _place(self, seed: Seed) -> Path | None:
        return self._files.find(seed.song.item_id) if seed.is_item else seed.file

    def _allowed_rows(self) -> IntArray:
        """The rows that songs are chosen from, ascending; repeats may be among them."""
        items, options = self._model.items, self._options
        allowed = np.asarray(self._vectors.any(axis=1), bool)
        if options.where:
            matching = np.zeros(len(items), bool)
            matching[items.rows_where(options.where)] = True
            allowed &= matching
            if unmatched := items.unmatched(options.where):
                self._notes.append(unmatched)
        allowed[items.retired] = False
        allowed[items.rows(options.exclude)] = False
        allowed[[seed.row for seed in self._seeds if seed.is_item]] = False
        return np.flatnonzero(allowed)

    def _look_up(self, rows: IntArray) -> None:
        """Find out what the songs of some rows are known by."""
        rows = np.array([row for row in rows.tolist() if row not in self._known], np.intp)
        items = self._model.items
        ids = items.ids(rows).tolist()
        self._files.look_up(ids)
        texts = (items.texts(name, rows) for name in (ARTIST, TITLE))
        for row, item_id, artist, title in zip(rows.tolist(), ids, *texts, strict=True):
            self._known[row] = _Known(self._keys(item_id, artist, title), item_id)

    def _keys(self, item_id: str, artist: str, title: str) -> frozenset[str | tuple[str, str]]:
        keys: set[str | tuple[str, str]] = set()
        if self._files.has_any and item_id:
            keys.update(self._files.contents(item_id))
        if artist.strip() and title.strip():
            keys.add((folded(artist), folded(title)))
        return frozenset(keys)

    def _fitting(self, rows: IntArray, chosen: Iterable[int] = ()) -> Iterator[int]:
        """The rows, in their order, that are no repeat of a seed, of those chosen or of earlier."""
        there = {
            key
            for seed in self._seeds
            for key in self._keys(seed.song.item_id, seed.song.artist, seed.song.title)
        }
        before = np.array(list(chosen), np.intp)
        self._look_up(before)
        there.update(key for row in before.tolist() for key in self._known[row].keys)
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            self._look_up(part)
            for row in part.tolist():
                keys, item_id = self._known[row]
                if keys & there:
                    continue
                if self._options.playable and self._files.find(item_id) is None:
                    self._without_file[item_id] = None
                    continue
                there |= keys
                yield row

    def _taken(self) -> Counter[int]:
        """How many songs each artist has by the seeds that are shown."""
        shown = (seed for seed, is_in in zip(self._seeds, self._shown, strict=True) if is_in)
        return Counter(code for code in map(self._artist, shown) if code >= 0)

    def _artist(self, seed: Seed) -> int:
        """The artist's number as items have it; -1 where it is unknown."""
        items = self._model.items
        if seed.is_item:
            return int(items.artist_codes(np.array([seed.row]))[0])
        name = folded(seed.song.artist)
        return items.codes(ARTIST)[1].get(name, -1) if name else -1

    # ------------------------------------------------------------------ songs like the seeds

    def like(self) -> pd.DataFrame:
        """Gather the songs nearest to the seeds, each seed in turn, and order them."""
        rows = self._like_rows()
        first = self._seeds[0]
        entries: list[Seed | int] = [
            seed for seed, is_in in zip(self._seeds, self._shown, strict=True) if is_in
        ]
        entries += rows
        # The way begins at the first seed, whether it is in the list or not.
        starts_there = bool(entries) and entries[0] is first
        vectors = self._vectors_of(entries if starts_there else [first, *entries])
        artists = self._artists_of(entries if starts_there else [first, *entries])
        if not starts_there:
            artists[0] = -1
        order = smooth_order(vectors, artists)
        if not starts_there:
            order = order[1:] - 1
        return self._described([entries[place] for place in order.tolist()])

    def _like_rows(self) -> list[int]:
        order = self._nearest_first()
        if self._options.user_id is not None:
            order = self._suiting(order, self._options.user_id)
        items, cap = self._model.items, self._options.per_artist
        # With more songs than this of one artist, two of them would stand side by side; of the one
        # whose song comes first there may be one more where their number is odd.
        half = self._options.length // 2
        starts = self._artist(self._seeds[0]) if self._shown[0] else None
        counts, chosen, aside = self._taken(), [], []
        artists = items.artist_codes(order)
        artist_of = dict(zip(order.tolist(), artists.tolist(), strict=True))
        for row in self._fitting(order) if self._wanted else ():
            artist = artist_of[row]
            if artist >= 0 and cap is not None and counts[artist] >= cap:
                continue
            longest = -(-self._options.length // 2) if starts in (None, artist) else half
            if artist >= 0 and counts[artist] >= longest:
                aside.append(row)
                continue
            counts[artist] += 1
            chosen.append(row)
            if len(chosen) == self._wanted:
                break
        for row in aside:
            artist = artist_of[row]
            if len(chosen) < self._wanted and (cap is None or counts[artist] < cap):
                counts[artist] += 1
                chosen.append(row)
        return chosen

    def _nearest_first(self) -> IntArray:
        """The allowed rows: the nearest of each seed in turn, then the others by likeness."""
        rows = self._allowed
        depth = min(len(rows), max(_LEAST_POOL, 10 * self._options.length))
        turn = np.full(len(rows), len(rows))
        closest = np.full(len(rows), -np.inf, np.float32)
        for seed in self._seeds:
            likeness = (self._vectors @ seed.vector)[rows]
            closest = np.maximum(closest, likeness)
            if depth:
                best = np.argpartition(-likeness, depth - 1)[:depth]
                best = best[np.lexsort((best, -likeness[best]))]
                turn[best] = np.minimum(turn[best], np.arange(depth))
        return np.asarray(rows[np.lexsort((rows, -closest, turn))])

    def _suiting(self, order: IntArray, user_id: str) -> IntArray:
        """Put those that a user likes first among the songs nearest to the seeds."""
        users = self._model.users
        row = users.row(user_id)
        if row is None:
            raise UnknownUserError(
                f"no user {format_value(user_id)} in the training data{users.suggestion(user_id)}"
            )
        pool = order[: max(_LEAST_POOL, _POOL * self._options.length)]
        scores = self._model.index.vectors(pool) @ users.vectors(np.array([row]))[0]
        by_taste = np.empty(len(pool), np.intp)
        by_taste[np.argsort(-scores, kind="stable")] = np.arange(len(pool))
        mixed = np.argsort(by_taste + np.arange(len(pool)), kind="stable")
        return np.concatenate([pool[mixed], order[len(pool) :]])

    # ------------------------------------------------------------------ a path through the seeds

    def path(self) -> pd.DataFrame:
        """Go from each seed to the next in small steps."""
        entries: list[Seed | int] = []
        chosen: list[int] = []
        counts = self._taken()
        shares = self._shares()
        for number, n in enumerate(shares):
            start, end = self._seeds[number : number + 2]
            if self._shown[number]:
                entries.append(start)
            between = self._between(start, end, n, chosen, counts)
            counts.update(code for code in self._artists_of(between).tolist() if code >= 0)
            chosen += between
            entries += between
        if self._shown[-1]:
            entries.append(self._seeds[-1])
        return self._described(entries)

    def _shares(self) -> list[int]:
        """How many songs stand between each seed and the next: as many as their distance takes."""
        vectors = np.stack([seed.vector for seed in self._seeds])
        lengths = np.sqrt(step_lengths(vectors)[1:]) + 1e-6
        exact = self._wanted * lengths / lengths.sum()
        shares = np.floor(exact).astype(np.intp)
        rest = np.argsort(shares - exact, kind="stable")[: self._wanted - shares.sum()]
        shares[rest] += 1
        return shares.tolist()

    def _between(
        self, start: Seed, end: Seed, n: int, chosen: Sequence[int], counts: Counter[int]
    ) -> list[int]:
        if not n:
            return []
        ends = np.stack([start.vector, end.vector])
        rows = np.setdiff1d(self._allowed, np.array(chosen, np.intp))
        # Under a cap, more of them are of artists who have their songs already.
        size = corridor_size(n) * (1 if self._options.per_artist is None else 4)
        while True:
            near = corridor(self._vectors, rows, ends, size)
            fitting = np.array(list(self._fitting(near, chosen)), np.intp)
            artists = self._model.items.artist_codes(fitting)
            found = path_between(
                ends,
                self._vectors[fitting],
                n,
                artists,
                (self._artist(start), self._artist(end)),
                per_artist=self._options.per_artist,
                taken=counts,
            )
            if len(found.places) == n or len(near) == len(rows):
                break
            size *= 4  # repeats, a cap or missing recordings have left too few
        if not found.is_joined:
            names = " and ".join(format_value(one.song.item_id or "a file") for one in (start, end))
            self._notes.append(
                f"no chain of songs that are each other's nearest joins {names}: "
                "the path between them has a jump"
            )
        return fitting[found.places].tolist()

    # ------------------------------------------------------------------ the table

    def _vectors_of(self, entries: Sequence[Seed | int]) -> Float32Array:
        vectors = np.empty((len(entries), self._vectors.shape[1]), np.float32)
        for place, one in enumerate(entries):
            vectors[place] = one.vector if isinstance(one, Seed) else self._vectors[one]
        return vectors

    def _artists_of(self, entries: Sequence[Seed | int]) -> IntArray:
        rows = np.array([one.row if isinstance(one, Seed) else one for one in entries], np.intp)
        artists = np.full(len(rows), -1)
        artists[rows >= 0] = self._model.items.artist_codes(rows[rows >= 0])
        for place in np.flatnonzero(rows < 0).tolist():
            one = entries[place]
            artists[place] = self._artist(one) if isinstance(one, Seed) else -1
        return artists

    def _described(self, entries: Sequence[Seed | int]) -> pd.DataFrame:
        items = self._model.items
        rows = np.array([one.row if isinstance(one, Seed) else one for one in entries], np.intp)
        vectors = self._vectors_of(entries)
        seeds = np.stack([seed.vector for seed in self._seeds])
        scores = np.clip((vectors @ seeds.T).max(axis=1, initial=-1), -1, 1)
        frame = items.ranked(np.where(rows < 0, 0, rows), scores)
        frame.insert(frame.columns.tolist().index(TITLE), DISTANCE, step_lengths(vectors))
        ids = frame[ITEM_ID].tolist()
        self._files.look_up(ids)
        places = [self._files.find(item_id) for item_id in ids]
        for place, one in enumerate(entries):
            if isinstance(one, Seed) and not one.is_item:
                places[place] = one.file
                frame.loc[place, COLD] = True
                for name in (ITEM_ID, TITLE, ARTIST, GENRE):
                    frame.loc[place, name] = getattr(one.song, name)
        frame[PATH] = [
            "" if place is None else name_as_text(str(place.absolute())) for place in places
        ]
        self._note_what_is_missing(entries)
        frame.attrs[NOTES] = self._notes
        return frame

    def _note_what_is_missing(self, entries: Sequence[Seed | int]) -> None:
        found, length = len(entries), self._options.length
        if found < length:
            because = ", by these options" if self._is_filtered() else ""
            self._notes.append(f"{found:,} of {length:,} songs: no more are left{because}")
        if self._without_file:
            count = len(self._without_file)
            were, have = ("song was", "has") if count == 1 else ("songs were", "have")
            self._notes.append(
                f"{count:,} {were} passed over that would have fitted but {have} no recording that "
                f"is there: {some_of(list(self._without_file))}"
            )
        if pairs := same_artist_pairs(self._artists_of(entries)):
            times = "once" if pairs == 1 else f"{pairs:,} times"
            self._notes.append(f"two songs of one artist stand side by side {times}")

    def _is_filtered(self) -> bool:
        options = self._options
        return bool(
            options.exclude or options.where or options.per_artist is not None or options.playable
        )
