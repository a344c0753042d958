"""The command line `coldtune`: registers the commands, and prints errors as one line."""

import errno
import io
import logging
import os
import resource
import signal
import sys
import warnings
from typing import Annotated, NoReturn

import typer

from datasets.errors import ColdtuneError
from datasets.system.temporary import remove_left_overs
from datasets.texts.safe_text import hide_password, printable, printable_lines
from datasets.versions import package_versions
from recsys.commands import demo, playlist, recommend, serve, spark
from recsys.commands.audio import compose, recording
from recsys.commands.catalogue import onboard, songs, tag, watch
from recsys.commands.evaluation import evaluate, genre
from recsys.commands.training import data, encoder, train

_ENDS = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""Signals that ask a process to end."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (
    demo.demo,
    train.train,
    recommend.recommend,
    recommend.similar,
    recommend.audience,
    recommend.recommend_all,
    recommend.explain,
    playlist.playlist,
    onboard.onboard,
    onboard.predict,
    watch.watch,
    tag.tag,
    serve.serve,
    serve.listens,
    onboard.update,
    onboard.remove,
    onboard.rebuild,
    evaluate.tune,
    evaluate.evaluate,
    train.info,
    songs.map,
    songs.songs,
    recording.record,
    recording.picture,
    genre.genre_cv,
    compose.compose,
    train.architecture,
    train.fine_tune,
):
    app.command()(command)
app.add_typer(data.app, name="data")
app.add_typer(encoder.app, name="encoder")
app.add_typer(serve.key_app, name="key")
app.add_typer(spark.spark_app, name="spark")


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"coldtune {package_versions(['coldtune']).get('coldtune', 'unknown')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Recommend music, songs that nobody has played yet included."""
    _check_address_space()


def main() -> None:
    """Run the command line; errors are printed as one line, with an exit code other than 0."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Titles with characters that the terminal's encoding lacks are escaped.
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    warnings.formatwarning = _format_warning
    for number in _ENDS:
        if signal.getsignal(number) is signal.SIG_DFL:  # and not ignored, as under nohup
            signal.signal(number, _end)
    remove_left_overs()
    # Waiting threads sleep: on a busy machine, threads that spin take time from those that work
    # (docs/decisions.md). OpenMP reads this when it is loaded, later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A tracker that does not answer is reported in one line, by recsys.tracking.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        code = app(standalone_mode=False)
        if code == 130:  # what Typer makes of Ctrl-C
            raise KeyboardInterrupt
        _flush()
        sys.exit(code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except _Ended as ended:
        # For whoever waits for this process, it ends by the signal.
        os.kill(os.getpid(), ended.args[0])
    except ColdtuneError as error:
        _fail(str(error), 1)
    except BrokenPipeError:
        _flush()
        sys.exit(_PIPE_CLOSED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO):
            _fail(f"nothing more can be written: {error.strerror}", 1)
        if hasattr(error, "format_message"):  # a usage error of the command line itself
            message = error.format_message()
            if not message:  # the help was printed already
                sys.exit(2)
            _fail(message, 2)
        if os.environ.get("COLDTUNE_DEBUG"):
            raise
        if _is_out_of_memory(error):
            _fail("there is not enough memory for this", 1)
        if isinstance(error, OSError) and error.strerror:
            names = [str(name) for name in (error.filename, error.filename2) if name is not None]
            _fail(": ".join([*names, error.strerror]), 1)
        first = (str(error) or "no message").splitlines()[0]
        _fail(f"unexpected {type(error).__name__}: {first} (COLDTUNE_DEBUG=1 shows where)", 70)


def _flush() -> None:
    """Write out what was printed; a reader who wants no more of it ends the program quietly."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would try again when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_PIPE_CLOSED)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"nothing more can be written: {error.strerror}", 1)


_PIPE_CLOSED = 128 + signal.SIGPIPE
"""The exit code of a program that a closed pipe has ended, as the shell reports it."""


def _end(number: int, frame: object) -> NoReturn:
    """End in order when asked to from outside: what is half done is undone, as for Ctrl-C."""
    signal.signal(number, signal.SIG_DFL)
    raise _Ended(number)


class _Ended(BaseException):
    """A signal has asked the process to end."""


_LEAST_ADDRESS_SPACE = 2 * 2**30
"""Bytes of addresses below which no command is begun: pyarrow, SciPy and PyTorch reserve more,
hardly any of which is memory."""


def _check_address_space() -> None:
    """Refuse a limit of addresses (`ulimit -v`) in which the libraries cannot even be loaded.

    Some of them do not say so: OpenBLAS asks for memory again without end, and others abort.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE:
        raise ColdtuneError(
            "there is not enough memory for this: its addresses are limited to "
            f"{limit // 2**20} MiB (ulimit -v), and its libraries need at least "
            f"{_LEAST_ADDRESS_SPACE // 2**20}"
        )


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused: each library has its own way to say so."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    words = (
        "failed to map segment",
        "allocate memory",
        "not enough memory",
        "bad_alloc",
        "can't start new thread",  # a stack for it cannot be had
    )
    if isinstance(error, ImportError | RuntimeError | OSError | SystemError):
        return any(word in str(error) for word in words)
    return error.__cause__ is not None and _is_out_of_memory(error.__cause__)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"error: {hide_password(printable(' '.join(message.split())))}\n")
    sys.exit(code)


def _format_warning(message: Warning | str, *_where: object, **_line: object) -> str:
    return f"warning: {hide_password(printable(' '.join(str(message).split())))}\n"


class _Printable(logging.Formatter):
    """Log messages, with the names in them made safe for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return hide_password(printable_lines(super().format(record)))


if __name__ == "__main__":
    main()
