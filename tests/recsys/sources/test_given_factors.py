"""ALS with factors from elsewhere: what is taken, what is folded in, what is refused."""

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataError, InvalidArgumentError
from recsys import Recommender
from recsys.sources.given_factors import GivenFactors, read_factors
from tests.helpers.recommenders import ALL_USERS, IDS, QUICK, taste_of

ALS = QUICK.replace(sources=("als",), fusion={})
DIRECTIONS = np.eye(3, dtype=np.float32)


def factors(items, users=(), listeners=50) -> GivenFactors:
    """Factors that know the taste of each and nothing else."""
    return GivenFactors(
        pd.Index(items, dtype=object), DIRECTIONS[taste_of(items)],
        np.full(len(items), listeners), pd.Index(users, dtype=object),
        DIRECTIONS[taste_of(users)].reshape(-1, 3),
    )  # fmt: skip


def test_a_model_has_the_factors_it_was_given(tastes):
    dataset, embeddings = tastes
    model = Recommender(ALS).fit(dataset, embeddings, factors=factors(IDS[:80], ALL_USERS))
    assert model.live.state.config.als.factors == 3
    assert model.info["settings"] == {"als.factors": "taken from given"}
    lists = model.recommend_many(ALL_USERS, 10)
    assert (taste_of(lists["user_id"]) == taste_of(lists["item_id"])).all()
    cold = model.recommend_many(ALL_USERS, 3, only=IDS[80:])  # predicted from their sound
    assert (taste_of(cold["user_id"]) == taste_of(cold["item_id"])).mean() > 0.9


def test_what_the_factors_lack_is_folded_in(tastes, tmp_path):
    dataset, embeddings = tastes
    model = Recommender(ALS).fit(dataset, embeddings, factors=factors(IDS[:60], ALL_USERS[:30]))
    lists = model.recommend_many(ALL_USERS, 5)
    assert (taste_of(lists["user_id"]) == taste_of(lists["item_id"])).mean() > 0.95
    late = model.recommend_many(ALL_USERS, 3, only=IDS[60:80])
    assert (taste_of(late["user_id"]) == taste_of(late["item_id"])).mean() > 0.9
    model.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.recommend_many(ALL_USERS, 5), lists)
    assert again.onboard(item_id="n", embedding=embeddings.loc["cold-80"]).item_id == "n"


def test_an_item_that_only_others_have_played_keeps_what_was_learned(tastes):
    """Nobody in the sample has played cold-80; its factors say another taste than its sound."""
    dataset, embeddings = tastes
    given = factors(IDS[:81], ALL_USERS)
    given.items[80] = DIRECTIONS[(80 % 3 + 1) % 3]
    model = Recommender(ALS).fit(dataset, embeddings, factors=given)
    best = model.recommend_many(ALL_USERS, 1, only=["cold-80", "cold-81", "cold-82", "cold-83"])
    of_80 = taste_of(best.loc[best["item_id"] == "cold-80", "user_id"])
    assert len(of_80) > 0
    assert (of_80 == (80 % 3 + 1) % 3).all()


def table(folder, rows, key="item_id", **columns):
    folder.mkdir(exist_ok=True)
    frame = pd.DataFrame({key: [f"x{n}" for n in range(len(rows))], "vector": rows, **columns})
    frame.to_parquet(folder / "part-0.parquet")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1.0, 2.0], [1.0]], "'x1' has 1 numbers, others have 2"),
        ([[1.0, 2.0], [np.nan, 0.0]], "'x1' is not finite"),
        ([[1.0, 2.0], None], "'x1' has 0 numbers"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, rows, words):
    table(tmp_path / "items.parquet", rows, listeners=[1, 2])
    with pytest.raises(DataError, match=words):
        read_factors(tmp_path, pd.Index(["x0", "x1"]), pd.Index([]))


def test_what_is_no_factors_is_refused(tmp_path, tastes):
    dataset, embeddings = tastes
    with pytest.raises(DataError, match=r"has no items\.parquet"):
        Recommender(ALS).fit(dataset, embeddings, factors=tmp_path)
    table(tmp_path / "items.parquet", [[1.0]])
    with pytest.raises(DataError, match="column 'listeners' missing"):
        Recommender(ALS).fit(dataset, embeddings, factors=tmp_path)
    table(tmp_path / "items.parquet", [[1.0]], listeners=[1])
    with pytest.raises(DataError, match="none of the data set's items has any"):
        Recommender(ALS).fit(dataset, embeddings, factors=tmp_path)
    config = QUICK.replace(sources=("content",), fusion={})
    with pytest.raises(InvalidArgumentError, match="factors are for the source als"):
        Recommender(config).fit(dataset, embeddings, factors=factors(IDS))
    (tmp_path / "items.parquet" / "part-0.parquet").write_bytes(b"PAR1 and nothing PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        Recommender(ALS).fit(dataset, embeddings, factors=tmp_path)
