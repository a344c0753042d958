"""Two who have one model open: what each does to what the other was told is done.

Two recommenders that opened one folder are to its files what two processes are. For every pair of
actions, either both are kept, or the second is refused in one line; nothing is lost in silence.
"""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.errors import ArtifactError, ColdtuneError, InvalidArgumentError
from datasets.music import MusicDataset
from recsys import Recommender
from tests.helpers.recommenders import QUICK

Tastes = tuple[MusicDataset, pd.DataFrame]

WEIGHTS = {"als": 0.5, "content": 0.5}
CONFIG = QUICK.replace(
    sources=("als", "content"), als={"factors": 4}, fusion={"warm": WEIGHTS, "cold": WEIGHTS}
)
"""Few files: these models are opened and saved hundreds of times."""
KEPT, REFUSED, NOTHING, GOES = "kept", "refused", "nothing", "goes"


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture(scope="module")
def saved(tastes: Tastes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model, and beside it what a training over it would save."""
    dataset, embeddings = tastes
    folder = tmp_path_factory.mktemp("saved")
    for name, seed in (("model", 0), ("trained", 1)):
        Recommender(CONFIG.replace(seed=seed)).fit(dataset, embeddings=embeddings).save(
            folder / name
        )
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved / "model", tmp_path / "model"))


class Writer:
    """Somebody who has the model open, and whose changes can be told from those of others."""

    def __init__(self, name: str, model: Path, saved: Path, number: int) -> None:
        self.name, self.folder, self.number = name, model, number
        self.recommender = Recommender.load(model)
        self._trained = saved / "trained"

    def onboard(self) -> None:
        vector = np.random.default_rng(self.number).standard_normal(8).astype(np.float32)
        self.recommender.onboard(embedding=vector, item_id=f"song of {self.name}")

    def update(self) -> None:
        plays = {"user_id": [f"user of {self.name}"], "item_id": ["item-1"], "weight": [1.0]}
        self.recommender.update(pd.DataFrame(plays))

    def remove(self) -> None:
        self.recommender.remove(f"item-{self.number}")

    def refresh(self) -> None:
        self.recommender.refresh()

    def save(self) -> None:
        self.recommender.save(self.folder)

    def rebuild(self) -> None:
        self.recommender.rebuild()

    def train(self) -> None:
        """What ``coldtune train --replace`` does in the end."""
        self.recommender = Recommender.load(self._trained)
        self.recommender.save(self.folder, replace=True)

    def act(self, action: str) -> None:
        getattr(self, action)()

    def is_there(self, action: str, recommender: Recommender) -> bool:
        """Whether what this one was told is done is in a model."""
        state = recommender._fitted()
        ids = set(state.items.ids(state.items.active))
        if action == "onboard":
            stored = {song.item_id for song in state.catalog.songs()}
            return f"song of {self.name}" in ids & stored
        if action == "update":
            row = state.users.row(f"user of {self.name}")
            return row is not None and state.items.ids(state.users.seen(row)).tolist() == ["item-1"]
        if action == "remove":
            return f"item-{self.number}" not in ids
        if action == "train":
            return bool(state.state.config.seed == 1)
        return True


ACTIONS = ("onboard", "update", "remove", "refresh", "save", "rebuild", "train")
CHANGES, REPLACES = ("onboard", "update", "remove"), ("save", "rebuild", "train")


def expected(first: str, second: str) -> str:
    """What becomes of the second action, after the first one of somebody else."""
    if second == "refresh":
        return NOTHING if first == "refresh" else KEPT
    if second == "train":  # --replace lets go what came since, and that alone
        return GOES if first in CHANGES else KEPT
    return REFUSED if first in REPLACES else KEPT


def same_everywhere(folder: Path, *writers: Writer) -> Recommender:
    """The model as it is loaded anew; all who refresh have the same."""
    loaded = Recommender.load(folder)
    wanted = loaded.recommend_many(["user-0", "user-1", "user-2"], k=12)
    for writer in writers:
        writer.recommender.refresh()
        assert not writer.recommender.refresh()
        found = writer.recommender.recommend_many(["user-0", "user-1", "user-2"], k=12)
        pd.testing.assert_frame_equal(found, wanted)
        assert writer.recommender.info["now"] == loaded.info["now"]
    assert len(list(folder.glob("g-*"))) == 1
    return loaded


@pytest.mark.parametrize("second", ACTIONS)
@pytest.mark.parametrize("first", ACTIONS)
def test_one_after_the_other(model: Path, saved: Path, first: str, second: str) -> None:
    one, two = Writer("one", model, saved, 2), Writer("two", model, saved, 3)
    one.act(first)
    outcome = expected(first, second)
    if outcome == REFUSED:
        before = Recommender.load(model)._fitted().generation
        with pytest.raises(ArtifactError, match="was replaced since it was opened; load it again"):
            two.act(second)
        assert Recommender.load(model)._fitted().generation == before
        assert one.is_there(first, Recommender.load(model))
        assert two.recommender.refresh()
    elif second == "refresh":
        assert two.recommender.refresh() == (outcome != NOTHING)
        assert one.is_there(first, two.recommender)
    two.act(second)
    loaded = same_everywhere(model, one, two)
    assert two.is_there(second, loaded)
    assert one.is_there(first, loaded) == (outcome != GOES)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True], ids=["two recommenders", "one recommender"])
@pytest.mark.parametrize("first", ACTIONS)
def test_at_the_same_time(model: Path, saved: Path, first: str, shared: bool) -> None:
    """Whatever the other one does: what was not refused is there, and all come to an end."""
    for second in ACTIONS[ACTIONS.index(first) :]:
        folder = Path(shutil.copytree(model, model.with_name(f"with-{second}")))
        writers = [Writer("one", folder, saved, 2), Writer("two", folder, saved, 3)]
        if shared:
            writers[1].recommender = writers[0].recommender
        done = at_once(list(zip(writers, (first, second), strict=True)))
        loaded = same_everywhere(folder, *writers)
        trained = "train" in (first, second) and all(done)
        for writer, action, was_done in zip(writers, (first, second), done, strict=True):
            if was_done and not (trained and action in CHANGES):
                assert writer.is_there(action, loaded), (first, second)


def at_once(acts: list[tuple[Writer, str]]) -> list[bool]:
    """Let writers act in threads; return which were not refused. Fails where one has no end."""
    start = threading.Barrier(len(acts))
    done: list[bool | BaseException] = [False] * len(acts)

    def act(number: int, writer: Writer, action: str) -> None:
        try:
            start.wait()
            writer.act(action)
            done[number] = True
        except ColdtuneError as error:
            if "was replaced since it was opened" not in str(error):
                done[number] = error
        except BaseException as error:
            done[number] = error

    threads = [
        threading.Thread(target=act, args=(number, *one), daemon=True)
        for number, one in enumerate(acts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one is True for one in done]


# ---------------------------------------------------------------------- other folders


def test_a_model_that_took_something_in_is_saved_over_only_where_that_is_asked_for(
    model: Path, saved: Path
) -> None:
    one = Writer("one", model, saved, 2)
    for action in CHANGES:
        one.act(action)
    fresh = Recommender.load(saved / "trained")
    message = (
        "would not have what came to this one after its fit "
        r"\(onboarded songs: 1, plays: 1, removed songs: 1\); replace=True lets it go"
    )
    with pytest.raises(InvalidArgumentError, match=message):
        fresh.save(model)
    assert all(one.is_there(action, Recommender.load(model)) for action in CHANGES)
    one.rebuild()
    with pytest.raises(InvalidArgumentError, match=r"\(rebuilds: 1\); replace=True lets it go"):
        fresh.save(model)
    fresh.save(model, replace=True)
    assert Recommender.load(model).config.seed == 1


def test_a_copy_that_has_it_all_is_saved_back(model: Path, saved: Path, tmp_path: Path) -> None:
    """Nothing is lost where the saved model has what came to the other one, and more."""
    one = Writer("one", model, saved, 2)
    for action in CHANGES:
        one.act(action)
    copy = Recommender.load(model)
    copy.save(tmp_path / "copy")
    copy.onboard(item_id="more", embedding=np.ones(8))
    later = Recommender.load(model)
    later.onboard(item_id="meanwhile", embedding=np.ones(8))
    with pytest.raises(InvalidArgumentError, match=r"\(onboarded songs: 1\); replace=True"):
        copy.save(model)
    later.remove("meanwhile")
    later.remove("item-5")
    with pytest.raises(InvalidArgumentError, match=r"\(removed songs: 1\); replace=True"):
        copy.save(model)
    again = Recommender.load(model)
    again.save(tmp_path / "copy-2")
    again.onboard(item_id="more", embedding=np.ones(8))
    again.save(model)
    loaded = Recommender.load(model)
    assert all(one.is_there(action, loaded) for action in CHANGES)
    assert loaded.info["onboarded"] == 2


def test_a_save_elsewhere_has_what_others_stored(model: Path, saved: Path, tmp_path: Path) -> None:
    one, two = Writer("one", model, saved, 2), Writer("two", model, saved, 3)
    for action in CHANGES:
        one.act(action)
    two.recommender.save(tmp_path / "copy")
    for recommender in (two.recommender, Recommender.load(tmp_path / "copy")):
        assert all(one.is_there(action, recommender) for action in CHANGES)
    two.onboard()  # into the copy, from now on
    assert not two.is_there("onboard", Recommender.load(model))
    assert two.is_there("onboard", Recommender.load(tmp_path / "copy"))


@pytest.mark.parametrize("way", ["a link", "a way around"])
def test_a_folder_by_another_name_is_the_same(
    model: Path, saved: Path, tmp_path: Path, way: str
) -> None:
    one, two = Writer("one", model, saved, 2), Writer("two", model, saved, 3)
    one.save()
    (tmp_path / "link").symlink_to(model)
    (tmp_path / "beside").mkdir()
    place = tmp_path / "link" if way == "a link" else tmp_path / "beside" / ".." / "model"
    with pytest.raises(ArtifactError, match="was replaced since it was opened; load it again"):
        two.recommender.save(place)


def test_a_copy_in_the_place_of_a_model_takes_nothing_from_those_who_have_the_old_one(
    model: Path, saved: Path, tmp_path: Path
) -> None:
    """A backup that is put back has the same generation, but not the same files."""
    backup = shutil.copytree(model, tmp_path / "backup")
    one = Writer("one", model, saved, 2)
    one.onboard()
    shutil.rmtree(model)
    shutil.copytree(backup, model)
    for action in ("update", "remove", "save", "rebuild"):
        with pytest.raises(ArtifactError, match="was replaced since it was opened; load it again"):
            one.act(action)
    assert one.is_there("onboard", one.recommender)  # its answers go on
    assert one.recommender.refresh()
    assert not one.is_there("onboard", one.recommender)
    one.update()
    assert one.is_there("update", Recommender.load(model))


def test_a_model_whose_folder_is_gone_can_be_saved_again(model: Path, saved: Path) -> None:
    one = Writer("one", model, saved, 2)
    one.onboard()
    shutil.rmtree(model)
    with pytest.raises(ArtifactError, match="there is no model here"):
        one.update()
    one.save()
    one.update()
    loaded = Recommender.load(model)
    assert one.is_there("onboard", loaded)
    assert one.is_there("update", loaded)


# ---------------------------------------------------------------------- answers under way


def test_readers_in_other_threads_never_notice(model: Path, saved: Path, tmp_path: Path) -> None:
    """One asks, lists to files and looks into the database while the model is saved and rebuilt."""
    one, done, errors = Writer("one", model, saved, 2), threading.Event(), []

    def read(number: int) -> None:
        try:
            while not done.is_set():
                state = one.recommender._fitted()
                one.recommender.recommend("user-1", k=5, where={"genre": "jazz"})
                one.recommender.write_recommendations(tmp_path / f"{number}.parquet", k=2)
                assert sum(1 for _ in state.catalog.songs()) >= 89
                (tmp_path / f"{number}.parquet").unlink()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    for action in ("onboard", "save", "update", "rebuild", "save", "rebuild"):
        one.act(action)
    done.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert errors == []


def test_a_song_is_not_added_to_a_model_that_hears_otherwise(
    model: Path, saved: Path, tastes: Tastes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its embedding would be of another space."""
    dataset, embeddings = tastes
    one = Writer("one", model, saved, 2)
    other = Recommender(CONFIG).fit(dataset, embeddings=embeddings.iloc[:, :4])
    from recsys import recommender as module

    build: Callable[..., object] = module.build_song

    def while_another_one_is_fitted(*arguments: object) -> object:
        song = build(*arguments)
        one.recommender._model, one.recommender._folder = other._model, None
        return song

    monkeypatch.setattr(module, "build_song", while_another_one_is_fitted)
    with pytest.raises(ArtifactError, match=r"hears otherwise .* onboard 'song of one' again"):
        one.onboard()
    monkeypatch.undo()
    one.recommender.onboard(item_id="song of one", embedding=np.ones(4))
