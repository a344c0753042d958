"""Fetching public data sets: consent, conversion, the cache, the command."""

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
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
from recsys.cli import app
from tests.helpers.file_server import Server
from tests.helpers.folders import names_in


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
