"""From tables and frames to what sources know of items."""

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataError
from recsys.content.features import MetadataVocabulary, align_embeddings, artist_codes

IDS = pd.Index(["a", "b", "c"], dtype=object)


def frame(rows, **columns):
    return pd.DataFrame(list(rows.values()), index=list(rows), **columns)


# ------------------------------------------------------------------ embeddings


def test_embeddings_are_brought_into_the_order_of_the_items():
    vectors, known = align_embeddings(frame({"c": [1, 2], "a": [3, 4]}), IDS)
    assert vectors.tolist() == [[3, 4], [0, 0], [1, 2]]
    assert vectors.dtype == np.float32
    assert known.tolist() == [True, False, True]


def test_ids_may_be_numbers():
    vectors, _ = align_embeddings(frame({7: [1.0], 3: [2.0]}), pd.Index(["3", "7"], dtype=object))
    assert vectors.tolist() == [[2], [1]]


def test_an_embedding_of_zeros_is_still_one():
    _, known = align_embeddings(frame({"b": [0.0, 0.0]}), IDS)
    assert known.tolist() == [False, True, False]


def test_no_embeddings_at_all():
    vectors, known = align_embeddings(pd.DataFrame(), IDS)
    assert vectors.shape == (3, 0)
    assert not known.any()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": [1.0], "x": [2.0]}, "item 'x' is not among the items"),
        ({"a": [1.0], "b": [np.nan]}, "item 'b' has a value that is not a finite number"),
        ({"a": [1.0], "c": [np.inf]}, "item 'c' has a value that is not a finite number"),
        ({"a": [1.0], "c": [1e300]}, "item 'c' has a value that is not a finite number"),
        ({"a": ["loud"], "b": ["soft"]}, "every column must be numeric"),
        ({"a": [[1, 2]], "b": [[3]]}, "every column must be numeric"),
        ({"a": [], "b": []}, "no columns"),
    ],
)
def test_an_error_names_what_is_wrong(rows, message):
    with pytest.raises(DataError, match=f"^embeddings: .*{message}"):
        align_embeddings(frame(rows), IDS)


def test_two_embeddings_of_one_item():
    twice = pd.DataFrame([[1.0], [2.0], [3.0]], index=["a", "b", "b"])
    with pytest.raises(DataError, match="item 'b' has more than one row"):
        align_embeddings(twice, IDS)


@pytest.mark.parametrize("wrong", [np.ones((3, 2)), {"a": [1.0]}, [[1.0]]])
def test_embeddings_that_are_no_frame(wrong):
    with pytest.raises(DataError, match=f"must be a DataFrame .*, not {type(wrong).__name__}"):
        align_embeddings(wrong, IDS)


def test_others_can_be_left_out():
    given = frame({"x": [np.nan], "b": [2.0]})
    vectors, known = align_embeddings(given, IDS, ignore_others=True)
    assert vectors.tolist() == [[0], [2], [0]]
    assert known.tolist() == [False, True, False]


# ------------------------------------------------------------------ metadata


@pytest.fixture
def items():
    return pd.DataFrame(
        {
            "item_id": ["1", "2", "3", "4"],
            "title": ["T"] * 4,
            "artist": ["Ann", "Ann", "Bob", "Bob"],
            "album": ["", "", "", ""],
            "genre": ["rock", "rock", "rock", "jazz"],
            "mood": ["sad", "", "sad", "Ann"],
        }
    )


def test_a_value_is_known_when_two_warm_items_have_it(items):
    warm = np.array([True, True, True, False])
    vocabulary = MetadataVocabulary.learn(items, warm)
    # Bob has one warm item, jazz none; nothing is said by what is missing, or by titles.
    assert vocabulary.values == [("artist", "Ann"), ("genre", "rock"), ("mood", "sad")]
    assert vocabulary.encode(items).toarray().tolist() == [
        [1, 1, 1],
        [1, 1, 0],
        [0, 1, 1],
        [0, 0, 0],  # the mood "Ann" is not the artist of that name
    ]


def test_unknown_values_and_columns_say_nothing(items):
    vocabulary = MetadataVocabulary.learn(items, np.ones(4, bool))
    assert vocabulary.values[:2] == [("artist", "Ann"), ("artist", "Bob")]
    new = pd.DataFrame({"artist": ["Cid", "Bob"], "genre": ["", "rock"], "year": ["1999", ""]})
    encoded = vocabulary.encode(new).toarray()
    assert encoded.sum(axis=1).tolist() == [0, 2]
    assert vocabulary.encode(new[["year"]]).nnz == 0


def test_a_vocabulary_of_nothing():
    items = pd.DataFrame({"item_id": ["1"], "title": "", "artist": "", "album": "", "genre": ""})
    vocabulary = MetadataVocabulary.learn(items, np.ones(1, bool))
    assert vocabulary.values == []
    assert vocabulary.encode(items).shape == (1, 0)


def test_items_without_an_artist_stand_alone():
    items = pd.DataFrame({"item_id": ["1", "2", "3", "4"], "artist": ["", "Ann", "", "Ann"]})
    codes = artist_codes(items)
    assert codes[1] == codes[3]
    assert len(set(codes)) == 3


def test_an_artist_that_is_named_like_an_item_is_not_that_item():
    items = pd.DataFrame({"item_id": ["Ann", "2"], "artist": ["", "Ann"]})
    assert len(set(artist_codes(items))) == 2


def test_a_value_that_is_no_number_is_named_by_its_item_and_column():
    given = pd.DataFrame({"loudness": [1.0, 2.0, np.nan], "tempo": [np.inf, 90.0, 80.0]}, index=IDS)
    said = r"item 'a' has .*: inf in column 'tempo' \(1 more such item\)$"
    with pytest.raises(DataError, match=said):
        align_embeddings(given, IDS)
    with pytest.raises(DataError, match=r"item 'c' has .*: nan in column 'loudness'$"):
        align_embeddings(given.iloc[1:], IDS)


VECTORS = np.eye(3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            frame({"a": VECTORS[0], "b": VECTORS[1]}).reset_index(),
            "ids of items are in column 'index'",
        ),
        (
            frame({"a": VECTORS[0]}).reset_index(names="key"),
            "in column 'key': name it 'item_id', or",
        ),
        (
            frame({"a": VECTORS[0]}).reset_index(names="track_id"),
            "'track_id' looks like ids: name it",
        ),
        (
            pd.DataFrame({"songID": [1, 2], "x": [0.5, 1]}),
            "column 'songID' looks like ids: name it",
        ),
        (pd.DataFrame(VECTORS), "the index counts rows: ids belong in the index"),
        (
            pd.DataFrame(VECTORS).rename_axis("item_id").reset_index(),
            "item '0' is not among the items of the data set; ids there are texts such as 'a'$",
        ),
        (pd.DataFrame(VECTORS, index=[7, 8, 9]), "item '7' .*; ids there are texts such as 'a'$"),
        (pd.DataFrame(VECTORS, columns=IDS, index=["x", "y", "z"]), r"the transposed frame, \.T"),
        (pd.DataFrame({"vector": list(VECTORS)}, index=IDS), "holds vectors, and one column a dim"),
        (pd.DataFrame(VECTORS > 0, index=IDS), "must be numeric and 0 is not"),
        (pd.DataFrame(VECTORS * 1j, index=IDS), "must be numeric and 0 is not"),
        (
            dict(zip(IDS, VECTORS, strict=True)),
            r"give pandas\.DataFrame\.from_dict\(\.\.\., orient",
        ),
        (VECTORS, r"give pandas\.DataFrame\(\.\.\., index=item_ids\) of it"),
    ],
)
def test_where_ids_are_missed_the_error_says_where_they_are(given, said):
    with pytest.raises(DataError, match=f"^embeddings: .*{said}"):
        align_embeddings(given, IDS)


def test_numbers_of_rows_are_ids_where_no_column_looks_like_ids():
    given = pd.DataFrame({"valid": [1.0, 2.0]})
    assert align_embeddings(given, pd.Index(["0", "1"]))[1].all()
