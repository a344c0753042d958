"""Invented names of artists, albums and songs, from word lists."""

from collections.abc import Callable
from typing import Final

import numpy as np

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


class Names:
    """Draws names and never the same one twice."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._used: set[str] = set()

    def artist(self, genre: str) -> str:
        """A name of a band or a person."""
        ensembles = _ENSEMBLES.get(genre, ())

        def invent() -> str:
            kind = int(self._rng.integers(5))
            person = f"{self._one(_FIRST)} {self._one(_LAST)}"
            if kind == 0:
                return f"The {self._one(_PLURALS)}"
            if kind == 1:
                return f"{self._one(_ADJECTIVES)} {self._one(_PLURALS)}"
            if kind == 2:
                return f"{self._one(_NOUNS)} {self._one(_NOUNS)}"
            if kind == 3 and ensembles:
                return f"{person} {self._one(ensembles)}"
            return person

        return self._new(invent)

    def title(self) -> str:
        """A name of a song or an album."""

        def invent() -> str:
            kind = int(self._rng.integers(6))
            if kind == 0:
                return self._one(_NOUNS)
            if kind == 1:
                return f"{self._one(_VERBS)} the {self._one(_NOUNS)}"
            if kind == 2:
                return f"{self._one(_NOUNS)} {self._one(_PLACES)}"
            if kind == 3:
                return f"{self._one(_VERBS)} Me {self._one(('Slowly', 'Twice', 'Home', 'Again'))}"
            if kind == 4:
                return f"{self._one(_NOUNS)} and {self._one(_NOUNS)}"
            return f"{self._one(_ADJECTIVES)} {self._one(_NOUNS)}"

        return self._new(invent)

    def keep(self, name: str) -> None:
        """Mark a name as taken."""
        self._used.add(name)

    def _one(self, words: tuple[str, ...]) -> str:
        return words[int(self._rng.integers(len(words)))]

    def _new(self, invent: Callable[[], str]) -> str:
        name = invent()
        part = 2
        while name in self._used:
            fresh = invent()
            # The word lists are finite: in the end a name is continued, as serials are.
            name = fresh if part < 40 or fresh not in self._used else f"{fresh} {part}"
            part += 1
        self._used.add(name)
        return name
