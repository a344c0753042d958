"""Last.fm-1K: every track played by 992 users of Last.fm until May 2009, with times.

`lastfm-dataset-1K.tar.gz` holds `userid-timestamp-artid-artname-traid-traname.tsv`: 19,150,868
lines without header, six tab-separated values: `user_000001`, `2009-05-04T23:08:57Z`, MusicBrainz
id and name of the artist, MusicBrainz id and name of the track. Many ids are blank. Quotes in names
are ordinary characters; tools that parse them lose lines. Lines of another form are skipped,
counted and reported.

An item is a track: its MusicBrainz id, or `ARTIST - TRACK` if it has none (so a track played with
and without an id is two items). All plays of a user and a track are one interaction: `weight` is
their number and `timestamp` the time of the first, by which time splits are made; the weight
includes later plays.

The format is that of the published README. Unknown: whether any line is malformed, and whether
plays are dated after the collection was made; these would be kept.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import text_frame, write_items
from datasets.public.parquet import interaction_writer
from datasets.public.play_counts import PlayCounts
from datasets.public.text_tables import SkippedRows, clean_text, read_archived_lines

_CITATION: Final = "Ò. Celma: Music Recommendation and Discovery in the Long Tail. Springer, 2010."
_LICENCE: Final = "non-commercial use, with permission of Last.fm"
_HOMEPAGE: Final = "http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html"

ARCHIVE: Final = "lastfm-dataset-1K.tar.gz"
PLAYS_FILE: Final = "userid-timestamp-artid-artname-traid-traname.tsv"

_FILES: Final = (
    RemoteFile(
        ARCHIVE,
        f"https://zenodo.org/records/6090214/files/{ARCHIVE}?download=1",
        "md5:a79a6808f54f73354789a9fb02cb1e41",
        None,
    ),
)


def _convert(source: Path, target: Path) -> None:
    """Write tracks, and play counts with the time of the first play."""
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
    """Return seconds since 1970 of a time such as `2009-05-04T23:08:57Z`."""
    if not time.endswith("Z"):  # without a zone it would be read as local time
        raise ValueError(time)
    return int(datetime.fromisoformat(time).timestamp())


LASTFM_1K: Final = PublicDataset(
    name="lastfm-1k",
    title="Last.fm Dataset - 1K users",
    description=(
        "19 million plays with times of 992 users, added up for each track (about 1.5 million)."
    ),
    citation=_CITATION,
    licence=_LICENCE,
    homepage=_HOMEPAGE,
    files=_FILES,
    convert=_convert,
)
