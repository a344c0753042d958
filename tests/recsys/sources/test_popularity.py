"""The popularity source: one dimension, its weight may be negative."""

import numpy as np
import pytest
import scipy.sparse as sp

from datasets.errors import InvalidArgumentError
from recsys import Recommender
from recsys.data import TrainingData
from recsys.sources.fold_in import Gram
from recsys.sources.popularity import PopularitySource
from tests.helpers.recommenders import CONFIG, item_content

# Items with 3, 1 and no listeners: log 4 and log 2, standardised 1 and -1.
PLAYS = sp.csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], np.float32))
DATA = TrainingData(PLAYS, item_content(np.zeros((3, 0))), np.arange(3), seed=0, threads=1)


def test_by_hand() -> None:
    source = PopularitySource()
    vectors = source.fit(DATA)
    np.testing.assert_allclose(vectors.items[:, 0], [1, -1, 0], atol=1e-6)
    np.testing.assert_array_equal(vectors.users, np.ones((3, 1)))
    again = PopularitySource().restore(source.arrays())
    three = again.item_from_plays(np.zeros(1), np.ones((3, 1)), np.ones(3), np.eye(1))
    np.testing.assert_allclose(three, [1], atol=1e-6)
    nobody = again.item_from_plays(np.zeros(1), np.ones((0, 1)), np.ones(0), np.eye(1))
    np.testing.assert_array_equal(nobody, [0])


def test_a_history_of_nothing_known_stays_unknown() -> None:
    source = PopularitySource()
    source.fit(DATA)
    assert source.fold_in(np.zeros((2, 1), np.float32), np.ones(2), Gram(np.eye(1))) == 0
    assert source.fold_in(np.ones((1, 1), np.float32), np.ones(1), Gram(np.eye(1))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("weight", [-0.5, 0.0, 0.5])
def test_a_weight_of_any_sign(tastes, weight: float) -> None:
    dataset, embeddings = tastes
    weights = {"als": 0.6, "fm": 0.4, "popularity": weight}
    config = CONFIG.replace(
        sources=("als", "fm", "popularity"),
        als={"factors": 8},
        fm={"components": 8, "epochs": 3},
        fusion={"warm": weights, "cold": weights},
    )
    recommender = Recommender(config).fit(dataset, embeddings=embeddings)
    listeners = dataset.interactions.groupby("item_id").size()
    users = [f"user-{n}" for n in range(30)]
    found = recommender.recommend_many(users, k=5)["item_id"].map(listeners).fillna(0).mean()
    plain = Recommender(
        config.replace(
            sources=("als", "fm"),
            fusion={"warm": {"als": 0.6, "fm": 0.4}, "cold": {"als": 0.6, "fm": 0.4}},
        )
    ).fit(dataset, embeddings=embeddings)
    usual = plain.recommend_many(users, k=5)["item_id"].map(listeners).fillna(0).mean()
    assert (found > usual) if weight > 0 else (found < usual) if weight < 0 else found == usual
    shares = recommender.recommend("user-1", k=5).filter(like="share_")
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    folded = recommender.recommend(history=["item-3", "item-6"], k=5)
    assert np.isfinite(folded["score"]).all()
    assert recommender.similar("item-3", k=3)["score"].between(-1.001, 1.001).all()


def test_other_weights_stay_positive() -> None:
    with pytest.raises(InvalidArgumentError, match="a weight must be positive"):
        CONFIG.replace(fusion={"warm": {"als": -0.1, "fm": 0.4, "content": 0.2}})
