"""Where snippets lie, worked out by hand and as invariants."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import MAX_WINDOWS, content_fingerprint, snippet_starts

RATE = 100


def starts(frames: int, **settings) -> list[int]:
    return snippet_starts(frames, RATE, SnippetConfig(**settings), b"song")


class TestOne:
    @pytest.mark.parametrize(("position", "start"), [("start", 0), ("middle", 50), ("end", 100)])
    def test_at_a_place(self, position: str, start: int) -> None:
        assert starts(300, seconds=2, position=position) == [start]

    def test_at_a_time(self) -> None:
        assert starts(1000, seconds=2, position="at", at=1.5) == [150]

    def test_a_time_near_the_end_gives_the_last_snippet(self) -> None:
        assert starts(1000, seconds=2, position="at", at=9.5) == [800]

    def test_a_time_after_the_end_is_an_error(self) -> None:
        with pytest.raises(AudioError, match=r"has 10 s of sound; .* at 10 s"):
            starts(1000, seconds=2, position="at", at=10)


class TestSeveral:
    def test_in_the_middle_of_equal_parts(self) -> None:
        # 1,000 frames in 4 parts: middles 125, 375, 625, 875; snippets of 100 around them.
        assert starts(1000, seconds=1, count=4) == [75, 325, 575, 825]

    def test_at_the_start_and_at_the_end_of_equal_parts(self) -> None:
        assert starts(1000, seconds=1, count=4, position="start") == [0, 250, 500, 750]
        assert starts(1000, seconds=1, count=4, position="end") == [150, 400, 650, 900]

    def test_at_random_one_in_each_part(self) -> None:
        found = starts(1000, seconds=1, count=4, position="random")
        for part, start in enumerate(found):
            assert 250 * part <= start <= 250 * part + 150

    def test_they_stay_inside(self) -> None:
        # Middles 50 and 150 of 200 frames, of snippets of 150: starts -25 and 75.
        assert starts(200, seconds=1.5, count=2) == [0, 50]

    def test_a_recording_shorter_than_a_snippet_has_one(self) -> None:
        assert starts(99, seconds=1, count=5) == [0]


class TestRandom:
    def test_is_spread_over_the_whole_recording(self) -> None:
        found = [starts(1100, seconds=1, position="random", seed=n)[0] for n in range(400)]
        assert min(found) < 30
        assert max(found) > 970
        # The mean of 400 numbers that are uniform from 0 to 1,000, within four standard errors.
        assert abs(np.mean(found) - 500) < 4 * 1000 / np.sqrt(12 * 400)

    def test_differs_from_recording_to_recording(self) -> None:
        snippet = SnippetConfig(seconds=1, position="random")
        found = {snippet_starts(10**6, RATE, snippet, bytes([n]))[0] for n in range(50)}
        assert len(found) == 50


class TestWhole:
    def test_windows_without_gaps(self) -> None:
        assert starts(800, seconds=2, position="whole") == [0, 200, 400, 600]

    def test_the_last_window_ends_with_the_recording(self) -> None:
        assert starts(801, seconds=2, position="whole") == [0, 200, 400, 600, 601]

    def test_overlapping_windows(self) -> None:
        assert starts(500, seconds=2, hop=1, position="whole") == [0, 100, 200, 300]

    def test_windows_with_gaps(self) -> None:
        assert starts(1000, seconds=2, hop=4, position="whole") == [0, 400, 800]

    def test_a_short_recording_is_one_window(self) -> None:
        assert starts(150, seconds=2, position="whole") == [0]

    def test_too_many_windows_are_an_error(self) -> None:
        with pytest.raises(AudioError, match="windows; at most"):
            starts(RATE * MAX_WINDOWS + 200, seconds=1, position="whole")


@given(
    frames=st.integers(1, 10**6),
    seconds=st.floats(0.05, 5000),
    count=st.integers(1, 50),
    position=st.sampled_from(["start", "middle", "end", "random"]),
    seed=st.integers(0, 5),
)
def test_always_inside(frames: int, seconds: float, count: int, position: str, seed: int) -> None:
    seed = seed if position == "random" else 0
    found = starts(frames, seconds=seconds, count=count, position=position, seed=seed)
    length = round(seconds * RATE)
    assert found == sorted(set(found))
    assert 1 <= len(found) <= count
    assert found[0] >= 0
    assert found[-1] + min(length, frames) <= frames


@given(frames=st.integers(1, 10**5), seconds=st.floats(0.05, 2000), hop=st.floats(0.05, 1))
def test_windows_leave_nothing_out(frames: int, seconds: float, hop: float) -> None:
    hop = max(hop * seconds, 0.05)
    found = starts(frames, seconds=seconds, hop=hop, position="whole")
    length = round(seconds * RATE)
    assert found[0] == 0
    assert found[-1] + length >= frames
    assert np.all(np.diff(found) <= length)
    assert np.all(np.diff(found) > 0)


class TestFingerprint:
    def test_is_of_the_content_and_not_of_the_name(self, tmp_path: Path) -> None:
        content = bytes(range(256)) * 2000
        for name in ("a", "b"):
            (tmp_path / name).write_bytes(content)
        (tmp_path / "c").write_bytes(content[:-1] + b"x")
        (tmp_path / "d").write_bytes(content + b"\0")
        digests = [content_fingerprint(tmp_path / name) for name in "abcd"]
        assert digests[0] == digests[1]
        assert len(set(digests)) == 3

    def test_of_a_few_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"1")
        assert len(content_fingerprint(tmp_path / "a")) == 32


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"position": "at"}, "at"),
        ({"at": 3.0}, "at"),
        ({"position": "at", "at": -1.0}, "at"),
        ({"position": "at", "at": float("nan")}, "at"),
        ({"position": "at", "at": 1.0, "count": 2}, "count"),
        ({"position": "whole", "count": 2}, "count"),
        ({"position": "whole", "hop": 0.0}, "hop"),
        ({"hop": 1.0}, "hop"),
        ({"seed": 1}, "seed"),
        ({"position": "random", "seed": -1}, "seed"),
        ({"seconds": 0.01}, "seconds"),
        ({"seconds": float("inf")}, "seconds"),
    ],
)
def test_settings_that_do_not_belong_together_are_named(settings: dict, field: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"SnippetConfig: .*\b{field}\b"):
        SnippetConfig(**settings)


def test_every_setting_counts_in_the_digest() -> None:
    settings = [
        SnippetConfig(),
        SnippetConfig(seconds=4),
        SnippetConfig(count=2),
        SnippetConfig(position="random"),
        SnippetConfig(position="random", seed=1),
        SnippetConfig(position="at", at=1),
        SnippetConfig(position="at", at=2),
        SnippetConfig(position="whole"),
        SnippetConfig(position="whole", hop=1),
    ]
    assert len({snippet.digest() for snippet in settings}) == len(settings)
    for snippet in settings:
        assert SnippetConfig.from_json(snippet.model_dump(mode="json")) == snippet
