"""One clear line in the place of the engine's stack traces."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import datasets.errors as errors
from datasets.errors import ClusterError, ColdtuneError

_OWN = re.compile(r"^\s*(?:Caused by: )?datasets\.errors\.(\w+): (.+)$", re.MULTILINE)
"""An error of this library that was raised on a worker, as its traceback ends."""

_KNOWN: tuple[tuple[str, type[ColdtuneError], str], ...] = (
    (
        r"PYTHON_VERSION_MISMATCH\].*?has different version[: (]*([\d., ]+?)\)? than that in "
        r"driver[: (]*([\d., ]+\d)",
        ClusterError,
        "Python {0} on a worker and {1} here: all machines need the same version; PYSPARK_PYTHON "
        "names the one to use",
    ),
    (
        r'Cannot run program "(.+?)"',
        ClusterError,
        "a worker has no program {0}: PYSPARK_PYTHON must name the Python that all workers have",
    ),
    (
        r"ModuleNotFoundError: No module named '([\w.]+)'",
        ClusterError,
        "the Python of a worker has no module {0}: install coldtune[spark] on all machines, or "
        "name the Python that has it with PYSPARK_PYTHON",
    ),
    (r"No space left on device", ClusterError, "a disk is full: No space left on device"),
    (r"Disk quota exceeded", ClusterError, "a disk is full: its quota is exceeded"),
    (
        r"\[PATH_NOT_FOUND\] Path does not exist: (.+?)\. SQLSTATE",
        errors.DataError,
        "{0}: does not exist",
    ),
    (
        r"\[PATH_ALREADY_EXISTS\] Path (\S+) already exists",
        errors.InvalidArgumentError,
        "{0}: exists already; name another folder, or remove it",
    ),
    (
        r"Could not read footer for file: (?:FileStatus\{path=)?([^;,\s]+)",
        errors.DataError,
        "{0}: is damaged, or no Parquet file",
    ),
    (
        r"Encountered error while reading file (\S+?)\. ",
        errors.DataError,
        "{0}: cannot be read; it is damaged, or not what its name says",
    ),
    (
        r"Class (org\.apache\.hadoop\.fs\.\S+) not found",
        ClusterError,
        "the file system cannot be reached: this Spark lacks the class {0}, which its settings "
        "spark.jars.packages can bring",
    ),
    (
        r'No FileSystem for scheme "(\w+)"',
        ClusterError,
        "there is no file system {0}://; Spark knows those that are configured for Hadoop",
    ),
    (
        r"UnknownHostException: (?:Invalid host name: )?[\w ]*?([\w.-]+)(?:[;:\n]|$)",
        ClusterError,
        "the file system cannot be reached: there is no machine {0}",
    ),
    (
        r"Call From \S+ to (\S+) failed on (?:connection|socket timeout) exception",
        ClusterError,
        "the file system cannot be reached: {0} does not answer",
    ),
    (
        r"(?:All masters are unresponsive|Could not parse Master URL|Master removed our)[^\n]*",
        ClusterError,
        "the cluster cannot be reached: is its address right, and its master running?",
    ),
    (
        r"Cannot call methods on a stopped SparkContext|SparkContext was shut down",
        ClusterError,
        "the session of Spark has ended: its cluster cannot be reached, or it was stopped",
    ),
    (r"Job \d+ cancelled|was cancelled", ClusterError, "the job was cancelled"),
    (
        r"OutOfMemoryError: ([\w ]+)",
        ClusterError,
        "a machine of the cluster has not enough memory ({0}); spark.executor.memory and "
        "spark.driver.memory raise it",
    ),
    (r"(?:Mkdirs failed to create|Permission denied[:]?) (\S+)", ClusterError,
     "{0}: a worker cannot write there"),
)  # fmt: skip


@contextmanager
def one_clear_error(doing: str) -> Iterator[None]:
    """Turn what the engine raises in the body into an error of this library with one line.

    Args:
        doing: what is being done, for the message.

    Raises:
        ClusterError: or the error of this library that was raised on a worker.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError, ConnectionError) as error:
        raise clear_error(str(error), doing) from error


def clear_error(text: str, doing: str) -> ColdtuneError:
    """Return the error that a text of the engine tells of.

    Args:
        text: message and stack trace.
        doing: what was being done.

    Examples:
        >>> clear_error("...\\njava.io.IOException: No space left on device\\n\\tat ...", "lists")
        ClusterError('lists: a disk is full: No space left on device')
    """
    own = _OWN.findall(text)
    if own:
        name, message = own[-1]
        kind = getattr(errors, name, ClusterError)
        if not issubclass(kind, ColdtuneError) or issubclass(kind, OSError):
            kind = ClusterError
        found: ColdtuneError = kind(message.strip())
        return found
    for pattern, kind, sentence in _KNOWN:
        match = re.search(pattern, text, re.DOTALL if "MISMATCH" in pattern else 0)
        if match:
            return kind(f"{doing}: {sentence.format(*match.groups())}")
    causes = re.findall(r"^(?:Caused by)?: (.+)$", text, re.MULTILINE)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = [line for line in lines if re.match(r"^[\w.]*(Error|Exception): ", line)]
    told = causes[-1] if causes else last[-1] if last else lines[0] if lines else "no reason given"
    return ClusterError(f"{doing}: {told[:500]}")
