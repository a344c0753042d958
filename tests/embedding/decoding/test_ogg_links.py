from pathlib import Path

import numpy as np
import pytest
import soundfile

from embedding.audio.config import SnippetConfig
from embedding.audio.waveform import load_waveforms
from embedding.decoding.ogg_links import ogg_links


def link(folder: Path, pitch: float, seconds: float = 4, rate: int = 44100, **options) -> bytes:
    path = folder / "link.ogg"
    t = np.arange(round(seconds * rate)) / rate
    channels = options.pop("channels", 1)
    y = np.repeat(0.3 * np.sin(2 * np.pi * pitch * t)[:, None], channels, axis=1)
    soundfile.write(path, y, rate, format="OGG", **options)
    return path.read_bytes()


def pitches(path: Path) -> list[int]:
    """The pitch of each second, in steps of 50 Hz."""
    found = load_waveforms(path, SnippetConfig(position="whole", seconds=1), 8000, channels=1)
    peaks = [int(np.abs(np.fft.rfft(window.samples[0])).argmax()) for window in found]
    return [round(peak / 50) * 50 for peak in peaks]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_links_are_heard_one_after_the_other(tmp_path: Path, subtype: str) -> None:
    rates = (48000, 48000, 48000) if subtype == "OPUS" else (44100, 22050, 48000)
    channels = (2, 1, 6)
    content = b"".join(
        link(tmp_path, 300 + 100 * n, 3 + n, rate, channels=channels[n], subtype=subtype)
        for n, rate in enumerate(rates)
    )
    path = tmp_path / "chain.ogg"
    path.write_bytes(content)
    assert len(ogg_links(path)) == 3
    assert pitches(path) == [300] * 3 + [400] * 4 + [500] * 5
    # The middle of all of it, and a snippet over the border of two links.
    (found,) = load_waveforms(path, SnippetConfig(seconds=2), 8000)
    assert abs(found.start - 5) < 0.05
    snippet = SnippetConfig(position="at", at=2.5, seconds=1)
    (found,) = load_waveforms(path, snippet, 8000, channels=1)
    halves = np.split(found.samples[0], 2)
    assert [int(np.abs(np.fft.rfft(half)).argmax()) * 2 for half in halves] == [300, 400]


def test_a_link_behind_itself(tmp_path: Path) -> None:
    path = tmp_path / "twice.ogg"
    path.write_bytes(link(tmp_path, 300) * 2)
    assert pitches(path) == [300] * 8


def test_one_link_is_no_chain(tmp_path: Path) -> None:
    path = tmp_path / "one.ogg"
    content = link(tmp_path, 300)
    for whole in (content, content[: len(content) // 2], content + b"OggS" + bytes(5000), b"OggS"):
        path.write_bytes(whole)
        assert ogg_links(path) == []


def test_a_chain_that_is_cut_or_has_something_between(tmp_path: Path) -> None:
    path = tmp_path / "chain.ogg"
    first, second = link(tmp_path, 300), link(tmp_path, 500, 30)
    path.write_bytes(first + b"OggS" + bytes(70_000) + second[: len(second) * 2 // 3])
    found = pitches(path)
    assert found[:4] == [300] * 4
    assert 5 <= found.count(500) < 30
