"""Embeddings of recordings on a cluster: a row each, or the reason why there is none."""

import io
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np

from datasets.arguments import check_whole
from datasets.columns import ITEM_ID, PATH
from datasets.errors import AudioError, ClusterError, DataError, InvalidArgumentError
from datasets.tables.values import format_value
from recsys.cluster.problems import one_clear_error
from recsys.cluster.session import check_columns, read_table_if_there
from recsys.cluster.workers import (
    SharedEncoder,
    one_thread,
    open_shared_encoder,
    shared_folder,
    versions,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from datasets.arrays import Float32Array
    from embedding.audio.source import AudioSource
    from recsys.audio.recordings import RecordingEmbedder

CONTENT = "content"
"""Column of the bytes of a recording."""

_SCHEMA = f"{ITEM_ID} string, {PATH} string, embedding array<float>, problem string, encoder string"

_AS_TASKS_END = "mapreduce.fileoutputcommitter.algorithm.version"
"""Setting of Hadoop's committer: 2 puts the file of each task in place when the task ends, so that
a run that is stopped leaves what it has. A task that is tried again replaces its own file."""

_ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class ClusterEmbeddings:
    """What was embedded.

    Examples:
        >>> ClusterEmbeddings(recordings=9, embedded=8, failed=1, resumed=0, dimension=192).failed
        1
    """

    recordings: int
    """Recordings of the table."""
    embedded: int
    """Those with an embedding."""
    failed: int
    """Those that could not be used; the column `problem` says why."""
    resumed: int
    """Those that an earlier run had done."""
    dimension: int
    """Length of an embedding."""

    def to_dict(self) -> dict[str, int]:
        """Return the report as values that JSON can hold."""
        return asdict(self)


def embed_on_cluster(
    spark: "SparkSession",
    recordings: "DataFrame",
    encoder: str | Path,
    out: str,
    *,
    slice_size: int = 64,
    ship: bool = False,
) -> ClusterEmbeddings:
    """Embed a table of recordings, as Parquet: item_id, path, embedding, problem, encoder.

    An embedding is that of one machine to the bit (`Recommender.onboard`,
    `embedding.encoders.embed_files`). A recording that cannot be used has no embedding, and its
    reason in `problem`. What is in `out` already is not done again: a run that was stopped goes on.

    Args:
        spark: a session.
        recordings: a column path, or a column content with the bytes, or both; and item_id, without
            which the path is the id. Paths without a scheme, and of ``file:``, are opened by the
            workers, on a file system that all have; those of others (``hdfs:``, ``s3a:``, …) are
            read by the engine.
        encoder: folder of a saved encoder or of a model that has one, at the same path on all
            machines (or see `ship`); or the name of one, such as ``musicnn``.
        out: folder to write, on any file system that the cluster knows.
        slice_size: recordings a task, each with a file of its own in `out`, where paths are given;
            bytes stay in the slices in which the engine reads them.
        ship: have the engine copy the encoder to every executor.

    Raises:
        InvalidArgumentError: a table without its columns, or `out` holds embeddings by another
            encoder.
        DataError: a recording without a path or id, or given twice; a file of `out` is damaged.
        ArtifactError, EncoderUnavailableError: the encoder cannot be opened.
        ClusterError: a worker lacks the encoder or the recordings' file system, or the engine gave
            up.

    Examples:
        >>> encoder.save(folder / "encoder")
        >>> rows = [("s1", str(recording)), ("s2", str(recording.with_name("none.wav")))]
        >>> table = spark.createDataFrame(rows, ["item_id", "path"])
        >>> embed_on_cluster(spark, table, folder / "encoder", str(folder / "embedded"))
        ClusterEmbeddings(recordings=2, embedded=1, failed=1, resumed=0, dimension=8)
    """
    check_whole("slice_size", slice_size)
    if PATH not in recordings.columns and CONTENT not in recordings.columns:
        check_columns(recordings, (PATH,), "recordings")
    if PATH not in recordings.columns:
        check_columns(recordings, (ITEM_ID,), "recordings")
    place, name = _place_and_name(encoder)
    opened = open_shared_encoder(place, name)
    with one_clear_error(f"embeddings in {out}"):
        shared = SharedEncoder(
            None if place is None else shared_folder(spark, place, ship=ship),
            name,
            opened.digest(),
            versions(),
        )
        wanted = _named(recordings)
        total = _check_rows(wanted)
        done = read_table_if_there(spark, out)
        resumed, left = 0, wanted
        if done is not None:
            _check_done(done, shared.digest, out)
            known = done.select(ITEM_ID, PATH).distinct()
            left = wanted.join(known, [ITEM_ID, PATH], "left_anti")
            resumed = wanted.join(known, [ITEM_ID, PATH], "left_semi").select(ITEM_ID).count()
        if resumed < total:
            _embed(spark, left, shared, out, slice_size, total - resumed)
        return _count(spark, wanted, out, resumed, opened.dimension)


def _place_and_name(encoder: str | Path) -> tuple[Path | None, str]:
    from embedding.encoders.loading import ENCODER_NAMES

    if str(encoder) in ENCODER_NAMES and not Path(encoder).is_dir():
        return None, str(encoder)
    return Path(encoder).absolute(), str(encoder)


def _named(recordings: "DataFrame") -> "DataFrame":
    """item_id, path and, where it is given, content."""
    from pyspark.sql import functions as f

    path = f.col(PATH if PATH in recordings.columns else ITEM_ID).cast("string")
    item = f.col(ITEM_ID if ITEM_ID in recordings.columns else PATH).cast("string")
    content = (
        [f.col(CONTENT).cast("binary").alias(CONTENT)] if CONTENT in recordings.columns else []
    )
    return recordings.select(item.alias(ITEM_ID), path.alias(PATH), *content)


def _check_rows(wanted: "DataFrame") -> int:
    """Return how many recordings there are; raise DataError for one without a name or twice."""
    from pyspark.sql import functions as f

    names = wanted.select(ITEM_ID, PATH)
    blank = f.coalesce(f.trim(ITEM_ID), f.lit("")) == ""
    blank = blank | (f.coalesce(f.trim(PATH), f.lit("")) == "")
    found = names.agg(f.count("*"), f.count_if(blank)).first()
    assert found is not None
    if found[1]:
        raise DataError(f"recordings: {found[1]:,} of {found[0]:,} have no item_id or no path")
    if not found[0]:
        raise DataError("recordings: the table is empty")
    twice = names.groupBy(ITEM_ID, PATH).count().where("count > 1").first()
    if twice is not None:
        raise DataError(
            f"recordings: {format_value(twice[1])} of item {format_value(twice[0])} is given twice"
        )
    return int(found[0])


def _check_done(done: "DataFrame", digest: str, out: str) -> None:
    names = ("item_id", "path", "embedding", "problem", "encoder")
    if not set(names) <= set(done.columns):
        raise InvalidArgumentError(f"{out}: holds another table; name a folder of its own")
    other = done.where(done["encoder"] != digest).select("encoder").first()
    if other is not None:
        raise InvalidArgumentError(
            f"{out}: holds embeddings by another encoder; name another folder"
        )


def _embed(
    spark: "SparkSession",
    left: "DataFrame",
    encoder: SharedEncoder,
    out: str,
    slice_size: int,
    n: int,
) -> None:
    """Append the embeddings of recordings to a folder, a file a task."""
    if CONTENT not in left.columns:
        left = _with_content_of_other_file_systems(spark, left, slice_size, n)
    job = _Job(encoder, _common_folder(left))
    rows = left.mapInArrow(job.run, _SCHEMA)
    rows.write.mode("append").option(_AS_TASKS_END, "2").parquet(out)


def _with_content_of_other_file_systems(
    spark: "SparkSession", left: "DataFrame", slice_size: int, n: int
) -> "DataFrame":
    """Have the engine read what workers cannot open by its path."""
    from pyspark.sql import functions as f

    other = f.col(PATH).rlike(r"^(?!file:)[A-Za-z][A-Za-z0-9+.-]+:/")
    elsewhere = [(row[0], row[1]) for row in left.where(other).toLocalIterator()]
    nothing = f.lit(None).cast("binary").alias(CONTENT)
    local = left if not elsewhere else left.where(~other)
    tables = []
    if n > len(elsewhere):
        slices = -(-(n - len(elsewhere)) // slice_size)
        tables.append(local.select(ITEM_ID, PATH, nothing).repartition(slices))
    if elsewhere:
        full = {path: _qualified(spark, path) for _, path in elsewhere}
        there = _those_there(spark, set(full.values()))
        named = spark.createDataFrame(
            [(item, path, full[path]) for item, path in elsewhere],
            f"{ITEM_ID} string, {PATH} string, full string",
        )
        if there:
            # Names as they are: without the option, [ and * in one stand for other names.
            read = spark.read.format("binaryFile").option("__globPaths__", "false")
            files = read.load(sorted(there)).select(f.col(PATH).alias("full"), CONTENT)
            joined = files.join(f.broadcast(named), "full")
            tables.append(joined.select(ITEM_ID, PATH, CONTENT))
        gone = [(item, path) for item, path in elsewhere if full[path] not in there]
        if gone:
            missing = spark.createDataFrame(gone, f"{ITEM_ID} string, {PATH} string")
            tables.append(missing.select(ITEM_ID, PATH, nothing))
    whole = tables[0]
    for table in tables[1:]:
        whole = whole.unionByName(table)
    return whole


def _qualified(spark: "SparkSession", path: str) -> str:
    """The path as the engine writes it, with scheme and authority."""
    jvm: Any = spark._jvm
    hadoop = jvm.org.apache.hadoop.fs.Path(path)
    system = hadoop.getFileSystem(spark._jsc.hadoopConfiguration())
    return str(system.makeQualified(hadoop).toString())


def _those_there(spark: "SparkSession", paths: set[str]) -> set[str]:
    """Which of these files exist; the engine lists their folders."""
    jvm: Any = spark._jvm
    settings = spark._jsc.hadoopConfiguration()
    folders = {path.rpartition("/")[0] for path in paths}
    found = set()
    for folder in folders:
        hadoop = jvm.org.apache.hadoop.fs.Path(folder)
        if hadoop.getFileSystem(settings).exists(hadoop):
            found.add(folder)
    if not found:
        return set()
    listed = spark.read.format("binaryFile").option("__globPaths__", "false").load(sorted(found))
    return paths & {row[0] for row in listed.select(PATH).toLocalIterator()}


def _common_folder(left: "DataFrame") -> str | None:
    """The folder that all recordings opened by the workers are in; None if there are none."""
    from pyspark.sql import functions as f

    local = left.where(f.col(CONTENT).isNull() & ~f.col(PATH).rlike(r"^(?!file:)[A-Za-z]\w+:/"))
    found = local.agg(f.min(PATH), f.max(PATH)).first()
    if found is None or found[0] is None:
        return None
    first, last = (os.path.dirname(local_path(text)) for text in found)  # noqa: PTH120
    try:
        return os.path.commonpath([first, last])
    except ValueError:  # one absolute and one relative
        return None


def local_path(text: str) -> str:
    """Return the path of a file as workers open it: without the scheme ``file:``.

    Examples:
        >>> local_path("file:///music/caf%C3%A9.mp3"), local_path("/music/100%.mp3")
        ('/music/café.mp3', '/music/100%.mp3')
        >>> local_path("file:/music/a.mp3")
        '/music/a.mp3'
    """
    return (
        unquote(urlsplit(text).path) if text.startswith("file:///") else text.removeprefix("file:")
    )


@dataclass(frozen=True)
class _Job:
    """What the tasks of a job need."""

    encoder: SharedEncoder
    folder: str | None
    """The folder that all recordings on the workers' file system are in."""

    def run(self, batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        """Embed the recordings of one slice."""
        embedder = self.encoder.open()
        self._check_file_system()
        with one_thread():
            for batch in batches:
                for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                    rows = batch.slice(start, _ROWS_AT_ONCE).to_pylist()
                    yield self._record_batch(rows, self._embedded(embedder, rows))

    def _check_file_system(self) -> None:
        """Tell a file system that is not mounted from recordings that are gone."""
        if self.folder and not os.path.isdir(self.folder):  # noqa: PTH112
            raise ClusterError(
                f"{self.folder}: the folder of the recordings is not there on the worker "
                f"{socket.gethostname()}: is its file system mounted?"
            )

    def _embedded(
        self, embedder: "RecordingEmbedder", rows: Sequence[dict[str, Any]]
    ) -> "list[tuple[Float32Array | None, str | None]]":
        """The embedding of each recording, or why it has none."""
        from embedding.encoders.input_vectors import NOT_FINITE

        sources = [_source(row) for row in rows]
        there = [one for one in sources if not isinstance(one, AudioError)]
        found = iter(embedder.embed_each(there))
        results: list[tuple[Float32Array | None, str | None]] = []
        for row, source in zip(rows, sources, strict=True):
            one = source if isinstance(source, AudioError) else next(found)
            if isinstance(one, AudioError):
                results.append((None, str(one)))
            elif not np.isfinite(one.embedding).all():
                results.append((None, f"{row[PATH]}: {NOT_FINITE}"))
            else:
                results.append((one.embedding, None))
        return results

    def _record_batch(
        self,
        rows: Sequence[dict[str, Any]],
        results: "Sequence[tuple[Float32Array | None, str | None]]",
    ) -> "pa.RecordBatch":
        import pyarrow as pa

        return pa.RecordBatch.from_arrays(
            [
                pa.array([row[ITEM_ID] for row in rows], pa.string()),
                pa.array([row[PATH] for row in rows], pa.string()),
                pa.array([vector for vector, _ in results], pa.list_(pa.float32())),
                pa.array([problem for _, problem in results], pa.string()),
                pa.array([self.encoder.digest] * len(rows), pa.string()),
            ],
            names=[ITEM_ID, PATH, "embedding", "problem", "encoder"],
        )


def _source(row: dict[str, Any]) -> "AudioSource | AudioError":
    """What a row says that the recording is: its bytes, under its name, or its path."""
    content = row.get(CONTENT)
    if content is not None:
        stream = io.BytesIO(content)
        stream.name = row[PATH]  # decoders know some formats by the suffix
        return stream
    path = str(row[PATH])
    if "://" in path and not path.startswith("file:"):
        return AudioError(f"{path}: no such file")
    return local_path(path)


def _count(
    spark: "SparkSession", wanted: "DataFrame", out: str, resumed: int, dimension: int
) -> ClusterEmbeddings:
    """Count what is in the folder of these recordings; every one has a row."""
    from pyspark.sql import functions as f

    written = spark.read.schema(_SCHEMA).parquet(out)
    own = written.join(wanted.select(ITEM_ID, PATH), [ITEM_ID, PATH], "left_semi")
    found = own.agg(
        f.count_distinct(ITEM_ID, PATH), f.count("*"), f.count_if(f.col("problem").isNull())
    ).first()
    assert found is not None
    n, rows, embedded = (int(value) for value in found)
    if n < rows:
        raise DataError(f"{out}: {rows - n:,} recordings have more than one row")
    return ClusterEmbeddings(n, embedded, n - embedded, resumed, dimension)
