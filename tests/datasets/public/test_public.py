"""Public data sets: consent, downloads that resume and are checked, conversion, the cache.

A server on this machine stands in for the publishers; it keeps to the rules of HTTP or, where a
test wants that, breaks them.
"""

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from datasets.errors import DataError, InvalidArgumentError
from datasets.folder import load_folder
from datasets.public.base import PublicDataset, RemoteFile, fetch
from datasets.public.conversion import (
    find_input,
    read_lines,
    report_skipped,
    text_frame,
    write_items,
    write_no_interactions,
)
from datasets.public.download import download
from datasets.public.registry import NAMES, public_dataset
from recsys.cli import app

CONTENT = bytes(range(256)) * 4096  # 1 MiB
CHUNKS = 5 * 65_536  # bytes that came whole before a connection breaks
SHA1 = f"sha1:{hashlib.sha1(CONTENT).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Serves ``content``, and remembers what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag = '"first"'
        self.ranges = True
        self.cut_after: int | None = None  # break the connection after so many bytes
        self.cuts = 0  # how often
        self.status: int | None = None
        self.then: int | None = None  # the status of all answers after the first
        self.wrong_part = False
        self.asked: list[str | None] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/songs.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if server.status is not None:
            self.send_error(server.status)
            return
        server.status = server.then
        start = 0
        if wanted is not None and server.ranges and self.headers["If-Range"] == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            first = 0 if server.wrong_part else start
            total = len(server.content)
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cut_after is not None and server.cuts > 0:
            server.cuts -= 1
            body = body[: server.cut_after]
        self.wfile.write(body)
        server.sent += len(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("datasets.public.download.PAUSE", 0.0)
    with serving() as server:
        yield server


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(server: Server, path: Path, checksum: str = SHA1) -> None:
    download(server.url, path, checksum, progress=False)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


@settings(max_examples=15, deadline=None)
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


def convert(source: Path, target: Path) -> None:
    """A line of the one published file is an item; "broken" ones are left out."""
    rows, left_out = [], []
    for number, line in read_lines(find_input(source, "list.txt")):
        item_id, _, title = line.partition("\t")
        if not title:
            raise DataError(f"{source / 'list.txt'}, line {number}: no title")
        if title == "broken":
            left_out.append((item_id, "broken"))
        else:
            rows.append((item_id, title))
    report_skipped(target, left_out)
    write_items(target, text_frame(rows, ("item_id", "title")))
    write_no_interactions(target)


LIST = '\ufeffa\tAlpha\r\nb\tbroken\r\nc\tGamma, the "third"\r\n'.encode()


@pytest.fixture
def dataset(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublicDataset:
    monkeypatch.setenv("COLDTUNE_CACHE", str(tmp_path / "cache"))
    server.content = LIST
    checksum = f"sha256:{hashlib.sha256(LIST).hexdigest()}"
    return PublicDataset(
        name="toy",
        title="A toy",
        description="Two songs.",
        citation="A. Author: Toys. 2001.",
        licence="CC BY 9.0",
        homepage="http://localhost/toy",
        files=(RemoteFile("list.txt", server.url, checksum, len(LIST)),),
        convert=convert,
    )


def test_fetch(
    dataset: PublicDataset,
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert dataset.size == len(LIST)
    with pytest.raises(InvalidArgumentError, match="terms of toy were not accepted"):
        fetch(dataset, progress=False)
    shown = capsys.readouterr().err
    for part in ("A toy", "CC BY 9.0", "A. Author: Toys. 2001."):
        assert part in shown
    assert server.asked == []  # before anything was fetched

    music = fetch(dataset, accept_licence=True, progress=False)
    assert music.items["item_id"].tolist() == ["a", "c"]
    assert music.items["title"].tolist() == ["Alpha", 'Gamma, the "third"']
    assert music.root == tmp_path / "cache" / "public" / "toy"
    assert (music.root / "left-out.csv").read_text() == "what,why\nb,broken\n"
    assert "left out: b (broken)" in caplog.text
    about = json.loads((music.root / "about.json").read_text())
    assert (about["licence"], about["citation"]) == ("CC BY 9.0", "A. Author: Toys. 2001.")
    capsys.readouterr()

    again = fetch(dataset, progress=False)  # read, without consent or network
    assert again.digest() == music.digest() == load_folder(music.root).digest()
    assert len(server.asked) == 1
    assert capsys.readouterr().err == ""


def test_consent_is_remembered_until_the_terms_change(
    dataset: PublicDataset, tmp_path: Path
) -> None:
    asked: list[str] = []

    def consent(of: PublicDataset) -> bool:
        asked.append(of.licence)
        return of.licence == "CC BY 9.0"

    fetch(dataset, tmp_path / "one", accept_licence=consent, progress=False)
    fetch(dataset, tmp_path / "two", accept_licence=consent, progress=False)
    assert asked == ["CC BY 9.0"]
    with pytest.raises(InvalidArgumentError, match="not accepted"):
        fetch(
            replace(dataset, licence="pay"),
            tmp_path / "three",
            accept_licence=consent,
            progress=False,
        )
    assert asked == ["CC BY 9.0", "pay"]
    assert not (tmp_path / "three").exists()


def test_a_newer_converter_converts_again(dataset: PublicDataset, server: Server) -> None:
    first = fetch(dataset, accept_licence=True, progress=False)

    def shout(source: Path, target: Path) -> None:
        write_items(target, text_frame([("a", "ALPHA")], ("item_id", "title")))
        write_no_interactions(target)

    second = fetch(replace(dataset, convert=shout, version=2), progress=False)
    assert second.items["title"].tolist() == ["ALPHA"]
    assert second.root == first.root
    assert first.root is not None
    assert len(server.asked) == 1
    assert names_in(first.root) == ["about.json", "interactions.csv", "items.csv"]
    assert names_in(first.root.parent) == ["toy"]


def test_files_at_hand(
    dataset: PublicDataset, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "mine"
    source.mkdir()
    (source / "list.txt").write_bytes(LIST)
    music = fetch(dataset, tmp_path / "out", source=source, progress=False)
    assert len(music.items) == 2
    assert server.asked == []
    assert "another file" not in caplog.text
    (source / "list.txt").write_bytes(b"a\tAlpha\n")
    other = fetch(dataset, tmp_path / "repacked", source=source, progress=False)
    assert len(other.items) == 1
    assert "list.txt is another file than was published: its sha256 differs" in caplog.text
    (source / "list.txt").write_bytes(b"a\tAlpha\nb\n")
    with pytest.raises(DataError, match=r"list\.txt, line 2: no title"):
        fetch(dataset, tmp_path / "other", source=source, progress=False)
    assert not (tmp_path / "other").exists()
    assert not list(tmp_path.glob(".other*partial"))
    with pytest.raises(DataError, match=r"has no list\.txt"):
        fetch(dataset, tmp_path / "other", source=tmp_path / "out", progress=False)
    with pytest.raises(DataError, match="is not a folder"):
        fetch(dataset, tmp_path / "other", source=source / "list.txt", progress=False)


def test_files_that_must_be_asked_for(dataset: PublicDataset, tmp_path: Path) -> None:
    asked_for = replace(dataset, files=(), by_hand="Write to Ann.")
    with pytest.raises(InvalidArgumentError, match=r"toy must be asked for. Write to Ann\."):
        fetch(asked_for, tmp_path / "out", accept_licence=True)
    assert asked_for.size is None


def test_a_converter_that_makes_no_data_set(dataset: PublicDataset, tmp_path: Path) -> None:
    def twice(source: Path, target: Path) -> None:
        write_items(target, text_frame([("a", "A"), ("a", "B")], ("item_id", "title")))
        write_no_interactions(target)

    with pytest.raises(DataError, match="'a' is there already"):
        fetch(
            replace(dataset, convert=twice),
            tmp_path / "out",
            accept_licence=True,
            progress=False,
        )
    assert names_in(tmp_path) == ["cache"]


def test_no_space_left(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match="1,000 bytes free; 1,048,576 more are needed"):
        get(server, tmp_path / "songs.bin")


def test_an_interrupted_conversion_is_taken_up_again(
    dataset: PublicDataset, tmp_path: Path
) -> None:
    seen: list[list[str]] = []

    def slow(source: Path, target: Path) -> None:
        seen.append(names_in(target))
        (target / "half").touch()
        if len(seen) == 1:
            raise KeyboardInterrupt
        convert(source, target)

    slowly = replace(dataset, convert=slow)
    with pytest.raises(KeyboardInterrupt):
        fetch(slowly, tmp_path / "out", accept_licence=True, progress=False)
    assert not (tmp_path / "out").exists()
    assert len(fetch(slowly, tmp_path / "out", progress=False).items) == 2
    assert seen == [[], ["half"]]


def test_two_at_once_fetch_once(dataset: PublicDataset, server: Server, tmp_path: Path) -> None:
    begun: list[Path] = []

    def slow(source: Path, target: Path) -> None:
        begun.append(target)
        time.sleep(0.1)
        convert(source, target)

    slowly = replace(dataset, convert=slow)

    def get_it(_number: int) -> str:
        return fetch(slowly, tmp_path / "out", accept_licence=True, progress=False).digest()

    with ThreadPoolExecutor(3) as threads:
        assert len(set(threads.map(get_it, range(3)))) == 1
    assert len(begun) == len(server.asked) == 1


def test_a_folder_of_something_else_is_left_alone(dataset: PublicDataset, tmp_path: Path) -> None:
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds something else than toy"):
        fetch(dataset, folder, accept_licence=True, progress=False)
    (folder / "about.json").write_text('{"name": "another", "version": 1}')
    with pytest.raises(DataError, match="holds something else than toy"):
        fetch(dataset, folder, accept_licence=True, progress=False)
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\xc2\x85still\n\nl\xe9")
    found = read_lines(path)
    assert [next(found), next(found), next(found)] == [(1, "one"), (2, "two\x85still"), (3, "")]
    with pytest.raises(DataError, match=r"text, line 4: byte 0xe9 is not utf-8"):
        next(found)
    assert [text for _, text in read_lines(path, "latin-1")][3] == "lé"


@pytest.mark.parametrize("name", NAMES)
def test_every_set_says_what_it_is(name: str) -> None:
    found = public_dataset(name)
    assert found.name == name
    for text in (found.title, found.description, found.citation, found.licence):
        assert text.strip() == text != ""
    assert found.homepage.startswith("http")
    assert found.files or found.by_hand
    names = [file.name for file in found.files]
    assert len(set(names)) == len(names)
    for file in found.files:
        assert file.url.startswith("http")
        kind, _, digest = file.checksum.partition(":")
        assert len(digest) == {"": 0, "md5": 32, "sha1": 40, "sha256": 64}[kind]


def test_unknown_set() -> None:
    with pytest.raises(InvalidArgumentError, match="no data set 'mp3'; there are: homburg, gtzan"):
        public_dataset("mp3")


def test_command_list() -> None:
    said = CliRunner().invoke(app, ["data", "list"]).stdout
    assert [line.split()[0] for line in said.splitlines()[1:]] == list(NAMES)
    rows = json.loads(CliRunner().invoke(app, ["data", "list", "--json"]).stdout)
    by_name = {row["name"]: row for row in rows}
    assert list(by_name) == list(NAMES)
    assert by_name["music4all"]["how"] == "on request"
    assert by_name["music4all"]["by_hand"] != ""
    assert by_name["gtzan"]["files"][0]["name"] == "genres.tar.gz"


def test_command_get(
    dataset: PublicDataset, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.public.registry.public_dataset", {"toy": dataset}.__getitem__)
    out = str(tmp_path / "out")
    # Nobody at a terminal accepts nothing.
    refused = CliRunner().invoke(app, ["data", "get", "toy", "--folder", out])
    assert isinstance(refused.exception, InvalidArgumentError)
    assert "A. Author: Toys. 2001." in refused.stderr
    assert server.asked == []
    got = CliRunner().invoke(app, ["data", "get", "toy", "--folder", out, "--accept-licence"])
    assert got.stdout == f"2 items, 0 recordings, 0 interactions in {out}\n"
    again = CliRunner().invoke(app, ["data", "get", "toy", "--folder", out, "--json"])
    assert json.loads(again.stdout)["folder"] == out
    assert json.loads(again.stdout)["n_items"] == 2
    assert len(server.asked) == 1
