"""Fields written into files of every format and given back: nothing else changes."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen import id3
from mutagen.mp4 import MP4FreeForm

from datasets.errors import AudioError
from datasets.tags import read_file_tags
from embedding.decoding.sound_digest import sound_digest
from recsys.tagging.fields import TagField
from recsys.tagging.files import change_file, open_tags, same_entries, why_not
from recsys.tagging.journal import WrittenTags, open_journal
from recsys.tagging.undo import undo_tags
from tests.helpers.folders import names_in
from tests.helpers.programs import needs

GENRE, MOOD, ERA = map(TagField, ("GENRE", "MOOD", "ERA"))
VALUES = {GENRE: ["Jazz", "Blues"], MOOD: ["calm"], ERA: ["80s"]}
M4A = pytest.param("m4a", marks=needs("ffmpeg"))
FORMATS = ("mp3", "wav", "aiff", "flac", "ogg", "opus", M4A)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives a tiny file of a format, without tags; not to be changed."""
    folder = tmp_path_factory.mktemp("plain")
    samples = 0.1 * np.sin(np.arange(4800) / 10)

    def write(suffix: str) -> Path:
        path = folder / f"song.{suffix}"
        if path.exists():
            return path
        if suffix == "m4a":
            program = ["ffmpeg", "-v", "error", "-i", write("wav"), "-map_metadata", "-1"]
            subprocess.run([*program, "-fflags", "+bitexact", path], check=True)
        elif suffix == "opus":
            soundfile.write(path, samples, 48000, format="OGG", subtype="OPUS")
        else:
            soundfile.write(path, samples, 48000)
        return path

    return write


def write_fields(path: Path, values: dict[TagField, list[str]] = VALUES) -> WrittenTags:
    """Write fields as a run does, without a journal; return what its line would say."""
    tags = open_tags(path)
    before = {field.name: tags.entries(field) for field in values}
    changes = {field: tags.made(field, texts) for field, texts in values.items()}
    sound, modified = sound_digest(path), path.stat().st_mtime_ns
    tags.put(changes)
    change_file(tags, changes, sound, announce=lambda: None)
    after = {field.name: entries for field, entries in changes.items()}
    return WrittenTags(path.name, sound, before, after, tags.bare, modified)


def undo(folder: Path, *steps: WrittenTags) -> list[str]:
    journal = folder.with_suffix(".jsonl")
    journal.unlink(missing_ok=True)
    with open_journal(journal, folder) as writer:
        for step in steps:
            writer.add_written(step)
    return undo_tags(journal)["status"].tolist()


def as_read(path: Path) -> Any:
    """Everything in the tags of a file as mutagen reads it."""
    tags = mutagen.File(path).tags
    if not tags:
        return []
    if isinstance(tags, id3.ID3):
        return sorted((key, repr(frame)) for key, frame in tags.items())
    if isinstance(tags, list):
        return list(list.__iter__(tags))
    return sorted((key, list(map(_exact, value))) for key, value in tags.items())


def _exact(value: Any) -> tuple[object, ...]:
    return (value, getattr(value, "dataformat", None), getattr(value, "version", None))


@pytest.mark.parametrize("suffix", FORMATS)
def test_fields_are_written_where_players_look_for_them(
    suffix: str, plain: Callable[[str], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(plain(suffix), tmp_path))
    path.chmod(0o640)
    sound = sound_digest(path)
    write_fields(path)
    assert sound_digest(path) == sound
    assert path.stat().st_mode & 0o777 == 0o640
    assert names_in(tmp_path) == [path.name]
    texts = read_file_tags(path).texts
    assert (texts["genre"], texts["genres"], texts["mood"]) == ("Jazz", "Jazz; Blues", "calm")
    tags = mutagen.File(path).tags
    if suffix in ("mp3", "wav", "aiff"):
        assert tags["TCON"].text == ["Jazz", "Blues"]
        assert tags["TMOO"].text == ["calm"]
        assert tags["TXXX:ERA"].text == ["80s"]
    elif suffix == "m4a":
        assert tags["©gen"] == ["Jazz", "Blues"]
        assert tags["----:com.apple.iTunes:MOOD"] == [b"calm"]
        assert tags["----:com.apple.iTunes:ERA"] == [b"80s"]
    else:
        assert tags["GENRE"] == ["Jazz", "Blues"]
        assert tags["MOOD"] == ["calm"]
        assert tags["ERA"] == ["80s"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_undoing_gives_back_a_file_without_tags(
    suffix: str, plain: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    path = Path(shutil.copy(plain(suffix), folder))
    before, modified = as_read(path), path.stat().st_mtime_ns
    content = path.read_bytes()
    step = write_fields(path)
    assert as_read(path) != before
    assert undo(folder, step) == ["restored"] * 3
    assert as_read(path) == before
    assert path.stat().st_mtime_ns == modified
    if suffix in ("mp3", "wav", "aiff"):
        assert path.read_bytes() == content
    assert undo(folder, step) == ["as before"] * 3


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)
LISTS = st.lists(TEXTS, min_size=1, max_size=3)
KEYS = st.sampled_from(["GENRE", "genre", "Mood", "ERA", "TITLE", "artist", "era", "X"])


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "ogg", M4A])
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    tags=st.lists(st.tuples(KEYS, LISTS), max_size=6),
    old_version=st.booleans(),
    v1=st.booleans(),
    number=st.booleans(),
)
def test_undoing_restores_every_tag(
    suffix: str,
    tags: list[tuple[str, list[str]]],
    old_version: bool,
    v1: bool,
    number: bool,
    plain: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "music"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = Path(shutil.copy(plain(suffix), folder))
    file = mutagen.File(path)
    if tags and file.tags is None:
        file.add_tags()
    for key, values in tags:
        if suffix in ("mp3", "wav"):
            if key in ("GENRE", "Mood", "TITLE"):
                frame = {"GENRE": id3.TCON, "Mood": id3.TMOO, "TITLE": id3.TIT2}[key]
                texts = ["(17)"] if number and key == "GENRE" else values
                file.tags.add(frame(encoding=1, text=texts))
            else:
                file.tags.add(id3.TXXX(encoding=1, desc=key, text=values))
        elif suffix == "m4a":
            atom = {"GENRE": "©gen", "TITLE": "©nam"}.get(key)
            if atom is not None:
                file.tags[atom] = values
            else:
                name = f"----:com.apple.iTunes:{key}"
                file.tags[name] = [MP4FreeForm(value.encode(), 1) for value in values]
        else:
            file.tags.extend((key, value) for value in values)
    if tags:
        if suffix in ("mp3", "wav"):
            more = {"v1": 2 if v1 else 0} if suffix == "mp3" else {}
            file.tags.save(path, v2_version=3 if old_version else 4, v23_sep=None, **more)
        else:
            file.save()
    before, sound = as_read(path), sound_digest(path)
    first = write_fields(path)
    second = write_fields(path, {MOOD: ["wild"], GENRE: ["Rock"]})
    assert sound_digest(path) == sound
    others = [one for one in as_read(path) if "TITLE" in str(one[0]) or one[0] in ("TIT2", "©nam")]
    assert [one for one in before if one in others] == others
    assert "left" not in undo(folder, first, second)
    assert as_read(path) == before
    assert sound_digest(path) == sound


def test_an_old_version_and_id3v1_stay(plain: Callable[[str], Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(plain("mp3"), tmp_path))
    file = id3.ID3()
    file.add(id3.TIT2(encoding=0, text=["Old"]))
    file.add(id3.TYER(encoding=0, text=["1999"]))
    file.save(path, v2_version=3, v1=2)
    with path.open("rb+") as stream:
        stream.seek(-1, 2)
        stream.write(b"\xff")  # no genre
    tail = path.read_bytes()[-128:]
    write_fields(path)
    assert path.read_bytes()[:4] == b"ID3\3"
    assert path.read_bytes()[-128:] == tail
    read = id3.ID3(path, translate=False)
    assert read["TYER"].text == ["1999"]
    assert read["TCON"].text == ["Jazz; Blues"]  # a list, as this version has it
    tags = open_tags(path)
    assert same_entries(tags.entries(GENRE), tags.made(GENRE, VALUES[GENRE]))


def test_a_number_is_no_genre_in_id3(plain: Callable[[str], Path]) -> None:
    with pytest.raises(AudioError, match="'17' would be read as Rock"):
        open_tags(plain("mp3")).made(GENRE, ["17"])


def test_files_that_must_not_be_changed(plain: Callable[[str], Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(plain("flac"), tmp_path))
    (tmp_path / "link.flac").symlink_to(path)
    assert "is a link" in why_not(tmp_path / "link.flac")
    path.chmod(0o444)
    assert why_not(path) == "is read-only"
    path.chmod(0o644)
    assert why_not(path) == ""
    (tmp_path / "hard.flac").hardlink_to(path)
    assert "hard links" in why_not(path)
    (tmp_path / "text.mp3").write_text("not a song " * 50)
    (tmp_path / "none.mp3").touch()
    for name in ("text.mp3", "none.mp3", "gone.mp3"):
        with pytest.raises(AudioError):
            open_tags(tmp_path / name)


def test_a_file_that_another_program_changes_meanwhile_is_left(
    plain: Callable[[str], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(plain("flac"), tmp_path))
    tags = open_tags(path)
    changes = {GENRE: tags.made(GENRE, ["Jazz"])}
    tags.put(changes)

    def meddle() -> None:
        with path.open("ab") as stream:
            stream.write(b"more")

    with pytest.raises(AudioError, match="meanwhile"):
        change_file(tags, changes, sound_digest(path), announce=meddle)
    assert path.read_bytes().endswith(b"more")
    assert names_in(tmp_path) == [path.name]


def test_another_recording_than_was_heard_is_left(
    plain: Callable[[str], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(plain("flac"), tmp_path))
    content, tags = path.read_bytes(), open_tags(path)
    changes = {GENRE: tags.made(GENRE, ["Jazz"])}
    tags.put(changes)
    with pytest.raises(AudioError, match="another recording"):
        change_file(tags, changes, "0" * 64, announce=lambda: None)
    assert path.read_bytes() == content
