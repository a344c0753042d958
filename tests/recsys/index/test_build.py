"""Building an index: target recall, the method of `auto`, files of other vectors."""

import errno
import json
import shutil
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest

from datasets.errors import ArtifactError, DiskFullError
from recsys.config import RetrievalConfig
from recsys.index.annoy import AnnoyIndex
from recsys.index.build import build_index, index_files, needs_index_files, open_index
from recsys.index.exact import ExactIndex
from tests.helpers.indexes import FITTED, ITEMS, NONE


@pytest.mark.slow
@pytest.mark.parametrize("method", ["screened", "pruned", "annoy"])
def test_the_target_recall_is_reached_on_queries_that_it_was_not_tuned_on(tmp_path, method):
    rng = np.random.default_rng(1)
    items = rng.standard_normal((3000, 16)).astype(np.float32)
    items *= rng.lognormal(0, 0.5, (3000, 1)).astype(np.float32)  # length matters: not cosine
    users, others = rng.standard_normal((2, 300, 16)).astype(np.float32)
    config = RetrievalConfig(method=method, target_recall=0.9)
    index, info = open_index(items, build_index(items, users, tmp_path, config, seed=0), 1)
    assert info["method"] == method
    assert info["queries"] == 150
    assert 0.9 <= info["recall"] <= 1
    found, best = (i.search(others, 10, None, NONE) for i in (index, ExactIndex(items)))
    recall = np.mean(
        [
            np.isin(best.item[best.query == q], found.item[found.query == q]).mean()
            for q in range(300)
        ]
    )
    assert recall == pytest.approx(info["recall"], abs=0.03)
    exact = (items[found.item] * others[found.query]).sum(axis=1)
    assert found.score == pytest.approx(exact, abs=1e-4)


def test_annoy_that_misses_the_target_says_so(tmp_path, caplog):
    rng = np.random.default_rng(2)
    items, users = rng.standard_normal((2, 4000, 24)).astype(np.float32)
    config = RetrievalConfig(method="annoy", n_trees=1, search_k=20)
    sidecar = build_index(items, users, tmp_path, config, seed=0)
    index, info = open_index(items, sidecar, 1)
    assert info["recall"] < 0.9
    assert (info["n_trees"], info["search_k"]) == (1, 20)
    assert "less than the target" in caplog.text
    assert isinstance(index, AnnoyIndex)


@pytest.mark.slow
def test_auto_takes_annoy_only_where_little_is_told_from_the_best(tmp_path):
    rng = np.random.default_rng(3)
    # Tight clusters of equally long items, all of which a bound by length must look at.
    centres = rng.standard_normal((40, 8))
    items = np.repeat(centres, 500, axis=0) + 0.05 * rng.standard_normal((20_000, 8))
    items = (items / np.linalg.norm(items, axis=1, keepdims=True)).astype(np.float32)
    users = np.float32(centres[rng.integers(40, size=100)] + 0.05 * rng.standard_normal((100, 8)))
    config = RetrievalConfig(exact_up_to=1000, target_recall=0.9)
    sidecar = build_index(items, users, tmp_path, config, seed=0)
    assert json.loads(sidecar.read_text())["method"] == "annoy"
    assert {path.name for path in tmp_path.iterdir()} == {"index-facts.json", "index.annoy"}
    (tmp_path / "b").mkdir()
    items *= rng.pareto(1.5, (20_000, 1)).astype(np.float32) + 0.01
    sidecar = build_index(items, users, tmp_path / "b", config, seed=0)
    assert json.loads(sidecar.read_text())["method"] == "screened"


@pytest.mark.parametrize("method", ["screened", "pruned", "annoy"])
def test_an_index_of_other_vectors_is_refused(sidecars, method):
    for others in (ITEMS[:299], ITEMS[:300, :5], ITEMS[100:400], -FITTED):
        with pytest.raises(ArtifactError, match="does not belong to this model"):
            open_index(others, sidecars[method], 1)


@pytest.mark.parametrize("method", ["screened", "pruned", "annoy"])
def test_an_index_that_was_changed_is_refused(sidecars, method, tmp_path):
    for path in index_files(sidecars[method]):
        shutil.copy(path, tmp_path)
    sidecar = tmp_path / sidecars[method].name
    open_index(FITTED, sidecar, 1)
    for path in index_files(sidecar)[1:]:
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[len(changed) // 2] ^= 1
        for content in (bytes(changed), whole[:-1], b""):
            path.write_bytes(content)
            with pytest.raises(ArtifactError, match="does not belong to this model"):
                open_index(FITTED, sidecar, 1)
        path.write_bytes(whole)
    text = sidecar.read_text()
    for wrong in ("{", "[]", "{}", text.replace(f'"method": "{method}"', '"method": "faiss"')):
        sidecar.write_text(wrong)
        with pytest.raises(ArtifactError, match="index"):
            open_index(FITTED, sidecar, 1)
    sidecar.unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_index(FITTED, sidecar, 1)


def test_auto_searches_exactly_up_to_a_size():
    auto = RetrievalConfig(method="auto", exact_up_to=299)
    assert needs_index_files(300, auto)
    assert not needs_index_files(299, auto)
    assert not needs_index_files(10**9, auto.replace(method="exact"))
    assert needs_index_files(1, auto.replace(method="annoy"))
    assert needs_index_files(1, auto.replace(method="pruned"))
    assert open_index(FITTED, None, 1)[1] == {"method": "exact"}


# ------------------------------------------------------------------ full disks


@pytest.mark.parametrize("method", ["screened", "pruned", "annoy"])
def test_a_full_disk_is_one_line_that_says_how_much_is_needed(tmp_path, method, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10, 5, 500))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(DiskFullError) as caught:
        build_index(FITTED, ITEMS, tmp_path, RetrievalConfig(method=method), seed=0)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "bytes are needed, 500 bytes are free" in message
    assert "TMPDIR" in message


WRITE_UNTIL_FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from recsys.config import RetrievalConfig
from recsys.index import build_index
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
items = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
try:
    build_index(items, items[:50], Path(sys.argv[1]), RetrievalConfig(method=sys.argv[2]), seed=0)
except OSError as error:
    print("OSError", error.errno)
"""


@pytest.mark.parametrize("method", ["screened", "pruned", "annoy"])
def test_a_disk_that_fills_up_under_way_is_an_error_and_no_signal(tmp_path, method):
    command = [sys.executable, "-c", WRITE_UNTIL_FULL, str(tmp_path), method]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"OSError {errno.EFBIG}\n")
