"""Sessions of Spark for the command line, and what every job checks first."""

import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.errors import ClusterError, InvalidArgumentError
from datasets.tables.values import format_value
from recsys.cluster.problems import one_clear_error

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_EXTRA = "pip install 'coldtune[spark]'"


def open_cluster(
    master: str | None = None, settings: Mapping[str, str] | None = None
) -> "SparkSession":
    """Open a session of Spark, or return the one that is open.

    The Python of the workers is that of this process, by its path, unless PYSPARK_PYTHON names
    another. Programs that have a session of their own need not call this.

    Args:
        master: address of the cluster, such as ``spark://host:7077``, ``yarn`` or ``local[4]``;
            None leaves it to ``spark-submit`` and its settings, and else is this machine alone.
        settings: further settings of Spark, by name.

    Raises:
        InvalidArgumentError: pyspark or Java is not installed.
        ClusterError: the cluster cannot be reached.

    Examples:
        >>> open_cluster("local[2]") is spark  # as one is open already
        True
        >>> spark.range(3).count()
        3
    """
    check_installed()
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("coldtune")
    # Errors come as one line; what else the engine logs is its own business (its log4j2 settings).
    for name, value in {"spark.log.level": "OFF", **dict(settings or {})}.items():
        builder = builder.config(name, value)
    if master is not None:
        builder = builder.master(master)
    with one_clear_error("opening a session"):
        try:
            return builder.getOrCreate()
        except RuntimeError as error:  # PySpark, where the process of Java has ended
            raise ClusterError(
                f"Spark could not be started: {str(error).splitlines()[0]}"
            ) from error


def check_installed() -> None:
    """Check that Spark can run here.

    Raises:
        InvalidArgumentError: pyspark or Java is not installed.
    """
    if find_spec("pyspark") is None:
        raise InvalidArgumentError(f"coldtune spark needs pyspark: {_EXTRA}")
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and (Path(home) / "bin" / "java").exists()):
        raise InvalidArgumentError(
            "Spark needs Java 17 or later, and there is no program java on the PATH and no "
            "JAVA_HOME (Debian: apt-get install default-jre-headless)"
        )


def check_columns(table: "DataFrame", needed: tuple[str, ...], what: str) -> None:
    """Raise InvalidArgumentError if a table has no such columns."""
    missing = [name for name in needed if name not in table.columns]
    if missing:
        there = ", ".join(map(format_value, table.columns[:12])) or "none"
        raise InvalidArgumentError(f"{what}: column {missing[0]!r} missing; there are: {there}")


@contextmanager
def whole_folder(spark: "SparkSession", out: str, *, overwrite: bool) -> Iterator[str]:
    """Yield where to write, so that a folder is there whole or not at all.

    Args:
        spark: a session.
        out: the folder.
        overwrite: put what is written in the place of what is there, once all of it is written.

    Raises:
        InvalidArgumentError: something is there already.
    """
    system, path = hadoop_path(spark, out)
    place = target = out.rstrip("/")
    if system.exists(path) and (system.isFile(path) or len(system.listStatus(path))):
        if not overwrite:
            raise InvalidArgumentError(
                f"{out}: exists already; name another folder, or overwrite it"
            )
        target = f"{place}.{uuid.uuid4().hex[:8]}.writing"
    try:
        yield target
    except BaseException:
        with suppress(Exception):  # what has gone wrong before is what is told
            system.delete(hadoop_path(spark, target)[1], True)
        raise
    if target != place:
        system.delete(path, True)
        system.rename(hadoop_path(spark, target)[1], path)


def hadoop_path(spark: "SparkSession", place: str) -> tuple[Any, Any]:
    """Return the file system of a path, and the path, as objects of Hadoop."""
    path = spark._jvm.org.apache.hadoop.fs.Path(place)
    return path.getFileSystem(spark._jsc.hadoopConfiguration()), path


def read_cluster_table(spark: "SparkSession", place: str) -> "DataFrame":
    """Read a table on any file system: CSV with a header by its name, else Parquet.

    Raises:
        DataError: nothing is there, or it cannot be read.
        ClusterError: its file system cannot be reached.
    """
    with one_clear_error(f"reading {place}"):
        if place.rstrip("/").endswith((".csv", ".csv.gz", ".tsv")):
            separator = "\t" if place.rstrip("/").endswith(".tsv") else ","
            return spark.read.csv(place, header=True, sep=separator, quote='"', escape='"')
        return spark.read.parquet(place)


def read_table_if_there(spark: "SparkSession", place: str) -> "DataFrame | None":
    """Read a folder of Parquet files on any file system; None if it is not there or empty."""
    from pyspark.errors import AnalysisException

    try:
        return spark.read.parquet(place)
    except AnalysisException as error:
        if error.getCondition() in ("PATH_NOT_FOUND", "UNABLE_TO_INFER_SCHEMA"):
            return None
        raise
