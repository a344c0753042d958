"""Draw the demo's catalogue: artists, songs, their names, release dates and popularity."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from datasets.arrays import IntArray
from datasets.columns import ALBUM, ARTIST, GENRE, ITEM_ID, PATH, TITLE
from datasets.demo.genres import GENRES, SOUND_PROPERTIES
from datasets.demo.planning import ArtistStyle, SongPlan, draw_artist, draw_plan
from datasets.errors import InvalidArgumentError

_ADJECTIVES: Final = (
    "Amber", "Broken", "Crooked", "Distant", "Electric", "Faded", "Gilded", "Hollow", "Idle",
    "Jagged", "Lonesome", "Midnight", "Neon", "Open", "Paper", "Quiet", "Restless", "Silver",
    "Tangled", "Velvet", "Wandering", "Yellow", "Copper", "Frozen", "Burning", "Secret", "Second",
    "Early", "Northern", "Crimson", "Little", "Slow", "Golden", "Empty", "Painted", "Hidden",
    "Salted", "Wooden", "Plastic", "Borrowed", "Tender", "Rusty", "Weightless", "Sudden",
)  # fmt: skip

_NOUNS: Final = (
    "Harbour", "Lantern", "Orchard", "Signal", "Meridian", "Kettle", "Sparrow", "Avenue", "Ember",
    "Canyon", "Mirror", "Thunder", "Compass", "Garden", "Engine", "Feather", "Window", "Satellite",
    "Cathedral", "Lighthouse", "Magnet", "Pavement", "Quarry", "Riddle", "Staircase", "Telescope",
    "Umbrella", "Valley", "Whisper", "Zenith", "Bicycle", "Cinema", "Tide", "Echo", "Factory",
    "Glacier", "Horizon", "Island", "Jukebox", "Kingdom", "Letter", "Matchstick", "Needle", "Ocean",
    "Parade", "Quilt", "River", "Shadow", "Ticket", "Voltage", "Weather", "Carousel",
)  # fmt: skip

_PLURALS: Final = (
    "Lanterns", "Foxes", "Arcades", "Tailors", "Satellites", "Herons", "Cartographers", "Echoes",
    "Matches", "Strangers", "Pilots", "Orchards", "Thieves", "Gardeners", "Comets", "Ravens",
    "Beekeepers", "Machines", "Islands", "Drifters", "Clocks", "Mirrors", "Ferrymen", "Postcards",
)  # fmt: skip

_FIRST: Final = (
    "Ada", "Bastian", "Cleo", "Dorian", "Elspeth", "Fabio", "Greta", "Hollis", "Imani", "Jonah",
    "Kezia", "Lorcan", "Mireille", "Nico", "Odessa", "Pascal", "Quincy", "Rosalba", "Silas",
    "Tamsin", "Ulla", "Vernon", "Wilhelmina", "Xavier", "Yara", "Zeke", "Amadou", "Birgit",
    "Cassius", "Delphine",
)  # fmt: skip

_LAST: Final = (
    "Ashdown", "Bellweather", "Carrow", "Dunmore", "Everhart", "Farrow", "Greave", "Halloway",
    "Inkpen", "Juniper", "Kestrel", "Larkspur", "Marlowe", "Nightingale", "Oakes", "Penhaligon",
    "Quill", "Rooke", "Sorrel", "Thistlewood", "Umber", "Vantongeren", "Wexcombe", "Yarrow",
    "Zoltan", "Okonjo", "Brandvold", "Castellane", "Dragomir", "Fenwick",
)  # fmt: skip

_VERBS: Final = (
    "Leave", "Carry", "Follow", "Forget", "Hold", "Paint", "Remember", "Waste", "Chase", "Break",
    "Borrow", "Find", "Lose", "Sell", "Send", "Steal",
)  # fmt: skip

_PLACES: Final = (
    "on Tallow Street", "on the Ninth Floor", "in Winter", "by the River", "at Platform Two",
    "by the Old Pier", "on a Sunday", "on the Long Road", "in the Back Row", "in November",
    "under the Salt Flats", "in Room Eleven", "after the Rain", "before Morning",
)  # fmt: skip

_ENSEMBLES: Final = {
    "jazz": ("Trio", "Quartet", "Quintet"),
    "blues": ("Blues Band", "& the Night Shift"),
    "folk/country": ("& the Hired Hands", "String Band"),
    "funk/soul/rnb": ("& the Velvet Section", "Revue"),
}


class NameGenerator:
    """Invents names of artists, albums and songs from word lists, without repetition."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._used: set[str] = set()

    def artist(self, genre: str) -> str:
        """Return a new name of a band or a person."""
        ensembles = _ENSEMBLES.get(genre, ())

        def invent() -> str:
            kind = int(self._rng.integers(5))
            person = f"{self._choose(_FIRST)} {self._choose(_LAST)}"
            if kind == 0:
                return f"The {self._choose(_PLURALS)}"
            if kind == 1:
                return f"{self._choose(_ADJECTIVES)} {self._choose(_PLURALS)}"
            if kind == 2:
                return f"{self._choose(_NOUNS)} {self._choose(_NOUNS)}"
            if kind == 3 and ensembles:
                return f"{person} {self._choose(ensembles)}"
            return person

        return self._unused_name(invent)

    def title(self) -> str:
        """Return a new name of a song or an album."""

        def invent() -> str:
            kind = int(self._rng.integers(6))
            if kind == 0:
                return self._choose(_NOUNS)
            if kind == 1:
                return f"{self._choose(_VERBS)} the {self._choose(_NOUNS)}"
            if kind == 2:
                return f"{self._choose(_NOUNS)} {self._choose(_PLACES)}"
            if kind == 3:
                adverbs = ("Slowly", "Twice", "Home", "Again")
                return f"{self._choose(_VERBS)} Me {self._choose(adverbs)}"
            if kind == 4:
                return f"{self._choose(_NOUNS)} and {self._choose(_NOUNS)}"
            return f"{self._choose(_ADJECTIVES)} {self._choose(_NOUNS)}"

        return self._unused_name(invent)

    def keep(self, name: str) -> None:
        """Mark a name as used."""
        self._used.add(name)

    def _choose(self, words: tuple[str, ...]) -> str:
        return words[int(self._rng.integers(len(words)))]

    def _unused_name(self, invent: Callable[[], str]) -> str:
        name = invent()
        part = 2
        while name in self._used:
            fresh = invent()
            # The word lists are finite: in the end names are numbered.
            name = fresh if part < 40 or fresh not in self._used else f"{fresh} {part}"
            part += 1
        self._used.add(name)
        return name


FIRST_DAY: Final = np.datetime64("2025-01-01", "s")

LAST_DAY: Final = np.datetime64("2026-01-01", "s")
"""All plays are between these two."""

_UNPLAYED_SHARE: Final = 1 / 8
"""Share of songs without plays: released when the simulated year ends."""

_DEBUT_SHARE: Final = 1 / 7
"""Share of artists without any play."""

_BACK_CATALOGUE: Final = 0.6
"""Share of songs released before the simulated year."""

_FORMATS: Final = {"flac": 0.40, "wav": 0.30, "ogg": 0.22, "mp3": 0.08}


@dataclass(frozen=True)
class DemoSong:
    """One song of the catalogue, before it is rendered."""

    item_id: str
    title: str
    album: str
    performer: str
    plan: SongPlan
    path: str
    released: np.datetime64
    popularity: float
    """Natural logarithm of its popularity."""
    scene: tuple[float, float]
    """Features of the artist that affect listeners but not the audio."""
    played: bool


def derive_seed(seed: int, *key: int) -> int:
    """Return a seed for one purpose, independent of those of other keys."""
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint32)[0])


def draw_catalogue(seed: int, n_songs: int, n_artists: int) -> list[DemoSong]:
    """Draw the songs of the catalogue, sorted by id; ids carry no information about the songs.

    Popularity follows Zipf's law over artists and over the songs of an artist.

    Raises:
        InvalidArgumentError: if there are fewer artists than genres, or fewer songs than artists.
    """
    if n_artists < len(GENRES):
        raise InvalidArgumentError(f"n_artists is {n_artists}; it must be at least {len(GENRES)}")
    if n_songs < n_artists:
        raise InvalidArgumentError(f"n_songs is {n_songs}; it must be at least n_artists")
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    names = NameGenerator(rng)
    # Every genre keeps an artist with plays.
    debuts = min(round(n_artists * _DEBUT_SHARE), n_artists - len(GENRES))
    counts = _songs_per_artist(n_songs, n_artists, debuts, rng)
    artist_rank = rng.permutation(n_artists) + 1
    unplayed = _unplayed_songs(counts, debuts, round(n_songs * _UNPLAYED_SHARE))
    ids = rng.permutation(n_songs)
    formats = rng.choice(list(_FORMATS), size=n_songs, p=list(_FORMATS.values()))
    songs: list[DemoSong] = []
    for index in range(n_artists):
        genre = list(GENRES)[index % len(GENRES)]
        artist = draw_artist(genre, derive_seed(seed, 1, index))
        performer = names.artist(genre)
        scene = tuple(float(value) for value in rng.normal(0.0, 1.0, 2))
        albums = [names.title() for _ in range(-(-int(counts[index]) // 4))]
        for number in range(counts[index]):
            # The newest come last: those without plays.
            played = number < counts[index] - unplayed[index]
            item_id = f"demo-{ids[len(songs)] + 1:04d}"
            songs.append(
                DemoSong(
                    item_id=item_id,
                    title=names.title(),
                    album=albums[number // 4],
                    performer=performer,
                    plan=draw_plan(artist, derive_seed(seed, 2, index, number)),
                    path=f"audio/{item_id}.{formats[len(songs)]}",
                    released=_release_date(played, rng),
                    popularity=float(
                        -1.1 * np.log(artist_rank[index] + 2.0 * n_artists / 66)
                        - 0.7 * np.log(number + 1.0)
                    ),
                    scene=(scene[0], scene[1]),
                    played=played,
                )
            )
    return sorted(songs, key=lambda song: song.item_id)


def draw_new_song(
    seed: int, n_songs: int, n_artists: int, number: int, genre: str, *, new_artist: bool
) -> DemoSong:
    """Draw a song that is not in the catalogue, by one of its artists or a new one."""
    catalogue = draw_catalogue(seed, n_songs, n_artists)
    key = (3, number, list(GENRES).index(genre), int(new_artist))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    names = NameGenerator(rng)
    for song in catalogue:
        names.keep(song.performer)
        names.keep(song.title)
    known = [song for song in catalogue if song.plan.artist.genre == genre and song.played]
    artist: ArtistStyle
    if new_artist:
        artist, performer = draw_artist(genre, derive_seed(seed, *key)), names.artist(genre)
    else:
        picked = known[int(rng.integers(len(known)))]
        artist, performer = picked.plan.artist, picked.performer
    title = names.title()
    return DemoSong(
        item_id=f"new-{derive_seed(seed, *key):08x}",
        title=title,
        album=names.title(),
        performer=performer,
        plan=draw_plan(artist, derive_seed(seed, *key, 1)),
        path=f"new/{performer} - {title}.flac",
        released=LAST_DAY,
        popularity=0.0,
        scene=(0.0, 0.0),
        played=False,
    )


def items_table(songs: list[DemoSong]) -> pd.DataFrame:
    """Return the items: id, texts, genre, and the tags `emotion` and `instrument`."""
    return pd.DataFrame(
        {
            ITEM_ID: [song.item_id for song in songs],
            TITLE: [song.title for song in songs],
            ARTIST: [song.performer for song in songs],
            ALBUM: [song.album for song in songs],
            GENRE: [song.plan.artist.genre for song in songs],
            "emotion": [song.plan.emotion for song in songs],
            "instrument": [song.plan.instrument for song in songs],
        }
    )


def audio_table(songs: list[DemoSong]) -> pd.DataFrame:
    """Return the recordings, one for each song."""
    return pd.DataFrame(
        {ITEM_ID: [song.item_id for song in songs], PATH: [song.path for song in songs]}
    )


def truth_table(songs: list[DemoSong]) -> pd.DataFrame:
    """Return what only the simulation knows: sound properties, release date and seeds."""
    frame = pd.DataFrame({ITEM_ID: [song.item_id for song in songs]})
    frame["released"] = [str(song.released.astype("datetime64[D]")) for song in songs]
    frame["bpm"] = [round(song.plan.sound.bpm, 2) for song in songs]
    for name in SOUND_PROPERTIES:
        frame[name] = [round(float(getattr(song.plan.sound, name)), 4) for song in songs]
    frame["neighbour"] = [song.plan.artist.neighbour for song in songs]
    frame["crossover"] = [round(song.plan.artist.crossover, 4) for song in songs]
    frame["artist_seed"] = [str(song.plan.artist.seed) for song in songs]
    frame["song_seed"] = [str(song.plan.seed) for song in songs]
    return frame


def _songs_per_artist(
    n_songs: int, n_artists: int, debuts: int, rng: np.random.Generator
) -> IntArray:
    """Return the number of songs of each artist.

    Genres have equal size; within one, songs are shared at random, and debut artists have one.
    """
    counts = np.ones(n_artists, dtype=np.int64)
    size = len(GENRES)
    for genre in range(size):
        members = np.arange(genre, n_artists, size)
        share = n_songs // size + (genre < n_songs % size)
        established = members[members < n_artists - debuts]
        spare = share - members.size
        # Artists with plays have at least two songs.
        second = established[:spare]
        counts[second] += 1
        weights = rng.dirichlet(np.full(established.size, 4.0))
        counts[established] += rng.multinomial(spare - second.size, weights)
    return counts


def _unplayed_songs(counts: IntArray, debuts: int, wanted: int) -> list[int]:
    """Return how many songs of each artist are unplayed: all of a debut, the newest of others."""
    n_artists = len(counts)
    unplayed = [0] * (n_artists - debuts) + [int(count) for count in counts[n_artists - debuts :]]
    candidates = [index for index in range(n_artists - debuts) if counts[index] > 1]
    # Consecutive artists are of different genres, so unplayed songs spread over all genres.
    for index in candidates[: max(wanted - sum(unplayed), 0)]:
        unplayed[index] = 1
    return unplayed


def _release_date(played: bool, rng: np.random.Generator) -> np.datetime64:
    if not played:
        return LAST_DAY
    if rng.random() < _BACK_CATALOGUE:
        return FIRST_DAY - np.timedelta64(int(rng.integers(1, 3650)) * 86_400, "s")
    return FIRST_DAY + np.timedelta64(int(rng.integers(0, 320)) * 86_400, "s")
