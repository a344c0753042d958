"""Which embeddings are like those that a model has learned from."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataError
from recsys.content.embedding_range import (
    EmbeddingRange,
    check_learned_embeddings,
    lengths_of,
    real_numbers,
)

RANDOM = np.random.default_rng(0)


def embeddings(n=50, width=40, length=30.0, spread=0.2):
    """Embeddings whose lengths differ by `spread` on a logarithmic scale."""
    table = RANDOM.normal(size=(n, width))
    table *= (length * np.exp(spread * RANDOM.normal(size=n)) / np.linalg.norm(table, axis=1))[
        :, None
    ]
    return table.astype(np.float32)


LEARNED = embeddings()
NAMES = [f"item-{number}" for number in range(50)]


@pytest.mark.parametrize("factor", [0.25, 0.5, 1, 2, 4])
def test_honest_ones_are_taken(factor):
    learned = EmbeddingRange.learn(LEARNED)
    assert all(learned.problem(np.float32(factor) * one) is None for one in embeddings())


@pytest.mark.parametrize(
    ("embedding", "problem"),
    [
        (np.zeros(40), "it is zero in every dimension"),
        (np.full(40, -0.0), "it is zero in every dimension"),
        (np.full(40, 7.0), "all its values are the same"),
        (1000 * LEARNED[0], "its length"),
        (1e12 * LEARNED[0], "its length"),
        (1e36 * LEARNED[0], "its length"),
        (1e-3 * LEARNED[0], "its length"),
        (np.full(40, 1e-45), "its length"),
        ([*LEARNED[0][:39], np.nan], "not a finite number"),
        ([*LEARNED[0][:39], -np.inf], "not a finite number"),
    ],
)
def test_wild_ones_are_not(embedding, problem):
    found = EmbeddingRange.learn(LEARNED).problem(np.asarray(embedding, np.float32))
    assert found is not None
    assert problem in found
    if problem == "its length":
        assert re.search(r"is far outside the lengths learned, [0-9.]+ to [0-9.]+$", found)


@pytest.mark.parametrize("wild", [1e3, 1e12, 1e36])
@pytest.mark.parametrize("count", [1, 10])
def test_wild_ones_among_the_learned_move_nothing(wild, count):
    table = embeddings()
    table[:count] *= np.float32(wild)
    learned = EmbeddingRange.learn(table)
    assert learned.longest < 100
    assert learned.problem(table[0]) is not None
    assert learned.problem(table[-1]) is None


def test_lengths_that_differ_much_are_not_wild():
    learned = EmbeddingRange.learn(embeddings(spread=1.5))
    assert learned.problem(np.float32(200) * LEARNED[0]) is None


def test_constant_ones_are_taken_where_they_were_learned():
    learned = EmbeddingRange.learn(np.full((5, 40), 2, np.float32))
    assert learned.problem(np.full(40, 3, np.float32)) is None
    # In few dimensions they are a point like any other.
    narrow = EmbeddingRange.learn(embeddings(width=8))
    assert narrow.problem(np.full(8, 10, np.float32)) is None


def test_without_anything_learned_all_are_taken():
    for table in (np.zeros((3, 4), np.float32), np.zeros((0, 4), np.float32)):
        learned = EmbeddingRange.learn(table)
        assert learned.problem(np.full(4, 1e30, np.float32)) is None
        assert learned.problem(np.zeros(4, np.float32)) is None


def test_longer_than_all_learned_is_shortened_to_the_longest():
    learned = EmbeddingRange.learn(LEARNED)
    assert learned.within_reach(LEARNED) is LEARNED
    table = np.stack([LEARNED[0], 5 * LEARNED[1]])
    short = learned.within_reach(table)
    assert (short[0] == LEARNED[0]).all()
    assert lengths_of(short)[1] == pytest.approx(learned.longest)
    assert short[1] / np.linalg.norm(short[1]) == pytest.approx(
        LEARNED[1] / np.linalg.norm(LEARNED[1]), abs=1e-6
    )
    assert np.isfinite(learned.within_reach(np.full((1, 40), 3e38, np.float32))).all()


def test_written_as_json_and_read_again():
    learned = EmbeddingRange.learn(LEARNED)
    assert EmbeddingRange.from_json(json.loads(json.dumps(learned.to_json()))) == learned
    for wrong in ({}, {**learned.to_json(), "most": "far"}, {**learned.to_json(), "most": np.nan}):
        with pytest.raises((KeyError, ValueError)):
            EmbeddingRange.from_json(wrong)


# ------------------------------------------------------------------ the embeddings of a fit


def test_check_of_honest_ones():
    assert not check_learned_embeddings(LEARNED, NAMES).any()
    assert not check_learned_embeddings(np.zeros((0, 4), np.float32), []).any()
    assert not check_learned_embeddings(np.zeros((3, 4), np.float32), NAMES).any()  # all of them
    assert not check_learned_embeddings(np.zeros((3, 0), np.float32), NAMES).any()


def test_single_wild_ones_are_named():
    table = embeddings()
    table[7] *= 1000
    with pytest.raises(DataError, match=r"^embeddings: item 'item-7': its length .* lengths learn"):
        check_learned_embeddings(table, NAMES)
    table[9] *= 1e-4
    table[11] = 3
    with pytest.raises(DataError, match=r"^embeddings: item 'item-7' and 2 more: its length"):
        check_learned_embeddings(table, NAMES)


def test_a_placeholder_of_equal_values_is_named():
    table = embeddings()
    table[3] = 5
    with pytest.raises(DataError, match="item 'item-3': all its values are the same"):
        check_learned_embeddings(table, NAMES)


def test_zeros_among_others_stand_for_none():
    table = embeddings()
    table[[2, 4]] = 0
    assert np.flatnonzero(check_learned_embeddings(table, NAMES)).tolist() == [2, 4]


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_lengths_beyond_single_precision(factor):
    with pytest.raises(DataError, match="scale them to lengths between"):
        check_learned_embeddings((LEARNED.astype(float) * factor).astype(np.float32), NAMES)


# ------------------------------------------------------------------ units of dimensions


@pytest.mark.parametrize("factor", [1e6, 1e9, 1e-6])
def test_a_dimension_of_another_unit_is_taken(factor):
    table = embeddings(n=200)
    table[:, 3] *= np.float32(factor)
    names = [f"item-{number}" for number in range(200)]
    assert not check_learned_embeddings(table, names).any()
    learned = EmbeddingRange.learn(table)
    one = table[5].copy()
    one[3] = 0
    assert learned.problem(one) is None
    # In these units, too, single ones may be wild: all of them, or in one dimension.
    assert "its length" in learned.problem(1000 * table[5])
    table[9] *= 1000
    table[11, 5] = 1e6 * np.abs(table).max()
    with pytest.raises(DataError, match=r"item 'item-9' and 1 more: its length"):
        check_learned_embeddings(table, names)


def test_a_value_that_few_items_have_is_not_wild():
    table = embeddings(n=200)
    table[:, 3] = 0
    table[7, 3] = 1
    assert not check_learned_embeddings(table, [str(number) for number in range(200)]).any()


def test_lengths_of_earlier_versions_have_no_units():
    learned = EmbeddingRange.learn(LEARNED)
    stored = learned.to_json()
    old = {name: stored[name] for name in ("shortest", "longest", "least", "most", "constant")}
    read = EmbeddingRange.from_json(old)
    assert read.problem(LEARNED[0]) is None
    assert read.problem(1000 * LEARNED[0]) == learned.problem(1000 * LEARNED[0])
    with pytest.raises(KeyError):
        EmbeddingRange.from_json({**old, "units": [1.0] * 40})


# ------------------------------------------------------------------ what is a number


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        np.array([1, 2, 3], np.float16),
        np.array([1, 2, 3], np.uint8),
        (1.0, np.float32(2), 3),
        pd.Series([1, 2, 3], dtype=object),
        pd.Series([1, 2, 3], dtype="Int64"),
    ],
)
def test_real_numbers(values):
    found = real_numbers(values)
    assert found.dtype == np.float32
    assert found.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "values",
    [
        ["1", "2"],
        "12",
        b"12",
        [1, "2"],
        [True, False],
        [1, 2j],
        np.array([1j]),
        [[1], [1, 2]],
        np.array(["2020-01-01"], "datetime64[D]"),
        pd.Series(["1.5", "2"]),
        {"a": 1},
        object(),
    ],
)
def test_what_is_no_real_number(values):
    assert real_numbers(values) is None


def test_what_is_missing_or_too_large_is_not_finite():
    for values in (
        [1.0, None],
        np.ma.masked_array([1.0, 2.0], [False, True]),
        pd.Series([1, None], dtype="Int64"),
        [1.0, 1e300],
        [1, 10**400],
        np.array([1, 1e39]),
    ):
        found = real_numbers(values)
        assert found is None or not np.isfinite(found).all()
