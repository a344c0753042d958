"""Last.fm-1K: every track that 992 users of Last.fm played until May 2009, and when.

``lastfm-dataset-1K.tar.gz`` holds ``userid-timestamp-artid-artname-traid-traname.tsv``: 19,150,868
lines without a header, of six values separated by tabs, ``user_000001``, ``2009-05-04T23:08:57Z``,
MusicBrainz id and name of the artist, MusicBrainz id and name of the track. Ids are blank for many
artists and tracks. Quotes in names are signs like any other; tools that take them for quotes lose
lines. Lines that are not of this form are left out, counted and reported.

An item is a track: its MusicBrainz id, or ``ARTIST - TRACK`` where there is none (so a track that
was played with and without an id is two items). The plays of a user and a track are one
interaction: ``weight`` is how many there are and ``timestamp`` when the first was, which is what
splits by time go by. The weight counts later plays too; they cannot be told from it.

The format is that of the published README. Not known: whether any line is in fact malformed, and
whether plays are dated later than the collection was made; they would be kept.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import text_frame, write_items
from datasets.public.parquet import interaction_writer
from datasets.public.play_counts import PlayCounts
from datasets.public.text_tables import SkippedRows, clean_text, read_archived_lines

ARCHIVE: Final = "lastfm-dataset-1K.tar.gz"
PLAYS_FILE: Final = "userid-timestamp-artid-artname-traid-traname.tsv"


def _convert(source: Path, target: Path) -> None:
    """Tracks and play counts with the time of the first play, from the archive or its folder."""
    users: dict[str, int] = {}
    tracks: dict[str, int] = {}
    items: list[tuple[str, str, str]] = []
    plays, left_out = PlayCounts(), SkippedRows(PLAYS_FILE)
    for number, line in read_archived_lines(source, PLAYS_FILE, ARCHIVE):
        fields = line.split("\t")
        if len(fields) != 6:
            left_out.add(f"{len(fields)} values, not 6", number)
            continue
        user, time, _, artist, track, title = fields
        if not user:
            left_out.add("no user", number)
            continue
        if not track:
            if not title.strip():
                left_out.add("neither id nor name of a track", number)
                continue
            track = f"{clean_text(artist)} - {clean_text(title)}"
        try:
            when = _seconds(time)
        except ValueError:
            left_out.add("the time is not of this form", number)
            continue
        item = tracks.setdefault(track, len(tracks))
        if item == len(items):
            items.append((track, clean_text(title), clean_text(artist)))
        plays.add(users.setdefault(user, len(users)), item, 1.0, when)
    left_out.report(target, len(items))
    write_items(target, text_frame(items, ("item_id", "title", "artist")))
    names, ids = list(users), list(tracks)
    with interaction_writer(target, times=True) as add:
        plays.write(add, names.__getitem__, ids.__getitem__, times=True)


def _seconds(time: str) -> int:
    """Since 1970, of a time such as ``2009-05-04T23:08:57Z``."""
    if not time.endswith("Z"):  # without a zone it would be taken as that of this machine
        raise ValueError(time)
    return int(datetime.fromisoformat(time).timestamp())


LASTFM_1K: Final = PublicDataset(
    name="lastfm-1k",
    title="Last.fm Dataset - 1K users",
    description=(
        "19 million plays with times of 992 users, added up for each track (about 1.5 million)."
    ),
    citation="Ò. Celma: Music Recommendation and Discovery in the Long Tail. Springer, 2010.",
    licence="non-commercial use, with permission of Last.fm",
    homepage="http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html",
    files=(
        RemoteFile(
            ARCHIVE,
            f"https://zenodo.org/records/6090214/files/{ARCHIVE}?download=1",
            "md5:a79a6808f54f73354789a9fb02cb1e41",
            None,
        ),
    ),
    convert=_convert,
)
