"""What objects say of themselves, and whether they can be pickled and copied."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from datasets.errors import InvalidArgumentError, NotCopiedError
from datasets.music import MusicDataset
from embedding import EncoderConfig, SongEncoder
from evaluation import Comparison, Popularity, Split
from evaluation.models.external import PEERS
from recsys import Recommender
from recsys.audio import DatasetEmbeddings
from recsys.data import TrainingData
from recsys.database import Catalog, Song, SongDatabase
from recsys.index import AnnoyIndex, ExactIndex, PrunedIndex
from recsys.index.growing import GrowingIndex
from recsys.model import load_model

ITEMS = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)

Again = Callable[[Any], Any]
AGAIN = [lambda one: pickle.loads(pickle.dumps(one)), copy.copy, copy.deepcopy]
"""Ways to get another one that is like the first."""


def _annoy(folder: Path) -> AnnoyIndex:
    length = AnnoyIndex.build(ITEMS, folder / "annoy", 5, 0)
    return AnnoyIndex(folder / "annoy", ITEMS, 10, length)


def _pruned(folder: Path) -> PrunedIndex:
    PrunedIndex.build(ITEMS, folder / "pruned")
    return PrunedIndex(folder / "pruned", 0.9)


def test_every_repr_is_one_short_line_that_says_what_it_is(
    tmp_path: Path,
    example_dataset: MusicDataset,
    example_embeddings: pd.DataFrame,
    example_recommender: Recommender,
    example_encoder: SongEncoder,
    example_split: Split,
    example_comparison: Comparison,
    example_training_data: TrainingData,
) -> None:
    example_recommender.save(tmp_path / "model")
    model = load_model(tmp_path / "model")
    catalog = Catalog.in_memory()
    database = SongDatabase.open(f"sqlite:///{tmp_path}/songs.sqlite", create=True)
    expected = {
        example_recommender: "<Recommender: fitted on 60 users and 30 items; in '/",
        example_dataset: "<MusicDataset: 30 items, ",
        example_split: "<Split 'warm' (warm): 359 training rows, 103 test rows>",
        example_comparison: "<Comparison of 'popularity', 'random' on 1 split: ",
        example_encoder: "<SongEncoder 'IC(2,5,4)PF(8)O': trained for 2 epochs to tell 2 values of",
        SongEncoder(): "<SongEncoder 'IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O': not trained>",
        ExactIndex(ITEMS): "<ExactIndex: 20 items with 4 dimensions>",
        _pruned(tmp_path): "<PrunedIndex: 20 items with 4 dimensions, slack 0.9>",
        _annoy(tmp_path): "<AnnoyIndex: 20 items with 4 dimensions, search_k 10>",
        GrowingIndex(ExactIndex(ITEMS), ITEMS): "<GrowingIndex: <ExactIndex: 20 items",
        catalog: "<Catalog: in memory>",
        database: "<SongDatabase: 'sqlite:///",
        model: "<LiveModel: <FittedState: 60 users, 30 items; als, fm, content>",
        model.items: "<ItemTable: 30 items of the fit",
        model.users: "<UserTable: 60 users of the fit",
        model.catalog: "<Catalog: '/",
        Popularity(): "<Popularity: not fitted; seed 0>",
        Popularity().fit(example_dataset): "<Popularity: fitted on 60 users; seed 0>",
        PEERS["item-knn"](neighbours=5): "<ItemKNN: not fitted; seed 0, neighbours 5>",
        model.state.sources["als"]: "<ALSSource: fitted; ALSConfig(factors=",
        model.state.sources["content"]: "<ContentSource>",
    }
    found = {repr(one): begins for one, begins in expected.items()}
    for holder, begins in (
        (DatasetEmbeddings.empty(), "<DatasetEmbeddings: 0 items with 0 dimensions"),
        (example_training_data, "<TrainingData: 60 users, 30 items>"),
        (example_training_data.content, "<ItemContent: 30 items>"),
        (model.state, "<FittedState: 60 users"),
    ):
        found[repr(holder)] = begins
    for shown, begins in found.items():
        assert shown.startswith(begins)
        assert len(shown) < 250
        assert shown.isprintable()


@pytest.mark.parametrize("again", AGAIN)
def test_data_sets_encoders_splits_comparisons_and_indexes_are_copied_whole(
    again: Again,
    tmp_path: Path,
    example_dataset: MusicDataset,
    example_encoder: SongEncoder,
    example_images: Any,
    example_split: Split,
    example_comparison: Comparison,
) -> None:
    assert again(example_dataset).digest() == example_dataset.digest()
    encoder = again(example_encoder)
    assert encoder.digest() == example_encoder.digest()
    assert (
        encoder.embed(example_images).tobytes() == example_encoder.embed(example_images).tobytes()
    )
    assert again(example_split).train_rows.tolist() == example_split.train_rows.tolist()
    pd.testing.assert_frame_equal(again(example_comparison).table, example_comparison.table)
    popular = Popularity().fit(example_dataset)
    pd.testing.assert_frame_equal(
        again(popular).recommend_many(["u1", "u2"], 3), popular.recommend_many(["u1", "u2"], 3)
    )
    nothing = np.empty(0, np.intp)
    for index in (ExactIndex(ITEMS), _pruned(tmp_path)):
        hits = [one.search(ITEMS[:3], 5, None, nothing) for one in (index, again(index))]
        assert [hit.item.tolist() for hit in hits[:1]] == [hit.item.tolist() for hit in hits[1:]]


@pytest.mark.parametrize("again", AGAIN)
def test_what_is_not_copied_names_save_and_load(again: Again, tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    catalog.fill([Song("s1")])
    database = SongDatabase.open(f"sqlite:///{tmp_path}/songs.sqlite", create=True)
    for one in (catalog, database, _annoy(tmp_path)):
        with pytest.raises(NotCopiedError, match=r"save\(folder\).*Recommender\.load\(folder\)"):
            again(one)


def test_a_clone_of_an_encoder_is_not_trained_and_takes_settings(
    example_encoder: SongEncoder,
) -> None:
    encoder = clone(example_encoder)
    assert encoder.config == example_encoder.config
    assert repr(encoder).endswith(": not trained>")
    encoder.set_params(epochs=5, architecture="IC(2,5,4)PF(16)O", snippet__seconds=2.0)
    assert (encoder.config.epochs, encoder.dimension) == (5, 16)
    assert encoder.get_params()["snippet__seconds"] == 2.0
    with pytest.raises(InvalidArgumentError, match=r"did you mean 'epochs'\?; there are: config"):
        encoder.set_params(epoch=3)
    with pytest.raises(InvalidArgumentError, match="is trained with its settings"):
        example_encoder.set_params(epochs=5)
    assert example_encoder.config.epochs == 2


def test_unknown_settings_are_answered_with_what_may_be_meant() -> None:
    with pytest.raises(InvalidArgumentError, match=r"epoch: .*did you mean 'epochs'\?; there are"):
        EncoderConfig(epoch=3)
    with pytest.raises(InvalidArgumentError, match=r"snippet\.second: .*did you mean 'seconds'"):
        EncoderConfig(snippet={"second": 3})
    with pytest.raises(InvalidArgumentError, match=r"'neighbour'; did you mean 'neighbours'\?"):
        PEERS["item-knn"](neighbour=3)
