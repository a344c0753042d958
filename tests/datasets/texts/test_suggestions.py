"""What is suggested where a name is not known."""

import time

import pytest

from datasets.texts.suggestions import close_names, did_you_mean, near_spellings, suggest


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("Genre", ["title", "genre"], "; did you mean 'genre'?"),
        ("gnere", ["title", "genre"], "; did you mean 'genre'?"),
        ("item id", ["item_id"], "; did you mean 'item_id'?"),
        ("sond", ["song", "sound"], "; did you mean 'sound' or 'song'?"),
        ("zzz", ["title", "genre"], ""),
        ("", ["title"], ""),
        ("x" * 5_000, ["x" * 4_999], ""),
        ("roc", ["rock\x1b[2J"[:4], 7], "; did you mean 'rock'?"),
    ],
)
def test_names_like_a_text_are_suggested(text, names, expected):
    assert did_you_mean(text, names) == expected


def test_control_characters_of_names_are_escaped():
    assert suggest(["a\x1b[2J\u202e"]) == r"; did you mean 'a\x1b[2J\u202e'?"


def test_nothing_is_compared_with_very_many_names():
    started = time.process_time()
    assert close_names("item-123x", [f"item-{n}" for n in range(100_000)]) == []
    assert time.process_time() - started < 5


def test_spellings_to_be_looked_up_differ_by_one_character_or_by_case():
    near = near_spellings(" Song-1")
    assert {"Song-1", "song-1", "SONG-1", "ong-1", "oSng-1", "Song-12", "Song_1"} <= set(near)
    assert " Song-1" not in near
    assert near_spellings("x" * 101) == []
