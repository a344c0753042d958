"""The search of settings: what it may change, that it goes on, and that it never sees the test."""

import json
import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial
from typer.testing import CliRunner

from datasets.errors import DataError, EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.comparison.bootstrap import Interval
from evaluation.metrics.hits import HitEncoder
from recsys import Recommender, RecommenderConfig
from recsys.cli import app
from recsys.experiments import search_study
from recsys.experiments.search import (
    BEST,
    DEFAULTS,
    SearchConfig,
    search_hyperparameters,
    search_verdict,
)
from recsys.experiments.search_objective import (
    ValidationFold,
    cold_metric,
    held_out_splits,
    objective_cautions,
    search_data,
    validation_folds,
)
from recsys.experiments.search_space import SearchSpace, changed_settings, setting_value
from recsys.experiments.search_study import n_finished, open_study
from tests.helpers.thorough import times

Tastes = tuple[MusicDataset, pd.DataFrame]

BASE = RecommenderConfig(
    threads=1,
    tracking=False,
    sources=("als", "content"),
    als={"factors": 8, "iterations": 3, "regularization": 20.0},
    fusion={"warm": {"als": 0.6, "content": 0.4}, "cold": {"als": 0.6, "content": 0.4}},
)
"""Its weights are given, so that its sources stay, and fits take milliseconds."""

SHORT = SearchConfig(trials=4, folds=2, startup=3, pruning_after=2)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies here have to outlive a killed process, and no power cut."""
    connect = search_study._connect

    def quickly(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(search_study, "_connect", quickly)


# ---------------------------------------------------------------------- the space


def suggested(space: SearchSpace, params: dict[str, Any]) -> RecommenderConfig:
    return space.suggest(FixedTrial(params))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "base",
    [
        RecommenderConfig(),
        BASE,
        RecommenderConfig(sources=("als",)),
        RecommenderConfig(sources=("content", "als")),
        RecommenderConfig(sources=("popularity",)),
        RecommenderConfig(
            als={"regularization": 0.0, "alpha": 5000.0, "factors": 3},
            fm={"embedding_features": "dense", "item_penalty": 0.7},
            content_map={"kind": "auto", "shrinkage": 0.0},
            encoder={"batch_size": 7, "label_smoothing": 0.5},
        ),
        RecommenderConfig(fm={"embedding_features": "pca", "pca_components": 100}),
    ],
)
@pytest.mark.parametrize("network", [False, True])
def test_where_a_search_starts_is_in_its_space(base: RecommenderConfig, network: bool) -> None:
    space = SearchSpace(base, network=network)
    assert suggested(space, space.params()) == base


LEFT_ALONE = {
    "seed", "threads", "tracking", "retrieval.method", "retrieval.exact_up_to",
    "retrieval.target_recall", "retrieval.n_trees", "retrieval.search_k", "fusion.warm",
    "fusion.cold", "fusion.discovery", "fusion.validation_users", "content_map.strengths",
    "content_map.widths",
    "content_map.folds", "fusion.drop_sources",
}  # fmt: skip
"""What a search does not change; the text of `search_space` says why."""


def test_every_setting_but_those_left_alone_is_searched() -> None:
    config = RecommenderConfig()
    names = set(config.model_dump()) - {"encoder", "heads"}
    sections = {name for name in names if isinstance(config.model_dump()[name], dict)}
    every = (names - sections) | {
        f"{name}.{field}" for name in sections for field in config.model_dump()[name]
    }
    assert set(SearchSpace(config).names()) == every - LEFT_ALONE
    more = set(SearchSpace(config, network=True).names()) - set(SearchSpace(config).names())
    assert more
    assert {name.split(".")[0] for name in more} == {"encoder"}
    for name in more:
        assert setting_value(config, name) is not None


@hypothesis_settings(max_examples=times(15, 40))
@given(seed=st.integers(0, 2**31), network=st.booleans())
def test_whatever_is_suggested_is_a_configuration_and_can_be_had_again(
    seed: int, network: bool
) -> None:
    space = SearchSpace(RecommenderConfig(), network=network)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed)).ask()
    config = space.suggest(trial)
    assert config.sources
    # The best trial of a study is turned into its configuration by its parameters alone.
    assert suggested(space, trial.params) == config
    again = RecommenderConfig.from_json(json.loads(json.dumps(config.model_dump(mode="json"))))
    assert again == config
    for name in set(SearchSpace(config).names()) - {"sources"}:
        source = name.split(".")[0]
        if source in ("als", "fm", "ease") and source not in config.sources:
            assert setting_value(config, name) == setting_value(RecommenderConfig(), name)


def test_given_weights_keep_the_sources() -> None:
    assert "sources" not in SearchSpace(BASE).names()
    config = SearchSpace(BASE).suggest(optuna.create_study().ask())
    assert config.sources == BASE.sources
    assert config.fusion.warm == BASE.fusion.warm


def test_changes_are_named_with_both_values() -> None:
    other = BASE.replace(als=BASE.als.replace(factors=9), sources=("als", "content"))
    assert changed_settings(BASE, other) == {"als.factors": (8, 9)}


# ---------------------------------------------------------------------- what trials see


def pairs(dataset: MusicDataset) -> set[tuple[str, str]]:
    table = dataset.interactions
    return set(zip(table["user_id"], table["item_id"], strict=True))


@pytest.mark.slow
def test_no_trial_sees_what_is_tested(tastes: Tastes, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, embeddings = tastes
    warm, cold = held_out_splits(dataset, ("warm", "cold"), 0.2, BASE.seed, list(embeddings.index))
    table = dataset.interactions
    tested = {
        (table["user_id"].iloc[row], table["item_id"].iloc[row])
        for split in (warm, cold)
        for row in split.test_rows
    }
    seen: list[tuple[MusicDataset, pd.DataFrame | None]] = []
    original_fit, original_onboard = Recommender.fit, Recommender.onboard_many

    def fit(self: Recommender, data: MusicDataset, embeddings: Any = None, **named: Any) -> Any:
        seen.append((data, embeddings))
        return original_fit(self, data, embeddings, **named)

    def onboard_many(self: Recommender, data: MusicDataset, **named: Any) -> Any:
        seen.append((data, named.get("embeddings")))
        return original_onboard(self, data, **named)

    monkeypatch.setattr(Recommender, "fit", fit)
    monkeypatch.setattr(Recommender, "onboard_many", onboard_many)
    judged: list[set[tuple[str, str]]] = []
    original_measure = ValidationFold.measure

    def measure(self: ValidationFold, make: Any, k: int, metric: str) -> float:
        users, items = self.hit_encoder.relevance().nonzero()
        judged.append(
            set(zip(self.hit_encoder.users[users], self.hit_encoder.items[items], strict=True))
        )
        return original_measure(self, make, k, metric)

    monkeypatch.setattr(ValidationFold, "measure", measure)
    before: list[int] = []

    def stop(*_: Any, **__: Any) -> Any:
        before.append(len(seen))
        raise KeyboardInterrupt

    monkeypatch.setattr("recsys.experiments.search.compare", stop)
    with pytest.raises(KeyboardInterrupt):
        search_hyperparameters(
            dataset, BASE, SHORT.replace(trials=3, pruning_after=9), embeddings=embeddings
        )
    assert len(judged) == 3 * 4
    assert before == [3 * (4 + 2)]  # four fits a trial, two of which take in cold items
    held_out = {*cold.cold_items, *cold.excluded_items}
    assert len(held_out) >= 10
    for data, vectors in seen:
        assert not pairs(data) & tested
        assert not set(data.items["item_id"]) & held_out
        assert vectors is not None
        assert not set(vectors.index) & held_out
    for relevant in judged:
        assert relevant
        assert not relevant & tested


def test_the_search_side_is_what_both_tests_leave(tastes: Tastes) -> None:
    dataset, embeddings = tastes
    splits = held_out_splits(dataset, ("warm", "cold"), 0.2, 3, list(embeddings.index))
    side = search_data(dataset, splits)
    expected = pairs(splits[0].training(dataset)) & pairs(splits[1].training(dataset))
    assert pairs(side) == expected
    assert set(side.items["item_id"]) == set(splits[1].training(dataset).items["item_id"])


@pytest.mark.slow
def test_too_little_to_hold_out(tastes: Tastes) -> None:
    dataset, _ = tastes
    with pytest.raises(EvaluationError, match="with a recording"):
        search_hyperparameters(dataset, BASE, SHORT)
    assert (
        search_hyperparameters(dataset, BASE, SHORT.replace(cold_weight=0.0, trials=1)).best == BASE
    )


@pytest.mark.slow
@pytest.mark.parametrize("network", [False, True])
def test_networks_are_trained_once_a_training_side_unless_they_are_searched(
    tastes: Tastes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: bool
) -> None:
    plain, embeddings = tastes
    names = [name for name in embeddings.index if name.startswith("item")]
    audio = pd.DataFrame({"item_id": names, "path": [f"{name}.wav" for name in names]})
    for path in audio["path"]:
        (tmp_path / path).write_bytes(path.encode())
    dataset = MusicDataset(plain.items, audio, plain.interactions, root=tmp_path)
    trained: list[tuple[frozenset[str], int]] = []

    def train_encoder(data: MusicDataset, config: Any, **_: Any) -> Any:
        trained.append((frozenset(data.audio["item_id"]), config.epochs))
        return SimpleNamespace(config=config)

    def hear(data: MusicDataset, encoder: Any, **_: Any) -> Any:
        return SimpleNamespace(embeddings=embeddings.loc[data.audio["item_id"]])

    monkeypatch.setattr("recsys.experiments.embeddings.train_encoder", train_encoder)
    monkeypatch.setattr("recsys.experiments.embeddings.embed_dataset", hear)
    settings = SHORT.replace(trials=3, pruning_after=9, network=network)
    result = search_hyperparameters(dataset, BASE, settings)
    # Warm splits have all recordings of the side they are in, cold ones only those of training;
    # what the cold test leaves is the side that the search is in.
    in_search, in_test = 1 + settings.folds, 1
    sides = {side for side, _ in trained}
    assert len(sides) == in_search + in_test
    if network:
        of_test = 2 * len(result.comparison.models)
        assert len(trained) == 3 * in_search + of_test
        assert len({epochs for _, epochs in trained}) == 3
    else:
        assert len(trained) == in_search + in_test
        assert {epochs for _, epochs in trained} == {BASE.encoder.epochs}
    cold = next(s for s in result.comparison.splits if s["kind"] == "cold")
    assert cold["cold_items"] > 10
    # No network of a trial hears what the test holds out.
    side = search_data(dataset, held_out_splits(dataset, ("warm", "cold"), 0.2, 0, None))
    assert all(
        heard <= set(side.items["item_id"])
        for heard, _ in trained[: 3 * in_search if network else in_search]
    )


# ---------------------------------------------------------------------- the result


@pytest.mark.slow
def test_a_search_finds_what_is_better_and_says_so(tastes: Tastes) -> None:
    dataset, embeddings = tastes
    # One iteration with one factor and no penalty: nearly anything is better.
    poor = BASE.replace(
        als={"factors": 1, "iterations": 1, "regularization": 400.0},
        sources=("als",),
        fusion={"warm": {"als": 1.0}, "cold": {"als": 1.0}},
    )
    result = search_hyperparameters(
        dataset, poor, SHORT.replace(trials=6, cold_weight=0.0), embeddings=embeddings
    )
    assert result.best != poor
    assert result.comparison.models == [DEFAULTS, BEST]
    assert "better." in result.verdict[0]
    assert result.verdict[0].startswith("Held-out warm items: nDCG@10 0.")
    assert result.trials["value"].max() > result.trials["value"][0]
    assert set(result.changed) == set(changed_settings(poor, result.best))
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert RecommenderConfig.from_json(document["best"]) == result.best
    assert len(document["trials"]) == 6


class Known:
    """A comparison whose gaps are given: {(split, metric): (low, high)}."""

    models = (DEFAULTS, BEST)
    ks = (10,)

    def __init__(
        self, gaps: dict[tuple[str, str], tuple[float, float]], cold_items: int = 100
    ) -> None:
        self._gaps = gaps
        self.splits = [
            {"name": kind, "kind": kind, "auc_items": 9, "cold_items_ranked": cold_items}
            for kind in ("warm", "cold")
        ]
        self.values = {
            (split, "cold", name, metric, None): np.zeros(1)
            for split, metric in gaps
            for name in self.models
        }

    def figures(self) -> dict[tuple[str, str, str, str, int | None], Interval]:
        return {
            (split, candidates, name, metric, k): Interval(0.2, 0.1, 0.3)
            for split, candidates in (("warm", "catalogue"), ("cold", "cold"))
            for name in self.models
            for metric, k in (("ndcg", 10), ("item_auc", None))
        }

    def difference(
        self, model: str, against: str, *, split: str, candidates: str, metric: str, k: int | None
    ) -> Interval:
        assert (model, against) == (BEST, DEFAULTS)
        assert candidates == ("catalogue" if split == "warm" else "cold")
        assert k == (None if metric == "item_auc" else 10)
        low, high = self._gaps[split, metric]
        return Interval((low + high) / 2, low, high)


@pytest.mark.parametrize(
    ("warm", "cold", "over_items", "said", "better"),
    [
        ((0.01, 0.03), (0.01, 0.03), (0.1, 0.2), ["better", "better"], True),
        ((0.01, 0.03), (-0.03, -0.01), (0.1, 0.2), ["better", "worse"], True),
        ((-0.01, 0.03), (-0.01, 0.03), (0.1, 0.2), 2 * ["no difference shown"], False),
        (
            (-0.03, -0.01),
            (0.01, 0.03),
            (-0.1, 0.2),
            ["worse", "better for these items, but not shown to be for others"],
            False,
        ),
        (
            (-0.01, 0.03),
            (0.01, 0.03),
            None,
            ["no difference shown", "better for these items, but not shown to be for others"],
            False,
        ),
    ],
)
def test_what_the_test_says_in_words(
    warm: tuple[float, float],
    cold: tuple[float, float],
    over_items: tuple[float, float] | None,
    said: list[str],
    better: bool,
) -> None:
    gaps = {("warm", "ndcg"): warm, ("cold", "ndcg"): cold}
    if over_items is not None:
        gaps["cold", "item_auc"] = over_items
    verdict = search_verdict(Known(gaps), SearchConfig())  # type: ignore[arg-type]
    assert verdict[0] == (
        "Held-out warm items: nDCG@10 0.2000 with the settings found, 0.2000 with those it started "
        f"from, {sum(warm) / 2:+.4f} ({warm[0]:+.4f} to {warm[1]:+.4f}): {said[0]}."
    )
    assert verdict[1].startswith("Held-out cold items: ")
    assert verdict[1].endswith(f": {said[1]}.")
    assert verdict[2:] == (
        ()
        if better
        else (
            "The settings found are not shown to be better than those it started from; those of "
            "the best trial are the result all the same.",
        )
    )


@pytest.mark.parametrize(("cold_items", "measure"), [(20, "item-wise AUC"), (21, "nDCG@10")])
def test_few_cold_items_are_judged_as_a_report_judges_them(cold_items: int, measure: str) -> None:
    gaps = {("warm", "ndcg"): (-0.1, 0.1), ("cold", "ndcg"): (-0.1, 0.1)}
    gaps["cold", "item_auc"] = (0.01, 0.03)
    verdict = search_verdict(Known(gaps, cold_items), SearchConfig())  # type: ignore[arg-type]
    assert verdict[1].startswith(f"Held-out cold items: {measure} 0.2000 with")
    assert verdict[1].endswith(": better." if cold_items == 20 else ": no difference shown.")


@pytest.mark.slow
def test_nothing_better_on_the_validation_splits(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, embeddings = tastes
    falling = iter(np.linspace(0.9, 0.1, 99))
    monkeypatch.setattr(ValidationFold, "measure", lambda *_: float(next(falling)))
    result = search_hyperparameters(dataset, BASE, SHORT, embeddings=embeddings)
    assert result.best == BASE
    assert result.changed == {}
    assert result.comparison.models == [DEFAULTS]
    assert result.verdict == (
        "No settings did better on the validation splits than those it started from.",
    )


@pytest.mark.slow
@pytest.mark.parametrize(("weight", "expected"), [(0.0, 0.2), (1.0, 0.6), (0.25, 0.3)])
def test_the_objective_is_the_mix_that_was_asked_for(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch, weight: float, expected: float
) -> None:
    dataset, embeddings = tastes
    asked: list[str] = []

    def measure(self: ValidationFold, *_: Any) -> float:
        asked.append(self.name)
        fold = int(self.name.split()[1])
        return {"warm": 0.2, "cold": 0.6}[self.kind] + (0.05 if fold == 1 else -0.05)

    monkeypatch.setattr(ValidationFold, "measure", measure)
    settings = SHORT.replace(cold_weight=weight, trials=1)
    result = search_hyperparameters(dataset, BASE, settings, embeddings=embeddings)
    assert result.trials["value"].tolist() == pytest.approx([expected])
    kinds = settings.kinds
    assert asked == [f"{kind} {fold}" for fold in (1, 2) for kind in kinds]
    assert {split["name"] for split in result.comparison.splits} == set(kinds)


# ---------------------------------------------------------------------- few cold items


def cold_parts(tastes: Tastes) -> tuple[ValidationFold, ...]:
    dataset, embeddings = tastes
    return validation_folds(dataset, ("warm", "cold"), 2, 0.2, 0, list(embeddings.index))


def test_where_lists_hold_half_of_the_cold_items_their_auc_counts(tastes: Tastes) -> None:
    parts = cold_parts(tastes)
    fewest = min(len(part.hit_encoder.items) for part in parts if part.kind == "cold")
    for k, metric in ((fewest // 2 - 1, "ndcg"), ((fewest + 1) // 2, "item_auc")):
        assert cold_metric(parts, k) == metric
        cautions = objective_cautions(parts, k)
        if metric == "ndcg":
            assert cautions == ()
        else:
            assert cautions == (
                f"A split for the search holds out {fewest} cold items, too few for lists of {k} "
                "of them: the item-wise AUC stands for cold items in the objective, in place of "
                "nDCG.",
            )
    assert objective_cautions([part for part in parts if part.kind == "warm"], 10_000) == ()


def test_where_no_auc_is_defined_ndcg_stays_and_the_caution_says_what_it_is_worth() -> None:
    # Everybody played the one cold item: there is nobody to be ranked below its listeners.
    test = pd.DataFrame({"user_id": ["u1", "u2"], "item_id": ["new", "new"]})
    music: Any = None
    parts = [
        ValidationFold("cold 1", "cold", music, music, HitEncoder(["u1", "u2"], ["new"], test))
    ]
    assert cold_metric(parts, 10) == "ndcg"
    (caution,) = objective_cautions(parts, 10)
    assert caution.endswith("nDCG of cold items hardly depends on the settings there.")


class Ranking:
    """A model of two cold items: u1 gets the first before the second, all others the reverse."""

    def fit(self, _: Any) -> None: ...

    def onboard_many(self, _: Any) -> None: ...

    def recommend_many(self, users: list[str], k: int, *, only: list[str]) -> pd.DataFrame:
        orders = {user: only if user == "u1" else only[::-1] for user in users}
        rows = [
            (user, rank, item, 2.0 - rank)
            for user in users
            for rank, item in enumerate(orders[user][:k], 1)
        ]
        return pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])


def test_a_cold_fold_by_hand() -> None:
    # a is played by u1 and u3: u1 ranks it above u4 does and u3 as u4 does, (1 + 1/2) / 2 = 3/4.
    # b is played by u3 and u4, who both rank it above u1 does: 1. All first places are hits.
    test = pd.DataFrame({"user_id": ["u1", "u3", "u3", "u4"], "item_id": ["a", "a", "b", "b"]})
    data: Any = None
    judge = HitEncoder(["u1", "u3", "u4"], ["a", "b"], test)
    fold = ValidationFold("cold 1", "cold", data, SimpleNamespace(), judge)  # type: ignore[arg-type]
    assert fold.measure(Ranking, 1, "item_auc") == pytest.approx(7 / 8)  # type: ignore[arg-type]
    assert fold.measure(Ranking, 1, "ndcg") == 1.0  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_search_with_few_cold_items_says_what_counts(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dataset, embeddings = tastes
    asked: set[tuple[str, str]] = set()

    def measure(self: ValidationFold, make: Any, k: int, metric: str) -> float:
        asked.add((self.kind, metric))
        return 0.5

    monkeypatch.setattr(ValidationFold, "measure", measure)
    settings = SHORT.replace(trials=1, k=30)
    result = search_hyperparameters(dataset, BASE, settings, embeddings=embeddings)
    assert asked == {("warm", "ndcg"), ("cold", "item_auc")}
    (caution,) = result.cautions
    assert "the item-wise AUC stands for cold items" in caution
    assert caution in caplog.messages  # before the first trial
    assert result.to_dict()["cautions"] == [caution]
    caplog.clear()
    many = search_hyperparameters(dataset, BASE, settings.replace(k=2), embeddings=embeddings)
    assert ("cold", "ndcg") in asked
    assert many.cautions == ()
    assert caplog.messages == []


# ---------------------------------------------------------------------- pruning


def graded(config: RecommenderConfig) -> float:
    """A figure that settings alone decide, best at 64 factors."""
    return 1 / (1 + abs(math.log2(config.als.factors) - 6))


@pytest.fixture
def quick_folds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Stages that give `graded` without a fit; returns what was asked: (stage, factors)."""
    asked: list[tuple[str, int]] = []

    def measure(self: ValidationFold, make: Callable[[], Any], k: int, metric: str) -> float:
        config = make().config
        asked.append((self.name, config.als.factors))
        return graded(config)

    monkeypatch.setattr(ValidationFold, "measure", measure)
    return asked


@pytest.mark.slow
def test_trials_that_do_badly_are_cut_short(
    tastes: Tastes, quick_folds: list[tuple[str, int]]
) -> None:
    dataset, embeddings = tastes
    settings = SHORT.replace(trials=20, folds=3, startup=5, pruning_after=3)
    result = search_hyperparameters(dataset, BASE, settings, embeddings=embeddings)
    table = result.trials
    cut = table[table["state"] == "pruned"]
    assert 3 <= len(cut) <= 16
    assert cut["value"].isna().all()
    assert (cut["stages"] < 6).all()
    assert (table[table["state"] == "complete"]["stages"] == 6).all()
    assert len(quick_folds) == table["stages"].sum() < 20 * 6
    # Each was cut where it was below the median of the whole ones before it.
    whole: list[float] = []
    at = 0
    for state, n_stages in zip(table["state"], table["stages"].tolist(), strict=True):
        value = graded(BASE.replace(als=BASE.als.replace(factors=quick_folds[at][1])))
        if state == "complete":
            whole.append(value)
        else:
            assert len(whole) >= 3
            assert value < np.median(whole)
            assert n_stages == 1
        at += n_stages


# ---------------------------------------------------------------------- going on


@contextmanager
def opened(path: Path) -> Iterator[list[dict[str, Any]]]:
    with sqlite3.connect(path) as database:
        yield [
            {"state": state, "params": params}
            for state, params in database.execute(
                "SELECT t.state, group_concat(p.param_name || '=' || p.param_value, ';') "
                "FROM trials t LEFT JOIN (SELECT * FROM trial_params ORDER BY param_name) p "
                "USING (trial_id) GROUP BY t.trial_id ORDER BY t.trial_id"
            )
        ]


def ended(path: Path) -> list[dict[str, Any]]:
    with opened(path) as rows:
        return [row for row in rows if row["state"] in ("COMPLETE", "PRUNED")]


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
    tastes: Tastes, quick_folds: list[tuple[str, int]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    dataset, embeddings = tastes
    settings = SHORT.replace(trials=6, startup=3)
    whole = search_hyperparameters(
        dataset, BASE, settings, embeddings=embeddings, study_file=tmp_path / "whole.db"
    )
    assert finished_in(tmp_path / "whole.db") == 6
    n_asked = len(quick_folds)
    path = tmp_path / "a name, with #signs?.db"
    counted = ValidationFold.measure

    def killed_after(n: int) -> None:
        left = [n]

        def measure(self: ValidationFold, make: Any, k: int, metric: str) -> float:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return counted(self, make, k, metric)

        monkeypatch.setattr(ValidationFold, "measure", measure)

    for n in (0, 6):
        killed_after(n)
        with monkeypatch.context() as patch:
            # As after kill -9: nothing is said to the study.
            patch.setattr(optuna.Study, "tell", silent(optuna.Study.tell))
            with pytest.raises(Killed):
                search_hyperparameters(
                    dataset, BASE, settings, embeddings=embeddings, study_file=path
                )
    monkeypatch.setattr(ValidationFold, "measure", counted)
    del quick_folds[:]
    result = search_hyperparameters(dataset, BASE, settings, embeddings=embeddings, study_file=path)
    assert 0 < len(quick_folds) < n_asked
    assert ended(path) == ended(tmp_path / "whole.db")
    with opened(path) as rows:
        assert sum(row["state"] == "FAIL" for row in rows) == 2
    assert result.best == whole.best
    columns = ["trial", "state", "value", "stages"]
    pd.testing.assert_frame_equal(result.trials[columns], whole.trials[columns])
    # Once more: no trial, the same result.
    del quick_folds[:]
    again = search_hyperparameters(dataset, BASE, settings, embeddings=embeddings, study_file=path)
    assert quick_folds == []
    assert again.verdict == result.verdict


class Killed(BaseException):
    """What no one catches."""


def silent(tell: Callable[..., Any]) -> Callable[..., Any]:
    def told(self: optuna.Study, trial: Any, *values: Any, **named: Any) -> Any:
        if named.get("state") == optuna.trial.TrialState.FAIL and not isinstance(trial, int):
            return None
        return tell(self, trial, *values, **named)

    return told


def finished_in(path: Path) -> int:
    return len(ended(path))


@pytest.mark.slow
def test_an_interrupted_trial_is_given_up_at_once(
    tastes: Tastes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, embeddings = tastes

    def interrupted(*_: Any) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(ValidationFold, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search_hyperparameters(
            dataset, BASE, SHORT, embeddings=embeddings, study_file=tmp_path / "s.db"
        )
    with opened(tmp_path / "s.db") as rows:
        assert [row["state"] for row in rows] == ["FAIL"]


@pytest.mark.slow
def test_more_trials_go_on_where_it_was(
    tastes: Tastes, quick_folds: list[tuple[str, int]], tmp_path: Path
) -> None:
    dataset, embeddings = tastes
    path = tmp_path / "s.db"
    first = search_hyperparameters(dataset, BASE, SHORT, embeddings=embeddings, study_file=path)
    more = SHORT.replace(trials=7, timeout=1000.0)
    again = search_hyperparameters(
        dataset, BASE.replace(threads=2), more, embeddings=embeddings, study_file=path
    )
    assert len(first.trials) == 4
    assert len(again.trials) == 7
    assert again.trials["value"][:4].tolist() == first.trials["value"].tolist()


@pytest.mark.slow
def test_a_study_of_something_else_is_refused(
    tastes: Tastes, quick_folds: list[tuple[str, int]], tmp_path: Path
) -> None:
    dataset, embeddings = tastes
    path = tmp_path / "s.db"
    once = SHORT.replace(trials=1)

    def again(
        data: Any = dataset, base: Any = BASE, settings: Any = once, own: Any = embeddings
    ) -> Any:
        return search_hyperparameters(data, base, settings, embeddings=own, study_file=path)

    again()
    fewer = dataset.take_interactions(np.arange(len(dataset.interactions) - 9))
    for changed, what in (
        ({"data": fewer}, "other data;"),
        ({"own": embeddings * 2}, "other data;"),
        ({"settings": once.replace(cold_weight=0.3)}, "other search settings;"),
        (
            {"base": BASE.replace(als={"factors": 9})},
            "other configuration to start from and ranges of settings;",
        ),
    ):
        with pytest.raises(InvalidArgumentError, match=f"s.db: is a search with {what}"):
            again(**changed)
    assert finished_in(path) == 1


def test_files_that_are_no_study(tastes: Tastes, tmp_path: Path) -> None:
    dataset, embeddings = tastes

    def refused(path: Path, why: str) -> None:
        with pytest.raises(InvalidArgumentError, match=why) as found:
            search_hyperparameters(dataset, BASE, SHORT, embeddings=embeddings, study_file=path)
        assert "\n" not in str(found.value)

    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"garbage" * 1000)
    refused(garbage, "garbage.db: cannot be used as a study: file is not a database")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (x)")
    before = other.read_bytes()
    refused(other, "other.db: is a database of something else; nothing was written")
    assert other.read_bytes() == before
    refused(tmp_path, "cannot be written: is a folder")
    refused(other / "below.db", "below.db: cannot be written")
    assert {path.name for path in tmp_path.iterdir()} == {"garbage.db", "other.db"}
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}*"))


@pytest.mark.slow
def test_nothing_is_left_of_a_search_that_could_not_begin(
    tastes: Tastes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, embeddings = tastes
    path = tmp_path / "a" / "b" / "s.db"

    def none(*_: Any) -> float:
        raise DataError("nothing can be learned")

    with monkeypatch.context() as patch:
        patch.setattr(ValidationFold, "measure", none)
        with pytest.raises(DataError, match="nothing can be learned"):
            search_hyperparameters(dataset, BASE, SHORT, embeddings=embeddings, study_file=path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(ValidationFold, "measure", lambda *_: 0.5)
    search_hyperparameters(
        dataset, BASE, SHORT.replace(trials=1), embeddings=embeddings, study_file=path
    )
    assert [file.name for file in path.parent.iterdir()] == ["s.db"]  # and no lock
    # Trials that ended are kept, whatever comes after them.
    monkeypatch.setattr("recsys.experiments.search._trial_table", none)
    with pytest.raises(DataError):
        search_hyperparameters(
            dataset, BASE, SHORT.replace(trials=1), embeddings=embeddings, study_file=path
        )
    assert finished_in(path) == 1


@pytest.mark.slow
def test_one_search_at_a_time(tastes: Tastes, tmp_path: Path) -> None:
    dataset, embeddings = tastes
    path = tmp_path / "s.db"
    with (
        open_study(path, {}, 5),
        pytest.raises(InvalidArgumentError, match=r"s\.db: another search is using it"),
    ):
        search_hyperparameters(dataset, BASE, SHORT, embeddings=embeddings, study_file=path)


def test_optuna_speaks_as_before(tmp_path: Path) -> None:
    before = optuna.logging.get_verbosity()
    with open_study(tmp_path / "s.db", {}, 5) as found:
        assert n_finished(found) == 0
    assert optuna.logging.get_verbosity() == before


# ---------------------------------------------------------------------- limits and failures


@pytest.mark.slow
def test_a_timeout_leaves_at_least_where_it_started(
    tastes: Tastes, quick_folds: list[tuple[str, int]]
) -> None:
    dataset, embeddings = tastes
    result = search_hyperparameters(
        dataset, BASE, SHORT.replace(timeout=1e-9), embeddings=embeddings
    )
    assert len(result.trials) == 1
    assert result.best == BASE


@pytest.mark.slow
def test_settings_that_cannot_be_fitted_are_no_good_ones(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, embeddings = tastes

    def measure(self: ValidationFold, make: Callable[[], Any], k: int, metric: str) -> float:
        if make().config != BASE:
            raise DataError("it diverged")
        return 0.1

    monkeypatch.setattr(ValidationFold, "measure", measure)
    result = search_hyperparameters(dataset, BASE, SHORT, embeddings=embeddings)
    assert result.best == BASE
    assert result.trials["state"].tolist() == ["complete"] + 3 * ["pruned"]
    assert result.trials["error"].tolist() == [""] + 3 * ["it diverged"]
    # Where even the start cannot be fitted, there is nothing to search.

    def none(*_: Any) -> float:
        raise DataError("nothing can be learned")

    monkeypatch.setattr(ValidationFold, "measure", none)
    with pytest.raises(DataError, match="nothing can be learned"):
        search_hyperparameters(dataset, BASE, SHORT, embeddings=embeddings)


def test_an_invalid_list_is_no_matter_of_settings(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, embeddings = tastes
    calls = [0]

    def measure(*_: Any) -> float:
        calls[0] += 1
        if calls[0] > 4:
            raise EvaluationError("an item twice")
        return 0.1

    monkeypatch.setattr(ValidationFold, "measure", measure)
    with pytest.raises(EvaluationError, match="an item twice"):
        search_hyperparameters(dataset, BASE, SHORT, embeddings=embeddings)


# ---------------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_command_writes_settings_that_train_takes(
    tastes: Tastes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets.folder import save_folder

    save_folder(tastes[0], tmp_path / "data")
    base = tmp_path / "base.json"
    base.write_text(json.dumps(BASE.model_dump(mode="json")))
    out = tmp_path / "best.json"
    arguments = ["tune", str(tmp_path / "data"), "--out", str(out), "--config", str(base)]
    limits = ["--trials", "3", "--folds", "1", "--cold-weight", "0"]
    done = CliRunner().invoke(app, [*arguments, *limits], catch_exceptions=False)
    assert done.exit_code == 0
    assert "3 trials, " in done.stdout
    lines = done.stdout.splitlines()
    whose = "of the best trial" if "nDCG@10" in done.stdout else "it started from"
    assert f"the settings {whose} are written to {out}" in lines
    assert finished_in(tmp_path / "best.study.db") == 3
    train = ["train", str(tmp_path / "data"), "--config", str(out), "--out", str(tmp_path / "m")]
    assert CliRunner().invoke(app, train, catch_exceptions=False).exit_code == 0
    best = RecommenderConfig.from_json(json.loads(out.read_text()))
    assert Recommender.load(tmp_path / "m").config == best
    again = CliRunner().invoke(app, [*arguments, *limits, "--json"], catch_exceptions=False)
    document = json.loads(again.stdout)
    assert RecommenderConfig.from_json(document["best"]) == best
    assert len(document["trials"]) == 3
    before = sorted(tmp_path.rglob("*"))
    for wrong, why in (
        (["--out", str(tmp_path)], "is a folder"),
        (["--out", str(out / "best.json")], r"best\.json/best\.json: cannot be written"),
        (["--out", "/proc/none/best.json"], "/proc/none/best.json: cannot be written"),
        (["--out", str(out), "--report", "/proc/none/r.html"], "r.html: cannot be written"),
        (["--out", str(tmp_path / "new" / "best.json"), "--folds", "0"], "folds"),
    ):
        with pytest.raises(InvalidArgumentError, match=why):
            CliRunner().invoke(
                app, ["tune", str(tmp_path / "data"), *wrong], catch_exceptions=False
            )
    assert sorted(tmp_path.rglob("*")) == before
