"""Play counts from logs: sums, first and last time, without robots; and a sample of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from datasets.arguments import check_number, check_whole
from datasets.columns import ITEM_ID, TIMESTAMP, USER_ID, WEIGHT
from datasets.errors import DataError, InvalidArgumentError
from datasets.tables.values import format_value
from recsys.cluster.problems import one_clear_error
from recsys.cluster.session import check_columns, whole_folder

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

FIRST_TIMESTAMP = "first_timestamp"
"""Column of the time of the first play; `timestamp` is that of the last."""

_LATEST = 9_214_646_400
"""Seconds since 1970 at the end of 2261, as in docs/data-format.md."""


@dataclass(frozen=True)
class RobotRule:
    """Which users are robots: those with more plays on one day (UTC) than a person can hear.

    The day's 24 hours are 480 songs of three minutes. Who skips most songs after a few seconds may
    have some hundreds more; a program that plays for others, or crawls, has thousands. All plays of
    such a user are left out. Without times there are no days, and nobody is taken for a robot.

    Examples:
        >>> RobotRule().plays_a_day
        1000
    """

    plays_a_day: int = 1000
    """A user with more plays on any day is a robot; 0 leaves everybody in."""

    def __post_init__(self) -> None:
        """Check the number."""
        check_whole("plays_a_day", self.plays_a_day, 0)


@dataclass(frozen=True)
class CountedPlays:
    """What came of a log of plays.

    Examples:
        >>> counts = CountedPlays(90, 12, 3, 80, 70, 1, 10, {"weight": 0, "time": 2})
        >>> counts.plays, counts.robots
        (90, 1)
    """

    plays: int
    """Rows of the log that could be used, those of robots included."""
    users: int
    """Users with interactions, robots left out."""
    items: int
    """Items with interactions."""
    counted: int
    """Rows of the log that the interactions are summed from."""
    interactions: int
    """Pairs of a user and an item that were written."""
    robots: int
    """Users that were taken for robots."""
    robot_plays: int
    """Their rows of the log."""
    left_out: Mapping[str, int]
    """Rows that could not be used, by what was wrong: user_id, item_id, weight, timestamp, line."""

    def to_dict(self) -> dict[str, object]:
        """Return the report as values that JSON can hold."""
        return asdict(self)


def read_plays(
    spark: "SparkSession", place: str, columns: Mapping[str, str] | None = None
) -> "DataFrame":
    """Read a log of plays: Parquet, or JSON lines by the names ``.json``, ``.jsonl``, ``.ndjson``.

    Args:
        spark: a session.
        place: a file, a folder, or a pattern such as ``logs/2024-*.jsonl.gz``, on any file system
            that the cluster knows.
        columns: what the log calls user_id, item_id, weight and timestamp, where it calls them
            otherwise.

    Raises:
        DataError: nothing is there, or it cannot be read.
        InvalidArgumentError: a name in `columns` that is none of these four.

    Examples:
        >>> _ = (folder / "log.jsonl").write_text('{"listener": "ann", "item_id": 7}\\n')
        >>> table = read_plays(spark, str(folder / "log.jsonl"), {"user_id": "listener"})
        >>> table.select("user_id", "item_id").first().asDict()
        {'user_id': 'ann', 'item_id': '7'}
    """
    import re

    own = (USER_ID, ITEM_ID, WEIGHT, TIMESTAMP)
    called = {name: name for name in own} | dict(columns or {})
    if unknown := set(called) - set(own):
        raise InvalidArgumentError(
            f"columns: {format_value(sorted(unknown)[0])} is none of {', '.join(own)}"
        )
    with one_clear_error(f"plays {place}"):
        if re.search(r"\.(jsonl?|ndjson)(\.\w+)?/?$", place):
            # All as text, as ids are kept as they are written; what is no JSON is counted.
            fields = [f"`{name}` string" for name in called.values()]
            schema = ", ".join([*fields, "_corrupt_record string"])
            options = {"columnNameOfCorruptRecord": "_corrupt_record"}
            table = spark.read.options(**options).schema(schema).json(place)
            if table.where(table[called[TIMESTAMP]].isNotNull()).first() is None:
                table = table.drop(called[TIMESTAMP])
        else:
            table = spark.read.parquet(place)
        for name, there in called.items():
            if there != name:
                check_columns(table, (there,), f"plays {place}")
                table = table.drop(name).withColumnRenamed(there, name)
        return table


def count_plays(
    spark: "SparkSession",
    plays: "DataFrame | str",
    out: str,
    *,
    robots: RobotRule | None = None,
    overwrite: bool = False,
) -> CountedPlays:
    """Sum up a log of plays: user_id, item_id, weight, timestamp, first_timestamp, as Parquet.

    A row of the log is one play, or as many as its `weight` says. Of each pair of a user and an
    item the weights are summed; `timestamp` is the time of the last play, `first_timestamp` that of
    the first, both UTC, and are missing if the log has no times. Rows that cannot be used are left
    out and counted.

    Args:
        spark: a session.
        plays: columns user_id and item_id and, where there are any, weight and timestamp as in
            docs/data-format.md; or where such a table lies (`read_plays`).
        out: folder to write.
        robots: who is left out; by default, those with more than 1,000 plays on a day.
        overwrite: replace what is at `out`.

    Raises:
        InvalidArgumentError: a column is missing or of another type, or something is at `out`.
        DataError: no row can be used.
        ClusterError: the engine gave up.

    Examples:
        >>> log = [("u", "s1", 60.0), ("u", "s1", 90.0), ("v", "s2", 0.0), ("v", None, 5.0)]
        >>> table = spark.createDataFrame(log, ["user_id", "item_id", "timestamp"])
        >>> found = count_plays(spark, table, str(folder / "interactions.parquet"))
        >>> found.interactions, found.counted, found.left_out["item_id"]
        (2, 3, 1)
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as f

    rule = robots or RobotRule()
    table = read_plays(spark, plays) if isinstance(plays, str) else plays
    check_columns(table, (USER_ID, ITEM_ID), "plays")
    timed = TIMESTAMP in table.columns
    with (
        one_clear_error(f"interactions in {out}"),
        whole_folder(spark, out, overwrite=overwrite) as target,
    ):
        read = _read_rows(table)
        day = f.floor(f.col("seconds") / 86_400).cast("long").alias("day")
        # What is left of the log once pairs of a day are one row: everything below reads this.
        daily = (
            read.groupBy(USER_ID, ITEM_ID, day, "wrong")
            .agg(
                f.sum(WEIGHT).alias(WEIGHT),
                f.count("*").alias("rows"),
                f.min("seconds").alias("first"),
                f.max("seconds").alias("last"),
            )
            .persist(StorageLevel.DISK_ONLY)
        )
        try:
            wrong = {
                str(row[0]): int(row[1])
                for row in daily.where(f.col("wrong").isNotNull())
                .groupBy("wrong")
                .agg(f.sum("rows"))
                .collect()
            }
            usable = daily.where(f.col("wrong").isNull())
            of_day = usable.groupBy(USER_ID, "day").agg(
                f.sum(WEIGHT).alias("plays"), f.sum("rows").alias("rows")
            )
            limit = rule.plays_a_day if rule.plays_a_day and timed else float("inf")
            by_user = of_day.groupBy(USER_ID).agg(
                f.max("plays").alias("most"), f.sum("rows").alias("rows")
            )
            dated = f.col("most") > limit
            sums = by_user.agg(
                f.sum("rows"), f.count_if(dated), f.sum(f.when(dated, f.col("rows")).otherwise(0))
            ).first()
            assert sums is not None
            if not sums[0]:
                said = ", ".join(f"{n:,} by {name}" for name, n in wrong.items()) or "no rows"
                raise DataError(f"plays: no row can be used ({said})")
            person = usable.join(by_user.where(dated).select(USER_ID), USER_ID, "left_anti")
            interactions = person.groupBy(USER_ID, ITEM_ID).agg(
                f.sum(WEIGHT).alias(WEIGHT),
                *(
                    [
                        f.timestamp_micros((f.max("last") * 1_000_000).cast("long")).alias(
                            TIMESTAMP
                        ),
                        f.timestamp_micros((f.min("first") * 1_000_000).cast("long")).alias(
                            FIRST_TIMESTAMP
                        ),
                    ]
                    if timed
                    else []
                ),
            )
            interactions.write.mode("append").parquet(target)
        finally:
            daily.unpersist()
        written = spark.read.parquet(target)
        found = written.agg(
            f.count("*"), f.count_distinct(USER_ID), f.count_distinct(ITEM_ID)
        ).first()
    assert found is not None
    return CountedPlays(
        plays=int(sums[0]),
        users=int(found[1]),
        items=int(found[2]),
        counted=int(sums[0] - sums[2]),
        interactions=int(found[0]),
        robots=int(sums[1]),
        robot_plays=int(sums[2]),
        left_out=dict.fromkeys((USER_ID, ITEM_ID, WEIGHT, TIMESTAMP, "line"), 0) | wrong,
    )


def _read_rows(table: "DataFrame") -> "DataFrame":
    """Columns user_id, item_id, weight, seconds (null without times) and wrong (null, or what)."""
    from pyspark.sql import functions as f

    types = dict(table.dtypes)
    for name in (USER_ID, ITEM_ID):
        if types[name] not in ("string", "tinyint", "smallint", "int", "bigint"):
            raise InvalidArgumentError(
                f"plays: {name} holds {types[name]}; text or whole numbers are expected"
            )
    weight: Column = f.lit(1.0)
    if WEIGHT in types:
        weight = f.col(WEIGHT).try_cast("double")
        if types[WEIGHT] == "string":  # as JSON lines are read: a line without one is one play
            weight = f.when(f.col(WEIGHT).isNull(), f.lit(1.0)).otherwise(weight)
    has_times = TIMESTAMP in types
    seconds = _seconds(TIMESTAMP, types[TIMESTAMP]) if has_times else f.lit(None).cast("double")
    corrupt = f.col("_corrupt_record").isNotNull() if "_corrupt_record" in types else f.lit(False)

    def blank(name: str) -> "Column":
        return f.coalesce(f.trim(f.col(name).cast("string")), f.lit("")) == ""

    bad_weight = weight.isNull() | f.isnan(weight) | (weight < 0) | (weight == float("inf"))
    bad_time = f.lit(False)
    if has_times:
        bad_time = seconds.isNull() | f.isnan(seconds) | (f.abs(seconds) > _LATEST)
    wrong = (
        f.when(corrupt, "line")
        .when(blank(USER_ID), USER_ID)
        .when(blank(ITEM_ID), ITEM_ID)
        .when(bad_weight, WEIGHT)
        .when(bad_time, TIMESTAMP)
    )
    read = table.select(
        f.col(USER_ID).cast("string").alias(USER_ID),
        f.col(ITEM_ID).cast("string").alias(ITEM_ID),
        weight.alias(WEIGHT),
        seconds.alias("seconds"),
        wrong.alias("wrong"),
    )
    nothing = f.col("wrong").isNotNull()  # all such rows are one of a kind

    def if_right(name: str) -> "Column":
        return f.when(~nothing, f.col(name)).alias(name)

    kept = read.select(*map(if_right, (USER_ID, ITEM_ID, WEIGHT, "seconds")), "wrong")
    # No play is no interaction.
    return kept.where(nothing | (f.col(WEIGHT) > 0))


def _seconds(name: str, kind: str) -> "Column":
    """Seconds since 1970 of a column of times; null where it is no time."""
    from pyspark.sql import functions as f

    column = f.col(name)
    if kind == "timestamp":
        return f.unix_micros(column) / 1e6
    if kind in ("date", "timestamp_ntz"):
        # Times without a zone are UTC, whatever the session's zone is.
        return (
            f.unix_micros(f.concat(column.cast("string"), f.lit("Z")).try_cast("timestamp")) / 1e6
        )
    if kind in ("tinyint", "smallint", "int", "bigint", "float", "double") or kind.startswith(
        "dec"
    ):
        return column.cast("double")
    if kind != "string":
        raise InvalidArgumentError(
            f"plays: {name} holds {kind}; ISO 8601, times or seconds since 1970 are expected"
        )
    text = f.trim(column)
    has_zone = text.rlike(r"(Z|[+-]\d{2}:?\d{2})$") & text.rlike(r"\d:\d")
    utc = f.when(has_zone, text).when(text.rlike(r"\d:\d"), f.concat(text, f.lit("Z")))
    iso = utc.otherwise(f.concat(text, f.lit("T00:00:00Z")))
    number = text.rlike(r"^[+-]?\d+(\.\d+)?([eE][+]?\d+)?$")
    return f.when(number, text.try_cast("double")).otherwise(
        f.unix_micros(iso.try_cast("timestamp")) / 1e6
    )


def sample_plays(
    spark: "SparkSession",
    interactions: "DataFrame | str",
    out: str,
    plays: int,
    *,
    items: "DataFrame | str | None" = None,
    most_items: int = 1_000_000,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, int]:
    """Draw users with all of their plays, as a data set that a fit on one machine learns from.

    Users are drawn by a hash of their id, so that the same are drawn again from later logs and from
    larger samples: a user's history is never cut, as nobody would know what it was.

    Args:
        spark: a session.
        interactions: user_id, item_id, weight and, where there is one, timestamp; or where they
            lie as Parquet.
        out: folder to write: interactions.parquet and items.parquet, as `load_folder` reads them.
        plays: about how many pairs of a user and an item to draw; all if there are no more.
        items: the catalogue, as Parquet or as a table; without it, items have their ids alone.
        most_items: with more items, those with most listeners in the sample are kept.
        seed: another seed draws other users.
        overwrite: replace what is there.

    Returns:
        Numbers of users, items and interactions of the sample, and ``of_users`` and
        ``of_interactions`` that they were drawn from; ``items_left_out`` beyond `most_items`.

    Raises:
        InvalidArgumentError: a column is missing, or something is there already.
        DataError: the sample is empty.

    Examples:
        >>> rows = [(f"u{n % 40}", f"s{n % 7}", 1.0) for n in range(280)]
        >>> table = spark.createDataFrame(rows, ["user_id", "item_id", "weight"])
        >>> found = sample_plays(spark, table, str(folder / "sample"), 100)
        >>> 50 < found["interactions"] < 160, found["of_users"]
        (True, 40)
    """
    from pyspark.sql import functions as f

    check_whole("plays", plays)
    check_whole("most_items", most_items)
    check_number("seed", seed)
    with (
        one_clear_error(f"sample in {out}"),
        whole_folder(spark, out, overwrite=overwrite) as place,
    ):
        if isinstance(interactions, str):
            interactions = spark.read.parquet(interactions)
        check_columns(interactions, (USER_ID, ITEM_ID, WEIGHT), "interactions")
        sizes = interactions.agg(f.count("*"), f.count_distinct(USER_ID)).first()
        assert sizes is not None
        share = min(1.0, plays / max(int(sizes[0]), 1))
        # The upper 53 bits of a hash of 64, as a number from 0 to 1.
        drawn = f.shiftrightunsigned(f.xxhash64(f.col(USER_ID), f.lit(int(seed))), 11) / 2.0**53
        sample = interactions.where(drawn < share) if share < 1 else interactions
        listeners = sample.groupBy(ITEM_ID).agg(f.count("*").alias("listeners"))
        catalogue: DataFrame
        if items is None:
            texts = [f.lit("").alias(name) for name in ("title", "artist", "album", "genre")]
            catalogue = listeners.select(ITEM_ID, *texts)
        else:
            songs: DataFrame = spark.read.parquet(items) if isinstance(items, str) else items
            check_columns(songs, (ITEM_ID,), "items")
            catalogue = songs.withColumn(ITEM_ID, f.col(ITEM_ID).cast("string"))
        n_items = catalogue.count()
        if n_items > most_items:
            best = listeners.orderBy(f.desc("listeners"), ITEM_ID).limit(most_items)
            catalogue = catalogue.join(best.select(ITEM_ID), ITEM_ID, "left_semi")
        kept = sample.join(catalogue.select(ITEM_ID), ITEM_ID, "left_semi")
        names = [USER_ID, ITEM_ID, WEIGHT, *([TIMESTAMP] if TIMESTAMP in sample.columns else [])]
        kept.select(*names).write.parquet(f"{place}/interactions.parquet")
        catalogue.write.parquet(f"{place}/items.parquet")
        written = spark.read.parquet(f"{place}/interactions.parquet")
        found = written.agg(f.count("*"), f.count_distinct(USER_ID)).first()
        assert found is not None
        if not found[0]:
            raise DataError(
                f"sample: of {sizes[1]:,} users none was drawn, or none played an item of the "
                f"catalogue; ask for more than {format_value(plays)} plays"
            )
        n_kept = spark.read.parquet(f"{place}/items.parquet").count()
    return {
        "users": int(found[1]),
        "items": n_kept,
        "interactions": int(found[0]),
        "of_users": int(sizes[1]),
        "of_interactions": int(sizes[0]),
        "items_left_out": n_items - n_kept,
    }
