"""The live model: its index leaves nothing behind, and goes with it wherever it is saved."""

import pandas as pd
import pytest

from recsys import Recommender


@pytest.mark.parametrize("method", ["screened", "pruned", "annoy"])
def test_an_index_of_a_fit_has_no_files_with_names(fit_quickly, tmp_path, monkeypatch, method):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    model = fit_quickly(retrieval={"method": method})
    assert list(place.iterdir()) == []  # while it is in use, so that no end can leave them
    before = model.recommend_many(["user-1", "user-2"], k=20)
    for name in ("one", "two"):
        model.save(tmp_path / name)
        loaded = Recommender.load(tmp_path / name)
        assert loaded.info["index"] == model.info["index"]
        assert loaded.info["index"]["method"] == method
        pd.testing.assert_frame_equal(loaded.recommend_many(["user-1", "user-2"], k=20), before)
    model.rebuild()
    assert list(place.iterdir()) == []
    pd.testing.assert_frame_equal(
        Recommender.load(tmp_path / "two").recommend_many(["user-1", "user-2"], k=20), before
    )
