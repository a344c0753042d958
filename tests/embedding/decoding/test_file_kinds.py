from pathlib import Path

import numpy as np
import pytest

from datasets.errors import AudioError
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import load_snippets
from embedding.decoding.file_kinds import describe_other_file
from tests.helpers.programs import needs


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"la la la\n" * 500, "a text file"),
        ("l\u00e0 l\u00e0 l\u00e0\n".encode() * 900, "a text file"),
        ("la la la\n".encode("utf-16"), "a text file"),
        (b"<!DOCTYPE html>\n<html><title>404</title></html>", "a web page (HTML)"),
        (b"\xef\xbb\xbf\n<HTML><body>", "a web page (HTML)"),
        (b'<?xml version="1.0"?><Error/>', "an XML document"),
        (b'{"error": "no such song"}', "a JSON document"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture (PNG)"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(99), "a picture (JPEG)"),
        (b"PK\x03\x04" + bytes(99), "a zip archive"),
        (b"%PDF-1.7", "a document (PDF)"),
        (rb"{\rtf1\ansi la la la}", "a document (RTF)"),
        (b"MThd\0\0\0\6", "a MIDI file, which holds notes"),
        (b"\0\5\x16\7\0\2", "a file of attributes that macOS"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer to a file that Git LFS"),
        (b"#EXTM3U\nsong.mp3\n", "a playlist (m3u)"),
        (bytes(3 << 20), "nothing but zeros, as an unfinished download"),
    ],
)
def test_the_message_says_what_the_file_is(
    tmp_path: Path, monkeypatch, content: bytes, kind: str
) -> None:
    monkeypatch.setenv("PATH", "")
    check_message(tmp_path / "song.mp3", content, kind)


@needs("ffmpeg")
@pytest.mark.parametrize("name", ["song.mp3", "song.m4a"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture (PNG)"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(99), "a picture (JPEG)"),
        (b"\x1f\x8b\x08\0" + bytes(99), "a gzip archive"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:8,\nsong.mp3\n", "a playlist (m3u)"),
        (b"ffconcat version 1.0\nfile song.mp3\n", "a script that names other files"),
    ],
)
def test_it_says_the_same_where_ffmpeg_knows_the_format(
    tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    check_message(tmp_path / name, content, kind)


def check_message(path: Path, content: bytes, kind: str) -> None:
    path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        load_snippets(path, SnippetConfig(), 22050)
    assert str(caught.value).startswith(f"{path}: cannot be decoded: it is {kind}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        np.random.default_rng(0).bytes(5000),
        b"\0\0\0 ftypM4A ",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"ID3\3\0" + bytes(50) + b"\xff\xfb\x90\0",
        bytes(2 << 20) + b"\1",
    ],
)
def test_what_may_be_a_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    assert describe_other_file(path) is None
