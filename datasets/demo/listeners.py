"""Simulate the demo's listeners. Nobody has ever played these songs.

A simulated user's utility of a song is the sum of

* its popularity (Zipf's law over artists and over each artist's songs), times how much the user
  follows the crowd,
* the user's taste for its genre (neighbouring genres are liked together),
* how close its sound (tempo, brightness, drive, electronic, density: what the audio was rendered
  from) is to the sound the user likes best, whatever the genre,
* the match of user and artist in two features that cannot be heard (*scene*): collaborative
  filtering can learn them, audio cannot,
* and Gumbel noise, so that the choice is a multinomial logit without replacement.

The number of songs of a user is lognormal; plays of a song are Poisson, more for higher utility;
times are between the song's release and the end of the year. Because sound enters the choice
directly, audio predicts plays here better than in reality.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray, StrArray
from datasets.columns import ITEM_ID, TIMESTAMP, USER_ID, WEIGHT
from datasets.demo.catalogue import FIRST_DAY, LAST_DAY, DemoSong
from datasets.demo.genres import GENRES, SOUND_PROPERTIES
from datasets.errors import InvalidArgumentError

# Standard deviations of the parts of the utility; that of the noise is about 1.28.
_GENRE: Final = 2.4
_SOUND: Final = 5.5
_SCENE: Final = 0.7
_CROWD_SPREAD: Final = 0.25

_CARE: Final = np.array([0.4, 1.5, 1.3, 0.9, 0.5])
"""Weight of each sound property for listeners: timbre matters most."""

_SONGS_A_LISTENER: Final = 17.0
"""Median number of different songs of a user, in a catalogue of 198."""
_ACTIVITY_SPREAD: Final = 0.65
_FEWEST: Final = 5
_MOST: Final = 0.6
"""Largest share of the catalogue that a user plays."""

_BLOCK: Final = 512
"""Users drawn together, to bound memory; changing it changes the plays of a seed."""


@dataclass(frozen=True)
class _Songs:
    """The songs that can be played, as arrays."""

    ids: StrArray
    genre: IntArray
    sound: Float64Array  # [songs, 5], standardised over these songs
    scene: Float64Array  # [songs, 2]
    popularity: Float64Array
    opens: Float64Array  # share of the year before the song's release


def simulate_listening(songs: list[DemoSong], seed: int, n_listeners: int) -> pd.DataFrame:
    """Simulate plays of the songs that are marked as played.

    Args:
        songs: the catalogue.
        seed: random seed.
        n_listeners: number of users.

    Returns:
        One row per user and song: `user_id`, `item_id`, `weight` (number of plays) and
        `timestamp` (of the last play, within the year and after the song's release).

    Raises:
        InvalidArgumentError: if `n_listeners` is less than one.
    """
    if n_listeners < 1:
        raise InvalidArgumentError(f"n_listeners is {n_listeners}; it must be at least 1")
    table = _arrays([song for song in songs if song.played])
    blocks = [
        _listen(table, start, min(_BLOCK, n_listeners - start), len(songs), seed)
        for start in range(0, n_listeners, _BLOCK)
    ]
    frame = pd.concat(blocks, ignore_index=True)
    return frame.sort_values([TIMESTAMP, USER_ID, ITEM_ID], ignore_index=True)


def _arrays(played: list[DemoSong]) -> _Songs:
    sound = np.array([song.plan.sound.array() for song in played])
    genres = list(GENRES)
    year = (LAST_DAY - FIRST_DAY) / np.timedelta64(1, "s")
    released = [(song.released - FIRST_DAY) / np.timedelta64(1, "s") for song in played]
    return _Songs(
        ids=np.array([song.item_id for song in played], dtype=object),
        genre=np.array([genres.index(song.plan.artist.genre) for song in played]),
        sound=(sound - sound.mean(axis=0)) / (sound.std(axis=0) + 1e-9),
        scene=np.array([song.scene for song in played]),
        popularity=np.array([song.popularity for song in played]),
        opens=np.clip(np.array(released) / year, 0.0, None),
    )


def _listen(songs: _Songs, start: int, count: int, catalogue: int, seed: int) -> pd.DataFrame:
    key = (4, start // _BLOCK)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    liking = _liking(songs, count, rng)
    crowd = np.exp(rng.normal(0.0, _CROWD_SPREAD, (count, 1)))
    # Songs released late in the year were available for a shorter time.
    appeal = liking + crowd * songs.popularity + np.log(1.0 - songs.opens)
    appeal += rng.gumbel(size=appeal.shape)
    # In a larger catalogue users play more songs, but a smaller share.
    median = _SONGS_A_LISTENER * (catalogue / 198.0) ** 0.35
    numbers = np.exp(rng.normal(np.log(median), _ACTIVITY_SPREAD, count)).astype(int)
    most = max(1, int(_MOST * len(songs.ids)))
    numbers = np.clip(numbers, min(_FEWEST, most), most)
    order = np.argsort(-appeal, axis=1, kind="stable")[:, : int(numbers.max())]
    chosen = np.arange(order.shape[1]) < numbers[:, None]
    listener, place = np.nonzero(chosen)
    song = order[listener, place]
    joined = 0.7 * rng.beta(0.7, 1.6, count)
    first = np.maximum(songs.opens[song], joined[listener])
    when = first + (1.0 - first) * rng.beta(1.2, 1.0, song.size)
    mean = np.exp(0.6 + 0.45 * liking[listener, song] / np.sqrt(_GENRE**2 + _SOUND**2))
    plays = 1 + rng.poisson(mean * rng.gamma(1.5, 1.0 / 1.5, song.size) * (1.0 - first))
    year = int((LAST_DAY - FIRST_DAY) / np.timedelta64(1, "s"))
    seconds = np.minimum((when * year).astype(np.int64), year - 1)
    return pd.DataFrame(
        {
            USER_ID: np.array([f"u{start + number + 1}" for number in range(count)], dtype=object)[
                listener
            ],
            ITEM_ID: songs.ids[song],
            WEIGHT: plays.astype(np.float64),
            TIMESTAMP: FIRST_DAY + seconds.astype("timedelta64[s]"),
        }
    )


def _liking(songs: _Songs, count: int, rng: np.random.Generator) -> Float64Array:
    """Return the part of the utility that is taste, [listeners, songs]."""
    genre = rng.normal(0.0, 1.0, (count, len(GENRES))) @ _kinship()
    best = rng.normal(0.0, 1.0, (count, len(SOUND_PROPERTIES)))
    care = _CARE * rng.gamma(2.0, 0.5, (count, len(SOUND_PROPERTIES)))
    # Distance to the best-liked sound, -(s - b)^2 / 2, less what is the same for all songs.
    fit = (care * best) @ songs.sound.T - 0.5 * care @ np.square(songs.sound).T
    scene = rng.normal(0.0, 1.0, (count, 2)) @ songs.scene.T
    return _GENRE * genre[:, songs.genre] + _SOUND * _scaled(fit) + _SCENE * _scaled(scene)


def _scaled(values: Float64Array) -> Float64Array:
    """Center each listener's values, and scale all to standard deviation 1."""
    centred = values - values.mean(axis=1, keepdims=True)
    return np.asarray(centred / (centred.std() + 1e-9))


def _kinship() -> Float64Array:
    """Return a mixing matrix [9, 9] by which neighbouring genres are liked together."""
    names = list(GENRES)
    mixing = np.eye(len(names))
    for row, genre in enumerate(GENRES.values()):
        for neighbour in genre.neighbours:
            mixing[row, names.index(neighbour)] += 0.25
    return np.asarray(mixing / np.linalg.norm(mixing, axis=0))
