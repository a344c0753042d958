"""Log a saved recommender as an MLflow model, and register it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from datasets.columns import ITEM_ID, NEW, RANK, SCORE, USER_ID
from datasets.errors import ArtifactError
from datasets.system.temporary import temporary_folder
from recsys.model.live import LiveModel
from recsys.model.storage import load_model, save_model
from recsys.tracking.runs import tracked_run, tracking_uri

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

# Also spelt in model_script.py, which must not import them.
LOGGED_AS = "recommender"
"""Name of the saved model among the artifacts of a logged one."""

_FALLBACK = "fallback"

_EXAMPLE_USERS = 3
_VARIABLE = "MLFLOW_TRACKING_URI"
_BAR = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


def log_model(folder: str | Path, *, register: str | None = None) -> str:
    """Log a saved recommender as an MLflow model.

    `mlflow.pyfunc.load_model(uri).predict(frame)` then recommends for the users in the column
    `user_id` of a frame. It returns user_id, rank, item_id, score and fallback (the user is unknown
    and the list has the most popular items), and takes the parameters k (default 10) and
    exclude_seen (default true). A user id that is no text and no whole number is an error.

    MLflow keeps a copy of the model, as it is now, and the script that opens it
    (``recsys.tracking.model_script``); the library has to be installed where the model is
    loaded. ``recsys.tracking.runs`` says which tracking store is used.

    Examples:
        >>> log_model("model", register="songs")  # doctest: +SKIP
        'models:/songs/1'

    Args:
        folder: a saved model; left as it is.
        register: name to register the model under; an existing name gets a new version.

    Returns:
        URI of the logged model, `models:/NAME/VERSION` for a registered one.

    Raises:
        ArtifactError: there is no model in the folder, or MLflow cannot take it.
    """
    folder = Path(folder).absolute()
    model = load_model(folder)
    state = model.state
    with tracked_run("model" if register is None else f"model {register}", enabled=True) as run:
        run.log_params(state.config.model_dump(mode="json"))
        run.log_params({"dataset": state.info["dataset"]})
        if not run.run_id:
            raise ArtifactError(
                f"{folder}: not logged: MLflow cannot be reached, or is switched off"
            )
        try:
            import mlflow

            with (
                _one_state(model, folder.name) as copy,
                default_store(tracking_uri()),
                mlflow.start_run(run.run_id, nested=True, log_system_metrics=False),
            ):
                logged = mlflow.pyfunc.log_model(
                    name="recommender",
                    registered_model_name=register,
                    python_model=str(Path(__file__).with_name("model_script.py")),
                    artifacts={LOGGED_AS: str(copy)},
                    signature=_signature(),
                    input_example=pd.DataFrame({USER_ID: list(state.user_ids[:_EXAMPLE_USERS])}),
                    pip_requirements=[_requirement("coldtune"), _requirement("mlflow")],
                )
        except Exception as error:  # from MLflow, its store or the network
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ArtifactError(f"{folder}: not logged: {reason}") from None
        if register is not None:
            return f"models:/{register}/{logged.registered_model_version}"
        return str(logged.model_uri)


@contextmanager
def _one_state(model: LiveModel, name: str) -> Iterator[Path]:
    """Provide a copy of a model's folder that nobody changes while MLflow takes it."""
    with temporary_folder() as place:
        save_model(place / name, model)
        yield place / name


def _signature() -> "ModelSignature":
    """Return what the logged model takes and gives, as ``recsys.tracking.model_script``.

    Ids may be texts or whole numbers, which no type of MLflow says: it would refuse the numbers or
    turn fractions to texts. So any value comes in, and the recommender refuses what is no id.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), USER_ID)]),  # type: ignore[no-untyped-call]
        outputs=Schema(
            [
                ColSpec(DataType.string, USER_ID),
                ColSpec(DataType.long, RANK),
                ColSpec(DataType.string, ITEM_ID),
                ColSpec(DataType.float, SCORE),
                ColSpec(DataType.boolean, NEW),
                ColSpec(DataType.boolean, _FALLBACK),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec("k", DataType.long, 10),
                ParamSpec("exclude_seen", DataType.boolean, True),
                ParamSpec("discovery", DataType.double, None),
                ParamSpec("new", DataType.string, None),
            ]
        ),
    )


@contextmanager
def default_store(uri: str) -> Iterator[None]:
    """Let MLflow's own functions log to this store, and restore its settings afterwards."""
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
        # MLflow also writes its tracking URI to the environment, and reads it from there.
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
