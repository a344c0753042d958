"""Embeddings of an evaluation: whose encoder gives them, that they are cached, and their map."""

from pathlib import Path

import pandas as pd

from datasets.music import MusicDataset
from evaluation.splitting.split import Split
from recsys.experiments.embeddings import cached_embeddings, embedding_map
from recsys.experiments.splits import named_splits
from tests.helpers.evaluations import GivenEncoders
from tests.helpers.known_answers import world
from tests.helpers.recommenders import QUICK


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
