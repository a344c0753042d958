"""``coldtune encoder``, as somebody types it."""

import json

import pytest

from embedding.encoders.musicnn.weights import REQUIREMENT, weights_file


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDTUNE_CACHE", str(tmp_path / "cache"))


def test_the_list_says_how_to_get_it(call):
    said = call("encoder", "list")
    assert said.code == 0
    names, row = (line.split("\t") for line in said.out.splitlines())
    assert dict(zip(names, row, strict=True)) == {
        "name": "musicnn",
        "description": "MusiCNN, trained on 50 tags of 200,000 songs of the Million Song Dataset",
        "licence": "ISC",
        "fetched": "no",
        "how": "coldtune encoder get musicnn",
    }
    (facts,) = json.loads(call("encoder", "list", "--json").out)
    assert (facts["fetched"], facts["file"]) == (False, None)


def test_after_it_was_fetched(call, musicnn_fetched, monkeypatch):
    monkeypatch.setenv("COLDTUNE_CACHE", str(musicnn_fetched))
    (facts,) = json.loads(call("encoder", "list", "--json").out)
    assert facts["fetched"] is True
    assert facts["how"] == "--encoder musicnn"
    assert facts["file"] == str(weights_file())
    said = call("encoder", "get", "musicnn")
    assert (said.code, said.out) == (0, f"musicnn is there already: {weights_file()}\n")
    told = json.loads(call("encoder", "get", "musicnn", "--json").out)
    assert told == {"name": "musicnn", "file": str(weights_file()), "fetched_now": False}


def test_errors_are_one_line(call, tmp_path):
    wrong = call("encoder", "get", "muiscnn")
    assert wrong.code == 1
    assert wrong.err == (
        "error: no encoder 'muiscnn' can be fetched; did you mean 'musicnn'?; there are: musicnn\n"
    )
    (tmp_path / "other.whl").write_bytes(b"PK")
    other = call("encoder", "get", "musicnn", "--wheel", tmp_path / "other.whl")
    assert other.code == 1
    assert other.err.startswith(f"error: {tmp_path / 'other.whl'}: is not the wheel {REQUIREMENT}")
    assert other.err.count("\n") == 1
