"""The digest of a sound stays when tags change, and differs when the sound does."""

import subprocess
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TIT2

from datasets.system.files import file_digest
from embedding.decoding.sound_digest import sound_digest
from tests.helpers.programs import needs
from tests.helpers.recordings import write_song

FORMATS = [
    (".flac", "FLAC", "PCM_16"),
    (".ogg", "OGG", "VORBIS"),
    (".opus", "OGG", "OPUS"),
    (".mp3", "MP3", "MPEG_LAYER_III"),
    (".wav", "WAV", "PCM_16"),
    (".aiff", "AIFF", "PCM_16"),
]


def write(path: Path, number: int, kind: str, subtype: str) -> Path:
    samples, _ = soundfile.read(write_song(path.with_suffix(".source.wav"), number))
    soundfile.write(path, np.repeat(samples, 2), 24000, format=kind, subtype=subtype)
    return path


def retag(path: Path, length: int) -> None:
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    text = "x" * length
    if isinstance(file.tags, ID3):
        file.tags.add(TIT2(encoding=3, text=text))
    else:
        file.tags["TITLE"] = text
    file.save()


@pytest.mark.parametrize(("suffix", "kind", "subtype"), FORMATS)
def test_tags_do_not_count(tmp_path: Path, suffix: str, kind: str, subtype: str) -> None:
    path = write(tmp_path / f"a{suffix}", 1, kind, subtype)
    sound, contents = sound_digest(path), {file_digest(path)}
    for length in (3, 200, 100_000):  # the last moves everything behind it, and pages of Ogg
        retag(path, length)
        contents.add(file_digest(path))
        assert sound_digest(path) == sound
    assert len(contents) == 4
    assert sound_digest(write(tmp_path / f"b{suffix}", 2, kind, subtype)) != sound


@pytest.mark.parametrize(("suffix", "kind", "subtype"), FORMATS)
def test_a_part_is_another_sound(tmp_path: Path, suffix: str, kind: str, subtype: str) -> None:
    path = write(tmp_path / f"a{suffix}", 1, kind, subtype)
    part = tmp_path / f"part{suffix}"
    part.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert sound_digest(part) != sound_digest(path)


def test_tags_at_both_ends_of_an_mp3_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", 1, "MP3", "MPEG_LAYER_III")
    sound = sound_digest(path)
    ape = APEv2()
    ape["Title"] = "Ape"
    ape.save(path)
    tags = ID3()
    tags.add(TIT2(encoding=3, text="ID3"))
    tags.save(path, v1=2)
    assert sound_digest(path) == sound


@needs("ffmpeg")
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".m4a", ("-c:a", "aac")),
        (".mka", ("-c:a", "libopus")),
        (".wma", ()),
        (".caf", ("-c:a", "pcm_s16be")),
        (".mp3", ("-c:a", "libmp3lame")),
        (".tta", ()),
    ],
)
def test_tags_written_by_ffmpeg_do_not_count(
    tmp_path: Path, suffix: str, options: tuple[str, ...]
) -> None:
    def run(*arguments: object) -> None:
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *map(str, arguments)], check=True)

    one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
    run("-i", write_song(tmp_path / "a.wav", 1), *options, one)
    run("-i", one, "-c", "copy", "-metadata", "title=Another", other)
    assert file_digest(one) != file_digest(other)
    assert sound_digest(one) == sound_digest(other)
    run("-i", write_song(tmp_path / "b.wav", 2), *options, tmp_path / f"third{suffix}")
    assert sound_digest(tmp_path / f"third{suffix}") != sound_digest(one)


@pytest.mark.parametrize("seed", range(40))
def test_any_bytes_have_a_digest(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    heads = [b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b"fLaC", b"OggS\0\2", b"\0\0\0\x20ftyp",
             b"\x1aE\xdf\xa3", b"riff", b"caff", b"DSD ", b"ID3\4\0\0\x7f\x7f\x7f\x7f",
             bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), b"\xff\xfb\xfc\0Xing"]  # fmt: skip
    path, other = tmp_path / "a", tmp_path / "b"
    rest = rng.bytes(400)
    path.write_bytes(heads[seed % len(heads)] + rest)
    other.write_bytes(heads[seed % len(heads)] + rest[:-1])
    assert len(sound_digest(path)) == 64
    (tmp_path / "empty").touch()
    assert sound_digest(tmp_path / "empty") == file_digest(tmp_path / "empty")
