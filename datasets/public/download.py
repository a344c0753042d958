"""Download large files: checked, with progress, resumed after an interruption.

Pooch keeps and checks the files; the transfer is ours, because pooch restarts every download from
the beginning.
"""

import os
import shutil
import time
from pathlib import Path
from typing import Any, Final

from datasets.errors import DataError
from datasets.progress import progress_bar
from datasets.system.files import file_digest, write_text

_CHUNK: Final = 1 << 16  # what came of the last one is lost when a transfer breaks
_TIMEOUT: Final = (15.0, 60.0)
_ATTEMPTS: Final = 5
PAUSE = 2.0
"""Seconds added to the wait before each further attempt that brought nothing."""


def download(
    url: str, path: Path, checksum: str, *, size: int | None = None, progress: bool = True
) -> None:
    """Download a file to `path`, unless it is there and correct.

    An interrupted transfer leaves `.NAME.part`; the next call requests only the rest (RFC 9110,
    Range with If-Range) and starts again where the server does not support that.

    Args:
        url: the address.
        path: where the file goes.
        checksum: `sha256:…`, `sha1:…` or `md5:…` in hex; "" if none is published: then the
            SHA-256 of the first download is kept beside the file and later ones must match.
        size: bytes, for the progress bar if the server does not say.
        progress: show a progress bar.

    Raises:
        DataError: if the file cannot be downloaded, or its checksum differs.
    """
    import pooch

    seen = path.with_name(f"{path.name}.sha256")
    expected = checksum or (f"sha256:{seen.read_text().split()[0]}" if seen.exists() else "")
    getter = _Resuming(path.with_name(f".{path.name}.part"), size, progress)
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(
            url, known_hash=expected or None, fname=path.name, path=path.parent, downloader=getter
        )
    except ValueError as error:  # what pooch raises for a wrong checksum
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{url} is not the file that was expected: its checksum is not {expected}"
            + ("" if checksum else f", that of the first download; delete {path} to take the new")
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from None
    if not checksum and not seen.exists():
        write_text(seen, f"{file_digest(path)}  {path.name}\n")


class _Resuming:
    """A downloader as pooch calls it: downloads to `part`, then moves that to its place."""

    def __init__(self, part: Path, size: int | None, progress: bool) -> None:
        self._part = part
        self._version = part.with_name(f"{part.name}.version")
        self._size = size
        self._progress = progress

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        """Download to the temporary file that pooch names."""
        import requests

        failures = 0
        while True:
            before = self._have()
            try:
                self._fetch(url)
                break
            except (requests.RequestException, _ShortError) as error:
                status = getattr(getattr(error, "response", None), "status_code", None)
                failures = 1 if self._have() > before else failures + 1
                if failures >= _ATTEMPTS or (status is not None and status < 500):
                    raise DataError(_reason(url, error, self._have())) from None
                time.sleep(PAUSE * (failures - 1))
        os.replace(self._part, output_file)  # noqa: PTH105 (pooch gives a str)
        self._version.unlink(missing_ok=True)

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _fetch(self, url: str) -> None:
        import requests

        have = self._have()
        # Without a version identifier, parts of two versions could be joined: start again.
        version = self._version.read_text() if self._version.exists() else ""
        headers = {"Accept-Encoding": "identity"}
        if have and version:
            headers |= {"Range": f"bytes={have}-", "If-Range": version}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                # Everything is there, or the file is another one by now.
                if answer.headers.get("Content-Range", "") == f"bytes */{have}":
                    return
                self._part.unlink()
                raise _ShortError("the partial download does not fit the file; beginning anew")
            answer.raise_for_status()
            place = answer.headers.get("Content-Range", "")
            going_on = answer.status_code == requests.codes.partial_content
            if going_on and not place.startswith(f"bytes {have}-"):
                self._part.unlink(missing_ok=True)
                raise _ShortError(f"the server sent {place or 'another part'}, not the rest")
            done = have if going_on else 0
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length else self._size
            self._check_space(total, have)
            write_text(self._version, _version_of(answer.headers))
            with self._part.open("ab" if going_on else "wb") as stream:
                self._copy(answer, stream, done, total)
        if length and self._have() != total:
            raise _ShortError(f"{self._have():,} of {total:,} bytes came")

    def _check_space(self, total: int | None, have: int) -> None:
        free = shutil.disk_usage(self._part.parent).free
        if total is not None and total - have > free:
            raise DataError(
                f"{self._part.parent} has {free:,} bytes free; {total - have:,} more are needed"
            )

    def _copy(self, answer: Any, stream: Any, done: int, total: int | None) -> None:
        title = self._part.name.removeprefix(".").removesuffix(".part")
        with progress_bar(title, total, shown=self._progress, done=done, in_bytes=True) as advance:
            for chunk in answer.iter_content(_CHUNK):
                stream.write(chunk)
                advance(len(chunk))


class _ShortError(Exception):
    """The server sent less than announced, or another part than requested."""


def _version_of(headers: Any) -> str:
    """Return a value for If-Range: a strong entity tag, else the modification date, else ""."""
    tag = str(headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(headers.get("Last-Modified", ""))


def _reason(url: str, error: Exception, have: int) -> str:
    kept = f"; {have:,} bytes are kept, the next call goes on from there" if have else ""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{url} cannot be downloaded: {text}{kept}"
