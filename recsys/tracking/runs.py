"""MLflow: every fit and every evaluation is a run. A failing tracker never costs a result.

Runs go where ``MLFLOW_TRACKING_URI`` or ``mlflow.set_tracking_uri`` says, by default to
``mlflow.db`` in the working directory, where ``mlflow ui`` looks for them; to the experiment of
``MLFLOW_EXPERIMENT_NAME`` or ``mlflow.set_experiment``, by default ``coldtune``; and below the
active run where there is one. None of these settings of MLflow's is changed.
``RecommenderConfig(tracking=False)``, ``--no-tracking`` or ``COLDTUNE_TRACKING=0`` switch it off.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from datasets.music import MusicDataset

T = TypeVar("T")

logger = logging.getLogger("coldtune.tracking")

EXPERIMENT = "coldtune"
_LONGEST_VALUE = 500
_MOST_PARAMS, _MOST_METRICS = 100, 1000
"""In one call to a server."""

_TIMEOUTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Unless the user says otherwise: MLflow's own defaults wait up to 16 minutes for one call, and
print addresses between our results."""

_DATABASE_PATIENCE = 10
"""Seconds to wait for an SQLite store that somebody else is writing to."""


class TrackedRun:
    """What is logged of one run. Every method is safe to call whatever the tracker does."""

    def __init__(self, client: Any | None = None, run_id: str = "", experiment: str = "") -> None:
        """client: MLflow's; None logs nothing. experiment: id of the experiment of the run."""
        self._client = client
        self.run_id = run_id
        self.experiment = experiment
        self.failed = False
        """Whether the tracker failed: then nothing more is logged, and no run is started below."""
        self._above: TrackedRun | None = None

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings become dotted names."""

        def log(client: Any) -> None:
            from mlflow.entities import Param

            flat = _flatten(values)
            params = [Param(_name(name), str(value)[:_LONGEST_VALUE]) for name, value in flat]
            for some in _batched(params, _MOST_PARAMS):
                client.log_batch(self.run_id, params=some)

        self._safely(log)

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log numbers, all of them in one call."""
        self._log([(name, value, 0) for name, value in values.items()])

    def history(self, epochs: Sequence[Mapping[str, float]]) -> None:
        """Log a network's training: one dict an epoch, with the number under "epoch"."""
        self._log(
            [
                (f"encoder_{name}", value, int(epoch["epoch"]))
                for epoch in epochs
                for name, value in epoch.items()
                if name != "epoch"
            ]
        )

    def artifact(self, path: Path) -> None:
        """Log a file, or a folder with all that is in it."""

        def log(client: Any) -> None:
            if path.is_dir():
                client.log_artifacts(self.run_id, str(path), path.name)
            else:
                client.log_artifact(self.run_id, str(path))

        self._safely(log)

    def note(self, text: str) -> None:
        """Log a description, in Markdown, that MLflow shows on top of the run."""
        self._safely(lambda client: client.set_tag(self.run_id, "mlflow.note.content", text))

    def dataset(self, dataset: MusicDataset, context: str) -> None:
        """Log which data a run is about, as an MLflow data set, and what it was used for."""

        def log(client: Any) -> None:
            from recsys.tracking.datasets import dataset_input

            client.log_inputs(self.run_id, datasets=[dataset_input(dataset, context)])

        self._safely(log)

    def child(self, name: str, *, started: float | None = None) -> "TrackedRun":
        """Start a run below this one; :meth:`end` ends it.

        started: when it began, in seconds since 1970; now where it is not given.
        """
        below = _untracked_run() if self._client is None else _start(name, self, started)
        below._above = self
        return below

    def end(self, status: str) -> None:
        """Say how the run ended, also where logging failed before; not where the run above it
        failed too, as a tracker that is gone is waited for once, and not for every run."""
        if self._above is not None and self._above.failed:
            return
        self.failed = False
        self._safely(lambda client: client.set_terminated(self.run_id, status))

    def _log(self, values: Sequence[tuple[str, float, int]]) -> None:
        def log(client: Any) -> None:
            from mlflow.entities import Metric

            now = int(1000 * time.time())
            metrics = [Metric(_name(name), float(v), now, step) for name, v, step in values]
            for some in _batched(metrics, _MOST_METRICS):
                client.log_batch(self.run_id, metrics=some)

        self._safely(log)

    def _safely(self, log: Callable[[Any], object]) -> None:
        if self._client is None or self.failed:
            return
        try:
            with _short_timeouts():
                log(self._client)
        except Exception as error:  # the tracker's problem, whatever it is, is not the model's
            failed: TrackedRun | None = self
            while failed is not None:
                failed.failed, failed = True, failed._above
            _warn(error)


_outer: ContextVar[TrackedRun | None] = ContextVar("outer", default=None)


@contextmanager
def tracked_run(name: str, *, enabled: bool) -> Iterator[TrackedRun]:
    """Track the body as an MLflow run, below the run that is active where there is one.

    An exception of the body marks the run as failed and goes on; one of the tracker is logged as
    a warning and the body runs untracked, with all that it starts.
    """
    outer = _outer.get()
    this = TrackedRun()
    if enabled and os.environ.get("COLDTUNE_TRACKING") != "0":
        this = _start(name, outer)
    token = _outer.set(this)
    status = "FAILED"
    try:
        yield this
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        _outer.reset(token)
        this.end(status)


@contextmanager
def untracked() -> Iterator[None]:
    """Track nothing that is done in the body, which the run around it speaks of as a whole."""
    token = _outer.set(_untracked_run())
    try:
        yield
    finally:
        _outer.reset(token)


def _untracked_run() -> TrackedRun:
    untracked = TrackedRun()
    untracked.failed = True
    return untracked


def _start(name: str, outer: TrackedRun | None, started: float | None = None) -> TrackedRun:
    if outer is not None and outer.failed:
        return _untracked_run()
    try:
        import mlflow

        uri = tracking_uri()
        _check_writable(uri)
        with _short_timeouts():
            client = mlflow.MlflowClient(tracking_uri=uri)
            experiment, tags = _place(client, outer)
            begun = None if started is None else int(1000 * started)
            info = client.create_run(experiment, begun, tags, name).info
        return TrackedRun(client, info.run_id, info.experiment_id)
    except Exception as error:
        _warn(error)
        if outer is not None:
            outer.failed = True
        return _untracked_run()


def tracking_uri() -> str:
    """Where runs go."""
    import mlflow

    chosen = mlflow.is_tracking_uri_set() or mlflow.active_run() is not None  # type: ignore[no-untyped-call]
    return mlflow.get_tracking_uri() if chosen else f"sqlite:///{Path('mlflow.db').absolute()}"


def _place(client: Any, outer: TrackedRun | None) -> tuple[str, dict[str, str]]:
    """The experiment of a new run, and its tags: who started it, and the run above it."""
    import mlflow
    from mlflow.tracking.context.registry import resolve_tags

    active = mlflow.active_run()
    if outer is not None and outer.run_id:
        return outer.experiment, resolve_tags({"mlflow.parentRunId": outer.run_id})
    if active is not None:
        tags = resolve_tags({"mlflow.parentRunId": active.info.run_id})
        return active.info.experiment_id, tags
    # `mlflow.set_experiment` sets this variable too.
    if experiment := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return experiment, resolve_tags()
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name), resolve_tags()
        except mlflow.exceptions.MlflowException:
            # Another process was quicker.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return found.experiment_id, resolve_tags()


def _check_writable(uri: str) -> None:
    """Fail at once on an SQLite store that cannot be written: MLflow would try for two minutes."""
    if not uri.startswith("sqlite:///"):
        return
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=_DATABASE_PATIENCE)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()


@contextmanager
def _short_timeouts() -> Iterator[None]:
    """Let MLflow wait less for a server that does not answer, where the user has not said how."""
    ours = {name: value for name, value in _TIMEOUTS.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _warn(error: Exception) -> None:
    reason = (str(error) or type(error).__name__).splitlines()[0][:200]
    logger.warning("going on without MLflow: %s", reason)


def _batched(values: Sequence[T], n: int) -> Iterator[Sequence[T]]:
    """The values in order, at most ``n`` at a time."""
    return (values[start : start + n] for start in range(0, len(values), n))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _name(text: str) -> str:
    """MLflow takes letters, digits, and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-./ " else "_" for sign in text)
