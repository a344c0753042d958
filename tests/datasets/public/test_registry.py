"""Public data sets by name."""

import json

import pytest
from typer.testing import CliRunner

from datasets.errors import InvalidArgumentError
from datasets.public.registry import NAMES, public_dataset
from recsys.cli import app


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
