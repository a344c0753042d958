"""The line-up's controls, and what is concluded of it where it is known what the audio says."""

import pandas as pd
import pytest

from datasets.errors import InvalidArgumentError
from evaluation.comparison.comparison import compare
from evaluation.conclusions.summary import summarise
from evaluation.models.baselines import PopularityOracle
from evaluation.models.controls import (
    GENRE_FOR_AUDIO,
    POPULARITY_ORACLE,
    SAME_FOR_EVERYBODY,
    SHUFFLED_AUDIO,
    control_name,
)
from evaluation.models.external import PEERS
from evaluation.splitting.cold import cold_split, cold_user_split
from recsys.experiments.models import MODELS, OURS, control_meanings, model_factories
from recsys.recommender import Recommender
from tests.helpers.evaluations import GivenEncoders
from tests.helpers.known_answers import world
from tests.helpers.recommenders import QUICK

HYBRID_CONTROLS = [
    control_name("hybrid", kind) for kind in (SHUFFLED_AUDIO, GENRE_FOR_AUDIO, SAME_FOR_EVERYBODY)
]


def judged(kind: str, seed: int, **sizes: int) -> list[str]:
    dataset, embeddings = world(kind, seed, **sizes)
    makers = model_factories(
        ["hybrid", "als", "content", "popularity", "random"],
        QUICK.replace(seed=seed),
        encoders=GivenEncoders(embeddings),
    )
    makers[POPULARITY_ORACLE] = lambda: PopularityOracle(dataset)
    split = cold_split(dataset, 0.5, seed, among=set(dataset.interactions["item_id"]))
    controls = control_meanings(makers)
    assert set(controls) == {*HYBRID_CONTROLS, POPULARITY_ORACLE, "random"}
    return summarise(compare(makers, dataset, [split], ks=(5,), controls=controls, n_bootstrap=200))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_hybrid_is_said_to_hear_where_the_audio_tells_the_taste(seed: int) -> None:
    # The oracle is a strong rival, as much of what is played here is played for its popularity.
    headline, controls = judged("informative", seed, n_users=200)
    assert "hybrid ranks better than popularity, which knows nothing of them" in headline
    assert controls.startswith("There, the audio tells who plays what: hybrid is right ")
    assert "popularity oracle is shown to be worse than hybrid by nDCG" in controls


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noise", "popularity"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_hybrid_is_not_said_to_hear_where_there_is_nothing(kind: str, seed: int) -> None:
    headline, controls = judged(kind, seed)
    assert "ranks better than" not in headline
    assert "audio tells" not in controls
    assert "beyond popularity here" in controls


@pytest.mark.slow
def test_the_control_alike_for_all_takes_the_hybrid_that_is_fitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset, embeddings = world("informative", 0)
    cold = dataset.items["item_id"].to_list()[:20]
    training, new = dataset.drop_items(cold), dataset.take_items(cold).take_interactions([])
    fits = []
    fit = Recommender.fit

    def counted(self: Recommender, *given: object, **options: object) -> Recommender:
        fits.append(self.config)
        return fit(self, *given, **options)

    monkeypatch.setattr(Recommender, "fit", counted)
    lists = {}
    for when in ("after", "alone"):
        makers = model_factories(["hybrid"], QUICK, encoders=GivenEncoders(embeddings))
        if when == "after":
            makers["hybrid"]().fit(training).onboard_many(new)
        model = makers[control_name("hybrid", SAME_FOR_EVERYBODY)]()
        assert model.config == QUICK
        model.fit(training)
        model.onboard_many(new)
        lists[when] = model.recommend_many(["user-0", "user-1"], 10, only=cold)
        assert len(fits) == 1
        fits.clear()
    pd.testing.assert_frame_equal(lists["after"], lists["alone"])
    first, second = (group["item_id"].tolist() for _, group in lists["after"].groupby("user_id"))
    assert first == second
    # Another training side is another fit.
    makers["hybrid"]().fit(training)
    makers[control_name("hybrid", SAME_FOR_EVERYBODY)]().fit(dataset)
    assert len(fits) == 2


@pytest.mark.slow
def test_what_new_users_play_reaches_the_line_up() -> None:
    dataset, embeddings = world("informative", 0)
    split = cold_user_split(dataset, 0.3, 5)
    makers = model_factories(
        ["hybrid", "popularity", "random"], QUICK, encoders=GivenEncoders(embeddings)
    )
    makers = {name: makers[name] for name in ("hybrid", "popularity", "random")}
    result = compare(makers, dataset, [split], ks=(10,), n_bootstrap=200)
    figures = result.figures()
    best = figures["cold users", "catalogue", "hybrid", "ndcg", 10]
    assert best.low > figures["cold users", "catalogue", "random", "ndcg", 10].high
    assert (result.runs["users_without_list_catalogue"] == 0).all()


def test_names() -> None:
    assert list(MODELS) == [*OURS, *PEERS]
    assert all(MODELS.values())
    assert list(model_factories(["popular", "item-knn"], QUICK)) == ["popularity", "item-knn"]
    with pytest.raises(
        InvalidArgumentError, match=r"no model 'magic'; there are: hybrid, als, .*bpr"
    ):
        model_factories(["magic"], QUICK)
    assert list(model_factories(["als", "content"], QUICK))[2:] == [
        control_name("content", kind)
        for kind in (SHUFFLED_AUDIO, GENRE_FOR_AUDIO, SAME_FOR_EVERYBODY)
    ]
    assert list(model_factories(["als", "content"], QUICK, controls=False)) == ["als", "content"]
