"""Fits on recordings from which no network, or not every tag, can be learned."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.errors import AudioError
from datasets.music import MusicDataset
from embedding import SnippetConfig
from recsys import Recommender
from recsys.audio import TooFewLabelsError, train_encoder
from recsys.experiments.embeddings import FoldEncoders
from tests.helpers.recommenders import QUICK
from tests.helpers.recordings import write_song

pytestmark = pytest.mark.usefixtures("decoded_here")

CONFIG = QUICK.replace(
    als={"factors": 4},
    fm={"components": 4, "epochs": 1},
    encoder={
        "architecture": "IC(2,5,8)PF(16)O",
        "epochs": 1,
        "batch_size": 8,
        "snippet": {"seconds": 1.0},
        "hyperimage": {"height": 32, "width": 32, "n_fft": 1024, "tempogram_frames": 32},
    },
)


def listened(
    root: Path, genres: list[str], heard: list[int], broken: int = 0, **tags
) -> MusicDataset:
    """Items of these genres; recordings of those in `heard`, the first of which are broken."""
    ids = [f"s{n}" for n in range(len(genres))]
    for place, n in enumerate(heard):
        path = write_song(root / f"{n}.wav", n)
        if place < broken:
            path.write_text("no sound")
    plays = [(f"u{u}", ids[(u + n) % len(ids)], 1.0) for u in range(6) for n in range(3)]
    items = {"item_id": ids, "title": "", "artist": ids, "album": "", "genre": genres, **tags}
    return MusicDataset(
        pd.DataFrame(items),
        pd.DataFrame({"item_id": [ids[n] for n in heard], "path": [f"{n}.wav" for n in heard]}),
        pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]),
        root=root,
    )


@pytest.mark.parametrize(
    ("genres", "heard", "broken", "said"),
    [
        (["jazz"] * 4, [0, 1, 2, 3], 0, "the 4 usable ones are all of genre 'jazz'"),
        ([""] * 4, [0, 1, 2, 3], 0, "the 4 usable ones are all without any genre"),
        (["jazz", "rock"] * 2, [2], 0, "the only usable one is of genre 'jazz'"),
        (["jazz", "rock"] * 2, [0, 1], 1, "the only usable one is of genre 'rock'"),
    ],
)
def test_without_two_genres_songs_are_compared_by_statistics_of_their_sound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, genres: list[str], heard: list[int],
    broken: int, said: str,
) -> None:  # fmt: skip
    dataset = listened(tmp_path, genres, heard, broken)
    model = Recommender(CONFIG).fit(dataset)
    needed = "a network needs recordings of at least two values of 'genre'"
    text = f"no network was trained: {needed}, and {said}"
    text += "; songs are compared by statistics of their sound"
    assert model.info["network"] == text
    assert text in caplog.text
    assert model.info["encoder"]["method"] == "statistics of sound"
    assert model.info["items"]["with_embedding"] == len(heard) - broken
    assert len(model.info["recordings_left_out"]) == broken
    assert len(model.recommend("u1", k=1)) == 1
    told = model.onboard(tmp_path / f"{heard[-1]}.wav", item_id="new")
    assert (told.predicted, told.probability) == (None, None)
    model.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    assert again.info["network"] == text
    assert again.onboard(tmp_path / f"{heard[-1]}.wav", item_id="newer").item_id == "newer"
    vectors = again._model.items.embeddings(again._model.items.rows(["new", "newer"]))[0]
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_two_recordings_of_two_genres_are_enough(tmp_path: Path) -> None:
    dataset = listened(tmp_path, ["jazz", "rock", "jazz"], [0, 1])
    model = Recommender(CONFIG).fit(dataset)
    assert model.info["network"] == ""
    assert model.info["items"]["with_embedding"] == 2


def test_tags_of_one_value_are_left_out_of_the_training(tmp_path: Path) -> None:
    dataset = listened(tmp_path, ["jazz"] * 4, [0, 1, 2, 3], mood=["calm", "wild"] * 2)
    config = CONFIG.replace(encoder=CONFIG.encoder.replace(tags=("genre", "mood")))
    model = Recommender(config).fit(dataset)
    assert model.info["encoder"]["tags"] == ["mood"]
    assert model.info["network"] == (
        "the network was not trained on genre: not two values are known"
    )
    assert model.onboard(tmp_path / "0.wav", item_id="new").predicted in ("calm", "wild")


def test_where_nothing_can_be_decoded_the_error_says_so(tmp_path: Path) -> None:
    dataset = listened(tmp_path, ["jazz", "rock"] * 3, list(range(5)), broken=5)
    with pytest.raises(AudioError) as raised:
        Recommender(CONFIG).fit(dataset)
    message = str(raised.value)
    assert message.startswith("none of the 5 recordings can be used: ")
    assert [f"{n}.wav: " in message for n in range(5)] == [True, True, True, False, False]
    assert message.endswith("; and 2 more")
    assert "genre" not in message


def test_a_training_side_of_one_genre_has_statistics_of_sound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    dataset = listened(tmp_path, ["jazz"] * 3, [0, 1])
    with pytest.raises(TooFewLabelsError):
        train_encoder(dataset, CONFIG.encoder, workers=1, progress=False)
    encoders = FoldEncoders(CONFIG)
    fold = encoders(dataset)
    assert fold is encoders(dataset)  # asked once
    assert list(fold.embeddings(dataset).index) == ["s0", "s1"]
    assert fold.labels(dataset).empty
    assert caplog.text.count("no network was trained on a training side") == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attention", "recurrent"])
def test_a_head_over_sequences_hears_files_as_the_fit_did(tmp_path: Path, kind: str) -> None:
    dataset = listened(tmp_path, ["jazz", "rock"] * 3, [0, 1, 2, 3])
    network = CONFIG.encoder.replace(
        sequence=kind, window=16, snippet=SnippetConfig(seconds=0.5, count=3)
    )
    model = Recommender(CONFIG.replace(encoder=network)).fit(dataset)
    assert model.info["encoder"]["sequence"] == kind
    rows = model._model.items.rows(["s0", "s1", "s2", "s3"])
    fitted = model._model.items.embeddings(rows)[0]
    for n in range(4):
        model.onboard(tmp_path / f"{n}.wav", item_id=f"new {n}")
    told = model._model.items.embeddings(model._model.items.rows([f"new {n}" for n in range(4)]))[0]
    np.testing.assert_allclose(told, fitted, atol=1e-5)
    model.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    again.onboard(tmp_path / "0.wav", item_id="newer")
    (newer,) = again._model.items.embeddings(again._model.items.rows(["newer"]))[0]
    np.testing.assert_array_equal(newer, told[0])
    assert len(again.audience(tmp_path / "1.wav", k=2)) == 2
