"""API keys: made once, stored as digests, compared, taken out; and the commands that do so."""

import json
import stat
from pathlib import Path

import pytest

from datasets.errors import DataError, InvalidArgumentError
from recsys.service.requests.keys import KeyFile
from tests.helpers.commands import Call


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "of" / "keys.json")


def test_a_token_is_known_by_its_digest_alone(keys: KeyFile) -> None:
    token = keys.add("player", "read")
    assert len(token) > 43  # 256 bits
    text = keys.path.read_text()
    assert token not in text
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    key = keys.identify(token)
    assert key is not None
    assert (key.name, key.role) == ("player", "read")
    for other in ("", token[:-1], token + "x", "ct_" + "é" * 999, "\ud800"):
        assert keys.identify(other) is None


def test_roles(keys: KeyFile) -> None:
    reader, writer = (keys.identify(keys.add(role, role)) for role in ("read", "write"))
    assert reader is not None
    assert writer is not None
    assert [reader.allows("read"), reader.allows("write")] == [True, False]
    assert [writer.allows("read"), writer.allows("write")] == [True, True]


def test_another_process_changes_the_file(keys: KeyFile) -> None:
    other = KeyFile(keys.path)
    assert other.keys() == ()
    token = keys.add("player", "read")
    assert other.identify(token) is not None
    keys.remove("player")
    assert other.identify(token) is None


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65, "é", "<b>"])
def test_names_that_cannot_be(keys: KeyFile, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="the name of a key"):
        keys.add(name, "read")


def test_what_cannot_be(keys: KeyFile) -> None:
    keys.add("player", "read")
    with pytest.raises(InvalidArgumentError, match="there is a key 'player' already"):
        keys.add("player", "write")
    with pytest.raises(InvalidArgumentError, match="no key 'playr'; did you mean 'player'"):
        keys.remove("playr")
    with pytest.raises(InvalidArgumentError, match="role must be read or write"):
        keys.add("x", "admin")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": "coldtune-keys", "version": 2, "keys": []}', "[" * 99999],
)
def test_another_file(keys: KeyFile, content: str) -> None:
    keys.path.parent.mkdir()
    keys.path.write_text(content)
    with pytest.raises(DataError, match="is no file of keys"):
        keys.identify("ct_1")


def test_a_role_that_is_none(keys: KeyFile) -> None:
    keys.add("player", "read")
    document = json.loads(keys.path.read_text())
    document["keys"][0]["role"] = "admin"
    keys.path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="key 'player': its role"):
        keys.keys()


def test_commands(tmp_path: Path, call: Call) -> None:
    file = tmp_path / "keys.json"
    added = call("key", "add", "player", "--role", "write", "--keys", file)
    assert added.code == 0
    assert KeyFile(file).identify(added.out.strip()) is not None
    assert added.out.strip() not in added.err
    listed = json.loads(call("key", "list", "--keys", file, "--json").out)
    assert [(one["name"], one["role"]) for one in listed] == [("player", "write")]
    assert call("key", "add", "player", "--role", "read", "--keys", file).code == 1
    assert call("key", "remove", "player", "--keys", file).code == 0
    assert call("key", "list", "--keys", file).out == ""
