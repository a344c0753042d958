"""Songs similar to a recording or an embedding that is no item."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.errors import AudioError, InvalidArgumentError, UnknownItemError
from embedding import SongEncoder
from recsys import Recommender
from tests.helpers.recommenders import CONFIG, dataset_of, own
from tests.helpers.recordings import write_song

pytestmark = pytest.mark.usefixtures("decoded_here")


@pytest.mark.parametrize("by", ["sound", "taste", "fused"])
def test_an_embedding_is_like_what_an_onboarded_one_would_be_like(fitted, tastes, by):
    model = own(fitted)
    vector = tastes[1].loc["cold-83"] * 1.1
    found = model.similar(embedding=vector, k=91, by=by)
    model.onboard(item_id="new", embedding=vector)
    rows = model.similar("new", k=91, by=by)
    assert found["item_id"].tolist() == rows["item_id"].tolist()
    np.testing.assert_allclose(found["score"], rows["score"], atol=1e-6)
    assert fitted.similar(embedding=vector, k=3, by=by)["rank"].tolist() == [1, 2, 3]
    assert model.info["onboarded"] == 1


def test_a_recording_that_is_no_item(
    tastes, example_encoder: SongEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: write_song(tmp_path / f"{name}.wav", n) for n, name in enumerate("abcd")}
    vectors = example_encoder.embed_files(list(files.values()))
    audio = pd.DataFrame({"item_id": [*"abc"], "path": [f"{n}.wav" for n in "abc"]})
    data = dataset_of([], [*"abc"])
    library = type(data)(data.items, audio, root=tmp_path)
    model = Recommender(CONFIG).fit(library, encoder=example_encoder)
    expected = model.similar(embedding=vectors[3], k=3, by="sound")
    for given in (
        files["d"],
        str(files["d"]),
        files["d"].read_bytes(),
        io.BytesIO(files["d"].read_bytes()),
    ):
        pd.testing.assert_frame_equal(model.similar(given, k=3, by="sound"), expected)
    pd.testing.assert_frame_equal(model.similar(recording=files["d"], k=3, by="sound"), expected)
    assert model.similar(files["b"], k=1)["item_id"].tolist() == ["b"]  # of an item as well
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(files["d"].read_bytes())  # the id of an item comes first
    assert "a" not in model.similar("a", k=3)["item_id"].tolist()
    (tmp_path / "silent.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"silent\.wav"):
        model.similar("silent.wav")
    with pytest.raises(UnknownItemError, match=r"no file 'none\.wav', and no item 'none\.wav'"):
        model.similar("none.wav")


def test_bad_questions(fitted):
    for given in ({}, {"item_id": "item-1", "embedding": np.ones(8)}):
        with pytest.raises(InvalidArgumentError, match="an item, a recording or an embedding"):
            fitted.similar(**given)
    for wrong, said in (
        (np.ones(7), r"has shape \(7,\)"),
        (np.full(8, np.nan), "not a finite number"),
        (np.zeros(8), "zero in every dimension"),
        (["a"] * 8, "is not numeric"),
        (np.full(8, 1e9), "far outside the lengths learned"),
    ):
        with pytest.raises(InvalidArgumentError, match=said):
            fitted.similar(embedding=wrong)
    with pytest.raises(InvalidArgumentError, match="without recordings of its own"):
        fitted.similar(b"no sound")


def test_the_only_song_is_like_no_other():
    model = Recommender(CONFIG).fit(dataset_of([], ["a"]), pd.DataFrame([[1.0, 2.0]], index=["a"]))
    for by in ("sound", "fused"):
        found = model.similar("a", by=by)
        assert found.empty
        assert list(found) == list(model.recommend("x").columns[:7])
