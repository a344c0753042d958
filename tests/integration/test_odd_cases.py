"""Odd catalogues, odd listeners, odd names, and readers that answer while the model changes."""

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig
from recsys.cli import app
from tests.helpers.recommenders import QUICK, dataset_of

ALL = QUICK.replace(
    sources=RecommenderConfig().sources, fusion={}, als={"factors": 4}, fm={"epochs": 3}
)
"""All sources that a recommender has by default, and weights that are searched for."""

LONG = "x" * 1_000
NEWLINE = "two\nlines"
NAMES = [LONG, LONG + "y", NEWLINE, "two", "lines", "\ttab", "quote\"'", "음악", "-dash", "a,b"]


def plays(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])


def lists(model: Recommender, user: str, **wishes) -> list[str]:
    return model.recommend(user, **wishes)["item_id"].tolist()


# ------------------------------------------------------------------ small catalogues


@pytest.mark.slow
@pytest.mark.parametrize("embeddings", [None, pd.DataFrame([[1.0, 2.0]], index=["only"])])
def test_a_catalogue_of_one_item_lives_a_whole_life(tmp_path: Path, embeddings) -> None:
    model = Recommender(ALL).fit(dataset_of([("ann", "only", 3.0)], ["only"]), embeddings)
    model.save(tmp_path / "model")
    for one in (model, Recommender.load(tmp_path / "model")):
        assert lists(one, "ann") == []
        assert lists(one, "ann", exclude_seen=False, k=1_000) == ["only"]
        assert lists(one, "bob", per_artist=1, popularity_correction=0.5) == ["only"]
        assert lists(one, "bob", diversity=0.5) == ["only"]
        assert one.recommend(history=["only"]).empty
        assert one.similar("only", 5).empty  # nothing else is there
    more = dataset_of([], ["new"], genre="jazz")
    model.onboard_many(MusicDataset(items=more.items))
    assert lists(model, "ann", k=1_000) == ["new"]
    model.update(plays(("ann", "new", 1), ("bob", "new", 2)))
    assert lists(model, "ann") == []
    assert lists(model, "bob", k=1_000) == ["only"]
    model.remove("only")
    model.rebuild()
    assert lists(Recommender.load(tmp_path / "model"), "cat") == ["new"]
    model.remove("new")
    assert lists(model, "ann", exclude_seen=False) == []
    assert lists(model, "cat") == []


def test_listeners_of_one_and_of_all_items() -> None:
    items = [f"i{n}" for n in range(8)]
    rows = [("all", item, 1.0) for item in items] + [("one", "i3", 1.0)]
    rows += [(f"u{n}", item, 1.0) for n in range(6) for item in items[n % 3 : n % 3 + 4]]
    model = Recommender(ALL).fit(dataset_of(rows, items))
    assert lists(model, "all", k=1_000) == []
    assert len(lists(model, "all", k=1_000, exclude_seen=False)) == 8
    assert sorted(lists(model, "one", k=1_000)) == [item for item in items if item != "i3"]
    for wishes in ({"diversity": 0.4}, {"per_artist": 1}, {"popularity_correction": 0.6}):
        assert lists(model, "all", **wishes) == []
        many = model.recommend_many(["one", "all", "u1"], 100, **wishes)
        assert many["user_id"].drop_duplicates().tolist() == ["one", "u1"]
        assert np.isfinite(many["score"]).all()
    assert model.recommend(history=items).empty
    model.update(plays(*(("one", item, 1) for item in items)))
    assert lists(model, "one") == []
    assert model.explain("one", "i3").seen


# ------------------------------------------------------------------ names


@pytest.mark.slow
def test_names_of_any_length_and_with_line_breaks(tmp_path: Path) -> None:
    users = [f"{name} " + "u" for name in NAMES]
    rows = [(user, item, 1.0) for n, user in enumerate(users) for item in NAMES[n % 4 : n % 4 + 4]]
    model = Recommender(ALL).fit(
        dataset_of(rows, NAMES), pd.DataFrame(np.eye(10, dtype=np.float32), index=NAMES)
    )
    model.save(tmp_path / "model")
    late = [f"{name}!" for name in NAMES]
    for name, embedding in zip(late, np.eye(10), strict=True):
        model.onboard(item_id=name, embedding=embedding, title=name, tags={"mood": name})
    model.update(plays((f"new {NEWLINE}", late[2], 1.0), (users[0], late[0], 1.0)))
    model.remove(NAMES[4])
    loaded = Recommender.load(tmp_path / "model")
    rebuilt = Recommender.load(tmp_path / "model")
    there = {*NAMES, *late} - {NAMES[4]}
    for one in (model, loaded):
        assert set(lists(one, users[5], k=100, exclude_seen=False)) == there
        assert set(lists(one, f"new {NEWLINE}", k=100)) == there - {late[2]}
        for name in (LONG, LONG + "y", NEWLINE, late[0], late[2]):
            assert lists(one, "nobody", only=[name]) == [name]
            assert name not in one.similar(name, 100)["item_id"].tolist()
            assert one.explain(users[1], name).item_id == name
        assert lists(one, "nobody", where={"mood": late[2]}) == [late[2]]
    out = tmp_path / "recs.parquet"
    said = CliRunner().invoke(
        app, ["recommend-all", str(tmp_path / "model"), "--out", str(out), "-k", "50", "--seen"]
    )
    assert said.exit_code == 0, said.output
    written = pq.read_table(out).to_pandas()
    assert set(written["user_id"]) == {*users, f"new {NEWLINE}"}
    assert set(written["item_id"]) == there
    for command in (["recommend", users[3], "--only", NEWLINE], ["similar", NEWLINE, "-k", "1"]):
        said = CliRunner().invoke(app, [command[0], str(tmp_path / "model"), *command[1:]])
        assert said.exit_code == 0, said.output
        assert len(said.stdout.splitlines()) == 2  # a head, and one line for the item
    rebuilt.rebuild()
    again = Recommender.load(tmp_path / "model")
    assert set(lists(again, users[5], k=100, exclude_seen=False)) == there


# ------------------------------------------------------------------ answers while it changes


@pytest.mark.slow
def test_answers_while_the_model_is_refreshed_are_of_one_state(fit_quickly, tmp_path: Path) -> None:
    """A writer adds items in pairs; each list that is made meanwhile has both of a pair or none."""
    fit_quickly().save(tmp_path / "model")
    writer, reader = (Recommender.load(tmp_path / "model") for _ in range(2))
    answered: list[tuple[int, int]] = []
    wrong: list[object] = []
    stop = threading.Event()

    def pairs_of(ids: list[str]) -> bool:
        twins = [name.removesuffix("-b") for name in ids if name.startswith("pair")]
        return all(twins.count(name) == 2 for name in twins)

    def ask(user: str) -> None:
        try:
            while not stop.is_set():
                found = reader.recommend(user, 300, exclude_seen=False)
                many = reader.recommend_many([user, "nobody", "new"], 300, exclude_seen=False)
                groups = [found["item_id"].tolist()]
                groups += [group["item_id"].tolist() for _, group in many.groupby("user_id")]
                wrong.extend(
                    ids
                    for ids in groups
                    if not pairs_of(ids) or len(set(ids)) != len(ids) or len(ids) < 90
                )
                shares = found.filter(like="share_").sum(axis=1)
                if not np.allclose(shares, 1) or found["title"].isna().any():
                    wrong.append(found)
                answered.append((len(groups[0]), len(groups[-1])))
        except Exception as error:  # a thread's error must fail the test
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(f"user-{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(8):
            names = [f"pair-{number}", f"pair-{number}-b"]
            items = dataset_of([], names).items
            vectors = pd.DataFrame(np.eye(8)[[number % 8] * 2], index=names)
            writer.onboard_many(MusicDataset(items=items), embeddings=vectors)
            assert reader.refresh()
            writer.update(plays(("new", f"pair-{number}", 1), ("user-1", f"pair-{number}-b", 1)))
            if number % 4 == 3:
                writer.rebuild()
            assert reader.refresh()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:1]
    assert len({length for length, _ in answered}) > 2  # of several states
    assert len(reader.recommend("user-1", 300, exclude_seen=False)) == 90 + 16
