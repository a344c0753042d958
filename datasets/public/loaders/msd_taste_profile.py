"""Echo Nest Taste Profile: play counts of a million users for songs of the Million Song Dataset.

- `train_triplets.txt`, in `train_triplets.txt.zip`: 48,373,586 lines of user (40 hexadecimal
  digits), song (`SOAKIMP12A8C130995`) and plays, tab-separated, no header.
- `unique_tracks.txt`: `TRACK<SEP>SONG<SEP>ARTIST<SEP>TITLE` for each of a million tracks. A song
  may have several; the first gives its names and the tag `track_id`, the key of its features in the
  Million Song Dataset.
- `sid_mismatches.txt`: `ERROR: <SONG TRACK> ARTIST - TITLE != ARTIST - TITLE`, songs matched to a
  wrong track (about 19,000). Their names and features are wrong, so they are skipped, and their
  plays counted and reported.

Plays have no times, songs no genre. No checksums are published. Formats are known from programs
that read these files. Names are read as UTF-8; invalid bytes become U+FFFD.
"""

import re
from pathlib import Path
from typing import Final

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
    "T. Bertin-Mahieux, D. P. W. Ellis, B. Whitman, P. Lamere: The Million Song Dataset. ISMIR"
    " 2011; B. McFee, T. Bertin-Mahieux, D. P. W. Ellis, G. R. G. Lanckriet: The Million Song"
    " Dataset Challenge. WWW 2012 Companion."
)
_LICENCE: Final = "for research, non-commercial; see the homepage"
_HOMEPAGE: Final = "http://millionsongdataset.com/tasteprofile"

TRIPLETS_FILE: Final = "train_triplets.txt"
TRACKS_FILE: Final = "unique_tracks.txt"
MISMATCHES_FILE: Final = "sid_mismatches.txt"

_MISMATCH: Final = re.compile(r"<(SO[A-Z0-9]{16}) ")
_SITE: Final = "http://millionsongdataset.com/sites/default/files"

_FILES: Final = (
    RemoteFile(f"{TRIPLETS_FILE}.zip", f"{_SITE}/challenge/{TRIPLETS_FILE}.zip", "", None),
    RemoteFile(MISMATCHES_FILE, f"{_SITE}/tasteprofile/{MISMATCHES_FILE}", "", None),
    RemoteFile(TRACKS_FILE, f"{_SITE}/AdditionalFiles/{TRACKS_FILE}", "", None),
)


def _convert(source: Path, target: Path) -> None:
    """Write the songs that were played, with their names, and play counts."""
    wrong = _mismatches(source)
    songs: dict[str, None] = {}
    left_out = SkippedRows(TRIPLETS_FILE)
    with interaction_writer(target, times=False) as add:
        for number, line in read_archived_lines(source, TRIPLETS_FILE, f"{TRIPLETS_FILE}.zip"):
            fields = line.split("\t")
            if len(fields) != 3 or not (fields[0] and fields[1]):
                left_out.add("not user, song and plays", number)
                continue
            user, song, plays = fields
            if song in wrong:
                left_out.add("the song is matched to a wrong track", number)
            elif not plays.isdecimal():
                left_out.add("the plays are no number", number)
            else:
                songs[song] = None
                add(user, song, float(plays))
        names, no_names = _names(source, songs)
        left_out.report(target, len(songs), no_names)
        items = [(song, *names.get(song, ("", "", ""))) for song in songs]
        # Inside the block, so that the interactions file appears after the items.
        write_items(target, text_frame(items, ("item_id", "title", "artist", "track_id")))


def _mismatches(source: Path) -> set[str]:
    # Its names are in more than one encoding; the ids are ASCII.
    cost = "songs that were matched to a wrong track stay"
    found = read_optional_lines(source, MISMATCHES_FILE, cost=cost, encoding="latin-1")
    return {match[1] for _, line in found if (match := _MISMATCH.search(line))}


def _names(
    source: Path, wanted: dict[str, None]
) -> tuple[dict[str, tuple[str, str, str]], SkippedRows]:
    """Return (title, artist, track) by song for the wanted songs, and the lines skipped."""
    found: dict[str, tuple[str, str, str]] = {}
    left_out = SkippedRows(TRACKS_FILE)
    cost = "songs have no titles and artists"
    for number, line in read_optional_lines(source, TRACKS_FILE, cost=cost, encoding="latin-1"):
        fields = line.split("<SEP>")
        if len(fields) != 4:
            left_out.add(f"{len(fields)} values, not 4", number)
            continue
        track, song, artist, title = fields
        if song in wanted and song not in found:
            found[song] = (_name(title), _name(artist), track)
    return found, left_out


def _name(text: str) -> str:
    """Decode as UTF-8 a name that was read as latin-1, which never fails."""
    return clean_text(text.encode("latin-1").decode("utf-8", errors="replace"))


MSD_TASTE_PROFILE: Final = PublicDataset(
    name="msd-taste-profile",
    title="The Echo Nest Taste Profile Subset (Million Song Dataset)",
    description=(
        "48 million play counts of 1,019,318 users and 384,546 songs, less those matched to a"
        " wrong track; no times."
    ),
    citation=_CITATION,
    licence=_LICENCE,
    homepage=_HOMEPAGE,
    files=_FILES,
    convert=_convert,
)
