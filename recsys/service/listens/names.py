"""What spellings of an artist and a title have in common, for scrobbles of the same song."""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from datasets.texts.unicode_forms import folded

_QUOTES = str.maketrans({**dict.fromkeys("‘’‛´`ʼ′", "'"), **dict.fromkeys("“”„‟″", '"')})
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-"))

_IN_BRACKETS = re.compile(
    r"\s*[(\[]\s*(?:feat(?:\.|uring)?|ft\.?)\s+([^()\[\]]+)[)\]]", re.IGNORECASE
)
_IN_TITLE = re.compile(r"\s+(?:feat\.|featuring|ft\.)\s+([^()\[\]]+)", re.IGNORECASE)
_IN_ARTIST = re.compile(r"\s+(?:feat\.?|featuring|ft\.?)\s+([^()\[\]]+)", re.IGNORECASE)
"""How guests are named. A plain "feat" is a word of a title such as "A feat of strength"."""

_NO_WORD = re.compile(r"[\W_]+")
_NOBODY: frozenset[str] = frozenset()
_BETWEEN = re.compile(r"\s*(?:[,;&+/•]|\band\b)\s*", re.IGNORECASE)
"""What stands between the names of several artists."""


class LooseName(NamedTuple):
    """An artist and a title without guests, accents and punctuation."""

    artist: str
    title: str
    guests: frozenset[str]

    def may_be(self, other: "LooseName") -> bool:
        """Return whether both may name one song: the guests are the same where both name any."""
        if self[:2] != other[:2]:
            return False
        return not self.guests or not other.guests or self.guests == other.guests


def track_key(artist: str, title: str) -> str:
    """Return what spellings have in common: without case, in one Unicode form, with one space.

    Examples:
        >>> track_key("Beyonce" + chr(0x301), "Don’t  Hurt Yourself") == track_key(
        ...     "BEYONC" + chr(0xC9), "Don't Hurt Yourself"
        ... )
        True
        >>> track_key("a", "b c") == track_key("a b", "c")
        False
    """
    return f"{_plain(artist)}\n{_plain(title)}"


def loose_name(artist: str, title: str) -> LooseName:
    """Return the names without what players and tags often disagree in.

    Those are guests ("feat. …"), accents, punctuation, a leading "the", and how several artists are
    joined. A version, such as "(live)" or "- 2011 remix", stays.

    Examples:
        >>> loose_name("The Björks feat. Ana", "Run! (Live)")
        LooseName(artist='bjorks', title='run live', guests=frozenset({'ana'}))
        >>> loose_name("Bjorks", "Run (live) [ft. Ana]").may_be(
        ...     loose_name("The Björks feat. Ana", "Run! (Live)")
        ... )
        True
        >>> loose_name("!!!", "???")[:2]
        ('!!!', '???')
    """
    name, guests = _loose_artist(artist)
    words, others = _without_guests(_plain(title), _IN_TITLE)
    return LooseName(name, _words(words), guests | others if others else guests)


@lru_cache(maxsize=1 << 14)
def _loose_artist(artist: str) -> tuple[str, frozenset[str]]:
    text, guests = _without_guests(_plain(artist), _IN_ARTIST)
    joined = _words(_BETWEEN.sub(" ", text)) or _words(text)
    return joined.removeprefix("the ").removesuffix(" the"), guests


def _without_guests(text: str, pattern: re.Pattern[str]) -> tuple[str, frozenset[str]]:
    """A text without the guests that it names, and these."""
    if "feat" not in text and "ft" not in text:
        return text, _NOBODY
    guests: set[str] = set()
    for one in (_IN_BRACKETS, pattern):
        for found in one.finditer(text):
            guests.update(filter(None, map(_words, _BETWEEN.split(found[1]))))
        text = one.sub("", text)
    return text, frozenset(guests)


def _plain(text: str) -> str:
    if text.isascii():
        return folded(text).replace("`", "'")
    return folded(text.translate(_QUOTES)).translate(_DASHES)


def _words(text: str) -> str:
    """The letters and digits of a text, without accents; the text itself if it has none."""
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(one for one in parts if not unicodedata.combining(one)) or text
    return " ".join(_NO_WORD.sub(" ", text.replace("'", "")).split()) or text.strip()
