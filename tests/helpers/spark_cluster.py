"""A standalone cluster of Spark on this machine: a master, two workers, and a session on it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.kills import PATIENCE_SECONDS, children_of
from tests.helpers.programs import find_program, missing_reason, no_wheel_reason

_OPENED = ("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "util", "util.concurrent",
           "util.concurrent.atomic")  # fmt: skip
_JAVA = [
    "-Xmx256m", "-Xss4m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "-Djdk.reflect.useDirectMethodHandle=false",
    *(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED),
    *(f"--add-opens=java.base/{name}=ALL-UNNAMED"
      for name in ("jdk.internal.ref", "sun.nio.ch", "sun.nio.cs", "sun.security.action",
                   "sun.util.calendar")),
]  # fmt: skip
"""What Spark's own script gives the master and workers, and settings that save processor time."""

QUICK_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


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
            with _gone_is_fine():
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def busy_worker(self) -> str:
        """The name of a worker that has an executor with a process of Python."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            for name, process in self.processes.items():
                if name != "master" and len(children_of(process.pid)) > 1:
                    return name
            time.sleep(0.05)
        raise AssertionError("no worker has an executor")


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        pass


@contextmanager
def standalone_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A master and workers with a core each, ended at the end."""
    cluster = Cluster("", folder)
    try:
        cluster.processes["master"] = _start(
            folder, "master", "org.apache.spark.deploy.master.Master",
            "--host", "127.0.0.1", "--port", "0", "--webui-port", "0",
        )  # fmt: skip
        found = _wait_for(folder / "master.log", r"Starting Spark master at (spark://\S+)")
        cluster.master = found.group(1)
        for number in range(workers):
            cluster.start_worker(f"worker-{number}")
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
