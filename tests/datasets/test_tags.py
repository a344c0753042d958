"""Tags of every kind that an audio file may have."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TIT2

from datasets.tags import _genres, read_file_tags
from tests.helpers.programs import needs


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.sin(np.arange(4000) / 9), 8000)
    return path


def test_a_wav_file_with_a_list_of_its_own(tone: Path) -> None:
    info = b"INFO"
    for name, text in ((b"INAM", "Blå"), (b"IART", "Anä"), (b"IPRD", "Album\0\0"), (b"IGNR", "Dub"),
                       (b"ICRD", "2001-02-03")):  # fmt: skip
        raw = text.encode("cp1252" if name == b"IART" else "utf-8")
        info += name + len(raw).to_bytes(4, "little") + raw + b"\0" * (len(raw) % 2)
    whole = tone.read_bytes() + b"LIST" + len(info).to_bytes(4, "little") + info
    tone.write_bytes(b"RIFF" + (len(whole) - 8).to_bytes(4, "little") + whole[8:])
    assert read_file_tags(tone) == (
        {"title": "Blå", "artist": "Anä", "album": "Album", "genre": "Dub", "year": "2001"}, "", "",
    )  # fmt: skip


def test_an_aiff_file_with_chunks_of_text(tmp_path: Path) -> None:
    path = tmp_path / "a.aiff"
    soundfile.write(path, np.zeros(100), 8000)
    raw = path.read_bytes() + b"NAME\0\0\0\3Low\0AUTH\0\0\0\2Me"
    path.write_bytes(b"FORM" + (len(raw) - 8).to_bytes(4) + raw[8:])
    assert read_file_tags(path).texts == {"title": "Low", "artist": "Me"}


def test_mp3_with_ape_tags_alone_and_beside_others(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.zeros(4000), 8000, format="MP3")
    ape = APEv2()
    ape["Title"], ape["Artist"] = "Ape", "A"
    ape.save(path)
    assert read_file_tags(path).texts == {"title": "Ape", "artist": "A"}
    tags = ID3()
    tags.add(TIT2(encoding=3, text="ID3"))
    tags.save(path)
    assert read_file_tags(path).texts == {"title": "ID3", "artist": "A"}


@needs("ffmpeg")
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mka", ("-c:a", "flac")),
        (".webm", ("-c:a", "libopus")),
        (".m4b", ("-f", "mp4", "-c:a", "aac")),
        (".wma", ()),
        (".tta", ()),
    ],
)
def test_tags_written_by_ffmpeg(tone: Path, suffix: str, options: tuple[str, ...]) -> None:
    path = tone.with_suffix(suffix)
    given = {"title": "Tï", "artist": "Ar", "album": "Al", "genre": "Zouk", "date": "1999"}
    tags = [part for name, text in given.items() for part in ("-metadata", f"{name}={text}")]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", tone, *tags, *options, path]
    subprocess.run(command, check=True)
    expected = {**given, "year": "1999"}
    del expected["date"]
    assert read_file_tags(path) == (expected, "", "")


@pytest.mark.parametrize("kind", ["W64", "RF64", "AU", "CAF"])
def test_formats_that_mutagen_does_not_know_are_no_damage(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{'wav' if kind == 'RF64' else kind.lower()}"
    soundfile.write(path, np.zeros(100), 8000, format=kind)
    assert read_file_tags(path) == ({}, "", "")


def test_what_is_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "junk.mp3").write_bytes(b"this is no sound at all" * 50)
    (tmp_path / "empty.mp3").touch()
    assert read_file_tags(tmp_path / "junk.mp3").problem.startswith("is damaged: ")
    assert read_file_tags(tmp_path / "empty.mp3").problem == "is empty (0 bytes)"
    assert read_file_tags(tmp_path).problem == "is not a regular file"
    assert read_file_tags(tmp_path / "gone").problem == "cannot be read: No such file or directory"

    def forbidden(self: Path, *args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    assert read_file_tags(tmp_path / "junk.mp3").problem == "cannot be read: Permission denied"


@pytest.mark.parametrize("seed", range(20))
def test_damaged_chunks_cost_no_more_than_the_tags(tone: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    head = [b"RIFF\xff\xff\xff\xffWAVELIST", b"FORM\0\0\1\0AIFFNAME", b"caff\0\1\0\0info",
            b"\x1aE\xdf\xa3\x80\x18S\x80g\x01"][seed % 4]  # fmt: skip
    tone.write_bytes(head + rng.bytes(300))
    read_file_tags(tone)


@pytest.mark.parametrize(
    ("raw", "genres"),
    [
        (["17"], ["Rock"]),
        (["(17)"], ["Rock"]),
        (["(4)Eurodisco"], ["Disco", "Eurodisco"]),
        (["Rock; Pop;rock"], ["Rock", "Pop", "rock"]),
        (["(RX)"], ["Remix"]),
        (["((Live)"], ["(Live)"]),
        (["(255)"], []),
        (["", " ; "], []),
        (["R&B/Soul"], ["R&B/Soul"]),
    ],
)
def test_genres(raw: list[str], genres: list[str]) -> None:
    assert _genres(raw) == genres


def test_musicbrainz_ids_of_recordings(tone: Path, tmp_path: Path) -> None:
    """Taggers call the id of the recording that of the track, each kind of tags in its own way."""
    import mutagen
    from mutagen.id3 import TXXX, UFID
    from mutagen.wave import WAVE

    mbid = "f4a31f0a-51dd-4fa7-986d-3095c40c5ed9"
    wave = WAVE(tone)
    wave.add_tags()
    wave.tags.add(UFID(owner="http://musicbrainz.org", data=mbid.upper().encode()))
    wave.tags.add(TXXX(encoding=3, desc="MusicBrainz Release Track Id", text=["other"]))
    wave.save()
    assert read_file_tags(tone).texts == {"recording_mbid": mbid}
    flac = tmp_path / "a.flac"
    soundfile.write(flac, np.zeros(100), 8000)
    for given, found in ((["no id", mbid], {"recording_mbid": mbid}), (["no id"], {})):
        file = mutagen.File(flac)
        file["MUSICBRAINZ_TRACKID"] = given
        file.save()
        assert read_file_tags(flac).texts == found
