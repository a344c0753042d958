"""The songs that nobody has played: who is shown which of them, so that all get a chance.

By their scores alone a few new songs would be in most lists: those that are predicted to please
everybody, and those whose vectors happen to be long. Places that are kept for new songs are
therefore given by the exposure rule:

- A song's score is divided by the deviation of its scores over the users, so that every song
  competes with its own level, as in the rescaling of hubs by Schnitzer, Flexer, Schedl and Widmer
  (Local and global scaling reduce hubs in space, JMLR 2012). So that songs of which little is known
  are not blown up, `SMOOTHING` of the mean square deviation is added to the square of each.
  Deviations come in closed form from the users' covariance.
- A song is eligible for its best listeners: a `_LEAST_SHARE` of all users, or `ROOM` times the even
  share of the places, whichever is more. Others get it only where too few songs are eligible.
- A draw of at most `_DRAWN` deviations, by a hash of user and song, is added: of songs that suit a
  user equally well, as all of one genre without a recording do, each comes first for some. A song
  of which nothing is known comes last.

The rule looks at one user at a time, so that lists made together, alone, or in several processes
are the same. `benchmarks/quality/new_places.py` measures it.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float32Array, IntArray
from datasets.system.locks import Order, ThreadLock
from recsys.database.song import Song
from recsys.index.base import Hits
from recsys.index.screen import Screen
from recsys.model.items import ItemTable, song_content
from recsys.model.live import LiveModel
from recsys.model.users import Profiles
from recsys.new_songs import NewSongCalibration
from recsys.ranking.variety import varied_order

SMOOTHING = 0.5
"""Of the mean square deviation of songs' scores, the share added to each. On Last.fm, nDCG@10 of
lists of new songs, and how many songs would share them evenly (exp of the entropy), are with
Spotify's features and with VGGish: .039 and 264, .113 and 136 by plain scores; .028 and 326, .079
and 247 for 0; .060 and 388, .126 and 238 for .5; .057 and 365, .128 and 214 for 1."""

_LEAST_SHARE = 0.1
"""Of all users, the share that each song is eligible for at least."""

ROOM = 4.0
"""How many times its even share of the places a song may be eligible for."""

_SHRINKAGE = 0.01
"""Weight of an even covariance beside that of the users, who may be fewer than dimensions."""

_DRAWN = 0.1
"""The most that is drawn for a user and a song, in deviations of the song's scores. On Last.fm, 0.2
shows 18 % (Spotify) and 90 % (VGGish) more songs to somebody, and costs 7 % and 9 % of nDCG."""

_TIE = 1e-3
"""Adjusted scores that differ by less than this may be taken in another order."""

_UNTOLD = -4.0
"""The adjusted score of a song of which nothing is known, in deviations of a typical new song."""

_ENTRIES = 4_000_000
"""Scores computed at once."""

_MOST_KEPT = 2**28
"""Bytes of new songs' vectors that are kept in one piece; more are read for each search."""

_ROWS_AT_ONCE = 65_536

_SCREENED = 8192
"""Fewer songs are compared as a whole for a single user."""

_SCREEN, _LEVEL = "new_screen", "new_level"
"""Names of what is prepared of new songs when a model is saved."""

_AT_ONCE = 16_384
"""So many of the longest of them are compared first."""


class NewSongs:
    """The songs of one state of a model that nobody has played, as the exposure rule sees them.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> model = load_model(folder / "model")
        >>> new = NewSongs.of(model)
        >>> model.items.ids(new.rows).tolist()
        ['new-1', 'new-2']
    """

    def __init__(self, model: LiveModel) -> None:
        self.rows: IntArray = model.items.new
        """Rows of the songs, ascending."""
        self._index = model.index
        self._screens: _Screens = model.items.cached(
            "screen of new songs", lambda: _Screens.of_prepared(model.prepared)
        )
        self._users = model.state.user_vectors
        self._width = model.state.item_vectors.shape[1]
        levels: _Levels = model.items.cached(
            "levels of new songs", lambda: _Levels(_Level.of_prepared(model))
        )
        self.levels: _Level = levels.up_to(model)
        """The levels of all rows of the model."""
        self.mean: Float32Array = self.levels.mean[self.rows]
        """Mean of each song's scores over the users, [m]."""
        self.deviation: Float32Array = self.levels.deviation[self.rows]
        """Deviation of each song's scores, [m]; 0 for a song of which nothing is known."""
        self.hashes: NDArray[np.uint32] = self.levels.hashes[self.rows]
        """A number for each song, [m]."""
        self._heard: BoolArray = model.items.has_embedding(self.rows) & (self.deviation > 0)
        everything = np.arange(len(self.rows))
        self.typical = self.typical_of(everything)
        """Mean of the deviations of the songs that have been heard; of all, if none has."""
        square = self.typical_of(everything, power=2)
        divisor = np.sqrt(self.deviation.astype(np.float64) ** 2 + SMOOTHING * square)
        self.divisor: Float32Array = np.where(divisor > 0, divisor, 1).astype(np.float32)
        """By what the exposure rule divides each song's scores, [m]."""

    @cached_property
    def screened(self) -> "_Screened":
        """What tells most of many songs from the best ones of a user."""
        return _Screened(self, self._screens.of(self))

    @cached_property
    def first(self) -> IntArray:
        """Places of as many songs as the largest power of 1.1, those that came first.

        They are the same until there are a tenth more.
        """
        n = 1.1 ** int(np.log(max(len(self), 1)) / np.log(1.1) + 1e-9)
        return np.arange(min(int(n), len(self)))

    @cached_property
    def digest_of_first(self) -> bytes:
        """Which songs these are."""
        return hashlib.blake2b(self.rows[self.first].tobytes(), digest_size=16).digest()

    @classmethod
    def of(cls, model: LiveModel) -> "NewSongs":
        """Return the new songs of a model, computed once for each of its states."""
        found = _KNOWN.get(model.items)
        if found is None:
            found = _KNOWN.setdefault(model.items, cls(model))
        return found

    @cached_property
    def _vectors(self) -> Float32Array:
        return self._index.vectors(self.rows)

    def vectors(self, places: IntArray) -> Float32Array:
        """Return fused vectors [len(places), D] of some of the songs, numbered as in `rows`."""
        if len(self) * self._width * 4 > _MOST_KEPT:
            return self._index.vectors(self.rows[places])
        whole = len(places) == len(self) and np.array_equal(places, np.arange(len(self)))
        return self._vectors if whole else self._vectors[places]

    def __len__(self) -> int:
        return len(self.rows)

    def typical_of(self, places: IntArray, power: int = 1) -> float:
        """Return the mean of a power of the deviations of the heard ones among some songs."""
        own, heard = self.deviation[places].astype(np.float64), self._heard[places]
        own = own[heard] if heard.any() else own[own > 0]
        return float((own**power).mean()) if len(own) else 1.0

    def places(self, rows: IntArray) -> IntArray:
        """Return which of the songs are among these rows, as places in `rows`, ascending."""
        return np.flatnonzero(np.isin(self.rows, rows))


class _Screens:
    """The screen of the new songs of some state, which later states go on with."""

    def __init__(self, found: tuple[IntArray, Screen] | None = None) -> None:
        self._found = found

    @classmethod
    def of_prepared(cls, arrays: Mapping[str, NDArray[Any]]) -> "_Screens":
        """Those that start with the screen that was saved with a model, if there is one."""
        screen = Screen.from_arrays(arrays, _SCREEN)
        songs = arrays.get(f"{_SCREEN}_songs", np.empty(0, np.int32))
        fits = screen is not None and songs.shape == screen.rows.shape and songs.dtype.kind == "i"
        return cls((songs.astype(np.intp), screen)) if screen is not None and fits else cls()

    def of(self, new: NewSongs) -> tuple[IntArray, Screen]:
        """The rows of a screen's songs, ascending, and the screen."""
        found = self._found
        if found is not None:
            songs = found[0]
            shared = int(np.isin(new.rows, songs, assume_unique=True).sum())
            if len(new) - shared > _SCREENED or 2 * shared < len(songs):
                found = None
        if found is None:  # of two threads that come at once, both make it
            rows = new.rows
            parts = np.empty((len(rows), new._width), np.float32)
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                block = slice(start, start + _ROWS_AT_ONCE)
                parts[block] = new._index.vectors(rows[block])
            self._found = found = rows, Screen.of(parts, [new._users])
        return found

    def first(self, count: int) -> "_Screens":
        """Nothing of it: it is made anew."""
        return _Screens()


class _Screened:
    """A screen as one state of the new songs sees it."""

    def __init__(self, new: NewSongs, found: tuple[IntArray, Screen]) -> None:
        self.songs, self.screen = found
        """Rows of the screen's songs, ascending; the screen counts them in this order."""
        told = new.rows[new.deviation > 0]
        is_there = np.isin(self.songs, told, assume_unique=True)
        self.stale: IntArray = np.flatnonzero(~is_there)
        """Numbers of the screen's songs that are new no more, or of which nothing is known."""
        self.fresh: IntArray = np.flatnonzero(~np.isin(new.rows, self.songs, assume_unique=True))
        """Places in `NewSongs.rows` of the songs that the screen does not have."""
        self._factors: tuple[object, tuple[Float32Array, Float32Array]] | None = None

    def numbers(self, rows: IntArray) -> IntArray:
        """The numbers of the screen's songs that are in some rows."""
        at = np.minimum(np.searchsorted(self.songs, rows), len(self.songs) - 1)
        return np.asarray(at[self.songs[at] == rows], np.intp)

    def factors(
        self, new: NewSongs, calibration: NewSongCalibration, typical: float
    ) -> tuple[Float32Array, Float32Array]:
        """What scores are adjusted by: in the order of the screen's rows, and of its songs."""
        kept = self._factors
        if kept is None or kept[0] != (calibration, typical):
            deviation = np.full(len(self.songs), typical)
            there = self.numbers(new.rows)
            deviation[there] = new.deviation[np.searchsorted(new.rows, self.songs[there])]
            deviation = np.where(deviation > 0, deviation, typical)
            ones = np.ones(len(self.songs), np.float32)
            by_song = calibration.adjusted(ones, deviation, typical)
            self._factors = kept = (calibration, typical), (by_song[self.screen.rows], by_song)
        return kept[1]


class _Scaled:
    """Vectors of a screen's songs times their factors."""

    def __init__(self, new: NewSongs, songs: IntArray, factors: Float32Array) -> None:
        self._new, self._songs, self._factors = new, songs, factors

    def __getitem__(self, numbers: IntArray) -> Float32Array:
        vectors = self._new._index.vectors(self._songs[numbers])
        return vectors * self._factors[numbers][:, None]


_KNOWN: "WeakKeyDictionary[ItemTable, NewSongs]" = WeakKeyDictionary()
"""By the items of a state: they are another object after every change."""


class _Level(NamedTuple):
    """Of each row; only those of songs that nobody has played are used."""

    mean: Float32Array
    deviation: Float32Array
    hashes: NDArray[np.uint32]

    def first(self, count: int) -> "_Level":
        """The same of the first rows alone."""
        return _Level(self.mean[:count], self.deviation[:count], self.hashes[:count])

    @classmethod
    def of_prepared(cls, model: LiveModel) -> "_Level":
        """Those of the items of the fit that were saved with a model, or else of no row."""
        n = len(model.state.items)
        nothing = np.empty(0, np.float32)
        none = cls(nothing, nothing, np.empty(0, np.uint32))
        found = cls(*(model.prepared.get(f"{_LEVEL}_{name}", nothing) for name in cls._fields))
        fits = all(
            one.shape == (n,) and one.dtype == own.dtype
            for one, own in zip(found, none, strict=True)
        )
        return found if fits else none


class _Levels:
    """Mean and deviation of new songs' scores over the users, by row; extended with rows."""

    def __init__(self, level: _Level) -> None:
        self._level = level
        self._lock = ThreadLock("the levels of new songs", Order.PART)

    def up_to(self, model: LiveModel) -> _Level:
        """The levels of a model's rows."""
        count = len(model.items)
        with self._lock.held("comparing new songs"):
            old = self._level
            if count > len(old.mean):
                new = _levels(model, len(old.mean))
                self._level = _Level(
                    np.append(old.mean, new.mean),
                    np.append(old.deviation, new.deviation),
                    np.append(old.hashes, new.hashes),
                )
            return self._level.first(count)

    def first(self, count: int) -> "_Levels":
        """The same of the first rows alone."""
        with self._lock.held("taking the first rows"):
            return _Levels(self._level.first(count))


def _levels(model: LiveModel, first: int) -> _Level:
    """The levels of a model's rows from `first` on."""
    items, size = model.items, len(model.items) - first
    level = _Level(
        np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.uint32)
    )
    mean, covariance = model.state.user_moments
    trace = float(covariance.trace())
    even = np.eye(len(mean)) / max(len(mean), 1)
    spread = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * trace * even if trace > 0 else even
    # What the sources make of a song of which they know nothing.
    (untold,) = model.state.fuse_content(song_content(model.state, [Song("untold")]))
    new = first + np.flatnonzero(items.user_counts[first:] == 0)
    for start in range(0, len(new), _ROWS_AT_ONCE):
        rows = new[start : start + _ROWS_AT_ONCE]
        vectors = model.index.vectors(rows).astype(np.float64)
        level.mean[rows - first] = vectors @ mean
        variance = ((vectors @ spread) * vectors).sum(axis=1)
        variance[np.isclose(vectors, untold, rtol=1e-4, atol=1e-6).all(axis=1)] = 0
        level.deviation[rows - first] = np.sqrt(np.maximum(variance, 0))
        # Of ids, not rows: a song keeps its number when the model is rebuilt.
        hashes = [zlib.crc32(item_id.encode()) for item_id in items.ids(rows).tolist()]
        level.hashes[rows - first] = np.array(hashes, np.uint32)
    return level


def prepared_new_songs(model: LiveModel) -> dict[str, NDArray[Any]]:
    """Return what is computed once of many new songs, to be saved with a model."""
    new, n = NewSongs.of(model), len(model.state.items)
    if len(new) < _SCREENED:
        return {}
    level = new.levels.first(n)._asdict()
    arrays: dict[str, NDArray[Any]] = {f"{_LEVEL}_{name}": part for name, part in level.items()}
    songs, screen = new.screened.songs, new.screened.screen
    if songs[-1] < n:  # what came since may be in other rows when the model is opened
        arrays |= {**screen.to_arrays(_SCREEN), f"{_SCREEN}_songs": songs.astype(np.int32)}
    return arrays


class NewSearch:
    """Finds the new songs that a user is to be shown, by the exposure rule.

    The scores of its hits are the values by which the rule orders them. A user of whom nothing is
    known gets songs drawn by the user's id, those more often that an average user will like.
    """

    def __init__(
        self,
        model: LiveModel,
        profiles: Profiles,
        candidates: IntArray,
        keys: Sequence[str | None],
        n_places: int,
    ) -> None:
        """Prepare a search.

        Args:
            model: the model.
            profiles: the users.
            candidates: places in `NewSongs.rows` of the songs to choose from.
            keys: an id of each user; None for somebody without one.
            n_places: places for new songs in each list.
        """
        self._model = model
        self._new = new = NewSongs.of(model)
        self._profiles = profiles
        self._candidates = candidates
        self._keys = _keys_of(profiles, keys)
        self._is_told = new.deviation[candidates] > 0
        self._divisor = new.divisor[candidates]
        even = n_places / max(int(self._is_told.sum()), 1)
        self._share = min(max(_LEAST_SHARE, ROOM * even), 1.0)

    def __call__(self, queries: IntArray, size: int) -> Hits:
        """Find the best `size` songs for some of the profiles, numbered from 0 in the hits."""
        return _in_blocks(self._best, queries, self._new, self._candidates, size)

    def _best(self, queries: IntArray, vectors: Float32Array, size: int) -> Hits:
        """The best songs of a block of users."""
        users = self._profiles.vectors[queries]
        is_known = users.any(axis=1)
        values = np.asarray((users @ vectors.T) / self._divisor, np.float32)
        eligible = np.ones(values.shape, bool)
        if self._share < 1:
            eligible = values >= self._thresholds
        draw = _drawn(self._keys[queries], self._new.hashes[self._candidates])
        values += np.float32(_DRAWN) * draw
        if not is_known.all():
            values[~is_known] = self._for_strangers(draw[~is_known])
            eligible[~is_known] = True
        values[:, ~self._is_told] = values.min() - 1 - draw[:, ~self._is_told]
        rows = self._new.rows[self._candidates]
        is_open = _open(self._profiles, queries, rows)
        found = best_eligible(values, eligible & self._is_told, is_open, size)
        return found._replace(item=rows[found.item])

    @cached_property
    def _thresholds(self) -> Float32Array:
        """The value of each candidate that the wanted share of a normal distribution exceeds."""
        from scipy.special import ndtri

        new, at = self._new, self._candidates
        scores = new.mean[at] + float(ndtri(1 - self._share)) * new.deviation[at]
        return np.asarray(scores / self._divisor, np.float32)

    def _for_strangers(self, drawn: Float32Array) -> Float32Array:
        """Values for users of whom nothing is known.

        The best of them are a draw without replacement, in which a song counts more by e for each
        deviation by which an average user's score is above that of other new songs (Gumbel).
        """
        rows = self._new.rows[self._candidates]
        if not self._model.state.plays.nnz:  # no average user either: one of every kind of sound
            place = np.empty(len(rows), np.float32)
            place[np.searchsorted(rows, varied_order(self._model, rows))] = np.arange(len(rows))
            return np.tile(-place, (len(drawn), 1))
        expected = self._new.mean[self._candidates] / self._divisor
        told = expected[self._is_told]
        deviation = float(told.std()) if len(told) else 0.0
        expected = (expected - told.mean()) / deviation if deviation > 0 else 0 * expected
        return np.asarray(expected - np.log(-np.log(np.clip(drawn, 1e-7, 1 - 1e-7))), np.float32)


class AdjustedNewSearch:
    """Finds the new songs with the best list scores (`recsys.new_songs`).

    Of songs with the same vector, as those of one genre without a recording, another one comes
    first for every user; a song of which nothing is known comes last.
    """

    def __init__(
        self,
        model: LiveModel,
        profiles: Profiles,
        candidates: IntArray,
        calibration: NewSongCalibration,
        boost: float = 0.0,
        typical: float | None = None,
    ) -> None:
        """Prepare a search.

        Args:
            model: the model.
            profiles: the users; something is known of all of them.
            candidates: places in `NewSongs.rows` of the songs to choose from.
            calibration: what list scores are computed by.
            boost: is added to the list scores.
            typical: the deviation of a typical new song; that of all of the model, if not given.
        """
        self._new = NewSongs.of(model)
        self._profiles = profiles
        self._candidates = candidates
        self._calibration = calibration
        self._boost = boost
        self._typical = self._new.typical if typical is None else typical
        self._keys = _keys_of(profiles, [None] * len(profiles.vectors))

    def __call__(self, queries: IntArray, size: int) -> Hits:
        """Find the best `size` songs for some of the profiles, numbered from 0 in the hits."""
        candidates = self._candidates
        if len(queries) == 1 and len(candidates) >= _SCREENED and 32 * size <= len(candidates):
            candidates = self._near(int(queries[0]), size)

        def best(queries: IntArray, vectors: Float32Array, size: int) -> Hits:
            return self._best(queries, vectors, size, candidates)

        return _in_blocks(best, queries, self._new, candidates, size)

    def _near(self, query: int, size: int) -> IntArray:
        """The candidates that may be among the best of one user; all, if that tells little."""
        new, screened = self._new, self._new.screened
        factors = screened.factors(new, self._calibration, self._typical)
        out, fresh = screened.stale, screened.fresh
        if len(self._candidates) < len(new):
            left_out = np.setdiff1d(np.arange(len(new)), self._candidates)
            out = np.concatenate([out, screened.numbers(new.rows[left_out])])
            fresh = np.setdiff1d(fresh, left_out)
        if self._profiles.seen is not None:
            out = np.concatenate([out, screened.numbers(self._profiles.seen[query])])
        vectors = _Scaled(new, screened.songs, factors[1])
        # What is drawn for songs that score alike may change their order.
        margin = 2 * _TIE
        user = self._profiles.vectors[query]
        found = screened.screen.search(
            vectors, user, size, out, 1.0, _AT_ONCE, factors=factors[0], margin=margin
        )
        if found is None or len(found.rows) < size:
            return self._candidates
        return np.union1d(np.searchsorted(new.rows, screened.songs[found.rows]), fresh)

    def scores(self, queries: IntArray, items: IntArray) -> Float32Array:
        """Return the list scores of single new songs, [len(items)], each for one query."""
        places = np.searchsorted(self._new.rows, items)
        vectors = self._new.vectors(places) if len(places) else np.empty((0, 0), np.float32)
        users = self._profiles.vectors[queries]
        plain = np.einsum("ij,ij->i", users, vectors) if len(places) else np.empty(0, np.float32)
        draw = _drawn(self._keys[queries], self._new.hashes[places], each=True)
        return self._listed(plain, places, draw)

    def _best(
        self, queries: IntArray, vectors: Float32Array, size: int, candidates: IntArray
    ) -> Hits:
        rows = self._new.rows[candidates]
        plain = np.asarray(self._profiles.vectors[queries] @ vectors.T, np.float32)
        draw = _drawn(self._keys[queries], self._new.hashes[candidates])
        values = self._listed(plain, candidates, draw)
        is_open = _open(self._profiles, queries, rows)
        found = best_eligible(values, np.ones(values.shape, bool), is_open, size)
        return found._replace(item=rows[found.item])

    def _listed(self, plain: Float32Array, places: IntArray, draw: Float32Array) -> Float32Array:
        new, measured = self._new, self._calibration
        deviation = new.deviation[places]
        told = deviation > 0
        adjusted = measured.adjusted(plain, np.where(told, deviation, self._typical), self._typical)
        adjusted = np.where(told, adjusted, np.float32(_UNTOLD * self._typical))
        adjusted += np.float32(_TIE) * draw
        listed = measured.list_scores(adjusted.astype(np.float64)) + self._boost
        return np.asarray(listed, np.float32)


def level_of_new(model: LiveModel) -> np.float32:
    """Return what stands between plain scores of new items and scores of known ones.

    It is the same for all new items, and changes no order among them (`recsys.new_songs`).
    """
    calibration = model.state.calibration
    return np.float32(0.0 if calibration is None else calibration.level)


def at_level(model: LiveModel, rows: IntArray, scores: Float32Array) -> Float32Array:
    """Bring plain scores of items to the level of known ones; those of known items stay."""
    return np.asarray(scores + level_of_new(model) * model.items.is_cold(rows), np.float32)


def best_eligible(values: Float32Array, eligible: BoolArray, is_open: BoolArray, size: int) -> Hits:
    """Return the columns of the best values of each row: eligible ones first, then others.

    Values of others are lowered as a whole, so that they descend like the order.

    Args:
        values: [rows, columns].
        eligible: which of them come first, [rows, columns].
        is_open: which of them may be taken at all, [rows, columns].
        size: how many of each row.

    Examples:
        >>> values, some = np.float32([[3, 2, 1]]), np.array([[False, True, True]])
        >>> found = best_eligible(values, some, np.ones((1, 3), bool), 3)
        >>> found.item.tolist(), found.score.tolist()
        ([1, 2, 0], [2.0, 1.0, 1.0])
    """
    size = min(size, values.shape[1])
    exact = np.where(is_open, values, -np.inf).astype(np.float64)
    width = 2 * float(np.ptp(values)) + 1 if values.size else 1.0
    ordered = np.where(eligible, exact, exact - width)
    best = np.argpartition(-ordered, size - 1, axis=1)[:, :size]
    order = np.argsort(-np.take_along_axis(ordered, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    score = np.take_along_axis(exact, best, axis=1)
    first: BoolArray = np.take_along_axis(eligible, best, axis=1)
    found: BoolArray = np.isfinite(score)
    lowest = np.where(first & found, score, np.inf).min(axis=1, keepdims=True)
    highest = np.where(~first & found, score, -np.inf).max(axis=1, keepdims=True)
    both = np.isfinite(lowest) & np.isfinite(highest)
    excess = np.where(both, np.maximum(np.where(both, highest - lowest, 0), 0), 0)
    score = np.where(first, score, score - excess)
    query = np.repeat(np.arange(len(values)), found.sum(axis=1))
    return Hits(query, best[found].astype(np.intp), score[found].astype(np.float32))


def _in_blocks(
    best: Callable[[IntArray, Float32Array, int], Hits],
    queries: IntArray,
    new: NewSongs,
    candidates: IntArray,
    size: int,
) -> Hits:
    """Let a search find the best candidates of a few users at a time."""
    parts = [Hits.empty()]
    if len(candidates) and size > 0:
        vectors = new.vectors(candidates)
        step = max(_ENTRIES // len(candidates), 1)
        for start in range(0, len(queries), step):
            part = best(queries[start : start + step], vectors, size)
            parts.append(part._replace(query=part.query + start))
    return Hits.concatenate(parts)


def _open(profiles: Profiles, queries: IntArray, rows: IntArray) -> BoolArray:
    """Which rows the users have not played: somebody's history may have new songs."""
    is_open = np.ones((len(queries), len(rows)), bool)
    if profiles.seen is None or not len(profiles.seen.indices):
        return is_open
    seen = profiles.seen
    if len(queries) < len(seen):
        seen = seen.take(queries)
    among = seen.among(rows)
    is_open[among.queries, among.indices] = False
    return is_open


def _keys_of(profiles: Profiles, ids: Sequence[str | None]) -> NDArray[np.uint32]:
    """A number for each user, [users], by the id or else by the vector."""
    keys = [
        vector.tobytes() if user is None else user.encode()
        for vector, user in zip(profiles.vectors, ids, strict=True)
    ]
    hashes = [hashlib.blake2b(key, digest_size=4).digest() for key in keys]
    return np.frombuffer(b"".join(hashes), "<u4").astype(np.uint32)


def _drawn(
    users: NDArray[np.uint32], songs: NDArray[np.uint32], *, each: bool = False
) -> Float32Array:
    """Numbers from 0 to 1 of every user and song, [users, songs], or of each pair, [users]."""
    mixed = (songs ^ (users if each else users[:, None])) * np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed ^= mixed >> np.uint32(16)
    return mixed.astype(np.float32) * np.float32(2**-32)
