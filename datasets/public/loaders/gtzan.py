"""GTZAN: 1,000 clips of 30 s, ten genres of 100, with artists and the fault-filtered split.

`genres.tar.gz` holds `genres/blues/blues.00000.wav` and so on (`.au` in the oldest copies).
`jazz.00054` cannot be decoded in the current copies: it is skipped and reported, like any clip that
does not start as a sound file does.

The collection repeats recordings and artists and has wrong labels (Sturm 2013). Therefore:

- Artists and titles are read from Sturm's index, `GTZANindex.txt`, with lines such as
  `blues.00002.wav ::: John Lee Hooker ::: Think Twice Before You Go`. No reliable address or
  licence of it was found: put the file beside the archive yourself. Without it artists are blank
  and splits by artist are impossible.
- The tag `split` is the part of the fault-filtered partition (train, valid, test: 443, 197 and 290
  clips, no artist in two parts; Kereliuk, Sturm and Larsen 2015); blank for clips left out of it.
  The lists name clips (`blues/blues.00029.wav`) or number them from 1 to 1,000 in the order of
  genres; both are read.
"""

import logging
import re
from pathlib import Path
from typing import Final

from datasets.errors import DataError
from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import (
    extract_files,
    find_input,
    read_lines,
    report_skipped,
    text_frame,
    write_audio,
    write_items,
    write_no_interactions,
)
from datasets.system.files import open_regular

_CITATION: Final = (
    "G. Tzanetakis, P. Cook: Musical genre classification of audio signals. IEEE Trans. Speech"
    " and Audio Processing 10(5), 2002. Faults and artists: B. L. Sturm, arXiv:1306.1461, 2013."
    " Split: C. Kereliuk, B. L. Sturm, J. Larsen: Deep learning and music adversaries. IEEE"
    " Trans. Multimedia 17(11), 2015."
)
_LICENCE: Final = "none stated; excerpts of commercial recordings, used for research"
_HOMEPAGE: Final = "http://marsyas.info/downloads/datasets.html"

_NAME: Final = "gtzan"
GTZAN_GENRES: Final = (
    "blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock",
)  # fmt: skip
_SPLITS: Final = ("train", "valid", "test")
_INDEX_FILE: Final = "GTZANindex.txt"
BROKEN: Final = frozenset({"jazz.00054"})

_CLIP: Final = re.compile(rf"(?:^|/)((?:{'|'.join(GTZAN_GENRES)})\.\d{{5}})\.(wav|au)$")
_MAGIC: Final = {".wav": b"RIFF", ".au": b".snd"}
_LISTS: Final = (
    "https://raw.githubusercontent.com/jongpillee/music_dataset_split/master/GTZAN_split"
)

logger = logging.getLogger("coldtune")

_FILES: Final = (
    RemoteFile(
        "genres.tar.gz",
        "https://huggingface.co/datasets/marsyas/gtzan/resolve/main/data/genres.tar.gz",
        "",
        None,
    ),
    *(
        RemoteFile(f"{split}_filtered.txt", f"{_LISTS}/{split}_filtered.txt", "", None)
        for split in _SPLITS
    ),
)


def _convert(source: Path, target: Path) -> None:
    """Write items with artist, title and split, and recordings."""

    def choose_target(name: str) -> Path | None:
        found = _CLIP.search(name)
        if found is None:
            return None
        clip, kind = found.groups()
        return target / "audio" / clip.partition(".")[0] / f"{clip}.{kind}"

    archive = find_input(source, "genres.tar.gz", "genres", "genres_original")
    index = _read_index(source / _INDEX_FILE)
    splits = _read_splits(source)
    items, audio, left_out = [], [], []
    for path in sorted(set(extract_files(archive, choose_target).values())):
        clip = path.stem
        problem = _problem(path)
        if problem is not None:
            path.unlink()
            left_out.append((clip, problem))
            continue
        artist, title = index.get(clip, ("", ""))
        genre = clip.partition(".")[0]
        items.append((clip, title or clip, artist, "", genre, splits.get(clip, "")))
        audio.append((clip, path.relative_to(target).as_posix()))
    report_skipped(target, left_out)
    columns = ("item_id", "title", "artist", "album", "genre", "split")
    write_items(target, text_frame(items, columns))
    write_audio(target, text_frame(audio, ("item_id", "path")))
    write_no_interactions(target)


def _problem(path: Path) -> str | None:
    """Return why a clip is skipped, None if it is not."""
    if path.stem in BROKEN:
        return "known to be damaged"
    with open_regular(path) as stream:
        if stream.read(4) != _MAGIC[path.suffix]:
            return f"is not a {path.suffix[1:]} file"
    return None


def _read_index(path: Path) -> dict[str, tuple[str, str]]:
    """Return (artist, title) by clip from Sturm's index; empty if it is not there."""
    if not path.exists():
        logger.warning(
            "%s: no %s beside the archive, so artists are unknown and no split keeps an artist on"
            " one side",
            _NAME,
            _INDEX_FILE,
        )
        return {}
    found = {}
    for number, line in read_lines(path, _encoding(path)):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(":::", 2)]
        clip = _CLIP.search(parts[0])
        if len(parts) != 3 or clip is None:
            raise DataError(f"{path}, line {number}: 'clip ::: artist ::: title' is expected")
        found[clip[1]] = (parts[1], parts[2])
    return found


def _encoding(path: Path) -> str:
    """Return the encoding of a copy of the index; copies differ."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _read_splits(source: Path) -> dict[str, str]:
    """Return train, valid or test by clip; empty if none of the three lists is there."""
    paths = [(split, source / f"{split}_filtered.txt") for split in _SPLITS]
    there = [path.exists() for _, path in paths]
    if not any(there):
        return {}
    found: dict[str, str] = {}
    for split, path in paths:
        for number, line in read_lines(find_input(source, path.name)):
            if not line.strip():
                continue
            clip = _clip_of(line.strip())
            if clip is None:
                raise DataError(f"{path}, line {number}: neither a clip nor a number to 1,000")
            if found.setdefault(clip, split) != split:
                raise DataError(f"{path}, line {number}: {clip} is in {found[clip]} as well")
    return found


def _clip_of(entry: str) -> str | None:
    """Return the clip of an entry of a list, None if it is neither a clip nor a number."""
    named = _CLIP.search(entry)
    if named is not None:
        return named[1]
    if not entry.isdecimal() or not 1 <= int(entry) <= 1000:
        return None
    genre, place = divmod(int(entry) - 1, 100)
    return f"{GTZAN_GENRES[genre]}.{place:05d}"


GTZAN: Final = PublicDataset(
    name=_NAME,
    title="GTZAN genre collection",
    description=(
        "1,000 clips of 30 s published, 999 without the broken one, 10 genres; artists from Sturm's"
        " index; no listening."
    ),
    citation=_CITATION,
    licence=_LICENCE,
    homepage=_HOMEPAGE,
    files=_FILES,
    convert=_convert,
)
