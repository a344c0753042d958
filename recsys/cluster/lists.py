"""Recommendation lists for everybody, by a saved model, as Parquet files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from datasets.arguments import check_whole
from datasets.columns import ITEM_ID, NEW, RANK, SCORE, USER_ID, WEIGHT
from datasets.errors import InvalidArgumentError
from recsys.cluster.problems import one_clear_error
from recsys.cluster.session import check_columns, whole_folder
from recsys.cluster.workers import SharedModel, one_thread, shared_folder
from recsys.ranking.batches import BATCH
from recsys.ranking.options import ListArguments, ListOptions
from recsys.ranking.ranking import find_candidates
from recsys.recommender import Recommender

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_SCHEMA = f"{USER_ID} string, {RANK} int, {ITEM_ID} string, {SCORE} float, {NEW} boolean"

_TASKS_A_CORE = 4
"""Tasks for each core of the cluster: a slow one holds up little, and files stay large."""


@dataclass(frozen=True)
class ClusterLists:
    """What was written.

    Examples:
        >>> ClusterLists(users=60, rows=600, new_rows=12).to_dict()["rows"]
        600
    """

    users: int
    """Users with a list."""
    rows: int
    """Rows of all files."""
    new_rows: int
    """Rows of songs that nobody has played."""

    def to_dict(self) -> dict[str, int]:
        """Return the report as values that JSON can hold."""
        return asdict(self)


def recommend_on_cluster(
    spark: "SparkSession",
    model: str | Path,
    out: str,
    users: "DataFrame | None" = None,
    plays: "DataFrame | None" = None,
    k: int = 10,
    *,
    batch_size: int = BATCH,
    ship: bool = False,
    overwrite: bool = False,
    **options: Unpack[ListArguments],
) -> ClusterLists:
    """Write the lists of many users: user_id, rank, item_id, score, new.

    The lists are those of `Recommender.recommend_many` on one machine, to the bit where it is asked
    for the same users at once. Workers open the model once a process, its vectors mapped into
    memory that all processes of a machine share. Nothing is in `out` before all lists are.

    Args:
        spark: a session.
        model: folder of a saved model, at the same path on all machines (or see `ship`).
        out: folder to write, on any file system that the cluster knows.
        users: a column user_id; all users of the model if not given, in its order.
        plays: columns user_id, item_id and weight: lists for all users that it names. Users whom
            the model does not know are folded in from their plays there, as far as the model knows
            the items.
        k: length of each list.
        batch_size: users ranked at once.
        ship: have the engine copy the model to every executor.
        overwrite: replace what is at `out`.
        **options: the options of `Recommender.recommend`.

    Raises:
        InvalidArgumentError: users and plays together, a table without its columns, something at
            `out` already, or options that cannot work.
        UnknownItemError, ArtifactError: as `Recommender.recommend` and `Recommender.load`.
        ClusterError: a worker lacks the model or has another one, or the engine gave up.

    Examples:
        >>> recommender.save(folder / "model")
        >>> recommend_on_cluster(spark, folder / "model", str(folder / "lists"), k=2)
        ClusterLists(users=60, rows=120, new_rows=3)
    """
    check_whole("batch_size", batch_size)
    if users is not None and plays is not None:
        raise InvalidArgumentError("give users or plays, not both")
    wanted = ListOptions(k=k, **options)
    here = Recommender.load(model)
    find_candidates(here.live, wanted)  # what is wrong is said before anything is started
    kept: dict[str, Any] = {name: getattr(wanted, name) for name in ListArguments.__annotations__}
    with (
        one_clear_error(f"lists in {out}"),
        whole_folder(spark, out, overwrite=overwrite) as target,
    ):
        shared = SharedModel.of(here, shared_folder(spark, model, ship=ship))
        job = _Job(shared, k, batch_size, kept)
        if plays is not None:
            check_columns(plays, (USER_ID, ITEM_ID, WEIGHT), "plays")
            lists = _histories(plays).mapInArrow(job.for_histories, _SCHEMA)
        elif users is not None:
            check_columns(users, (USER_ID,), "users")
            ids = users.select(users[USER_ID].cast("string"))
            lists = ids.mapInArrow(job.for_users, _SCHEMA)
        else:
            slices = -(-len(here.live.users) // batch_size)
            tasks = min(slices, _TASKS_A_CORE * spark.sparkContext.defaultParallelism)
            numbers = spark.range(0, slices, 1, max(tasks, 1))
            lists = numbers.mapInArrow(job.for_slices, _SCHEMA)
        lists.write.mode("append").parquet(target)
        return _count(spark, target)


def _count(spark: "SparkSession", out: str) -> ClusterLists:
    from pyspark.sql import functions as f

    written = spark.read.schema(_SCHEMA).parquet(out)
    found = written.agg(
        f.count_distinct(USER_ID), f.count("*"), f.sum(f.col(NEW).cast("long"))
    ).first()
    assert found is not None
    return ClusterLists(int(found[0]), int(found[1]), int(found[2] or 0))


def _histories(plays: "DataFrame") -> "DataFrame":
    """One row a user: what they have played, in the order of the items' ids."""
    from pyspark.sql import functions as f

    positive = plays.select(
        f.col(USER_ID).cast("string").alias(USER_ID),
        f.col(ITEM_ID).cast("string").alias(ITEM_ID),
        f.col(WEIGHT).cast("double").alias(WEIGHT),
    ).where(f.col(WEIGHT) > 0)
    summed = positive.groupBy(USER_ID, ITEM_ID).agg(f.sum(WEIGHT).alias(WEIGHT))
    rows = f.sort_array(f.collect_list(f.struct(ITEM_ID, WEIGHT)))
    return summed.groupBy(USER_ID).agg(rows.alias("rows"))


@dataclass(frozen=True)
class _Job:
    """What the tasks of a job need."""

    model: SharedModel
    k: int
    batch_size: int
    options: Mapping[str, Any]

    def for_slices(self, batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        """Rank slices of the model's users, given by their numbers."""
        model = self.model.open()
        ids = model.live.users.ids
        for batch in batches:
            for number in batch.column(0).to_pylist():
                own = ids[number * self.batch_size : (number + 1) * self.batch_size]
                yield self._ranked(model, np.asarray(own, object).tolist())

    def for_users(self, batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        """Rank the users of a column, a batch at a time."""
        model = self.model.open()
        each = (user for batch in batches for user in batch.column(0).to_pylist())
        while users := list(islice(each, self.batch_size)):
            yield self._ranked(model, users)

    def for_histories(self, batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        """Rank users who come with what they have played."""
        model = self.model.open()
        rows = (row for batch in batches for row in batch.to_pylist())
        while part := list(islice(rows, self.batch_size)):
            users = [row[USER_ID] for row in part]
            unknown = model.live.users.rows(users) < 0
            histories = {}
            for row, is_unknown in zip(part, unknown, strict=True):
                if is_unknown:
                    plays = {one[ITEM_ID]: one[WEIGHT] for one in row["rows"]}
                    known = model.live.items.has(plays)
                    kept = zip(plays.items(), known, strict=True)
                    histories[row[USER_ID]] = {item: n for (item, n), is_known in kept if is_known}
            yield self._ranked(model, users, histories)

    def _ranked(
        self,
        model: Recommender,
        users: Sequence[str],
        histories: Mapping[str, Mapping[str, float]] | None = None,
    ) -> "pa.RecordBatch":
        with one_thread():
            return _record_batch(
                model.recommend_many(users, self.k, histories=histories, **self.options)
            )


def _record_batch(lists: "pd.DataFrame") -> "pa.RecordBatch":
    import pyarrow as pa

    fields = [
        (USER_ID, pa.string()),
        (RANK, pa.int32()),
        (ITEM_ID, pa.string()),
        (SCORE, pa.float32()),
        (NEW, pa.bool_()),
    ]
    return pa.RecordBatch.from_pandas(lists, pa.schema(fields), preserve_index=False)
