"""Logging a recommender as an MLflow model, and registering it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID
from datasets.errors import ArtifactError
from recsys.tracking import runs as tracking

ARTIFACT = "recommender"
"""Under which name MLflow keeps the folder of the saved model."""

FALLBACK = "fallback"
"""Column of the logged model's answer: whether a list is of the popular items, for want of any
knowledge of the user."""

_EXAMPLE_USERS = 3
_VARIABLE = "MLFLOW_TRACKING_URI"
_BAR = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


def log_model(folder: str | Path, *, register: str | None = None) -> str:
    """Log a saved recommender as an MLflow model; its URI.

    ``mlflow.pyfunc.load_model(uri).predict(frame)`` then gives the lists of the users in the column
    ``user_id`` of a frame: ``user_id``, ``rank``, ``item_id``, ``score`` and ``fallback`` (the user
    is not known, and the list is of the popular items), with the parameters ``k`` (10) and
    ``exclude_seen`` (true). A missing user id is an error. MLflow keeps a copy of the folder and a
    script that opens it (:mod:`recsys.tracking.model_script`); the library itself has to be installed
    where it is loaded.
    Where it goes, :mod:`recsys.tracking.runs` says. register: name to register it under, a new version
    where the name exists; the URI is then ``models:/NAME/VERSION``.

    Raises ArtifactError where there is no such model and where MLflow cannot take it; the folder is
    as before.
    """
    from recsys.recommender import Recommender

    folder = Path(folder).absolute()
    recommender = Recommender.load(folder)
    info = recommender.info
    with tracking.run("model" if register is None else f"model {register}", enabled=True) as run:
        run.params(recommender.config.model_dump(mode="json"))
        run.params({"dataset": info["dataset"]})
        if not run.run_id:
            raise ArtifactError(
                f"{folder}: not logged: MLflow cannot be reached, or is switched off"
            )
        try:
            import mlflow

            with (
                _pointed_at(tracking.tracking_uri()),
                mlflow.start_run(run.run_id, nested=True, log_system_metrics=False),
            ):
                import pandas as pd
                from mlflow.models import ModelSignature
                from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

                some = next(recommender.recommend_batches(k=1, batch_size=_EXAMPLE_USERS))
                users = some[USER_ID].drop_duplicates()
                logged = mlflow.pyfunc.log_model(
                    name="recommender",
                    registered_model_name=register,
                    python_model=str(Path(__file__).with_name("model_script.py")),
                    artifacts={ARTIFACT: str(folder)},
                    signature=ModelSignature(
                        inputs=Schema([ColSpec(DataType.string, USER_ID)]),
                        outputs=Schema(
                            [
                                ColSpec(DataType.string, USER_ID),
                                ColSpec(DataType.long, RANK),
                                ColSpec(DataType.string, ITEM_ID),
                                ColSpec(DataType.float, SCORE),
                                ColSpec(DataType.boolean, FALLBACK),
                            ]
                        ),
                        params=ParamSchema(
                            [
                                ParamSpec("k", DataType.long, 10),
                                ParamSpec("exclude_seen", DataType.boolean, True),
                            ]
                        ),
                    ),
                    input_example=pd.DataFrame({USER_ID: users.to_list()}),
                    pip_requirements=[_requirement("coldtune"), _requirement("mlflow")],
                )
        except Exception as error:  # of MLflow, of its store or of the network
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ArtifactError(f"{folder}: not logged: {reason}") from None
        if register is not None:
            return f"models:/{register}/{logged.registered_model_version}"
        return str(logged.model_uri)


@contextmanager
def _pointed_at(uri: str) -> Iterator[None]:
    """MLflow's own functions log to this store, and afterwards to where they did before."""
    import mlflow

    named, bar = os.environ.get(_VARIABLE), os.environ.get(_BAR)
    chosen = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        mlflow.set_tracking_uri(uri)
        os.environ[_BAR] = bar or "false"
        yield
    finally:
        # What MLflow is told it also writes to the environment, from where it is read as well.
        mlflow.set_tracking_uri(None if chosen == named else chosen)  # type: ignore[arg-type]
        if named is not None:
            os.environ[_VARIABLE] = named
        if bar is None:
            os.environ.pop(_BAR, None)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _requirement(package: str) -> str:
    try:
        return f"{package}=={version(package)}"
    except PackageNotFoundError:
        return package
