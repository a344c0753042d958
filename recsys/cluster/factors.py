"""The vectors of ALS from plays that do not fit one machine, by Spark's MLlib."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from datasets.arguments import check_number, check_whole
from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.errors import DataError
from recsys.cluster.problems import one_clear_error
from recsys.cluster.session import check_columns, hadoop_path, whole_folder
from recsys.config import PlayWeighting
from recsys.sources.given_factors import ITEMS_FOLDER, LISTENERS, USERS_FOLDER, VECTOR

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

CHECKPOINT_INTERVAL = 5
"""Iterations after which what was computed is written, so that its history is not kept: without,
15 iterations end in a StackOverflowError."""

_ROW_BITS = 33
"""Of Spark's increasing ids the lower 33 bits count within a partition."""


@dataclass(frozen=True)
class ClusterFactors:
    """What was learned.

    Examples:
        >>> ClusterFactors(users=60, items=28, interactions=470, rank=64).to_dict()["rank"]
        64
    """

    users: int
    """Users with a vector."""
    items: int
    """Items with a vector."""
    interactions: int
    """Pairs of a user and an item that they were learned from."""
    rank: int
    """Length of a vector."""

    def to_dict(self) -> dict[str, int]:
        """Return the report as values that JSON can hold."""
        return asdict(self)


def learn_factors(
    spark: "SparkSession",
    interactions: "DataFrame | str",
    out: str,
    *,
    factors: int = 64,
    regularization: float = 0.5,
    alpha: float = 20.0,
    iterations: int = 15,
    weighting: PlayWeighting = "binary",
    seed: int = 0,
    blocks: int | None = None,
    checkpoints: str | None = None,
    overwrite: bool = False,
) -> ClusterFactors:
    """Learn vectors of users and items by implicit ALS (Hu et al., 2008) on a cluster.

    `Recommender.fit` takes them with ``factors=`` as its source ``als``, and `coldtune train` with
    ``--factors``; the model may be fitted on a sample of the plays.

    Args:
        spark: a session.
        interactions: user_id, item_id and weight, each pair once; or where they lie as Parquet.
        out: folder to write: items.parquet (item_id, vector, listeners) and users.parquet (user_id,
            vector).
        factors: length of the vectors.
        regularization: L2 penalty, times the plays of a user or an item, as MLlib weighs it.
        alpha: confidence of one unit of weight.
        iterations: alternations of the two solves.
        weighting: how plays become weights, as in `ALSConfig`.
        seed: of the first vectors.
        blocks: parts of users and of items; by default as many as the cluster has cores, and at
            least 10.
        checkpoints: folder for checkpoints, which all machines see; by default one in `out`,
            removed at the end. Checkpoints are written every 5 iterations.
        overwrite: replace what is at `out`.

    Raises:
        InvalidArgumentError: a column is missing, or something is at `out`.
        DataError: there is no play.
        ClusterError: the engine gave up.

    Examples:
        >>> table = spark.createDataFrame(dataset.interactions[["user_id", "item_id", "weight"]])
        >>> learn_factors(spark, table, str(folder / "factors"), factors=4, iterations=2, blocks=1)
        ClusterFactors(users=60, items=28, interactions=462, rank=4)
    """
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import functions as f

    check_whole("factors", factors)
    check_whole("iterations", iterations)
    check_number("regularization", regularization, least=0)
    check_number("alpha", alpha, least=0)
    with (
        one_clear_error(f"factors in {out}"),
        whole_folder(spark, out, overwrite=overwrite) as place,
    ):
        if isinstance(interactions, str):
            interactions = spark.read.parquet(interactions)
        check_columns(interactions, (USER_ID, ITEM_ID, WEIGHT), "interactions")
        own = checkpoints is None
        work = f"{place}/_checkpoints" if checkpoints is None else checkpoints
        spark.sparkContext.setCheckpointDir(work)
        try:
            played = interactions.where(f.col(WEIGHT) > 0).select(
                f.col(USER_ID).cast("string").alias(USER_ID),
                f.col(ITEM_ID).cast("string").alias(ITEM_ID),
                _weighed(f.col(WEIGHT).cast("float"), weighting).alias("rating"),
            )
            users, items = (_numbered(spark, played, name) for name in (USER_ID, ITEM_ID))
            ratings = (
                played.join(users, USER_ID).join(items, ITEM_ID).select("user", "item", "rating")
            ).checkpoint()  # once: the joins are not done again when a machine is lost
            n = ratings.count()
            if not n:
                raise DataError("interactions: nobody has played anything")
            parts = blocks or max(10, spark.sparkContext.defaultParallelism)
            model = ALS(
                rank=factors, maxIter=iterations, regParam=regularization, alpha=alpha,
                implicitPrefs=True, userCol="user", itemCol="item", ratingCol="rating", seed=seed,
                numUserBlocks=parts, numItemBlocks=parts, checkpointInterval=CHECKPOINT_INTERVAL,
                intermediateStorageLevel="MEMORY_AND_DISK", finalStorageLevel="MEMORY_AND_DISK",
            ).fit(ratings)  # fmt: skip
            listeners = ratings.groupBy("item").agg(f.count("*").alias(LISTENERS))
            vector = f.col("features").alias(VECTOR)
            model.userFactors.join(users, f.col("id") == f.col("user")).select(
                USER_ID, vector
            ).write.parquet(f"{place}/{USERS_FOLDER}")
            model.itemFactors.join(items, f.col("id") == f.col("item")).join(
                listeners, "item"
            ).select(ITEM_ID, vector, LISTENERS).write.parquet(f"{place}/{ITEMS_FOLDER}")
            found = [spark.read.parquet(f"{place}/{name}").count()
                     for name in (USERS_FOLDER, ITEMS_FOLDER)]  # fmt: skip
        finally:
            if own:
                _remove(spark, work)
    return ClusterFactors(found[0], found[1], n, factors)


def _weighed(weight: "Column", weighting: PlayWeighting) -> "Column":
    from pyspark.sql import functions as f

    if weighting == "binary":
        return f.lit(1.0).cast("float")
    return f.log1p(weight).cast("float") if weighting == "log" else weight


def _numbered(spark: "SparkSession", played: "DataFrame", name: str) -> "DataFrame":
    """Number the ids of a column from 0, as MLlib wants them: whole numbers of 32 bits.

    The ids are checkpointed, so that their places stay the same whatever is computed again; of each
    partition only its size comes to the driver.
    """
    from pyspark.sql import functions as f

    ids = played.select(name).distinct().checkpoint()
    marked = ids.withColumn("mark", f.monotonically_increasing_id())
    part = f.shiftright("mark", _ROW_BITS)
    sizes = marked.groupBy(part.alias("part")).count().orderBy("part").collect()
    starts, before = [], 0
    for row in sizes:
        starts.append((int(row[0]), before))
        before += int(row[1])
    if before >= 2**31:
        raise DataError(f"interactions: {before:,} values of {name} are more than MLlib can number")
    number = name.removesuffix("_id")
    if not starts:
        return ids.select(name, f.lit(0).alias(number))
    offsets = spark.createDataFrame(starts, "part long, start long")
    row = f.col("mark").bitwiseAND((1 << _ROW_BITS) - 1)
    numbered = marked.withColumn("part", part).join(f.broadcast(offsets), "part")
    return numbered.select(name, (f.col("start") + row).cast("int").alias(number))


def _remove(spark: "SparkSession", place: str) -> None:
    from py4j.protocol import Py4JError

    with suppress(Py4JError):
        system, path = hadoop_path(spark, place)
        system.delete(path, True)
