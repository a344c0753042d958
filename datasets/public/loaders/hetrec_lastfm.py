"""HetRec 2011 Last.fm-2K: artists played by 1,892 users of Last.fm, play counts and tags.

`hetrec2011-lastfm-2k.zip` holds tab-separated tables with headers and line ends CR LF or LF:
`artists.dat` (id, name, url, pictureURL; the last is sometimes blank), `user_artists.dat` (userID,
artistID, weight: plays), `tags.dat` (tagID, tagValue; latin-1) and `user_taggedartists.dat`
(userID, artistID, tagID, day, month, year). Quotes are ordinary characters: `"Weird Al" Yankovic`.
An artist is an item, `lastfm:ID`; a user is `uID`. Plays have no times; those of
`user_taggedartists-timestamps.dat` are times of tagging.

Tags are free text, and thousands occur once. The tag `tags` lists the five that most users gave an
artist. `genre` is the first of an artist's tags, in that order, that at least 100 artists have and
that is not a judgement, voice, country or decade (`NO_GENRES`); blank if there is none. That list
and the limit are our choice. Formats are those of the published readme and of copies of the tables;
the checksum is the one that several users of the file give.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from datasets.errors import DataError
from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import text_frame, write_items
from datasets.public.parquet import interaction_writer
from datasets.public.text_tables import (
    SkippedRows,
    clean_text,
    read_archived_lines,
    read_optional_lines,
)

_CITATION: Final = (
    "I. Cantador, P. Brusilovsky, T. Kuflik: 2nd Workshop on Information Heterogeneity and"
    " Fusion in Recommender Systems (HetRec 2011). RecSys 2011; and Last.fm,"
    " http://www.lastfm.com."
)
_LICENCE: Final = "non-commercial use; Last.fm's consent for any other"
_HOMEPAGE: Final = "https://grouplens.org/datasets/hetrec-2011/"

ARCHIVE: Final = "hetrec2011-lastfm-2k.zip"
COMMON: Final = 100
"""Number of artists that must have a tag before it can be a genre."""
LISTED: Final = 5
"""Number of an artist's tags listed in `tags`."""
NO_GENRES: Final = frozenset({
    "seen live", "favorites", "favourites", "favorite", "favourite", "favorite artists",
    "favourite artists", "favorite bands", "awesome", "beautiful", "love", "loved", "amazing",
    "cool", "sexy", "good", "best", "epic", "fun", "party", "sad", "relax", "relaxing", "chill",
    "mellow", "sweet", "cute", "genius", "legend", "albums i own", "check out",
    "under 2000 listeners", "female vocalists", "female vocalist", "female vocals", "female",
    "male vocalists", "male vocalist", "male", "boy band", "girl group", "guitar", "piano", "vocal",
    "vocals", "british", "american", "swedish", "german", "french", "japanese", "russian", "polish",
    "uk", "usa", "canadian", "brazilian", "brasil", "spanish", "italian", "australian", "finnish",
    "norwegian", "irish", "scottish", "icelandic", "danish", "dutch", "belgian", "korean",
    "seattle", "50s", "60s", "70s", "80s", "90s", "00s", "10s", "2000s", "oldies", "old school",
})  # fmt: skip
"""Common tags that are not genres."""

_HEADERS: Final = {
    "artists.dat": ("id", "name", "url", "pictureURL"),
    "user_artists.dat": ("userID", "artistID", "weight"),
    "tags.dat": ("tagID", "tagValue"),
    "user_taggedartists.dat": ("userID", "artistID", "tagID", "day", "month", "year"),
}

_FILES: Final = (
    RemoteFile(
        ARCHIVE,
        f"https://files.grouplens.org/datasets/hetrec2011/{ARCHIVE}",
        "sha256:6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
        None,
    ),
)


def _convert(source: Path, target: Path) -> None:
    """Write artists with genre and tags, and play counts."""
    names = {
        row[0]: row[1] for _, row in _rows(source, "artists.dat", cost="artists have no names")
    }
    if not names:
        names = {row[1]: "" for _, row in _rows(source, "user_artists.dat")}
    ranked = _ranked_tags(source)
    artists_of = Counter(tag for tags in ranked.values() for tag in tags)
    items = []
    for artist, name in names.items():
        tags = ranked.get(artist, [])
        common = (tag for tag in tags if artists_of[tag] >= COMMON and tag not in NO_GENRES)
        listed = "; ".join(tags[:LISTED])
        items.append((_item(artist), name, name, "", next(common, ""), listed))
    write_items(target, text_frame(items, ("item_id", "title", "artist", "album", "genre", "tags")))
    left_out, kept = SkippedRows("user_artists.dat"), 0
    with interaction_writer(target, times=False) as add:
        for number, (user, artist, weight) in _rows(source, "user_artists.dat"):
            if artist not in names:
                left_out.add("the artist is not listed", number)
            elif not weight.isdecimal():
                left_out.add("the weight is no number of plays", number)
            else:
                add(f"u{user}", _item(artist), float(weight))
                kept += 1
        left_out.report(target, kept)


def _item(artist: str) -> str:
    return f"lastfm:{artist}"


def _ranked_tags(source: Path) -> dict[str, list[str]]:
    """Return the tags of each artist, most given first, then alphabetically."""
    tags = _rows(source, "tags.dat", "latin-1", cost=_NO_TAGS)
    values = {row[0]: clean_text(row[1]).lower() for _, row in tags}
    given: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, (_, artist, tag, *_) in _rows(source, "user_taggedartists.dat", cost=_NO_TAGS):
        if values.get(tag):
            given[artist][values[tag]] += 1
    return {
        artist: sorted(counts, key=lambda tag: (-counts[tag], tag))
        for artist, counts in given.items()
    }


_NO_TAGS: Final = "artists have no genres and tags"


def _rows(
    source: Path, name: str, encoding: str = "utf-8-sig", *, cost: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, values) of each line below the header; DataError for another format.

    cost: what the set lacks without this table, which makes it optional.
    """
    header = _HEADERS[name]
    if cost:
        lines = read_optional_lines(source, name, ARCHIVE, cost=cost, encoding=encoding)
    else:
        lines = read_archived_lines(source, name, ARCHIVE, encoding=encoding)
    for number, line in lines:
        values = line.split("\t")
        if number == 1:
            if tuple(values) != header:
                raise DataError(f"{name}, line 1: the header {', '.join(header)} is expected")
        elif len(values) == len(header):
            yield number, values
        elif line:
            problem = f"{len(values)} values, but the header names {len(header)}"
            raise DataError(f"{name}, line {number}: {problem}")


HETREC_LASTFM: Final = PublicDataset(
    name="hetrec-lastfm",
    title="HetRec 2011 Last.fm-2K",
    description="17,632 artists, 92,834 play counts of 1,892 users, tags; no audio, no times.",
    citation=_CITATION,
    licence=_LICENCE,
    homepage=_HOMEPAGE,
    files=_FILES,
    convert=_convert,
)
