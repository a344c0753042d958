"""Last.fm-360K: play counts of the most played artists of 359,347 users of Last.fm.

`lastfm-dataset-360K.tar.gz` holds `usersha1-artmbid-artname-plays.tsv`: 17,559,530 lines without
header, four tab-separated values: SHA-1 of a user, MusicBrainz id and name of an artist, plays.
Many ids are blank. Some lines have a date in place of the user, some no plays; these and lines of
any other form are skipped, counted and reported.

An item is an artist: its MusicBrainz id, or its name if it has none. If an id has several
spellings, the first is used. Plays have no times.

The format is that of the published README; that dates occur in place of users is known from
programs that remove them ("sep 20, 2008").
"""

import re
from pathlib import Path
from typing import Final

from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import text_frame, write_items
from datasets.public.parquet import interaction_writer
from datasets.public.text_tables import SkippedRows, clean_text, read_archived_lines

_CITATION: Final = "Ò. Celma: Music Recommendation and Discovery in the Long Tail. Springer, 2010."
_LICENCE: Final = "non-commercial use, with permission of Last.fm"
_HOMEPAGE: Final = "http://ocelma.net/MusicRecommendationDataset/lastfm-360K.html"

ARCHIVE: Final = "lastfm-dataset-360K.tar.gz"
PLAYS_FILE: Final = "usersha1-artmbid-artname-plays.tsv"

_SHA1: Final = re.compile(r"[0-9a-f]{40}")

_FILES: Final = (
    RemoteFile(
        ARCHIVE,
        f"https://zenodo.org/records/6090214/files/{ARCHIVE}?download=1",
        "md5:635e6ed3fc873aa4ba33aba0ebce02b1",
        569_202_935,
    ),
)


def _convert(source: Path, target: Path) -> None:
    """Write artists and play counts."""
    artists: dict[str, str] = {}
    left_out, known = SkippedRows(PLAYS_FILE), ""
    with interaction_writer(target, times=False) as add:
        for number, line in read_archived_lines(source, PLAYS_FILE, ARCHIVE):
            fields = line.split("\t")
            if len(fields) != 4:
                left_out.add(f"{len(fields)} values, not 4", number)
                continue
            user, artist, name, plays = fields
            if user != known:  # a user's lines follow each other
                if not _SHA1.fullmatch(user):
                    left_out.add("the user is no SHA-1", number)
                    continue
                known = user
            artist = artist or clean_text(name)
            if not artist:
                left_out.add("neither id nor name of an artist", number)
            elif not plays.strip().isdecimal():
                left_out.add("the plays are no number", number)
            elif int(plays) == 0:
                left_out.add("no plays", number)
            else:
                if artist not in artists:
                    artists[artist] = clean_text(name)
                add(known, artist, float(plays))
        left_out.report(target, len(artists))
        items = [(artist, name, name) for artist, name in artists.items()]
        # Inside the block, so that the interactions file appears after the items.
        write_items(target, text_frame(items, ("item_id", "title", "artist")))


LASTFM_360K: Final = PublicDataset(
    name="lastfm-360k",
    title="Last.fm Dataset - 360K users",
    description="17.5 million play counts of 359,347 users and 294,015 artists; no times.",
    citation=_CITATION,
    licence=_LICENCE,
    homepage=_HOMEPAGE,
    files=_FILES,
    convert=_convert,
)
