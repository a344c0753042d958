"""Annoy's files are the same for the same seed."""

import pytest

from recsys.index.annoy import AnnoyIndex
from tests.helpers.indexes import ITEMS


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_the_same_seed_builds_the_same_index(tmp_path, seed):
    for name in ("a", "b"):
        AnnoyIndex.build(ITEMS, tmp_path / name, 8, seed)
    assert (tmp_path / "a.annoy").read_bytes() == (tmp_path / "b.annoy").read_bytes()
