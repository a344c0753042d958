import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import ArtifactError
from embedding.hyperimage.store import ImageStore, prune

SHAPE = (1, 4, 5)
ROOT = Path(__file__).parents[3]


def pictures(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((number, *SHAPE), dtype=np.float32)


def test_what_was_added_is_found_by_recording_and_snippet(tmp_path: Path) -> None:
    one, two = pictures(3, 1), pictures(1, 2)
    with ImageStore(tmp_path, "kind", SHAPE) as store:
        assert store.add("one", one).tolist() == [0, 1, 2]
        assert store.add("two", two).tolist() == [3]
    with ImageStore(tmp_path, "kind", SHAPE) as store:
        found = store.find(["two", "unknown", "one", "two"])
        assert {name: rows.tolist() for name, rows in found.items()} == {
            "one": [0, 1, 2], "two": [3]
        }  # fmt: skip
        np.testing.assert_array_equal(store.images(found["one"][1:2])[0], one[1])
        np.testing.assert_array_equal(store.array(), np.concatenate([one, two]))
        assert len(store) == 4


def test_a_recording_is_written_once(tmp_path: Path) -> None:
    with ImageStore(tmp_path, "kind", SHAPE) as store:
        store.add("one", pictures(2, 1))
        assert store.add("one", pictures(2, 9)).tolist() == [0, 1]
        assert len(store) == 2
        np.testing.assert_array_equal(store.array(), pictures(2, 1))


def test_rows_that_follow_one_another_are_mapped_and_others_copied(tmp_path: Path) -> None:
    with ImageStore(tmp_path, "kind", SHAPE) as store:
        store.add("one", pictures(6))
        mapped, copied = store.images(np.arange(2, 5)), store.images(np.array([4, 0]))
    assert isinstance(mapped, np.memmap)
    assert not isinstance(copied, np.memmap)
    np.testing.assert_array_equal(mapped, pictures(6)[2:5])
    np.testing.assert_array_equal(copied, pictures(6)[[4, 0]])


def test_another_kind_is_another_store(tmp_path: Path) -> None:
    with ImageStore(tmp_path, "kind", SHAPE) as store:
        store.add("one", pictures(2))
    with ImageStore(tmp_path, "other kind", (3, 4, 5)) as store:
        assert store.find(["one"]) == {}
        assert store.array().shape == (0, 3, 4, 5)


def test_pictures_of_another_shape_are_refused(tmp_path: Path) -> None:
    with (
        ImageStore(tmp_path, "kind", SHAPE) as store,
        pytest.raises(ValueError, match=r"\(1, 4, 5\)"),
    ):
        store.add("one", np.zeros((2, 1, 5, 4), dtype=np.float32))


def test_a_damaged_row_costs_its_recording_alone(tmp_path: Path) -> None:
    with ImageStore(tmp_path, "kind", SHAPE) as store:
        for name in "abc":
            store.add(name, pictures(1, ord(name)))
        path = store.folder / "images.f32"
        content = bytearray(path.read_bytes())
        content[100] ^= 1  # rows are of 80 bytes: the second
        path.write_bytes(content)
        assert set(store.find("abc")) == {"a", "c"}
        # It is made again at the end; nothing that is known is written over.
        assert store.add("b", pictures(1, ord("b"))).tolist() == [3]
        assert {name: rows.tolist() for name, rows in store.find("abc").items()} == {
            "a": [0], "b": [3], "c": [2]
        }  # fmt: skip


def test_what_another_writer_adds_meanwhile_is_not_taken_for_damaged(
    tmp_path: Path, monkeypatch
) -> None:
    with ImageStore(tmp_path, "kind", SHAPE) as store, ImageStore(tmp_path, "kind", SHAPE) as other:
        store.add("one", pictures(1, 1))
        execute = store._execute

        def meanwhile(query: str, *values: str | int) -> list[tuple[int, ...]]:
            other.add("two", pictures(1, 2))
            return execute(query, *values)

        monkeypatch.setattr(store, "_execute", meanwhile)
        assert set(store.find(["one", "two"])) == {"one", "two"}
        assert set(other.find(["one", "two"])) == {"one", "two"}


def test_rows_that_no_index_knows_are_written_over(tmp_path: Path) -> None:
    """As a writer leaves them that is killed between writing and entering."""
    with ImageStore(tmp_path, "kind", SHAPE) as store:
        store.add("one", pictures(1, 1))
        with (store.folder / "images.f32").open("ab") as stream:
            stream.write(b"half a row")
        assert store.add("two", pictures(2, 2)).tolist() == [1, 2]
        np.testing.assert_array_equal(store.images(store.find(["two"])["two"]), pictures(2, 2))


def test_a_writer_that_fails_leaves_the_old_state(tmp_path: Path, monkeypatch) -> None:
    with ImageStore(tmp_path, "kind", SHAPE) as store:
        store.add("one", pictures(1, 1))

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(ImageStore, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.add("two", pictures(1, 2))
        monkeypatch.undo()
        assert set(store.find(["one", "two"])) == {"one"}
        assert store.add("two", pictures(1, 2)).tolist() == [1]


WRITER = """
import sys
import numpy as np
from embedding.hyperimage.store import ImageStore
folder, start, stop = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with ImageStore(folder, "kind", (1, 4, 5)) as store:
    for number in range(start, stop):
        store.add(str(number), np.full((2, 1, 4, 5), number, dtype=np.float32))
"""


def writer(folder: Path, start: int, stop: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(start), str(stop)], cwd=ROOT
    )


@pytest.mark.slow
def test_two_writers_and_a_killed_one(tmp_path: Path) -> None:
    """Two write some recordings in common, a third is killed: all that is known is right."""
    victim = writer(tmp_path, 1000, 100_000)
    others = [writer(tmp_path, 0, 300), writer(tmp_path, 200, 500)]
    deadline = time.monotonic() + 300
    indexes = list(tmp_path.glob("*/index.sqlite"))
    while not indexes or victim_rows(indexes[0]) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        indexes = list(tmp_path.glob("*/index.sqlite"))
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert [other.wait(timeout=300) for other in others] == [0, 0]
    with ImageStore(tmp_path, "kind", SHAPE) as store:
        names = [str(number) for number in range(2000)]
        found = store.find(names)
        assert found.keys() >= {str(number) for number in range(500)}
        assert "1001" in found
        for name, rows in found.items():
            assert (store.images(rows) == float(name)).all()
        every = np.concatenate(list(found.values()))
        assert len(np.unique(every)) == len(every) == 2 * len(found)


def victim_rows(index: Path) -> int:
    connection = sqlite3.connect(index, timeout=600)
    try:
        query = "SELECT COUNT(*) FROM recordings WHERE CAST(digest AS INTEGER) >= 1000"
        (count,) = connection.execute(query).fetchone()
    except sqlite3.OperationalError:  # no table yet
        return 0
    finally:
        connection.close()
    return int(count)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 4)), max_size=15))
def test_any_order_of_writing_gives_back_what_came_first(
    tmp_path_factory: pytest.TempPathFactory, added: list[tuple[str, int]]
) -> None:
    first: dict[str, np.ndarray] = {}
    folder = tmp_path_factory.mktemp("store")
    for number, (name, count) in enumerate(added):
        with ImageStore(folder, "kind", SHAPE) as store:
            store.add(name, pictures(count, number))
        first.setdefault(name, pictures(count, number))
    with ImageStore(folder, "kind", SHAPE) as store:
        found = store.find("abcdef")
        assert found.keys() == first.keys()
        for name, images in first.items():
            np.testing.assert_array_equal(store.images(found[name]), images)
        assert len(store) == sum(len(images) for images in first.values())


def test_pruning_removes_what_was_used_least_recently(tmp_path: Path) -> None:
    for age, kind in enumerate(("new", "middle", "old")):
        with ImageStore(tmp_path, kind, SHAPE) as store:
            store.add("one", pictures(1000))
        os.utime(store.folder, (1e9 - age, 1e9 - age))
    one = sum(path.stat().st_size for path in store.folder.iterdir())
    assert prune(tmp_path, 10 * one) == 0
    assert prune(tmp_path, 2 * one) == one
    assert not store.folder.exists()
    with ImageStore(tmp_path, "middle", SHAPE) as store:  # now the latest in use
        assert set(store.find(["one"])) == {"one"}
    assert prune(tmp_path, one) == one
    assert [path.parent for path in tmp_path.glob("*/index.sqlite")] == [store.folder]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ArtifactError, match="cannot be made"):
        ImageStore(tmp_path, "kind", SHAPE)


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="file: the cache cannot be made there"):
        ImageStore(tmp_path / "file", "kind", SHAPE)
