"""MLflow: every fit and every evaluation is a run. A failing tracker never costs a result.

Runs go where ``MLFLOW_TRACKING_URI`` says, by default to ``mlflow.db`` in the working directory,
where ``mlflow ui`` looks for them. ``RecommenderConfig(tracking=False)``, ``--no-tracking`` or
``COLDTUNE_TRACKING=0`` switch it off.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger("coldtune.tracking")

EXPERIMENT = "coldtune"
_LONGEST_VALUE = 500


class Run:
    """What is logged of one run. Every method is safe to call whatever the tracker does."""

    def __init__(self, mlflow: Any | None) -> None:
        self._mlflow = mlflow

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings become dotted names."""
        flat = {name: str(value)[:_LONGEST_VALUE] for name, value in _flatten(values)}
        self._safely(lambda mlflow: mlflow.log_params(flat))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers, at a step where they belong to one."""
        self._safely(lambda mlflow: mlflow.log_metrics(dict(values), step=step))

    def history(self, epochs: Sequence[Mapping[str, float]]) -> None:
        """Log a network's training: one dict an epoch, with the number under "epoch"."""
        for epoch in epochs:
            named = {f"encoder_{key}": value for key, value in epoch.items() if key != "epoch"}
            self.metrics(named, step=int(epoch["epoch"]))

    def artifact(self, path: Path) -> None:
        """Log a file."""
        self._safely(lambda mlflow: mlflow.log_artifact(str(path)))

    def _safely(self, log: Callable[[Any], object]) -> None:
        if self._mlflow is None:
            return
        try:
            log(self._mlflow)
        except Exception as error:  # the tracker's problem, whatever it is, is not the model's
            _give_up(error)
            self._mlflow = None


@contextmanager
def run(name: str, *, enabled: bool) -> Iterator[Run]:
    """Track the body as an MLflow run, below the run that is active where there is one.

    An exception of the body marks the run as failed and goes on; one of the tracker is logged as
    a warning and the body runs untracked.
    """
    mlflow = _start(name) if enabled and os.environ.get("COLDTUNE_TRACKING") != "0" else None
    status = "FAILED"
    try:
        yield Run(mlflow)
        status = "FINISHED"
    finally:
        if mlflow is not None:
            try:
                mlflow.end_run(status)
            except Exception as error:
                _give_up(error)


def _start(name: str) -> Any | None:
    try:
        import mlflow

        if not os.environ.get("MLFLOW_TRACKING_URI"):
            mlflow.set_tracking_uri(f"sqlite:///{Path('mlflow.db').absolute()}")
        if mlflow.active_run() is None and not os.environ.get("MLFLOW_EXPERIMENT_NAME"):
            mlflow.set_experiment(EXPERIMENT)
        mlflow.start_run(run_name=name, nested=mlflow.active_run() is not None)
    except Exception as error:
        _give_up(error)
        return None
    return mlflow


def _give_up(error: Exception) -> None:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    logger.warning("MLflow does not answer, going on without it: %s", reason)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
