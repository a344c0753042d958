"""Lists of many users as a Parquet file, written in parts so that a killed run can continue.

recs.parquet              the file; it appears only when it is complete
.recs.parquet.parts/      meanwhile: plan.json (which model and arguments the parts belong to), one
                          Parquet file a batch, and the lock of the process that writes
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from datasets.columns import ITEM_ID, NEW, RANK, SCORE, USER_ID
from datasets.errors import ArtifactError, DataError, InvalidArgumentError
from datasets.progress import progress_bar
from datasets.system.files import atomic_write, file_digest, parents_created, write_text
from datasets.system.locks import Order, locked
from datasets.tables.read_write import read_ids
from recsys.model.live import LiveModel
from recsys.ranking.batches import user_batches
from recsys.ranking.options import ListOptions
from recsys.ranking.ranking import (
    FALLBACK_USERS,
    Candidates,
    count_new,
    find_candidates,
    recommend_for_users,
)

_PLAN = "plan.json"
_LOCK = "lock"
_FALLBACK = b"coldtune.fallback_users"
_OTHER_PLACES = b"coldtune.other_places"


@dataclass(frozen=True)
class BatchReport:
    """What was written.

    Examples:
        >>> recommender.write_recommendations(folder / "lists.parquet", k=2)
        BatchReport(users=60, rows=120, fallback_users=0, resumed=0, new_rows=3, other_places=0)
    """

    users: int
    """Users with a list, those of an earlier, killed run included."""

    rows: int
    """Rows of the file."""

    fallback_users: int
    """Users about whom nothing is known: they got the popular items."""
    resumed: int
    """Users whose lists an earlier run had written."""

    new_rows: int = 0
    """Rows of songs that nobody has played."""
    other_places: int = 0
    """Users whose lists have not as many new songs as were asked for: too few songs were left."""

    def to_dict(self) -> dict[str, int]:
        """Return the report as values that JSON can hold."""
        return asdict(self)


def write_lists(
    model: LiveModel,
    out: Path,
    users: Path | None,
    options: ListOptions,
    batch_size: int,
    *,
    progress: bool,
) -> BatchReport:
    """Write user_id, rank, item_id, score and new of every user's list, one row group a batch.

    A run that was killed continues with the missing batches if the model, its song database and all
    arguments are the same; otherwise it starts over.

    Args:
        model: the model.
        out: the file, ending in .parquet.
        users: a text file of user ids, one a line, or a table with a column user_id; None for all
            users of the model.
        options: length, contents and order of the lists.
        batch_size: users per batch.
        progress: show a progress bar.

    Raises:
        InvalidArgumentError: options that cannot work, or no file can be written at `out`.
        DataError: the file of users cannot be read.
        ArtifactError: another run is writing the same file, or it cannot be written; an existing
            file is left as it was.
    """
    candidates = find_candidates(model, options)
    _check_out(out)
    total = len(model.users) if users is None else _count(users, model)
    plan = _plan(model, users, options, candidates, batch_size)
    batches = user_batches(model, None if users is None else _ids(users, model), batch_size)
    folder = out.parent / f".{out.name}.parts"
    try:
        with parents_created(out), _held(folder):
            done = _existing_parts(folder, plan)
            resumed = min(len(done) * batch_size, total)
            parts = list(done)
            with progress_bar("users", total, shown=progress) as advance:
                advance(resumed)
                for number, ids in enumerate(islice(batches, len(done), None), start=len(done)):
                    parts.append(_part(folder, number))
                    lists = recommend_for_users(model, ids, candidates, options)
                    _write_part(parts[-1], lists, _other_places(lists, len(ids), options))
                    advance(len(ids))
            rows, new_rows, fallback, others = _assemble(parts, out)
            shutil.rmtree(folder)
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error.strerror or error}") from None
    return BatchReport(total, rows, fallback, resumed, new_rows, others)


def _other_places(lists: pd.DataFrame, n_lists: int, options: ListOptions) -> int:
    """How many lists have not as many new songs as were asked for."""
    if options.new is None:
        return 0
    counts = count_new(lists[RANK].to_numpy(), lists[NEW].to_numpy(), n_lists)
    return int((counts != options.new_places).sum())


def _check_out(out: Path) -> None:
    if out.is_dir():
        raise InvalidArgumentError(f"{out}: is a folder; name a file")
    if out.suffix != ".parquet":
        raise InvalidArgumentError(f"{out}: must end in .parquet")


def _plan(
    model: LiveModel,
    users: Path | None,
    options: ListOptions,
    candidates: Candidates,
    batch_size: int,
) -> dict[str, Any]:
    """What decides the parts, as JSON: two runs with the same plan write the same parts."""
    filters = {
        "k": int(options.k),
        "exclude_seen": options.exclude_seen,
        "exclude": candidates.exclude.tolist(),
        "only": None if candidates.only is None else candidates.only.tolist(),
        "per_artist": None if options.per_artist is None else int(options.per_artist),
        "diversity": float(options.diversity),
        "popularity_correction": float(options.popularity_correction),
        "discovery": None if options.discovery is None else float(options.discovery),
        "new": None if options.new is None else [options.new == "only", options.new_places],
    }
    return {
        "columns": [USER_ID, RANK, ITEM_ID, SCORE, NEW],
        "generation": model.generation,
        "catalog": list(model.revision),  # of the lists, whatever others have stored since
        "filters": hashlib.sha256(json.dumps(filters, sort_keys=True).encode()).hexdigest(),
        "batch_size": batch_size,
        "users": None if users is None else file_digest(users),
    }


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the folder of parts against other runs; remove it at the end if it has no parts.

    Raises ArtifactError while another run holds it.
    """
    busy = ArtifactError(f"{folder}: another run writes this file")
    with locked(folder / _LOCK, "writing lists", order=Order.JOB, busy=busy):
        try:
            yield
        finally:
            with suppress(FileNotFoundError):  # it is gone where the file is whole
                if {path.name for path in folder.iterdir()} <= {_LOCK, _PLAN}:
                    shutil.rmtree(folder)  # nothing to go on with


def _existing_parts(folder: Path, plan: dict[str, Any]) -> list[Path]:
    """The parts of this plan that exist without a gap; others are removed."""
    try:
        same = json.loads((folder / _PLAN).read_text(encoding="utf-8")) == plan
    except (OSError, ValueError):
        same = False
    done: list[Path] = []
    while same and _is_whole(_part(folder, len(done))):
        done.append(_part(folder, len(done)))
    for path in folder.iterdir():
        if path not in done and path.name not in (_LOCK, _PLAN):
            path.unlink()
    if not same:
        write_text(folder / _PLAN, json.dumps(plan))
    return done


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:08d}.parquet"


def _is_whole(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _FALLBACK in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _schema(fallback: int, other_places: int) -> Any:
    import pyarrow as pa

    fields = {
        USER_ID: pa.string(),
        RANK: pa.int32(),
        ITEM_ID: pa.string(),
        SCORE: pa.float32(),
        NEW: pa.bool_(),
    }
    facts = {_FALLBACK: str(fallback), _OTHER_PLACES: str(other_places)}
    return pa.schema(fields, metadata=facts)


def _write_part(path: Path, lists: pd.DataFrame, other_places: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(len(lists.attrs.get(FALLBACK_USERS, ())), other_places)
    with atomic_write(path) as temporary:
        pq.write_table(pa.Table.from_pandas(lists, schema, preserve_index=False), temporary)


def _assemble(parts: list[Path], out: Path) -> tuple[int, int, int, int]:
    """Write the parts as one file, a row group each.

    Returns the number of rows, of new songs among them, of users of the fallback, and of lists
    with another number of new songs than was asked for.
    """
    import pyarrow.parquet as pq

    facts = [pq.read_schema(path).metadata for path in parts]
    fallback, others = (sum(int(one[name]) for one in facts) for name in (_FALLBACK, _OTHER_PLACES))
    schema = _schema(fallback, others)
    rows = new_rows = 0
    with atomic_write(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for path in parts:
            table = pq.ParquetFile(path).read().replace_schema_metadata(schema.metadata)
            if len(table):
                writer.write_table(table, row_group_size=len(table))
            rows += len(table)
            new_rows += int(table[NEW].to_numpy().sum())
    return rows, new_rows, fallback, others


def _ids(path: Path, model: LiveModel) -> Iterator[str]:
    """User ids, one a line or in a column of a table; blank lines do not count."""
    return read_ids(path, USER_ID, is_id=lambda text: model.users.row(text) is not None)


def _count(path: Path, model: LiveModel) -> int:
    count = sum(1 for _ in _ids(path, model))
    if not count:
        raise DataError(f"{path}: names no user")
    return count
