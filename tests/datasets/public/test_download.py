"""Downloads that resume and are checked."""

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import DataError
from datasets.public.download import download
from tests.helpers.file_server import CONTENT, Server, serving
from tests.helpers.folders import names_in

CHUNKS = 5 * 65_536  # bytes that came whole before a connection breaks


SHA1 = f"sha1:{hashlib.sha1(CONTENT).hexdigest()}"


def get(server: Server, path: Path, checksum: str = SHA1) -> None:
    download(server.url, path, checksum, progress=False)


def test_download(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    download(server.url, tmp_path / "songs.bin", SHA1)
    assert (tmp_path / "songs.bin").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["songs.bin"]
    captured = capsys.readouterr()
    assert "songs.bin" in captured.err
    assert captured.out == ""
    get(server, tmp_path / "songs.bin")
    assert len(server.asked) == 1  # it was there


def test_broken_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut_after, server.cuts = CHUNKS, 2
    get(server, tmp_path / "songs.bin")
    assert (tmp_path / "songs.bin").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={CHUNKS}-", f"bytes={2 * CHUNKS}-"]
    assert server.sent == len(CONTENT)  # no byte twice


@pytest.mark.slow
@settings(max_examples=15)
@given(
    cuts=st.lists(st.integers(0, len(CONTENT)), max_size=3),
    ranges=st.booleans(),
    etag=st.sampled_from(['"a"', 'W/"weak"', ""]),
)
def test_wherever_it_breaks_the_bytes_are_right(cuts: list[int], ranges: bool, etag: str) -> None:
    with serving() as server, TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.public.download.PAUSE", 0.0)
        server.ranges, server.etag = ranges, etag
        path = Path(folder) / "songs.bin"
        for cut in cuts:  # every call breaks at another place, and is refused after that
            server.cut_after, server.cuts, server.status, server.then = cut, 1, None, 404
            with suppress(DataError):
                get(server, path)
        server.cuts, server.status, server.then = 0, None, None
        get(server, path)
        assert path.read_bytes() == CONTENT
        assert names_in(Path(folder)) == ["songs.bin"]


def test_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "songs.bin"
    server.cut_after, server.cuts = CHUNKS, 1
    server.then = 404  # the first answer is cut and all later ones are refused
    with pytest.raises(DataError, match=f"404.*{CHUNKS:,} bytes are kept") as caught:
        get(server, path)
    assert "\n" not in str(caught.value)
    assert not path.exists()
    server.then = server.status = None
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={CHUNKS}-", f"bytes={CHUNKS}-"]
    assert names_in(tmp_path) == ["songs.bin"]


@pytest.mark.parametrize("breach", ["no ranges", "another part", "no version", "new file"])
def test_servers_that_cannot_resume(server: Server, tmp_path: Path, breach: str) -> None:
    server.cut_after, server.cuts = CHUNKS, 1
    if breach == "no ranges":
        server.ranges = False
    elif breach == "another part":
        server.wrong_part = True
    elif breach == "no version":
        server.etag = ""
    else:
        # The file changes while it is fetched: If-Range makes the server send the new one whole.
        part = tmp_path / ".songs.bin.part"
        part.write_bytes(b"old" * 1000)
        part.with_name(".songs.bin.part.version").write_text('"another"')
    get(server, tmp_path / "songs.bin")
    assert (tmp_path / "songs.bin").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["songs.bin"]


@pytest.mark.parametrize(("extra", "asked"), [(0, 1), (7, 2)])
def test_a_partial_file_that_is_whole_or_too_long(
    server: Server, tmp_path: Path, extra: int, asked: int
) -> None:
    part = tmp_path / ".songs.bin.part"
    part.write_bytes(CONTENT + b"x" * extra)
    part.with_name(".songs.bin.part.version").write_text(server.etag)
    get(server, tmp_path / "songs.bin")
    assert (tmp_path / "songs.bin").read_bytes() == CONTENT
    assert len(server.asked) == asked


def test_wrong_checksum(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "songs.bin"
    wrong = f"md5:{'0' * 32}"
    with pytest.raises(DataError, match="its checksum is not md5:000") as caught:
        get(server, path, wrong)
    assert server.url in str(caught.value)
    assert names_in(tmp_path) == []
    get(server, path)  # and nothing of it stands in the way
    assert path.read_bytes() == CONTENT


def test_without_a_published_checksum_the_first_download_counts(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "songs.bin"
    get(server, path, "")
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "songs.bin.sha256").read_text() == f"{digest}  songs.bin\n"
    path.write_bytes(b"damaged")
    get(server, path, "")  # fetched again
    assert path.read_bytes() == CONTENT
    path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(DataError, match=f"not sha256:{digest}, that of the first download"):
        get(server, path, "")


@pytest.mark.parametrize("status", [403, 404, 503])
def test_server_refuses(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(DataError, match=f"cannot be downloaded: {status}") as caught:
        get(server, tmp_path / "songs.bin")
    assert "\n" not in str(caught.value)
    assert len(server.asked) == (1 if status < 500 else 5)


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.public.download.PAUSE", 0.0)
    server = Server()
    server.server_close()
    with pytest.raises(DataError, match="cannot be downloaded"):
        get(server, tmp_path / "songs.bin")


def test_no_space_left(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match="1,000 bytes free; 1,048,576 more are needed"):
        get(server, tmp_path / "songs.bin")
