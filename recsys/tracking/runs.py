"""MLflow runs of fits and evaluations; a failing tracker never costs a result.

Runs are logged to `MLFLOW_TRACKING_URI` or `mlflow.set_tracking_uri`, by default to `mlflow.db` in
the working directory, where `mlflow ui` looks for them; to the experiment of
`MLFLOW_EXPERIMENT_NAME` or `mlflow.set_experiment`, by default `coldtune`; and below the active
run, if any. These settings of MLflow are not changed. `RecommenderConfig(tracking=False)`,
`--no-tracking` or `COLDTUNE_TRACKING=0` switch tracking off.
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
from datasets.texts.safe_text import hide_password, printable

T = TypeVar("T")

logger = logging.getLogger("coldtune.tracking")

EXPERIMENT = "coldtune"
_MAX_VALUE_LENGTH = 500
_MAX_PARAMS, _MAX_METRICS = 100, 1000
"""At most in one call to a server."""

_TIMEOUTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Used unless the user set them: by default MLflow waits up to 16 minutes for one call, and prints
URLs among the results."""

_DATABASE_PATIENCE = 10
"""Seconds to wait for an SQLite store that another process writes to."""


class TrackedRun:
    """An MLflow run. No method raises, whatever the tracker does.

    Made by ``tracked_run`` and ``child``; without a client, it logs nothing:

    Examples:
        >>> run = TrackedRun()
        >>> run.log_metrics({"ndcg": 0.3})
        >>> run.run_id
        ''

    Args:
        client: MLflow client; None logs nothing.
        run_id: id of the run.
        experiment: id of its experiment.
    """

    def __init__(self, client: Any | None = None, run_id: str = "", experiment: str = "") -> None:
        self._client = client
        self.run_id = run_id
        self.experiment = experiment
        self.failed = False
        """Whether the tracker failed; then nothing more is logged and no child runs are started."""
        self._parent: TrackedRun | None = None

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings get dotted names."""

        def log(client: Any) -> None:
            from mlflow.entities import Param

            flat = _flatten(values)
            params = [
                Param(_valid_name(name), str(value)[:_MAX_VALUE_LENGTH]) for name, value in flat
            ]
            for some in _batched(params, _MAX_PARAMS):
                client.log_batch(self.run_id, params=some)

        self._safely(log)

    def log_metrics(self, values: Mapping[str, float]) -> None:
        """Log metrics in one call."""
        self._log([(name, value, 0) for name, value in values.items()])

    def log_training(self, epochs: Sequence[Mapping[str, float]]) -> None:
        """Log the training of a network: one dict per epoch, with its number under "epoch"."""
        self._log(
            [
                (f"encoder_{name}", value, int(epoch["epoch"]))
                for epoch in epochs
                for name, value in epoch.items()
                if name != "epoch"
            ]
        )

    def log_artifact(self, path: Path) -> None:
        """Log a file or a folder."""

        def log(client: Any) -> None:
            if path.is_dir():
                client.log_artifacts(self.run_id, str(path), path.name)
            else:
                client.log_artifact(self.run_id, str(path))

        self._safely(log)

    def set_description(self, text: str) -> None:
        """Set the description of the run, in Markdown."""
        self._safely(lambda client: client.set_tag(self.run_id, "mlflow.note.content", text))

    def log_dataset(self, dataset: MusicDataset, context: str) -> None:
        """Log a data set as an input of the run; `context` says what it was used for."""

        def log(client: Any) -> None:
            from recsys.tracking.datasets import dataset_input

            client.log_inputs(self.run_id, datasets=[dataset_input(dataset, context)])

        self._safely(log)

    def child(self, name: str, *, started: float | None = None) -> "TrackedRun":
        """Start a child run, to be ended by ``end``.

        Args:
            name: name of the child run.
            started: start time in seconds since 1970; None for now.
        """
        child = _untracked_run() if self._client is None else _start(name, self, started)
        child._parent = self
        return child

    def end(self, status: str) -> None:
        """End the run with an MLflow status, even if logging failed before.

        If the parent failed too, nothing is sent: a dead tracker is waited for only once.
        """
        if self._parent is not None and self._parent.failed:
            return
        self.failed = False
        self._safely(lambda client: client.set_terminated(self.run_id, status))

    def _log(self, values: Sequence[tuple[str, float, int]]) -> None:
        def log(client: Any) -> None:
            from mlflow.entities import Metric

            now = int(1000 * time.time())
            metrics = [Metric(_valid_name(name), float(v), now, step) for name, v, step in values]
            for some in _batched(metrics, _MAX_METRICS):
                client.log_batch(self.run_id, metrics=some)

        self._safely(log)

    def _safely(self, log: Callable[[Any], object]) -> None:
        if self._client is None or self.failed:
            return
        try:
            with short_timeouts():
                log(self._client)
        except Exception as error:  # problems of the tracker must not stop the work
            failed: TrackedRun | None = self
            while failed is not None:
                failed.failed, failed = True, failed._parent
            _warn(error)


_outer: ContextVar[TrackedRun | None] = ContextVar("outer", default=None)


@contextmanager
def tracked_run(name: str, *, enabled: bool) -> Iterator[TrackedRun]:
    """Track the block as an MLflow run, below the active run if there is one.

    An exception of the block marks the run as failed and propagates. If the tracker fails, a
    warning is logged, and the block and the runs it starts are not tracked.

    Examples:
        >>> with tracked_run("fit", enabled=False) as run:
        ...     run.log_params({"als": {"factors": 64}})
        ...     run.log_metrics({"seconds_als": 0.5})

    Args:
        name: name of the run.
        enabled: False tracks nothing.

    Yields:
        The run to log to.
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
    """Start no runs inside the block, whose work is logged by the run around it.

    Examples:
        >>> with tracked_run("search", enabled=False), untracked():
        ...     with tracked_run("fit", enabled=True) as run:  # not tracked either
        ...         print(repr(run.run_id))
        ''
    """
    token = _outer.set(_untracked_run())
    try:
        yield
    finally:
        _outer.reset(token)


def _untracked_run() -> TrackedRun:
    run = TrackedRun()
    run.failed = True
    return run


def _start(name: str, outer: TrackedRun | None, started: float | None = None) -> TrackedRun:
    if outer is not None and outer.failed:
        return _untracked_run()
    try:
        import mlflow

        uri = tracking_uri()
        _check_store_writable(uri)
        with short_timeouts():
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
    """Return the URI of the tracking store that runs are logged to."""
    import mlflow

    chosen = mlflow.is_tracking_uri_set() or mlflow.active_run() is not None  # type: ignore[no-untyped-call]
    return mlflow.get_tracking_uri() if chosen else f"sqlite:///{Path('mlflow.db').absolute()}"


def _place(client: Any, outer: TrackedRun | None) -> tuple[str, dict[str, str]]:
    """Return the experiment id of a new run and its tags, the parent run among them."""
    import mlflow
    from mlflow.tracking.context.registry import resolve_tags

    active = mlflow.active_run()
    if outer is not None and outer.run_id:
        return outer.experiment, resolve_tags({"mlflow.parentRunId": outer.run_id})
    if active is not None:
        tags = resolve_tags({"mlflow.parentRunId": active.info.run_id})
        return active.info.experiment_id, tags
    # Also set by `mlflow.set_experiment`.
    if experiment := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return experiment, resolve_tags()
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name), resolve_tags()
        except mlflow.exceptions.MlflowException:
            # Another process may have created it meanwhile.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return found.experiment_id, resolve_tags()


def _check_store_writable(uri: str) -> None:
    """Raise at once if an SQLite store cannot be written; MLflow would retry for two minutes."""
    if not uri.startswith("sqlite:///"):
        return
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=_DATABASE_PATIENCE)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()


@contextmanager
def short_timeouts() -> Iterator[None]:
    """Shorten MLflow's timeouts and retries, unless the user set them."""
    ours = {name: value for name, value in _TIMEOUTS.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _warn(error: Exception) -> None:
    reason = hide_password(str(error) or type(error).__name__).splitlines()[0][:200]
    logger.warning("going on without MLflow: %s", printable(reason))


def _batched(values: Sequence[T], n: int) -> Iterator[Sequence[T]]:
    """Iterate over slices of at most `n` values."""
    return (values[start : start + n] for start in range(0, len(values), n))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _valid_name(text: str) -> str:
    """Replace characters that MLflow does not accept in names."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in text)
