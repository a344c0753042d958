"""A standalone cluster of Spark on this machine: a master, two workers, and a session on it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.kills import PATIENCE_SECONDS, children_of
from tests.helpers.programs import find_program, missing_reason, no_wheel_reason

_OPENED = ("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "util", "util.concurrent",
           "util.concurrent.atomic")  # fmt: skip
_UNVERIFIED = ("-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote")
"""Spark's classes are sound; each start of Java would check thousands of them."""

_JAVA = [
    "-Xmx256m", "-Xss4m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *_UNVERIFIED,
    "-Djdk.reflect.useDirectMethodHandle=false",
    *(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED),
    *(f"--add-opens=java.base/{name}=ALL-UNNAMED"
      for name in ("jdk.internal.ref", "sun.nio.ch", "sun.nio.cs", "sun.security.action",
                   "sun.util.calendar")),
]  # fmt: skip
"""What Spark's own script gives the master and workers, and settings that save processor time."""

QUICK_JAVA = " ".join(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *_UNVERIFIED])

_FOR_LITTLE_DATA = {
    # Java that is compiled for a query takes longer than the query.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}


def what_is_missing() -> str:
    """Say why there can be no cluster here; "" where there can be one."""
    if find_program("java") is None:
        return missing_reason("java")
    if find_spec("pyspark") is None:
        return no_wheel_reason("pyspark")
    return ""


needs_spark = pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing())
"""Mark tests that run Spark."""


@dataclass
class Cluster:
    """A running cluster."""

    master: str
    """Its address."""
    folder: Path
    """Where its processes work, and where their logs are."""
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    workers: int = 2
    """How many workers there are where none was killed."""
    _started: int = 0

    def complete(self) -> None:
        """Start workers in the place of those that were killed."""
        while len(self.processes) < 1 + self.workers:
            self._started += 1
            self.start_worker(f"worker-{self._started}")

    def start_worker(self, name: str) -> None:
        """Start a worker with one core, and wait until the master knows it."""
        self.processes[name] = _start(
            self.folder, name, "org.apache.spark.deploy.worker.Worker",
            "--cores", "1", "--memory", "1g", "--host", "127.0.0.1", "--port", "0",
            "--webui-port", "0", "--work-dir", str(self.folder / f"{name}-work"), self.master,
        )  # fmt: skip
        _wait_for(self.folder / f"{name}.log", r"Successfully registered with master")

    def kill_worker(self, name: str) -> None:
        """Kill a worker, its executor and that one's processes, all at once, by their ids."""
        process = self.processes.pop(name)
        below = children_of(process.pid)
        for pid in [process.pid, *below]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def kill_worker_of(self, pid: int) -> None:
        """Kill the worker below which a process runs: the others do what is left."""
        for name, process in list(self.processes.items()):
            if name != "master" and pid in children_of(process.pid):
                self.kill_worker(name)
                return
        raise AssertionError(f"process {pid} is below no worker")


class Gate:
    """Holds one task of a job until another thread has done something in the middle of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = str(folder)

    def arm(self) -> None:
        """From now on the first task that comes is held."""
        (Path(self.folder) / "armed").touch()

    def open(self) -> None:
        """Let the task go."""
        (Path(self.folder) / "open").touch()

    def in_front_of(self, table: Any) -> Any:
        """The table, whose rows pass here."""
        return table.mapInArrow(self.hold, table.schema)

    def hold(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Run in a worker's process: the first task waits, others and its next attempt do not."""
        place = Path(self.folder)
        for number, batch in enumerate(batches):
            if number == 0 and batch.num_rows and (place / "armed").exists():
                claim = place / f"claim-{os.getpid()}"
                claim.write_text(str(os.getpid()))
                with suppress(FileExistsError):
                    os.link(claim, place / "held")
                    while not (place / "open").exists():
                        time.sleep(0.02)
            yield batch

    def held(self) -> int:
        """Wait until a task is held; return its process."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            with suppress(FileNotFoundError):
                return int((Path(self.folder) / "held").read_text())
            time.sleep(0.02)
        raise AssertionError("no task came")


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail after a long time."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.02)


@contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread while the body runs; raise what it raised."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if problems:
        raise problems[0]


@pytest.fixture(scope="session")
def spark_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master and two workers on this machine, for all tests of a process."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def complete_cluster(spark_cluster: Cluster) -> Cluster:
    """The cluster with all its workers, one of which a test may kill."""
    spark_cluster.complete()
    return spark_cluster


@pytest.fixture(scope="session")
def spark(spark_cluster: Cluster) -> Iterator[Any]:
    """A session on the cluster."""
    from pyspark.sql import SparkSession

    from recsys.cluster import open_cluster

    if before := SparkSession.getActiveSession():
        before.stop()  # that of examples
    session = open_cluster(
        spark_cluster.master, session_settings(spark_cluster.folder, **_FOR_LITTLE_DATA)
    )
    yield session
    session.stop()


@pytest.fixture
def example_spark(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A session for examples: the one that is open, or one in a process of its own."""
    if reason := what_is_missing():
        pytest.skip(reason)
    from pyspark.sql import SparkSession

    from recsys.cluster import open_cluster

    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    before = SparkSession.getActiveSession()
    return before or open_cluster("local[2]", session_settings(tmp_path_factory.mktemp("spark")))


@contextmanager
def standalone_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A master and workers with a core each, ended at the end."""
    cluster = Cluster("", folder, workers=workers)
    try:
        cluster.processes["master"] = _start(
            folder, "master", "org.apache.spark.deploy.master.Master",
            "--host", "127.0.0.1", "--port", "0", "--webui-port", "0",
        )  # fmt: skip
        found = _wait_for(folder / "master.log", r"Starting Spark master at (spark://\S+)")
        cluster.master = found.group(1)
        cluster.complete()
        yield cluster
    finally:
        for name in list(cluster.processes):
            cluster.kill_worker(name)


def session_settings(folder: Path, **more: str) -> Mapping[str, str]:
    """Settings of a session for small data on this machine."""
    return {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.executor.memory": "512m",
        "spark.driver.extraJavaOptions": QUICK_JAVA,
        "spark.executor.extraJavaOptions": QUICK_JAVA,
        "spark.executorEnv.PYTHONPATH": str(Path(__file__).parents[2]),
        "spark.executorEnv.COLDTUNE_CACHE": str(folder / "cache"),
        "spark.local.dir": str(folder / "local"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.hadoop.ipc.client.connect.max.retries": "0",
        "spark.sql.shuffle.partitions": "4",
        "spark.default.parallelism": "4",
        "spark.shuffle.io.maxRetries": "1",
        "spark.shuffle.io.retryWait": "100ms",
        "spark.excludeOnFailure.enabled": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.cleaner.referenceTracking": "false",
        **more,
    }


def _start(folder: Path, name: str, what: str, *arguments: str) -> "subprocess.Popen[bytes]":
    import pyspark

    home = Path(pyspark.__file__).parent
    java = find_program("java")
    assert java is not None
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_SCALA_VERSION": "2.13",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        # Workers must find what this process imports, and threads that it limits.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [java, *_JAVA, "-cp", f"{home}/jars/*", what, *arguments],
            stdout=log, stderr=log, cwd=folder, env=environment,
        )  # fmt: skip


def _wait_for(log: Path, pattern: str) -> "re.Match[str]":
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if found := re.search(pattern, log.read_text(errors="replace")):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{log}: no line {pattern!r}:\n{log.read_text(errors='replace')[-2000:]}")
