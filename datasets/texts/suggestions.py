"""Suggest what was meant where a name is not known."""

import difflib
import string
from collections.abc import Iterable, Sized
from typing import Any, Protocol


class Names(Sized, Iterable[Any], Protocol):
    """Any number of names."""


LONGEST = 100
"""Characters of a text that something similar is looked for; a longer one is no misspelt name."""

_MOST = 20_000
"""So many names are compared with a text one by one, which takes a tenth of a second at most."""

_LETTERS = string.ascii_lowercase + string.digits + string.ascii_uppercase + "-_. :"


def did_you_mean(text: object, names: Names) -> str:
    """Return the end of a sentence that suggests names like a text; "" if none is like it.

    Examples:
        >>> did_you_mean("gnere", ["title", "genre"])
        "; did you mean 'genre'?"
    """
    return suggest(close_names(text, names))


def suggest(found: Iterable[str], shown: Iterable[str] | None = None) -> str:
    """Return the end of a sentence that suggests names; "" if there are none.

    Args:
        found: the names; control characters are escaped.
        shown: texts to be shown in their place, safe for a terminal.

    Examples:
        >>> suggest(["als", "ease"])
        "; did you mean 'als' or 'ease'?"
    """
    texts = list(map(repr, found)) if shown is None else list(shown)
    if not texts:
        return ""
    *first, last = texts
    return f"; did you mean {', '.join(first)} or {last}?" if first else f"; did you mean {last}?"


def close_names(text: object, names: Names, limit: int = 3) -> list[str]:
    """Return the names most like a text, case aside, best first.

    Among more than 20,000 names nothing is looked for: it would take long.

    Examples:
        >>> close_names("Jaz", ["rock", "jazz"])
        ['jazz']
    """
    wanted = str(text)
    if not wanted.strip() or len(wanted) > LONGEST or len(names) > _MOST:
        return []
    key = _key(wanted)
    by_key: dict[str, str] = {}
    for name in names:
        own = str(name)
        if len(own) <= 2 * LONGEST:
            by_key.setdefault(_key(own), own)
    if key in by_key:
        return [by_key[key]]
    return [by_key[found] for found in difflib.get_close_matches(key, by_key, limit, 0.7)]


def near_spellings(text: str) -> list[str]:
    """Return spellings that differ from a text by case, by a space around it or by one character.

    To be looked up: that takes the same time however many names there are.

    Examples:
        >>> "song-12" in near_spellings("song12"), "song-12" in near_spellings("Song-12")
        (True, True)
    """
    bare = text.strip()
    if not bare or len(bare) > LONGEST:
        return []
    found = [bare, bare.lower(), bare.upper(), bare.title(), bare.casefold()]
    letters = _LETTERS if len(bare) <= LONGEST // 3 else "-_. "
    cuts = [(bare[:n], bare[n:]) for n in range(len(bare) + 1)]
    found += [a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1]
    found += [a + b[1:] for a, b in cuts if b]
    found += [a + letter + b for a, b in cuts for letter in letters]
    found += [a + letter + b[1:] for a, b in cuts if b for letter in letters]
    return [one for one in dict.fromkeys(found) if one != text]


def _key(text: str) -> str:
    return " ".join(text.casefold().replace("_", "-").split())
