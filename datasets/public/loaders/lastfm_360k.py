"""Last.fm-360K: how often 359,347 users of Last.fm played the artists they play most.

``lastfm-dataset-360K.tar.gz`` holds ``usersha1-artmbid-artname-plays.tsv``: 17,559,530 lines
without a header, of four values separated by tabs, the SHA-1 of a user, MusicBrainz id and name of
an artist, and plays. Ids are blank for many artists. Some lines have a date where the user should
be, some no plays; such lines, and any of another form, are left out, counted and reported.

An item is an artist: its MusicBrainz id, or its name where there is none. One id may have several
spellings; the first counts. Plays have no times.

The format is that of the published README; that dates stand in the place of users is known from
programs that take them out ("sep 20, 2008"), how many do is not.
"""

import re
from pathlib import Path
from typing import Final

from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import text_frame, write_items
from datasets.public.parquet import interaction_writer
from datasets.public.text_tables import SkippedRows, clean_text, read_archived_lines

ARCHIVE: Final = "lastfm-dataset-360K.tar.gz"
PLAYS_FILE: Final = "usersha1-artmbid-artname-plays.tsv"

_SHA1: Final = re.compile(r"[0-9a-f]{40}")


def _convert(source: Path, target: Path) -> None:
    """Artists and play counts, from the archive or the folder it unpacks to."""
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
        # Within, so that the interactions appear after the items they need.
        write_items(target, text_frame(items, ("item_id", "title", "artist")))


LASTFM_360K: Final = PublicDataset(
    name="lastfm-360k",
    title="Last.fm Dataset - 360K users",
    description="17.5 million play counts of 359,347 users and 294,015 artists; no times.",
    citation="Ò. Celma: Music Recommendation and Discovery in the Long Tail. Springer, 2010.",
    licence="non-commercial use, with permission of Last.fm",
    homepage="http://ocelma.net/MusicRecommendationDataset/lastfm-360K.html",
    files=(
        RemoteFile(
            ARCHIVE,
            f"https://zenodo.org/records/6090214/files/{ARCHIVE}?download=1",
            "md5:635e6ed3fc873aa4ba33aba0ebce02b1",
            569_202_935,
        ),
    ),
    convert=_convert,
)
