"""MLflow: what a run says, where it goes, and that no failing tracker costs a model."""

import json
import logging
import math
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run as StoredRun

from datasets.errors import DataError
from datasets.folder import load_folder, save_folder
from datasets.music import MusicDataset
from evaluation import Popularity, Random, compare, warm_folds, warm_split
from recsys import Recommender, RecommenderConfig
from recsys.config import ALSConfig, FMConfig
from recsys.experiments.offline_evaluation import EvaluationConfig, evaluate
from recsys.experiments.search import SearchConfig, search_hyperparameters
from recsys.tracking import runs as tracking
from recsys.tracking.comparison import comparison_runs
from recsys.tracking.runs import tracked_run

pytestmark = pytest.mark.slow

Tastes = tuple[MusicDataset, pd.DataFrame]

SMALL = RecommenderConfig(
    threads=1, als=ALSConfig(factors=8, iterations=3), fm=FMConfig(components=8, epochs=3)
)

QUICK = SMALL.replace(
    sources=("als", "content"),
    fusion={"warm": {"als": 0.6, "content": 0.4}, "cold": {"als": 0.6, "content": 0.4}},
)
"""A fit whose weights need no search, where any fit will do."""


def store(path: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}")


def runs(path: Path = Path("mlflow.db"), experiment: str = "coldtune") -> list[StoredRun]:
    """Runs of an experiment, first one first."""
    client = store(path.absolute())
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    return client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])


def fit(tastes: Tastes, config: RecommenderConfig = QUICK) -> Recommender:
    dataset, embeddings = tastes
    return Recommender(config).fit(dataset, embeddings=embeddings)


def works(recommender: Recommender) -> bool:
    return recommender.recommend("user-1", k=5)["rank"].tolist() == [1, 2, 3, 4, 5]


# ---------------------------------------------------------------------- what is logged


def test_a_fit_is_one_finished_run(tastes: Tastes) -> None:
    recommender = fit(tastes, SMALL)
    (run,) = runs()
    assert run.info.run_name == "fit"
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    params, metrics = run.data.params, run.data.metrics
    assert params["seed"] == "0"
    assert params["als.factors"] == "8"
    assert params["encoder.architecture"] == "IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O"
    assert params["dataset.digest"] == tastes[0].digest()
    assert params["dataset.n_items"] == "90"
    assert run.inputs is not None
    (learned_from,) = run.inputs.dataset_inputs
    assert learned_from.dataset.digest == tastes[0].digest()[:16]
    assert learned_from.tags[0].value == "training"
    blend = recommender.info["blend"]
    for kind in ("warm", "cold"):
        for name, weight in blend[kind].items():
            assert metrics[f"weight_{kind}_{name}"] == pytest.approx(weight)
    for stage, seconds in recommender.info["seconds"].items():
        assert metrics[f"seconds_{stage}"] == pytest.approx(seconds)


def test_settings_of_mlflow_are_left_as_they_are(tastes: Tastes) -> None:
    before = dict(os.environ)
    fit(tastes)
    assert dict(os.environ) == before
    assert not mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    assert mlflow.active_run() is None


def test_a_training_is_logged_epoch_by_epoch_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(monkeypatch, "log_batch")
    with tracked_run("fit", enabled=True) as run:
        run.log_training(
            [
                {"epoch": 1.0, "loss": 0.7, "accuracy": 0.5, "validation_loss": 0.9},
                {"epoch": 2.0, "loss": 0.4, "accuracy": 0.75, "validation_loss": 0.8},
            ]
        )
    assert len(calls) == 1
    (stored,) = runs()
    client = store(Path("mlflow.db").absolute())
    for name, values in (
        ("encoder_loss", [0.7, 0.4]),
        ("encoder_accuracy", [0.5, 0.75]),
        ("encoder_validation_loss", [0.9, 0.8]),
    ):
        history = client.get_metric_history(stored.info.run_id, name)
        assert [(point.step, point.value) for point in history] == [(1, values[0]), (2, values[1])]
    assert "encoder_epoch" not in stored.data.metrics


def test_an_evaluation_is_a_run_with_one_below_for_each_model_and_the_fits_below_that(
    tastes: Tastes, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count_calls(monkeypatch, "log_batch")
    config = EvaluationConfig(
        models=("als", "lightfm", "popularity"), splits=("warm",), folds=2, genre_folds=0
    )
    evaluation = evaluate(tastes[0], place / "report", SMALL, config)
    first, *rest = runs()
    assert first.info.run_name == "evaluation"
    assert {run.info.status for run in (first, *rest)} == {"FINISHED"}
    assert "mlflow.parentRunId" not in first.data.tags
    assert first.data.params["dataset.digest"] == tastes[0].digest()
    assert first.data.tags["mlflow.note.content"] == "\n\n".join(evaluation.summary)
    below = {run.info.run_name: run for run in rest if parent(run) == first.info.run_id}
    assert list(below) == ["als", "lightfm", "popularity"] == evaluation.comparison.models
    table = evaluation.comparison.table
    for model, run in below.items():
        fits = [fit for fit in rest if parent(fit) == run.info.run_id]
        assert [fit.info.run_name for fit in fits] == [f"{model}, warm 1", f"{model}, warm 2"]
        assert run.data.params["control"] == "False"
        own = table[table["model"] == model]
        for row in own.to_dict("records"):
            among = "" if row["candidates"] == "catalogue" else f"_among_{row['candidates']}"
            name = row["metric"] + ("" if pd.isna(row["k"]) else f"_at_{int(row['k'])}")
            assert run.data.metrics[f"warm{among}/{name}"] == pytest.approx(row["mean"])
            for end in ("low", "high"):
                known = run.data.metrics.get(f"warm{among}_{end}/{name}", math.nan)
                assert known == pytest.approx(row[end], nan_ok=True)
        # Of a user's figures in two folds the mean counts; users are nearly the same in both.
        name = "warm/ndcg_at_10"
        found = [fit.data.metrics[name] for fit in fits]
        assert min(found) <= run.data.metrics[name] + 0.01
        assert max(found) >= run.data.metrics[name] - 0.01
        for number, fit in enumerate(fits, 1):
            assert fit.data.params["split"] == "warm"
            assert fit.data.params["fold"] == f"warm {number}"
            seconds = fit.data.metrics["work/fit_seconds"]
            assert fit.info.end_time - fit.info.start_time >= 900 * seconds
        assert first.data.metrics[f"{name}/{model}"] == run.data.metrics[name]
        total = sum(fit.data.metrics["work/fit_seconds"] for fit in fits)
        assert run.data.metrics["work/fit_seconds"] == pytest.approx(total)
    assert below["als"].data.params["als.factors"] == "8"
    assert "als.factors" not in below["popularity"].data.params
    # What is logged of a fit is there, and no run of its own.
    assert len(rest) == 3 + 3 * 2
    client = store(place / "mlflow.db")
    files = {f.path: f for f in client.list_artifacts(first.info.run_id)}
    written = {path.name for path in (place / "report").iterdir()}
    assert {"report.html", "report.json", "report.md", "report-pictures"} <= set(files) == written
    assert files["report.html"].file_size == (place / "report" / "report.html").stat().st_size
    pictures = client.list_artifacts(first.info.run_id, "report-pictures")
    assert {Path(f.path).name for f in pictures} == {
        path.name for path in (place / "report" / "report-pictures").iterdir()
    }
    # A few calls a run: hundreds of them would take longer than the fits.
    assert len(calls) <= 3 + 6 * len(rest)


def parent(run: StoredRun) -> str | None:
    return run.data.tags.get("mlflow.parentRunId")


def test_controls_say_so_and_what_they_mean(tastes: Tastes, place: Path) -> None:
    dataset, _ = tastes
    split = warm_split(dataset)
    models = {"popularity": Popularity, "random": Random}
    with (
        tracked_run("mine", enabled=True) as run,
        comparison_runs(run, [split]) as below,
    ):
        comparison = compare(
            models, dataset, [split], controls={"random": "luck would do"}, on_run=below.add
        )
        below.log_results(comparison)
    found = {run.info.run_name: run for run in runs()}
    assert found["random"].data.params["control"] == "True"
    assert found["popularity"].data.params["control"] == "False"
    assert found["random"].data.tags["mlflow.note.content"] == (
        "A control. Where no model is shown to beat it: luck would do."
    )


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_comparison_that_stops_leaves_no_run_going(
    tastes: Tastes, error: BaseException, status: str
) -> None:
    dataset, _ = tastes
    split = warm_split(dataset)

    class Broken(Random):
        def fit(self, dataset: MusicDataset) -> "Broken":
            raise error

    models = {"random": Random, "broken": Broken}
    with (
        pytest.raises(type(error)),
        tracked_run("mine", enabled=True) as run,
        comparison_runs(run, [split]) as below,
    ):
        compare(models, dataset, [split], on_run=below.add)
    found = {run.info.run_name: run.info.status for run in runs()}
    assert found == {"mine": status, "random": status, f"random, {split.name}": "FINISHED"}


@pytest.mark.parametrize("method", ["create_run", "log_batch", "set_terminated"])
def test_a_tracker_that_goes_in_a_comparison_is_waited_for_once_or_twice(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    dataset, _ = tastes
    splits = warm_folds(dataset, 2)
    calls: list[str] = []

    def gone(*_: object, **__: object) -> None:
        calls.append(method)
        raise OSError("no answer")

    with monkeypatch.context() as patch:
        with (
            tracked_run("mine", enabled=True) as run,
            comparison_runs(run, splits) as below,
        ):
            for name in ("create_run", "log_batch", "set_terminated"):
                if method != "set_terminated" or name == method:
                    patch.setattr(mlflow.MlflowClient, name, gone)
            models = {f"random {seed}": (lambda seed=seed: Random(seed)) for seed in range(4)}
            comparison = compare(models, dataset, splits, on_run=below.add)
            below.log_results(comparison)
        # And once more where the run of the whole is ended.
        assert 1 <= len(calls) <= 3
    assert len(warnings_in(caplog)) == len(calls)
    assert len(comparison.models) == 4


def test_the_data_set_is_one_of_mlflows(tastes: Tastes, tmp_path: Path) -> None:
    dataset, _ = tastes
    folder = save_folder(dataset, tmp_path / "my music")
    with tracked_run("fit", enabled=True) as run:
        run.log_dataset(load_folder(folder), "training")
        run.log_dataset(dataset, "search")
    (stored,) = runs()
    assert stored.inputs is not None
    read, made = stored.inputs.dataset_inputs
    if read.dataset.name != "my music":
        read, made = made, read
    assert read.dataset.name == "my music"
    assert made.dataset.name == "dataset"
    assert read.dataset.digest == dataset.digest()[:16] == made.dataset.digest
    assert json.loads(str(read.dataset.profile)) == {
        **dataset.summary(),
        "digest": dataset.digest(),
    }
    source = mlflow.data.get_source(read)
    assert Path(source.load()) == folder.absolute()
    columns = json.loads(str(read.dataset.schema))["mlflow_colspec"]
    assert [column["name"] for column in columns] == list(dataset.interactions.columns)
    assert [(tag.key, tag.value) for tag in read.tags] == [("mlflow.data.context", "training")]


def test_a_search_is_a_run_with_its_trials_below(tastes: Tastes, place: Path) -> None:
    dataset, embeddings = tastes
    base = SMALL.replace(sources=("als",), fusion={"warm": {"als": 1.0}, "cold": {"als": 1.0}})
    settings = SearchConfig(trials=2, folds=2, cold_weight=0.0, pruning_after=5)
    result = search_hyperparameters(dataset, base, settings, embeddings=embeddings)
    first, *trials = runs()
    assert first.info.run_name == "search"
    assert [run.info.run_name for run in trials] == ["trial 1", "trial 2"]
    assert {run.info.status for run in (first, *trials)} == {"FINISHED"}
    assert first.data.params["search.trials"] == "2"
    assert first.data.metrics["objective"] == pytest.approx(result.trials["value"].max())
    assert first.data.tags["mlflow.note.content"] == "\n\n".join(result.verdict)
    for run, value in zip(trials, result.trials["value"], strict=True):
        assert parent(run) == first.info.run_id
        assert run.data.metrics["objective"] == pytest.approx(value)
        both = [run.data.metrics[name] for name in ("warm 1", "warm 2")]
        assert run.data.metrics["objective"] == pytest.approx(sum(both) / 2)
    assert trials[0].data.params["als.factors"] == "8"


def test_many_numbers_with_odd_names_take_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(monkeypatch, "log_batch")
    values = {f"cold.among cold.hybrid, shuffled audio+{n}": float(n) for n in range(900)}
    values |= {"nothing": float("nan"), "much": float("inf"), "음악 (score)": 1.0}
    with tracked_run("evaluation", enabled=True) as run:
        started = time.perf_counter()
        run.log_metrics(values)
        assert time.perf_counter() - started < 120
    assert len(calls) == 1
    (stored,) = runs()
    assert len(stored.data.metrics) == 903
    assert stored.data.metrics["cold.among cold.hybrid_ shuffled audio_17"] == 17
    assert stored.data.metrics["음악 _score_"] == 1.0


def test_parameters_may_be_long_and_nested() -> None:
    with tracked_run("fit", enabled=True) as run:
        run.log_params({"a": {"b": {"c": 1}, "empty": {}}, "long": "x" * 10_000, "none": None})
    (stored,) = runs()
    assert stored.data.params == {
        "a.b.c": "1",
        "a.empty": "{}",
        "long": "x" * 500,
        "none": "None",
    }


# ---------------------------------------------------------------------- where it goes


def test_the_uri_of_the_environment_is_used(
    tastes: Tastes, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Path(shutil.copy(template, tmp_path / "else where.db"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
    fit(tastes)
    assert len(runs(elsewhere)) == 1
    assert runs() == []


def test_the_uri_set_in_the_program_is_used(tastes: Tastes, template: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copy(template, tmp_path / "elsewhere.db"))
    mlflow.set_tracking_uri(f"sqlite:///{elsewhere}")
    fit(tastes)
    assert len(runs(elsewhere)) == 1
    assert runs() == []
    assert mlflow.get_tracking_uri() == f"sqlite:///{elsewhere}"


def test_the_experiment_that_was_set_is_used(tastes: Tastes, place: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{place / 'mlflow.db'}")
    mlflow.set_experiment("mine")
    fit(tastes)
    assert len(runs(experiment="mine")) == 1
    assert runs() == []


def test_the_experiment_of_the_environment_is_used(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the environment")
    fit(tastes)
    fit(tastes)
    assert len(runs(experiment="of the environment")) == 2
    assert runs() == []


def test_a_fit_goes_below_the_run_that_is_active(tastes: Tastes, place: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{place / 'mlflow.db'}")
    mlflow.set_experiment("mine")
    with mlflow.start_run() as active:
        fit(tastes)
        assert mlflow.active_run().info.run_id == active.info.run_id  # type: ignore[union-attr]
        mlflow.log_metric("own", 1.0)
    outer, inner = runs(experiment="mine")
    assert inner.data.tags["mlflow.parentRunId"] == active.info.run_id == outer.info.run_id
    assert outer.data.metrics == {"own": 1.0}
    assert outer.info.status == inner.info.status == "FINISHED"
    assert "own" not in inner.data.metrics


@pytest.mark.parametrize("how", ["configuration", "environment"])
def test_it_can_be_switched_off(
    tastes: Tastes, place: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (place / "mlflow.db").unlink()
    if how == "environment":
        monkeypatch.setenv("COLDTUNE_TRACKING", "0")
    fit(tastes, QUICK.replace(tracking=how == "environment"))
    assert list(place.iterdir()) == []


# ---------------------------------------------------------------------- how it ends


def test_a_fit_that_fails_is_a_failed_run(tastes: Tastes) -> None:
    dataset = tastes[0]
    with pytest.raises(DataError, match="nobody has played anything"):
        Recommender(QUICK).fit(dataset.take_interactions([]))
    (run,) = runs()
    assert run.info.status == "FAILED"


def test_a_fit_that_is_interrupted_is_a_killed_run(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("recsys.recommender.fit_state", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(tastes)
    (run,) = runs()
    assert run.info.status == "KILLED"


# ---------------------------------------------------------------------- trackers that fail


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "coldtune.tracking"]


def test_a_server_that_is_not_there_costs_seconds(
    tastes: Tastes,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: Path,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    started = time.perf_counter()
    assert works(fit(tastes))
    # MLflow's own way is sixteen minutes for one call; a busy machine takes its time as well.
    assert time.perf_counter() - started < 300
    (warning,) = warnings_in(caplog)
    assert warning.startswith("going on without MLflow: ")
    assert str(closed_port) in warning
    assert len(warning) < 300
    # An evaluation asks once, and not once for every fit in it.
    monkeypatch.setattr(tracking, "_TIMEOUTS", {**tracking._TIMEOUTS, **NO_RETRY})
    caplog.clear()
    config = EvaluationConfig(models=("als", "popularity"), genre_folds=0)
    evaluation = evaluate(tastes[0], place / "report", SMALL, config)
    assert len(warnings_in(caplog)) == 1
    assert evaluation.path.is_file()


NO_RETRY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize("set_by", ["us", "the user"])
def test_a_server_that_never_answers_is_not_waited_for(
    tastes: Tastes,
    silent_port: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    set_by: str,
) -> None:
    # By default three times ten seconds; here one, set in either way.
    assert float(tracking._TIMEOUTS["MLFLOW_HTTP_REQUEST_TIMEOUT"]) <= 10
    assert int(tracking._TIMEOUTS["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) <= 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent_port}")
    if set_by == "us":
        monkeypatch.setattr(tracking, "_TIMEOUTS", NO_RETRY)
    else:
        for name, value in NO_RETRY.items():
            monkeypatch.setenv(name, value)
    started = time.perf_counter()
    assert works(fit(tastes))
    assert time.perf_counter() - started < 300
    assert len(warnings_in(caplog)) == 1
    for name, value in NO_RETRY.items():
        assert os.environ.get(name) == (value if set_by == "the user" else None)


def store_in_no_folder(place: Path) -> str:
    return "sqlite:////proc/none/mlflow.db"


def store_below_a_file(place: Path) -> str:
    (place / "file").write_text("x")
    return f"sqlite:///{place / 'file' / 'mlflow.db'}"


def store_that_is_a_folder(place: Path) -> str:
    return f"sqlite:///{place}"


def store_that_is_garbage(place: Path) -> str:
    (place / "garbage.db").write_bytes(b"garbage" * 1000)
    return f"sqlite:///{place / 'garbage.db'}"


def store_of_no_kind(place: Path) -> str:
    return "gopher://nowhere"


@pytest.mark.parametrize(
    "uri",
    [
        store_in_no_folder,
        store_below_a_file,
        store_that_is_a_folder,
        store_that_is_garbage,
        store_of_no_kind,
    ],
)
def test_a_store_that_cannot_be_written_costs_nothing(
    tastes: Tastes,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    uri: Callable[[Path], str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri(place))
    started = time.perf_counter()
    assert works(fit(tastes))
    assert time.perf_counter() - started < 300
    assert len(warnings_in(caplog)) == 1


def test_a_store_that_somebody_else_has_locked(
    tastes: Tastes,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import sqlite3

    monkeypatch.setattr(tracking, "_DATABASE_PATIENCE", 0.1)
    other = sqlite3.connect(place / "mlflow.db")
    other.execute("BEGIN EXCLUSIVE")
    assert works(fit(tastes))
    assert warnings_in(caplog) == ["going on without MLflow: database is locked"]
    other.close()


def count_calls(monkeypatch: pytest.MonkeyPatch, method: str) -> list[tuple[Any, ...]]:
    """The arguments of the calls of a method of MLflow's client, while it works as ever."""
    calls: list[tuple[Any, ...]] = []
    original = getattr(mlflow.MlflowClient, method)

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return original(self, *arguments, **named)

    monkeypatch.setattr(mlflow.MlflowClient, method, counted)
    return calls


METHODS = (
    "__init__",
    "get_experiment_by_name",
    "create_experiment",
    "create_run",
    "log_batch",
    "set_terminated",
)


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("create_run", RuntimeError("")),
        *((method, mlflow.MlflowException("no\nand no")) for method in METHODS),
    ],
)
def test_any_call_may_fail(
    tastes: Tastes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    error: Exception,
    tmp_path: Path,
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, method, failing)
        recommender = fit(tastes)
    assert works(recommender)
    recommender.save(tmp_path / "model")
    assert works(Recommender.load(tmp_path / "model"))
    (warning,) = warnings_in(caplog)
    assert warning == f"going on without MLflow: {'RuntimeError' if not str(error) else 'no'}"
    # What was begun is ended all the same, where that can be said.
    if method == "log_batch":
        assert [run.info.status for run in runs()] == ["FINISHED"]
    # And the next fit is tracked.
    fit(tastes)
    assert runs()[-1].info.status == "FINISHED"
    assert runs()[-1].data.params["dataset.n_items"] == "90"


def test_a_report_that_cannot_be_logged_is_written_all_the_same(
    tastes: Tastes,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(mlflow.MlflowClient, "log_artifact", failing)
    config = EvaluationConfig(models=("popularity",), genre_folds=0)
    evaluation = evaluate(tastes[0], place / "r.html", SMALL, config)
    assert evaluation.path == place / "r.html"
    assert evaluation.path.is_file()
    assert warnings_in(caplog) == ["going on without MLflow: No space left on device"]


def test_without_mlflow(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)  # as if it were not installed
        assert works(fit(tastes))
    assert len(warnings_in(caplog)) == 1


def test_a_failure_is_a_warning_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    tracking._warn(RuntimeError("why"))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
