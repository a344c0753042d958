"""What other processes store is taken in step by step, and is the same as read from the start."""

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys import Recommender
from recsys.database.catalog import Catalog
from recsys.database.changes import LEAST_MERGED
from recsys.model.live import LiveModel


@pytest.fixture
def folder(example_model: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(example_model, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes each time that all changes are read from the start."""
    counted: list[int] = []
    whole = LiveModel._take_in_changes

    def noted(model: LiveModel) -> None:
        counted.append(1)
        whole(model)

    monkeypatch.setattr(LiveModel, "_take_in_changes", noted)
    return counted


def _plays(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user_id", "item_id"]).assign(weight=1.0)


def _check_same(reader: Recommender, folder: Path, users: list[str]) -> None:
    fresh = Recommender.load(folder)
    assert reader.live.revision == fresh.live.revision
    assert reader.live.counts() == fresh.live.counts()
    for user in users:
        own, wanted = (one.recommend(user, k=50, exclude_seen=False) for one in (reader, fresh))
        scores, others = own.set_index("item_id"), wanted.set_index("item_id")
        # Items of the same score may stand in another order.
        np.testing.assert_allclose(own["score"], wanted["score"], rtol=1e-4, atol=1e-5)
        others = others.loc[scores.index]
        np.testing.assert_allclose(scores["score"], others["score"], rtol=1e-4, atol=1e-5)
        assert scores["title"].tolist() == others["title"].tolist()
        assert scores["new"].tolist() == others["new"].tolist()


@pytest.mark.parametrize("seed", [0, 1])
def test_readers_and_writers_agree_after_every_change(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    programs = [Recommender.load(folder) for _ in range(3)]
    users = [*(f"u{number}" for number in range(5)), "ann", "bob"]
    songs: list[str] = []

    def onboard(one: Recommender) -> None:
        name = draw.choice([*songs, f"n{len(songs)}"])
        is_played = one.live.items.rows_or_none([name]).tolist()[0] >= 0 and name in played
        if is_played:
            return
        embedding = np.array([draw.random() for _ in range(4)])
        one.onboard(item_id=name, title=f"called {draw.random()}", embedding=embedding)
        songs.append(name)

    played: set[str] = set()

    def play(one: Recommender) -> None:
        there = one.live.items.ids(one.live.items.active).tolist()
        rows = [(draw.choice(users), draw.choice(there)) for _ in range(draw.randrange(1, 4))]
        played.update(item for _, item in rows)
        one.update(_plays(*rows), batch_id=draw.choice([None, f"b{draw.random()}"]))

    def correct(one: Recommender) -> None:
        there = one.live.items.ids(one.live.items.active).tolist()
        row = draw.choice(users), draw.choice(there)
        played.add(row[1])
        one.update(_plays(row).assign(weight=3.0), mode="replace")

    def remove(one: Recommender) -> None:
        one.remove(draw.choice(one.live.items.ids(one.live.items.active).tolist()))

    for number in range(40):
        one = draw.choice(programs)
        one.refresh()
        draw.choice([onboard, onboard, play, play, play, correct, remove])(one)
        for other in draw.sample(programs, draw.randrange(3)):
            other.refresh()
        if number % 8 == 7:
            for other in programs:
                other.refresh()
                _check_same(other, folder, users)


def test_songs_and_plays_are_added_without_reading_the_rest(
    folder: Path, read_again: list[int]
) -> None:
    writer, reader = Recommender.load(folder), Recommender.load(folder)
    read_again.clear()
    for number in range(5):
        writer.onboard(item_id=f"n{number}", embedding=[1, 0, number, 0])
        reader.update(_plays(("ann", f"n{number}"), ("u1", "s1")))
        assert writer.refresh()
        writer.update(_plays(("bob", f"n{number}")), batch_id=f"b{number}")
        writer.update(_plays(("bob", "s2")).assign(weight=number + 1.0), mode="replace")
        assert reader.refresh()
    assert read_again == []
    _check_same(reader, folder, ["ann", "bob", "u1"])
    _check_same(writer, folder, ["ann", "bob", "u1"])


def test_a_removal_or_a_song_told_anew_is_read_from_the_start(
    folder: Path, read_again: list[int]
) -> None:
    writer, reader = Recommender.load(folder), Recommender.load(folder)
    writer.onboard(item_id="n", embedding=[1, 0, 0, 0])
    writer.update(_plays(("ann", "n"), ("ann", "s1")))
    reader.refresh()
    for change in (
        lambda: writer.onboard(item_id="m", embedding=[1, 0, 0, 0]),
        lambda: writer.onboard(item_id="m", embedding=[0, 1, 0, 0]),
        lambda: writer.remove("n"),
        lambda: writer.remove("s3"),
    ):
        change()
        writer.update(_plays(("ann", "s2")))  # an addition after it hides nothing
        reader.refresh()
        _check_same(reader, folder, ["ann", "u1"])
    # The numbers of what was removed are given again: no later play is taken for one of them.
    read_again.clear()
    writer.update(_plays(("ann", "m")))
    reader.refresh()
    assert read_again == []
    _check_same(reader, folder, ["ann", "u1"])


def test_merged_plays_are_read_from_the_start(folder: Path) -> None:
    writer, reader = Recommender.load(folder), Recommender.load(folder)
    some = _plays(*[("ann", "s1"), ("bob", "s2")] * (LEAST_MERGED // 2 - 1))
    writer.update(some)
    reader.refresh()
    writer.update(_plays(("ann", "s1"), ("ann", "s3")))
    assert len(writer.live.catalog.changes().plays) < LEAST_MERGED / 2  # merged
    writer.update(some)
    reader.refresh()
    sums = reader.live.users._plays.by_user["ann"]
    assert sums == Recommender.load(folder).live.users._plays.by_user["ann"]
    assert sums["s1"] == LEAST_MERGED - 1
    _check_same(reader, folder, ["ann", "bob"])


def test_a_copy_of_a_database_knows_what_was_rewritten(tmp_path: Path) -> None:
    from recsys.database.song import Song

    catalog = Catalog.in_memory()
    before = catalog.put([Song("a"), Song("b")])
    catalog.remove("a", of_the_fit=False)
    catalog.copy_to(tmp_path / "copy.sqlite")
    for one in (catalog, Catalog.open(tmp_path / "copy.sqlite")):
        assert one.changes_after(before) is None
        changes = one.changes()
        later = one.changes_after(changes.position)
        assert later is not None
        assert (later.songs, later.plays, later.position) == ([], [], changes.position)
