"""What the engine says at length, in one line; and that nothing else needs the engine."""

import subprocess
import sys

import pytest

from datasets.errors import ArtifactError, ClusterError, DataError
from recsys.cluster.problems import clear_error

JAVA = "\n\tat org.apache.spark.scheduler.Task.run(Task.scala:147)\n\tat java.base/java.lang.Thread"


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("x" + JAVA + "\nCaused by: java.io.IOException: No space left on device" + JAVA,
         ClusterError, "a disk is full"),
        ("Traceback\n  File ...\ndatasets.errors.ArtifactError: on the worker w1: it is damaged\n"
         + JAVA, ArtifactError, "on the worker w1: it is damaged"),
        ("[PYTHON_VERSION_MISMATCH] Python in worker has different version: 3.10 than that in "
         "driver: 3.11, PySpark cannot run", ClusterError, "Python 3.10 on a worker and 3.11 here"),
        ('java.io.IOException: Cannot run program "python9": error=2' + JAVA,
         ClusterError, "no program python9"),
        ("ModuleNotFoundError: No module named 'recsys'" + JAVA, ClusterError, "no module recsys"),
        ("[PATH_NOT_FOUND] Path does not exist: file:/a/b.parquet. SQLSTATE: 42K03",
         DataError, "file:/a/b.parquet: does not exist"),
        ("Encountered error while reading file file:/a/part-1.parquet. SQLSTATE: KD001" + JAVA,
         DataError, "file:/a/part-1.parquet: cannot be read"),
        ('org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme "ab"',
         ClusterError, "no file system ab://"),
        ("java.lang.OutOfMemoryError: Java heap space" + JAVA, ClusterError, "not enough memory"),
        ("An error occurred while calling o6.parquet.\n: org.apache.spark.SparkException: Something"
         " odd" + JAVA, ClusterError, "doing it: org.apache.spark.SparkException: Something odd"),
        ("", ClusterError, "no reason given"),
    ],
)  # fmt: skip
def test_a_stack_trace_becomes_a_line(text, kind, words):
    error = clear_error(text, "doing it")
    assert type(error) is kind
    assert words in str(error)
    assert "\n" not in str(error)


def test_the_engine_is_imported_by_its_own_jobs_alone():
    script = (
        "import sys, recsys, recsys.cli, recsys.cluster, recsys.commands.spark\n"
        "from recsys import Recommender, RecommenderConfig\n"
        "import recsys.cluster.session, recsys.cluster.lists, recsys.cluster.embedding\n"
        "import recsys.cluster.plays, recsys.cluster.factors\n"
        "print(sorted(m for m in sys.modules if m.startswith(('pyspark', 'py4j'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_without_java_or_pyspark_a_command_says_what_to_install(call, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    said = call("spark", "plays", "log.parquet", "--out", "out")
    assert said.code == 1
    assert "Java 17" in said.err or "pip install 'coldtune[spark]'" in said.err
    monkeypatch.setattr("recsys.cluster.session.find_spec", lambda name: None)
    said = call("spark", "lists", "model", "--out", "out")
    assert (said.code, "pip install 'coldtune[spark]'" in said.err) == (1, True)
