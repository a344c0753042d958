"""Models in a folder: nothing that changes one waits for ever, whatever is checked meanwhile."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.errors import ArtifactError, BusyError, ReplacedError
from datasets.system.locks import locked
from recsys import Recommender
from recsys.model import artifact, state, storage

NEW = np.eye(8, dtype=np.float32)[1]
PLAYS = pd.DataFrame({"user_id": ["new"], "item_id": ["item-1"], "weight": [1.0]})

WRITERS: dict[str, Callable[[Recommender, Path], object]] = {
    "onboard": lambda one, _: one.onboard(embedding=NEW, item_id="written"),
    "update": lambda one, _: one.update(PLAYS),
    "remove": lambda one, _: one.remove("item-2"),
    "save": lambda one, folder: one.save(folder),
    "rebuild": lambda one, _: one.rebuild(),
    "refresh": lambda one, _: one.refresh(),
}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture(scope="module")
def saved(
    fit_quickly: Callable[..., Recommender], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    fit_quickly().save(folder)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def run(*works: Callable[[], object]) -> list[BaseException]:
    """Do things in threads at once; return what they raised. Fails where one has no end."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(works))

    def do(work: Callable[[], object]) -> None:
        try:
            start.wait()
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=do, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    return errors


@pytest.mark.parametrize("kind", WRITERS)
def test_whatever_first_uses_a_large_changed_song_database_ends(
    model: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The check that was put off runs in the midst of it, and other writers go on."""
    monkeypatch.setattr(storage, "LARGE_CHANGED", 0)
    monkeypatch.setenv("COLDTUNE_LOCK_SECONDS", "30")
    Recommender.load(model).onboard(embedding=NEW, item_id="first")
    opened, other = Recommender.load(model), Recommender.load(model)
    assert run(lambda: WRITERS[kind](opened, model)) == []
    other.refresh()
    assert run(lambda: other.onboard(embedding=NEW, item_id="later")) == []
    assert opened.refresh()
    for one in (opened, Recommender.load(model)):
        assert {"first", "later"} <= {song.item_id for song in one._fitted().catalog.songs()}
        assert one.info["now"] == other.info["now"]


def test_a_check_that_was_put_off_and_a_change_do_not_wait_for_each_other(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LARGE_CHANGED", 0)
    monkeypatch.setenv("COLDTUNE_LOCK_SECONDS", "30")
    Recommender.load(model).onboard(embedding=NEW, item_id="first")
    for number in range(3):
        opened = Recommender.load(model)
        catalog = opened._fitted().catalog
        assert run(
            lambda opened=opened, number=number: opened.onboard(embedding=NEW, item_id=f"{number}"),
            lambda catalog=catalog: list(catalog.songs()),
            lambda catalog=catalog: catalog.verify(),
            lambda opened=opened: opened.refresh(),
            lambda: Recommender.load(model),
        ) == []  # fmt: skip
    assert Recommender.load(model).info["onboarded"] == 4


@pytest.mark.parametrize("kind", [name for name in WRITERS if name != "refresh"])
def test_a_writer_that_waits_for_another_process_ends_and_says_for_whom(
    model: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    opened, other = Recommender.load(model), Recommender.load(model)
    monkeypatch.setenv("COLDTUNE_LOCK_SECONDS", "0.01")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:  # two descriptors of a file are as two processes
        with locked(model / ".lock", "rebuilding the model"):
            held.set()
            done.wait(60)

    def write() -> None:
        assert held.wait(60)
        try:
            with pytest.raises(BusyError, match=r"model: thread .* has been rebuilding the model"):
                WRITERS[kind](opened, model)
            assert not opened.refresh()  # readers go on
        finally:
            done.set()

    assert run(hold, write) == []
    monkeypatch.delenv("COLDTUNE_LOCK_SECONDS")
    WRITERS[kind](opened, model)
    other.refresh()
    other.onboard(embedding=NEW, item_id="late")


def test_a_reader_whose_model_another_process_has_rebuilt(model: Path, tmp_path: Path) -> None:
    reader = Recommender.load(model)
    asked = Recommender.load(model)
    writer = Recommender.load(model)
    writer.onboard(item_id="written", embedding=NEW)
    writer.rebuild()
    for one in (reader, asked):
        one._fitted().catalog.close()  # as in a forked child: files are opened again
    report = asked.write_recommendations(tmp_path / "lists.parquet", k=2)
    assert report.rows == 2 * report.users
    with pytest.raises(ReplacedError, match=r"model: the model was replaced .* refresh it$"):
        reader.save(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "manifest.json").exists()
    assert reader.refresh()
    reader.save(tmp_path / "elsewhere")
    assert (
        "written"
        in Recommender.load(tmp_path / "elsewhere").recommend("x", 500)["item_id"].tolist()
    )


# ------------------------------------------------------------------ what follows from the arrays


@pytest.fixture
def large(
    fit_quickly: Callable[..., Recommender], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A model that is saved as those with very many plays are."""
    monkeypatch.setattr(state, "_LARGE", 1)
    fit_quickly().save(tmp_path / "large")
    return tmp_path / "large"


def test_a_large_model_is_saved_with_what_its_plays_by_item_are(large: Path, saved: Path) -> None:
    computed, stored = (Recommender.load(one).live.state for one in (saved, large))
    assert "plays_by_item" in vars(stored)
    assert "plays_by_item" not in vars(computed)
    for one, other in zip(stored.plays_by_item, computed.plays_by_item, strict=True):
        assert one.tolist() == other.tolist()
    assert stored.user_grams.keys() == computed.user_grams.keys()
    for name, gram in computed.user_grams.items():
        np.testing.assert_allclose(stored.user_grams[name], gram, rtol=1e-12)
    for one, other in zip(stored.user_moments, computed.user_moments, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_plays_change_a_large_model_as_any_other(large: Path, model: Path) -> None:
    lists = []
    for folder in (large, model):
        recommender = Recommender.load(folder)
        recommender.update(PLAYS.assign(user_id=["user-1"]))
        lists.append(recommender.recommend_many(["user-1", "user-2"], k=20))
    pd.testing.assert_frame_equal(*lists)


def test_a_rebuilt_large_model_has_plays_by_item_of_its_own(large: Path) -> None:
    recommender = Recommender.load(large)
    before = len(recommender.live.state.plays_by_item.data)
    recommender.update(PLAYS)
    recommender.rebuild()
    rebuilt = Recommender.load(large).live.state
    assert len(rebuilt.plays_by_item.data) == before + 1 == rebuilt.plays.nnz


def test_plays_by_item_that_are_of_other_plays_are_refused(large: Path) -> None:
    loaded = Recommender.load(large).live.state
    generation = next(path.parent for path in large.glob("*/derived_plays_by_item_indptr.npy"))
    starts = np.array(loaded.plays_by_item.indptr)
    starts[0] = starts[-1] + 1
    np.save(generation / "derived_plays_by_item_indptr.npy", starts)
    with pytest.raises(ValueError, match="by item"):
        loaded._read_derived(generation)


# ------------------------------------------------------------------ the manifest


def test_the_generation_is_that_of_the_manifest_as_it_is_now(model: Path) -> None:
    first = artifact.read_generation(model)
    assert first == artifact.read_manifest(model)["generation"]
    Recommender.load(model).save(model, replace=True)
    assert artifact.read_generation(model) == artifact.read_manifest(model)["generation"] != first
    manifest = model / artifact.MANIFEST
    manifest.write_text(manifest.read_text().replace('"generation"', '"gen"'))
    with pytest.raises(ArtifactError, match="manifest"):
        artifact.read_generation(model)
