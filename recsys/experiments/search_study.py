"""The Optuna study behind a search: its trials in an SQLite file, and the next trial to run.

A suggestion depends on the seed, on how many trials have finished and on their results, and on
nothing else: not on a trial's number, and not on one that was interrupted. So a search that was
killed and is run again tries what it would have tried.
"""

import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.errors import ColdtuneError, InvalidArgumentError
from datasets.system.files import check_writable, parents_created
from datasets.system.locks import Order, locked

if TYPE_CHECKING:
    import optuna

    from recsys.experiments.search_space import Params

NAME = "coldtune"
_IDENTITY = "coldtune"
"""Attribute of a study that identifies what is searched."""


@contextmanager
def open_study(
    path: Path | None, identity: Mapping[str, str], pruning_after: int
) -> "Iterator[optuna.Study]":
    """Open a study, and lock its file against other searches.

    A file that was made here is removed again if an error of this library comes before a trial
    ended.

    Args:
        path: an SQLite file, made if it is missing; None keeps the study in memory.
        identity: what must be the same whenever the study is opened: {what it is: digest}.
        pruning_after: finished trials before the first is cut short.

    Raises:
        InvalidArgumentError: the file is in use, is not a study, or is one of something else.
    """
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=pruning_after)
    try:
        if path is None:
            yield optuna.create_study(direction="maximize", pruner=pruner)
            return
        with _held(path):
            _check_file(path)
            begun, empty = not path.exists(), False
            try:
                storage = optuna.storages.RDBStorage(
                    "sqlite://", engine_kwargs={"creator": lambda: _connect(path)}
                )
                found = optuna.create_study(
                    storage=storage,
                    study_name=NAME,
                    direction="maximize",
                    pruner=pruner,
                    load_if_exists=True,
                )
                kept = found.user_attrs.get(_IDENTITY)
            except Exception as error:  # of Optuna, SQLAlchemy or SQLite: none of it is usable
                reason = (str(error) or type(error).__name__).splitlines()[0]
                raise InvalidArgumentError(f"{path}: cannot be used as a study: {reason}") from None
            try:
                if kept is None and not found.get_trials(deepcopy=False):
                    found.set_user_attr(_IDENTITY, dict(identity))
                elif kept != identity:
                    other = [what for what in identity if (kept or {}).get(what) != identity[what]]
                    raise InvalidArgumentError(
                        f"{path}: is a search with other {' and '.join(other)};"
                        " give this one a file of its own"
                    )
                yield found
            except ColdtuneError:
                empty = begun and not n_finished(found)
                raise
            finally:
                storage.engine.dispose()
                if empty:
                    path.unlink(missing_ok=True)
    finally:
        optuna.logging.set_verbosity(verbosity)


def next_trial(study: "optuna.Study", first: "Params", seed: int, startup: int) -> "optuna.Trial":
    """Begin the next trial; one that was begun and never ended, as its process was killed, fails.

    Args:
        study: the study.
        first: parameters of the first trial of all.
        seed: seed of the search.
        startup: number of random trials before the sampler uses their results.
    """
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    for begun in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(begun.number, state=TrialState.FAIL)
    done = n_finished(study)
    if not done and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _experimental())  # `group`, since 2020
        study.sampler = TPESampler(
            seed=int(np.random.SeedSequence((seed, done)).generate_state(1)[0]),
            n_startup_trials=startup,
            multivariate=True,
            group=True,
            constant_liar=False,
        )
    return study.ask()


def n_finished(study: "optuna.Study") -> int:
    """Count the trials that have ended, cut short or not."""
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return len(study.get_trials(deepcopy=False, states=states))


def _experimental() -> type[Warning]:
    from optuna.exceptions import ExperimentalWarning

    return ExperimentalWarning


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold a study against other processes, which would take its running trial for a dead one."""
    try:
        check_writable(path)
    except OSError as error:
        raise InvalidArgumentError(f"{path}: cannot be written: {error.strerror}") from None
    # Beside the file: SQLite has locks of its own on that.
    beside = path.with_name(f".{path.name}.lock")
    busy = InvalidArgumentError(f"{path}: another search is using it")
    with parents_created(path), locked(beside, "searching", order=Order.JOB, busy=busy):
        try:
            yield
        finally:
            beside.unlink(missing_ok=True)


def _check_file(path: Path) -> None:
    """Refuse a file that is something else, before tables are made in it."""
    if not path.exists():
        return
    try:
        with closing(_connect(path)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            names = {str(name) for (name,) in tables}
    except sqlite3.Error as error:
        raise InvalidArgumentError(f"{path}: cannot be used as a study: {error}") from None
    if names and "studies" not in names:
        raise InvalidArgumentError(f"{path}: is a database of something else; nothing was written")


def _connect(path: Path) -> sqlite3.Connection:
    from recsys.database.sqlite import connect_sqlite

    return connect_sqlite(path, "rwc")
