"""Embeddings of an evaluation: whose encoder gives them, that they are cached, and their map."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from datasets.music import MusicDataset
from embedding.network.training import train_network
from evaluation.splitting.split import Split
from recsys import RecommenderConfig
from recsys.audio import embed_dataset, train_encoder
from recsys.experiments.embeddings import FoldEncoders, cached_embeddings, embedding_map
from recsys.experiments.splits import named_splits
from tests.helpers.eight_songs import EARS
from tests.helpers.evaluations import GivenEncoders
from tests.helpers.known_answers import world
from tests.helpers.recommenders import QUICK
from tests.helpers.recordings import write_song


def warm_and_cold(dataset: MusicDataset) -> list[Split]:
    return named_splits(dataset, ["warm", "cold"], fraction=0.2, folds=1, seed=0)[0]


def test_embeddings_are_of_the_side_without_the_held_out_and_kept(
    recorded: MusicDataset, tmp_path: Path
) -> None:
    encoders = GivenEncoders(world("informative", 0)[1])
    splits = warm_and_cold(recorded)
    first = cached_embeddings(recorded, splits, encoders, QUICK.network, tmp_path)
    assert list(first.index) == recorded.items["item_id"].to_list()
    assert not set(encoders.sides[0].items["item_id"]) & set(splits[1].cold_items)
    pd.testing.assert_frame_equal(
        cached_embeddings(recorded, splits, encoders, QUICK.network, tmp_path), first
    )
    assert len(encoders.sides) == 1
    # Another network, or other splits, are something else.
    cached_embeddings(recorded, splits, encoders, QUICK.network.replace(seed=9), tmp_path)
    cached_embeddings(recorded, splits[:1], encoders, QUICK.network, tmp_path)
    assert len(encoders.sides) == 3


def test_the_map_marks_what_was_held_out(recorded: MusicDataset) -> None:
    _, embeddings = world("informative", 0)
    splits = warm_and_cold(recorded)
    places = embedding_map(recorded, splits, embeddings.iloc[5:], 0)
    assert list(places.columns) == ["item_id", "title", "artist", "genre", "x", "y", "cold"]
    assert list(places["item_id"]) == list(embeddings.index[5:])
    assert set(places["item_id"][places["cold"]]) == set(splits[1].cold_items) - set(
        embeddings.index[:5]
    )
    assert not embedding_map(recorded, splits[:1], embeddings, 0)["cold"].any()
    assert embedding_map(recorded, splits, embeddings.iloc[:3], 0) is None


def test_a_fold_is_trained_once_as_its_probabilities_are_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = [f"song-{number}" for number in range(66)]
    for number, name in enumerate(songs):
        write_song(tmp_path / f"{name}.wav", number)
    genres = [("low", "high")[number % 2] for number in range(len(songs))]
    items = {"item_id": songs, "title": "", "artist": songs, "album": "", "genre": genres}
    dataset = MusicDataset(
        pd.DataFrame(items),
        pd.DataFrame({"item_id": songs, "path": [f"{name}.wav" for name in songs]}),
        pd.DataFrame([("u", songs[0], 1.0)], columns=["user_id", "item_id", "weight"]),
        root=tmp_path,
    )
    trainings = 0

    def train(*arguments: Any, **options: Any) -> Any:
        nonlocal trainings
        trainings += 1
        return train_network(*arguments, **options)

    monkeypatch.setattr("embedding.network.training.train_network", train)
    config = RecommenderConfig(encoder={**EARS, "epochs": 1}, threads=1)
    fold = FoldEncoders(config)(dataset)
    assert (trainings, fold.encoder.calibration_) == (1, {})
    encoder = train_encoder(dataset, config.network, workers=1, progress=False)
    # So few songs take another network for the temperatures; that which is kept is the same.
    assert trainings == 1 + 2
    assert encoder.calibration_
    pd.testing.assert_frame_equal(
        embed_dataset(dataset, encoder, workers=1, progress=False).embeddings,
        fold.embeddings(dataset),
        check_exact=True,
    )
