"""A private PostgreSQL server for tests: a folder of its own, a Unix socket, off afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "coldtune"
SERVER_S_USER = "nobody"
"""PostgreSQL refuses to run as root; then it runs as this one."""


def programs() -> Path | None:
    """The folder with initdb and pg_ctl; None where no server is installed."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    folders += [Path(folder) for folder in os.get_exec_path()]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    return None


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A running server; yields the URL of its database ``postgres``."""
    # A short path: that of a socket has at most about a hundred characters.
    place = Path(tempfile.mkdtemp(prefix="coldtune-pg-"))
    try:
        data, options = place / "data", f"-k {place} -c listen_addresses= -c fsync=off"
        if os.geteuid() == 0:
            shutil.chown(place, SERVER_S_USER)
        _run(folder / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        try:
            _run(folder / "pg_ctl", "-D", data, "-w", "-l", place / "log", "-o", options, "start")
            yield f"postgresql://{USER}@/postgres?host={place}"
        finally:
            _run(folder / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place)


def _run(*command: object) -> None:
    prefix = ["runuser", "-u", SERVER_S_USER, "--"] if os.geteuid() == 0 else []
    subprocess.run(
        [*prefix, *map(str, command)],
        check=True, timeout=600, cwd="/", stdout=subprocess.DEVNULL,
    )  # fmt: skip
