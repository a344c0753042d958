"""Plays added up in blocks give what adding them up at once gives."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.public import play_counts as pair_sums
from datasets.public.play_counts import PlayCounts

PLAYS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from([0, 1, 2, 2**31 - 1]),
        st.integers(1, 5),
        st.integers(-100, 100),
    ),
    max_size=60,
)


def pairs(sums: PlayCounts) -> list[tuple[Any, ...]]:
    columns = (map(np.ndarray.tolist, block) for block in sums.blocks())
    return [row for block in columns for row in zip(*block, strict=True)]


@pytest.mark.slow
@given(PLAYS, st.integers(1, 7))
def test_as_pandas_adds_up(plays: list[tuple[int, int, int, int]], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_sums, "_BLOCK", block)
        patch.setattr(pair_sums, "_HANDED_OUT", block)
        one, many = PlayCounts(), PlayCounts()
        for play in plays:
            one.add(*play)
        columns = np.array(plays, dtype=np.int64).reshape(-1, 4).T
        many.add_block(*columns[:, ::2])
        many.add_block(*columns[:, 1::2])
        table = pd.DataFrame(plays, columns=["user", "item", "weight", "time"])
        grouped = table.groupby(["user", "item"])
        expected = grouped.agg({"weight": "sum", "time": "min"}).reset_index()
        assert pairs(one) == pairs(many) == list(expected.itertuples(index=False, name=None))
        assert one.items().tolist() == sorted(set(table["item"]))
        rows: list[tuple[Any, ...]] = []
        count = one.write(lambda *row: rows.append(row), "u{}".format, str, times=False)
        assert count == len(rows) == len(expected)
        assert rows == [(f"u{u}", str(i), float(w)) for u, i, w, _ in pairs(one)]
