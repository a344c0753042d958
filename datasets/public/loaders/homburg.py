"""Homburg (garageband.com): 1,886 songs of nine genres, 10 s each; the data set of the patent.

One zip of mp3 files for each genre. A file is named `Artist-Title.mp3`; every character other than
letters and digits became `_`, so the only hyphen separates the two and names are restored roughly
("Don_t_Say" becomes "Don t Say"). Nothing else is known of a song.

Checked against a published list of all 1,886 names. Not checked: that the zips hold the files at
top level, and that the addresses still answer.
"""

import logging
from pathlib import Path, PurePosixPath
from typing import Final

from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import (
    extract_files,
    find_input,
    text_frame,
    write_audio,
    write_items,
    write_no_interactions,
)

_CITATION: Final = (
    "H. Homburg, I. Mierswa, B. Möller, K. Morik, M. Wurst: A benchmark dataset for audio"
    " classification and clustering. ISMIR 2005, 528-531."
)
_LICENCE: Final = "none stated; the paper calls it freely available, for research"
_HOMEPAGE: Final = "https://www-ai.cs.tu-dortmund.de/audio.html"

_NAME: Final = "homburg"
SONGS: Final = {
    "alternative": 145,
    "blues": 120,
    "electronic": 113,
    "folkcountry": 222,
    "funksoulrnb": 47,
    "jazz": 319,
    "pop": 116,
    "raphiphop": 300,
    "rock": 504,
}
"""Number of published songs of each genre."""

_ADDRESS: Final = "https://www-ai.cs.tu-dortmund.de/AUDIO"

logger = logging.getLogger("coldtune")

_FILES: Final = tuple(RemoteFile(f"{g}.zip", f"{_ADDRESS}/{g}.zip", "", None) for g in SONGS)


def _convert(source: Path, target: Path) -> None:
    """Write items and recordings, from the nine zips or nine folders of mp3 files."""
    items, audio = [], []
    for genre, published in SONGS.items():

        def choose_target(name: str, genre: str = genre) -> Path | None:
            file = PurePosixPath(name)
            return target / "audio" / genre / file.name if file.suffix.lower() == ".mp3" else None

        found = extract_files(find_input(source, f"{genre}.zip", genre), choose_target)
        for path in sorted(set(found.values())):
            item_id = f"{genre}/{path.stem}"
            artist, _, title = path.stem.partition("-")
            if not title:
                artist, title = "", artist
            items.append((item_id, _words(title), _words(artist), "", genre))
            audio.append((item_id, path.relative_to(target).as_posix()))
        if len(found) != published:
            logger.warning("%s: %d songs of %s, not %d", _NAME, len(found), genre, published)
    write_items(target, text_frame(items, ("item_id", "title", "artist", "album", "genre")))
    write_audio(target, text_frame(audio, ("item_id", "path")))
    write_no_interactions(target)


def _words(text: str) -> str:
    return " ".join(text.replace("_", " ").split())


HOMBURG: Final = PublicDataset(
    name=_NAME,
    title="Music Audio Benchmark Data Set (Homburg, garageband.com)",
    description="1,886 songs of 9 genres, 10 s each as mp3; no listening.",
    citation=_CITATION,
    licence=_LICENCE,
    homepage=_HOMEPAGE,
    files=_FILES,
    convert=_convert,
)
