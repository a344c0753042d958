import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.audio.waveform import envelope, load_waveforms

RATE = 22050


def tones(channels: int) -> np.ndarray:
    """Six seconds; channel c is a sine of 100 (c + 1) Hz."""
    t = np.arange(6 * RATE)[:, None] / RATE
    pitches = 100 * (1 + np.arange(channels))
    return (0.5 * np.sin(2 * np.pi * pitches * t)).astype(np.float32)


@pytest.mark.parametrize(("recorded", "found"), [(1, 1), (2, 2), (6, 2)])
def test_as_recorded(recording, recorded: int, found: int) -> None:
    path = recording(samples=tones(recorded), subtype="FLOAT")
    (waveform,) = load_waveforms(path, SnippetConfig(seconds=2))
    assert waveform.start == 2.0
    assert waveform.samples.dtype == np.float32
    np.testing.assert_array_equal(waveform.samples, tones(recorded)[2 * RATE : 4 * RATE, :found].T)


def test_as_wanted(recording) -> None:
    path = recording(samples=tones(2), subtype="FLOAT")
    snippet = SnippetConfig(seconds=2, position="start")
    with path.open("rb") as stream:
        (mono,) = load_waveforms(stream, snippet, channels=1)
    np.testing.assert_allclose(mono.samples, tones(2)[None, : 2 * RATE].mean(axis=2), atol=1e-6)
    once = recording("mono.wav", samples=tones(1), subtype="FLOAT")
    (stereo,) = load_waveforms(io.BytesIO(once.read_bytes()), snippet, channels=2)
    np.testing.assert_array_equal(stereo.samples[0], stereo.samples[1])


def test_windows_know_when_they_begin(recording) -> None:
    snippet = SnippetConfig(position="whole", seconds=2, hop=1.5)
    found = load_waveforms(recording(), snippet, 8000)
    assert [waveform.start for waveform in found] == [0, 1.5, 3, 4]
    assert {waveform.samples.shape for waveform in found} == {(1, 16_000)}


class TestEnvelope:
    def test_by_hand(self) -> None:
        samples = np.array([[0, 1, -1, 0.5, 0.25, 0.5], [1, 2, 3, 4, 5, 6]])
        expected = [[[0, -1, 0.25], [1, 0.5, 0.5]], [[1, 3, 5], [2, 4, 6]]]
        np.testing.assert_array_equal(envelope(samples, 3), expected)
        assert envelope(samples, 3).dtype == np.float32

    def test_of_one_channel(self) -> None:
        assert envelope(np.arange(10.0), 5).shape == (1, 2, 5)

    @given(n=st.integers(1, 2000), columns=st.integers(1, 2000))
    def test_nothing_is_lost(self, n: int, columns: int) -> None:
        columns = min(columns, n)
        samples = np.random.default_rng(n).normal(size=(2, n)).astype(np.float32)
        outline = envelope(samples, columns)
        np.testing.assert_array_equal(outline[:, 0].min(axis=1), samples.min(axis=1))
        np.testing.assert_array_equal(outline[:, 1].max(axis=1), samples.max(axis=1))
        assert np.all(outline[:, 0] <= outline[:, 1])

    @pytest.mark.parametrize("columns", [0, 11])
    def test_an_impossible_number_of_columns(self, columns: int) -> None:
        with pytest.raises(InvalidArgumentError, match="columns must be 1 to 10"):
            envelope(np.zeros(10), columns)
