import numpy as np
import pandas as pd
import pytest

from datasets.errors import InvalidArgumentError
from embedding.network.targets import clean_labels, make_targets


def test_one_tag() -> None:
    (target,) = make_targets(["jazz", None, " blues ", float("nan"), "jazz"], 5, ("genre",))
    assert target.tag == "genre"
    assert target.classes.tolist() == ["blues", "jazz"]
    assert target.values.tolist() == [[0, 1], [0, 0], [1, 0], [0, 0], [0, 1]]
    assert target.known.tolist() == [True, False, True, False, True]


def test_several_tags_from_a_mapping_or_a_table() -> None:
    labels = {"mood": ["sad", "glad", ""], "genre": ["rock", "jazz", "rock"], "other": [1, 2, 3]}
    for given in (labels, pd.DataFrame(labels)):
        genre, mood = make_targets(given, 3, ("genre", "mood"))
        assert genre.classes.tolist() == ["jazz", "rock"]
        assert mood.classes.tolist() == ["glad", "sad"]
        assert mood.known.tolist() == [True, True, False]


def test_several_values_at_once() -> None:
    (target,) = make_targets(["piano; voice", "voice", ";", "drums;voice"], 4, ("i",), several=True)
    assert target.classes.tolist() == ["drums", "piano", "voice"]
    assert target.values.tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 0, 1]]
    # Where one value is right, the separator is a part of its name.
    assert "a;b" in make_targets(["a;b", "c"], 2, ("i",))[0].classes


def test_known_classes_come_first() -> None:
    first = {"genre": np.array(["rock", "blues"])}
    (target,) = make_targets(["ska", "blues", "dub"], 3, ("genre",), classes=first)
    assert target.classes.tolist() == ["rock", "blues", "dub", "ska"]
    assert target.values.argmax(axis=1).tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("labels", "tags", "message"),
    [
        (["a", "a"], ("genre",), "two values of 'genre'; there is only 'a'"),
        (["", None], ("genre",), "two values of 'genre'; there is none"),
        (["a"], ("genre",), "labels: expected 2 values"),
        ({"genre": ["a", "b"]}, ("genre", "mood"), "tag 'mood' are missing"),
    ],
)
def test_bad_labels(labels, tags, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make_targets(labels, 2, tags)


def test_labels_are_text() -> None:
    assert clean_labels([3, " x ", None], 3).tolist() == ["3", "x", ""]
