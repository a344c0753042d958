"""Models in MLflow, and everything on a real MLflow server."""

import ast
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature
from typer.testing import CliRunner

from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.folder import save_folder
from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig
from recsys.cli import app
from recsys.experiments.offline_evaluation import EvaluationConfig, evaluate
from recsys.tracking.model import log_model

pytestmark = pytest.mark.slow

Tastes = tuple[MusicDataset, pd.DataFrame]

CONFIG = RecommenderConfig(
    threads=1,
    sources=("als", "content"),
    als={"factors": 8, "iterations": 3, "regularization": 20.0},
    fusion={"warm": {"als": 0.6, "content": 0.4}, "cold": {"als": 0.6, "content": 0.4}},
)


@pytest.fixture(scope="module")
def server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server of this test's own."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True,
            # Beside the server, MLflow starts processes for jobs, which nothing here asks for.
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + 600
    while time.monotonic() < ends:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=60):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"no MLflow server: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def recommender(tastes: Tastes) -> Recommender:
    dataset, embeddings = tastes
    return Recommender(CONFIG.replace(tracking=False)).fit(dataset, embeddings=embeddings)


@pytest.fixture(scope="module")
def saved(recommender: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "my model"
    recommender.save(folder)
    return folder


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_logged_model_recommends_as_ours_does(
    recommender: Recommender, saved: Path, place: Path, tmp_path: Path
) -> None:
    before, environment = files_below(saved), dict(os.environ)
    uri = log_model(saved)
    assert files_below(saved) == before
    assert dict(os.environ) == environment
    assert not mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    assert mlflow.active_run() is None
    mlflow.set_tracking_uri(f"sqlite:///{place / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model(uri)
    users = ["user-3", "user-1", "nobody"]
    lists = model.predict(pd.DataFrame({"user_id": users}))
    expected = recommender.recommend_many(users, 10)
    expected["fallback"] = expected["user_id"] == "nobody"
    pd.testing.assert_frame_equal(lists, expected)
    wished = model.predict(pd.DataFrame({"user_id": users}), params={"k": 3, "exclude_seen": False})
    shorter = recommender.recommend_many(users, 3, exclude_seen=False)
    pd.testing.assert_frame_equal(wished.drop(columns="fallback"), shorter)
    for text, new in (("only", "only"), ("2", 2), ("0.5", 0.5), ("1.0", 1.0)):
        found = model.predict(
            pd.DataFrame({"user_id": users}), params={"k": 4, "new": text, "discovery": 0.2}
        )
        places = recommender.recommend_many(users, 4, new=new, discovery=0.2)
        assert found["item_id"].tolist() == places["item_id"].tolist()
        assert found["new"].sum() == {"only": 12, "2": 6, "0.5": 6, "1.0": 12}[text]
    with pytest.raises(InvalidArgumentError, match="new must be 'only'"):
        model.predict(pd.DataFrame({"user_id": users}), params={"new": "all"})
    known = model.predict(pd.DataFrame({"user_id": users[:2]}))
    assert known["fallback"].dtype == bool
    assert not known["fallback"].any()
    # What the signature says comes out, comes out.
    outputs = model.metadata.signature.outputs
    assert outputs.input_names() == list(lists.columns)
    assert infer_signature(lists).inputs.input_types() == outputs.input_types()
    # Nobody is no unknown user.
    for missing in (None, float("nan"), pd.NA):
        frame = pd.DataFrame({"user_id": ["user-3", missing]}, dtype=object)
        with pytest.raises(InvalidArgumentError, match=r"user_ids: id number 2 is missing"):
            model.predict(frame)
    # What is no id is no unknown user either; a list in a dictionary is what it plainly is.
    for wrong in (2.5, b"user-3", True, ["user-3"]):
        frame = pd.DataFrame({"user_id": pd.Series(["user-3", wrong], dtype=object)})
        with pytest.raises(InvalidArgumentError, match=r"user_ids: id number 2 must be a text"):
            model.predict(frame)
    for several in ({"user_id": users}, pd.DataFrame({"user_id": pd.Categorical(users)})):
        pd.testing.assert_frame_equal(model.predict(several), expected)
    for dtype in ("int64", "Int64", "uint8"):
        numbers = model.predict(pd.DataFrame({"user_id": pd.Series([7], dtype=dtype)}))
        assert set(numbers["user_id"]) == {"7"}
    # The signature refuses what is no frame of user ids.
    with pytest.raises(mlflow.MlflowException, match="user_id"):
        model.predict(pd.DataFrame({"item_id": ["item-1"]}))
    # The model belongs to a run of the experiment that all runs go to.
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("coldtune")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "model"
    assert run.info.status == "FINISHED"
    assert run.data.params["als.factors"] == "8"
    assert run.data.params["dataset.digest"] == recommender.info["dataset"]["digest"]
    (logged,) = client.search_logged_models([experiment.experiment_id])
    assert logged.source_run_id == run.info.run_id
    # Nothing is pickled: our files, MLflow's texts, and the script.
    kept = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "kept")))
    names = {path.name for path in kept.rglob("*") if path.is_file()}
    assert "model_script.py" in names
    assert not {name for name in names if name.endswith((".pkl", ".pickle", ".cloudpickle"))}
    requirements = (kept / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in requirements] == ["coldtune", "mlflow"]
    example = pd.DataFrame(**json.loads((kept / "input_example.json").read_text()))
    assert example["user_id"].isin([f"user-{n}" for n in range(120)]).all()
    assert model.predict(example)["user_id"].nunique() == len(example) == 3


def test_a_model_logged_with_the_script_of_an_older_version_still_loads(
    recommender: Recommender, saved: Path, place: Path
) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{place / 'mlflow.db'}")
    experiment = mlflow.create_experiment("older", artifact_location=(place / "kept").as_uri())
    with mlflow.start_run(experiment_id=experiment):
        logged = mlflow.pyfunc.log_model(
            name="recommender",
            python_model=str(Path(__file__).parent / "logged_before" / "tracking_pyfunc.py"),
            artifacts={"recommender": str(saved)},
        )
    users = ["user-3", "nobody"]
    lists = mlflow.pyfunc.load_model(logged.model_uri).predict(pd.DataFrame({"user_id": users}))
    expected = recommender.recommend_many(users, 10)
    pd.testing.assert_frame_equal(lists, expected.assign(fallback=expected["user_id"] == "nobody"))


def test_the_script_kept_with_a_model_uses_nothing_of_the_library_but_the_recommender() -> None:
    script = importlib.util.find_spec("recsys.tracking.model_script")
    assert script is not None
    program = ast.parse(Path(str(script.origin)).read_text())
    imports = [node for node in ast.walk(program) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith(("recsys", "datasets"))]
    assert [(node.module, [name.name for name in node.names]) for node in ours] == [
        ("recsys", ["Recommender"])
    ]


def test_a_name_gets_a_new_version_each_time(saved: Path, place: Path) -> None:
    assert log_model(saved, register="my songs") == "models:/my songs/1"
    mlflow.set_tracking_uri(f"sqlite:///{place / 'mlflow.db'}")
    with mlflow.start_run(run_name="mine") as mine:
        assert log_model(str(saved), register="my songs") == "models:/my songs/2"
        active = mlflow.active_run()
        assert active is not None
        assert active.info.run_id == mine.info.run_id
    client = mlflow.MlflowClient()
    newest = client.get_model_version("my songs", "2")
    run = client.get_run(str(newest.run_id))
    assert run.info.run_name == "model my songs"
    assert run.data.tags["mlflow.parentRunId"] == mine.info.run_id
    assert client.get_run(mine.info.run_id).info.status == "FINISHED"
    assert mlflow.get_tracking_uri() == f"sqlite:///{place / 'mlflow.db'}"


def test_a_model_that_cannot_be_logged_is_an_error_in_one_line(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArtifactError, match="none"):
        log_model(tmp_path / "none")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/none/mlflow.db")
    with pytest.raises(ArtifactError, match="my model: not logged: MLflow cannot be reached"):
        log_model(saved)
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:////proc/none/mlflow.db"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("COLDTUNE_TRACKING", "0")
    with pytest.raises(ArtifactError, match="switched off"):
        log_model(saved)
    monkeypatch.delenv("COLDTUNE_TRACKING")

    def failing(*_: object, **__: object) -> None:
        raise OSError("No space left on device\nat all")

    monkeypatch.setattr("mlflow.pyfunc.log_model", failing)
    with pytest.raises(ArtifactError, match=r"not logged: No space left on device$"):
        log_model(saved)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{Path('mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name("coldtune")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"


def test_train_registers_the_model(tastes: Tastes, place: Path) -> None:
    save_folder(tastes[0], place / "data")
    (place / "config.json").write_text(CONFIG.replace(tracking=False).model_dump_json())
    arguments = ["train", "data", "--out", "model", "--config", "config.json"]
    done = CliRunner().invoke(app, [*arguments, "--register", "songs"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-2:] == [
        "model written to model",
        "registered as models:/songs/1",
    ]
    os.environ["COLDTUNE_TRACKING"] = "0"
    try:
        with pytest.raises(ArtifactError, match="model: not logged"):
            CliRunner().invoke(app, [*arguments, "--register", "songs"], catch_exceptions=False)
    finally:
        del os.environ["COLDTUNE_TRACKING"]
    # What was learned is there all the same.
    assert len(Recommender.load("model").recommend("user-1", k=5)) == 5


def test_everything_on_a_server(
    server: str, tastes: Tastes, recommender: Recommender, saved: Path, place: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    measured = EvaluationConfig(
        models=("als", "popularity"), splits=("warm",), folds=2, genre_folds=0
    )
    evaluation = evaluate(tastes[0], place / "report", CONFIG, measured)
    Recommender(CONFIG).fit(*tastes)
    uri = log_model(saved, register="songs")
    assert [r for r in caplog.records if r.name == "coldtune.tracking"] == []
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("coldtune")
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id], order_by=["attributes.start_time ASC"], max_results=100
    )
    by_name = {run.info.run_name: run for run in found}
    models = evaluation.comparison.models
    fits = {f"{model}, warm {fold}" for model in models for fold in (1, 2)}
    assert set(by_name) == {"evaluation", *models, *fits, "fit", "model songs"}
    assert {run.info.status for run in found} == {"FINISHED"}
    first = by_name["evaluation"]
    for model in models:
        run = by_name[model]
        assert run.data.tags["mlflow.parentRunId"] == first.info.run_id
        for fold in (1, 2):
            fit = by_name[f"{model}, warm {fold}"]
            assert fit.data.tags["mlflow.parentRunId"] == run.info.run_id
        interval = evaluation.comparison.figures()["warm", "catalogue", model, "ndcg", 10]
        name = "warm/ndcg_at_10"
        assert run.data.metrics[name] == pytest.approx(interval.mean)
        assert run.data.metrics["warm_low/ndcg_at_10"] == pytest.approx(interval.low)
        assert run.data.metrics["warm_high/ndcg_at_10"] == pytest.approx(interval.high)
    # More parameters than one call may have.
    assert len(first.data.params) > 80
    assert first.data.params["als.factors"] == "8"
    assert {f.path for f in client.list_artifacts(first.info.run_id)} >= {
        "report.html", "report.json", "report.md", "report-pictures",
    }  # fmt: skip
    assert first.inputs is not None
    (used,) = first.inputs.dataset_inputs
    assert used.dataset.digest == tastes[0].digest()[:16]
    # Another program loads the model from the server by its name.
    assert uri == "models:/songs/1"
    model = mlflow.pyfunc.load_model(uri)
    lists = model.predict(pd.DataFrame({"user_id": ["user-5"]}), params={"k": 4})
    expected = recommender.recommend_many(["user-5"], 4)
    pd.testing.assert_frame_equal(lists, expected.assign(fallback=False))
    assert model.metadata.signature is not None
    assert model.input_example is not None
