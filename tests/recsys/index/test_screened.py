"""Search by a screen in files; filters: see test_growing.py."""

import numpy as np
import pytest

from datasets.errors import ArtifactError
from recsys.index.screened import ScreenedIndex
from tests.helpers.indexes import NONE, check_hits
from tests.recsys.index.test_screen import structured


def test_it_reads_little_of_a_catalogue_and_finds_the_best(tmp_path):
    items, users = structured(8_000)
    items[:80] *= 4  # few are long
    ScreenedIndex.build(items, [users], tmp_path / "index")
    index = ScreenedIndex(tmp_path / "index", items, slack=1.0)
    assert index.share_compared(users[:30], 10) < 0.5
    assert index.with_slack(0.5).share_compared(users[:30], 10) < index.share_compared(
        users[:30], 10
    )
    check_hits(index.search(users[:30], 10, None, NONE), items, users[:30], 10, [set()] * 30)


def test_a_screen_of_other_items_is_refused(tmp_path):
    items, users = structured(60)
    ScreenedIndex.build(items, [users], tmp_path / "index")
    for other in (items[:-1], items[:, :-1]):
        with pytest.raises(ArtifactError, match="other items"):
            ScreenedIndex(tmp_path / "index", other, slack=1.0)
    (tmp_path / "index.near.npy").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="cannot be read"):
        ScreenedIndex(tmp_path / "index", np.asarray(items), slack=1.0)
