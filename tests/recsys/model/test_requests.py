"""A batch of plays counts once, whoever sends it again and whatever happened in between."""

import json
import logging
import subprocess
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from datasets.errors import ColdtuneError, DataError, InvalidArgumentError, UnknownItemError
from datasets.music import MusicDataset
from recsys import Recommender
from recsys.cli import app
from recsys.database import requests
from recsys.database.catalog import Catalog
from recsys.database.changes import Play
from recsys.database.requests import PlaysRequest, digest_of_plays
from recsys.model import load_model
from tests.helpers.recommenders import ALL_USERS, COLD

NONE = (0, 0, 0, 0, 0)


def plays(*rows, **columns):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])
    return frame.assign(**columns)


MONDAY = plays(("user-1", "item-1", 2.0), ("new", COLD[0], 1.0), ("new", "item-2", 3.0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, fit_quickly):
    folder = tmp_path_factory.mktemp("saved") / "model"
    fit_quickly().save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    import shutil

    return shutil.copytree(saved, tmp_path / "model")


def played(model, user="user-1"):
    """What a user has played: {item: plays}."""
    live = model._fitted()
    rows, weights = live.users.history(live.users.row(user))
    return dict(zip(live.items.ids(rows).tolist(), weights.tolist(), strict=True))


def lists(model):
    return model.recommend_many([*ALL_USERS, "new"], 10)


# ------------------------------------------------------------------ batches


def test_a_batch_counts_once(folder, caplog):
    model = Recommender.load(folder)
    before = played(model).get("item-1", 0)
    first = model.update(MONDAY, batch_id="monday")
    assert first == (3, 2, 1, 3, 1)
    assert first.repeated == 0
    after = lists(model)
    again = model.update(MONDAY, batch_id="monday")
    assert again == NONE
    assert again.repeated == 3
    assert "batch 'monday' was taken in before: nothing was changed" in caplog.text
    pd.testing.assert_frame_equal(lists(model), after)
    assert played(model)["item-1"] == before + 2
    assert Recommender.load(folder).update(MONDAY, batch_id="monday").repeated == 3
    assert load_model(folder).catalog.changes().revision[1] == 1
    # Another batch with the same plays is another request; so is one without an id.
    assert model.update(MONDAY, batch_id="tuesday").plays == 3
    assert model.update(MONDAY).plays == 3
    assert played(model)["item-1"] == before + 6


def test_through_everything_that_happens_to_a_model(folder, tmp_path):
    model = Recommender.load(folder)
    model.update(MONDAY, batch_id="monday")
    model.rebuild()
    assert model.update(MONDAY, batch_id="monday").repeated == 3
    model.save(tmp_path / "other")
    other = Recommender.load(tmp_path / "other")
    assert other.update(MONDAY, batch_id="monday").repeated == 3
    other.update(MONDAY, batch_id="tuesday")
    other.rebuild()
    for name in ("monday", "tuesday"):
        assert Recommender.load(tmp_path / "other").update(MONDAY, batch_id=name).repeated == 3
    load_model(tmp_path / "other").catalog.verify()
    other.remove(COLD[0])  # its plays are gone, and a batch that had some is known all the same
    assert other.update(MONDAY, batch_id="monday").repeated == 3
    with pytest.raises(UnknownItemError):
        other.update(MONDAY, batch_id="wednesday")
    assert other.update(MONDAY.iloc[:1], batch_id="wednesday").plays == 1  # it was not taken in


def test_in_memory(fit_quickly):
    model = fit_quickly()
    model.update(MONDAY, batch_id="monday")
    model.rebuild()
    assert model.update(MONDAY, batch_id="monday").repeated == 3


def test_a_new_fit_knows_no_batches(tastes, fit_quickly):
    model = fit_quickly()
    model.update(MONDAY, batch_id="monday")
    model.fit(*tastes)
    assert model.update(MONDAY, batch_id="monday").plays == 3


def test_the_order_of_rows_and_their_index_do_not_matter(folder):
    model = Recommender.load(folder)
    model.update(MONDAY, batch_id="monday")
    turned = MONDAY.iloc[::-1].set_axis([7, 7, 7])
    assert model.update(turned, batch_id="monday").repeated == 3


@pytest.mark.parametrize(
    "other",
    [
        MONDAY.iloc[:2],
        plays(*MONDAY.to_numpy().tolist(), ("user-1", "item-3", 1.0)),
        MONDAY.assign(weight=5.0),
        MONDAY.assign(timestamp=pd.Timestamp("2026-11-28")),
        MONDAY.assign(event_id=["a", "b", "c"]),
        MONDAY.iloc[:0],
    ],
)
def test_another_content_under_the_same_id_is_an_error(folder, other):
    model = Recommender.load(folder)
    model.update(MONDAY, batch_id="monday")
    before = lists(model)
    with pytest.raises(InvalidArgumentError, match=r"^batch 'monday' was taken in before with oth"):
        model.update(other, batch_id="monday")
    with pytest.raises(InvalidArgumentError, match="batch 'monday'"):
        model.update(MONDAY, batch_id="monday", mode="replace")
    pd.testing.assert_frame_equal(lists(model), before)


def test_a_batch_without_plays_is_known_as_well(folder):
    model = Recommender.load(folder)
    nothing = plays(("user-1", "item-1", 0.0))
    assert model.update(nothing, batch_id="empty") == NONE
    with pytest.raises(InvalidArgumentError, match="'empty'"):
        Recommender.load(folder).update(MONDAY, batch_id="empty")


@pytest.mark.parametrize("batch_id", ["", " ", 1.5, True, float("nan"), b"x", "a\0b", "\ud800", []])
def test_what_is_no_batch_id(folder, batch_id):
    with pytest.raises(InvalidArgumentError, match="batch_id"):
        Recommender.load(folder).update(MONDAY, batch_id=batch_id)


def test_ids_of_batches(folder):
    model = Recommender.load(folder)
    for given, same in ((7, "7"), ("Ünï 🎵'\"; --", "Ünï 🎵'\"; --"), ("x" * 500, "x" * 500)):
        model.update(MONDAY, batch_id=given)
        assert model.update(MONDAY, batch_id=same).repeated == 3
    with pytest.raises(InvalidArgumentError, match="batch_id has 501 characters; at most 500"):
        model.update(MONDAY, batch_id="x" * 501)


def test_a_failed_batch_is_not_known(folder, monkeypatch):
    model = Recommender.load(folder)
    with pytest.raises(UnknownItemError):
        model.update(plays(("user-1", "nowhere", 1.0)), batch_id="monday")
    with pytest.raises(DataError):
        model.update(plays(("user-1", "item-1", -1.0)), batch_id="monday")

    def fail(*_):
        raise ColdtuneError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("recsys.database.catalog.write_batch", fail)
        with pytest.raises(ColdtuneError, match="full"):
            model.update(MONDAY, batch_id="monday")
    assert model.update(MONDAY, batch_id="monday").plays == 3
    assert load_model(folder).catalog.changes().plays == [Play(*row) for row in MONDAY.to_numpy()]


# ------------------------------------------------------------------ events


def test_an_event_counts_once(folder, caplog):
    model = Recommender.load(folder)
    events = MONDAY.assign(event_id=["e1", 2, "e3"])
    assert model.update(events).plays == 3
    for again in (model, Recommender.load(folder)):
        report = again.update(events)
        assert report == NONE
        assert report.repeated == 3
    model.rebuild()
    more = plays(("user-1", "item-5", 1.0), ("user-1", "item-1", 2.0), event_id=["e4", "e1"])
    report = model.update(more)
    assert (report.plays, report.repeated) == (1, 1)
    assert "1 of 2 plays were taken in before, by their event_id" in caplog.text
    assert Recommender.load(folder).update(more).repeated == 2


def test_rows_without_an_event_always_count(folder):
    model = Recommender.load(folder)
    some = MONDAY.assign(event_id=["e1", None, ""])
    assert model.update(some).plays == 3
    report = model.update(some)
    assert (report.plays, report.repeated) == (2, 1)


def test_an_event_twice_in_one_request(folder):
    model = Recommender.load(folder)
    row = ("user-1", "item-1", 2.0)
    report = model.update(plays(row, row, row, event_id=["e1", "e1", "e2"]))
    assert (report.plays, report.repeated) == (2, 1)


@pytest.mark.parametrize("row", [("user-1", "item-1", 3.0), ("user-2", "item-1", 2.0)])
def test_an_event_with_another_content_is_an_error(folder, row):
    model = Recommender.load(folder)
    model.update(plays(("user-1", "item-1", 2.0), event_id=["e1"]))
    before = lists(model)
    both = plays(("user-9", "item-9", 1.0), row, event_id=["e0", "e1"])
    with pytest.raises(InvalidArgumentError, match=r"^event 'e1' was taken in before with another"):
        model.update(both)
    pd.testing.assert_frame_equal(lists(model), before)
    one = plays(("user-1", "item-1", 1.0), ("user-1", "item-1", 2.0), event_id=["e7", "e7"])
    with pytest.raises(InvalidArgumentError, match="event 'e7'"):
        model.update(one)


@pytest.mark.parametrize("event", [1.5, True, b"x", ["x"]])
def test_what_is_no_event_id(folder, event):
    with pytest.raises(DataError, match="event_id"):
        Recommender.load(folder).update(plays(("u", "item-1", 1.0)).assign(event_id=[event]))


def test_events_are_no_part_of_a_data_set(tastes):
    dataset, _ = tastes
    table = dataset.interactions.assign(event_id="e")
    same = MusicDataset(dataset.items, interactions=table)
    assert same.digest() == MusicDataset(dataset.items, interactions=dataset.interactions).digest()


# ------------------------------------------------------------------ added or replaced


def test_add_is_what_update_does_by_default(folder):
    one = Recommender.load(folder)
    before = played(one).get("item-1", 0)
    one.update(MONDAY)
    one.update(MONDAY, mode="add")
    assert played(one)["item-1"] == before + 4


def test_replace_takes_the_place_of_what_was(folder):
    model = Recommender.load(folder)
    item, fitted = next(iter(played(model).items()))
    for weight in (fitted + 7, 1.0, fitted):
        model.update(plays(("user-1", item, weight), ("new", "item-2", weight)), mode="replace")
        for found in (model, Recommender.load(folder)):
            assert played(found)[item] == pytest.approx(weight)
            assert played(found, "new") == {"item-2": pytest.approx(weight)}
    model.update(plays(("user-1", item, 2.0)))
    model.update(plays(("user-1", item, 5.0)), mode="replace")
    model.rebuild()
    assert played(model)[item] == 5
    model.update(plays(("user-1", item, 4.0)), mode="replace")
    assert played(Recommender.load(folder))[item] == 4
    load_model(folder).catalog.verify()
    model.remove(item)
    assert item not in played(Recommender.load(folder))
    assert not load_model(folder).catalog.changes().corrections


def test_replaced_with_what_was_changes_no_list(folder):
    model = Recommender.load(folder)
    before = model.recommend_many(ALL_USERS, 10)
    own = played(model)
    rows = [("user-1", item, weight) for item, weight in own.items()]
    assert model.update(plays(*rows), mode="replace").plays == len(own)
    after = model.recommend_many(ALL_USERS, 10)
    others = before["user_id"] != "user-1"
    same = after[others]["item_id"].to_numpy() == before[others]["item_id"].to_numpy()
    assert same.mean() > 0.99


def test_replacing_says_what_it_cannot_do(folder):
    model = Recommender.load(folder)
    with pytest.raises(DataError, match=r"row 2: user 'u', item 'item-2': a weight of 0"):
        model.update(plays(("u", "item-1", 1.0), ("u", "item-2", 0.0)), mode="replace")
    with pytest.raises(DataError, match=r"row 2: user 'u', item 'item-1': is given twice"):
        model.update(plays(("u", "item-1", 1.0), ("u", "item-1", 2.0)), mode="replace")
    with pytest.raises(InvalidArgumentError, match="mode must be 'add' or 'replace', not 'insert'"):
        model.update(MONDAY, mode="insert")
    with pytest.raises(UnknownItemError):
        model.update(plays(("u", "nowhere", 1.0)), mode="replace")


def test_a_replaced_batch_and_event_count_once(folder):
    model = Recommender.load(folder)
    request = plays(("user-1", "item-1", 9.0), event_id=["e1"])
    assert model.update(request, batch_id="b", mode="replace").plays == 1
    model.update(plays(("user-1", "item-1", 1.0)))
    assert model.update(request, batch_id="b", mode="replace").repeated == 1
    assert model.update(request, mode="replace").repeated == 1
    assert played(Recommender.load(folder))["item-1"] == 10
    with pytest.raises(InvalidArgumentError, match="event 'e1'"):
        model.update(request)


# ------------------------------------------------------------------ many at once


def test_threads_that_send_the_same_batch(folder):
    model = Recommender.load(folder)
    ready, found = threading.Barrier(6), []

    def send():
        ready.wait()
        found.append(model.update(MONDAY, batch_id="monday"))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one.plays for one in found) == [0] * 5 + [3]
    assert len(load_model(folder).catalog.changes().plays) == 3


SENDER = """
import io, sys
import pandas as pd
from recsys import Recommender
model = Recommender.load(sys.argv[1])
plays = pd.read_json(io.StringIO(sys.stdin.readline()), orient="split")
print("ready", flush=True)
sys.stdin.readline()
report = model.update(plays, batch_id="monday")
print("done", report.plays, report.repeated, flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
def test_processes_that_send_the_same_batch_and_are_killed(folder, fork_server):
    senders = [
        fork_server.start(
            [str(folder)], program=SENDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    try:
        for one in senders:
            one.stdin.write(MONDAY.to_json(orient="split") + "\n")
            one.stdin.flush()
            assert one.stdout.readline() == "ready\n"
        for one in senders:
            one.stdin.write("go\n")
            one.stdin.flush()
        answers = sorted(one.stdout.readline().split() for one in senders)
        assert answers == [["done", "0", "3"], ["done", "3", "0"]]
    finally:
        for one in senders:  # between what is stored and the answer to whoever asked
            one.close()
    assert Recommender.load(folder).update(MONDAY, batch_id="monday").repeated == 3


# ------------------------------------------------------------------ what is kept


def test_the_newest_are_kept(monkeypatch):
    monkeypatch.setattr(requests, "KEPT_BATCHES", 3)
    monkeypatch.setattr(requests, "KEPT_EVENTS", 5)
    catalog = Catalog.in_memory()
    for number in range(8):
        play = Play("u", f"{number}", 1.0)
        request = PlaysRequest(f"b{number}", digest_of_plays([play], [], "add"))
        catalog.add_plays([play], request, {bytes([number] * 16): b"d" * 16})
    assert [catalog.known_batch(f"b{n}") is not None for n in range(8)] == [False] * 5 + [True] * 3
    assert len(catalog.known_events(bytes([n] * 16) for n in range(8))) == 5
    other = Catalog.in_memory()
    other.take_requests_of(catalog)
    assert other.known_batch("b7") == catalog.known_batch("b7")
    assert len(other.known_events(bytes([n] * 16) for n in range(8))) == 5
    other.verify()


def test_damage_is_found(folder):
    import sqlite3

    model = Recommender.load(folder)
    model.update(MONDAY.assign(event_id=["e1", "e2", "e3"]), batch_id="monday")
    file = next(Path(folder).rglob("catalog.sqlite"))
    for change in ("UPDATE events SET number = 9 WHERE number = 2", "UPDATE batches SET digest=''"):
        with sqlite3.connect(file) as connection:
            connection.execute(change)
        connection.close()
        with pytest.raises(ColdtuneError, match=r"damaged: row .* in (events|batches)"):
            load_model(folder).catalog.verify()


def test_a_model_that_needs_no_ids_gets_no_tables(folder):
    import sqlite3

    Recommender.load(folder).update(MONDAY)
    file = next(Path(folder).rglob("catalog.sqlite"))
    connection = sqlite3.connect(file)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert "plays" in names
    assert not names & {"batches", "events", "corrections"}


# ------------------------------------------------------------------ the command


@pytest.mark.slow
def test_command(folder, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    file = tmp_path / "plays.csv"
    file.write_text("user_id,item_id,weight,event_id\nann,item-1,2,e1\nann,item-2,1,\n")

    def run(*options):
        found = CliRunner().invoke(app, ["update", str(folder), str(file), *options])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found.stdout

    assert json.loads(run("--json"))["plays"] == 2
    assert "taken in before: 2 plays" in run()
    assert json.loads(run("--json")) == {
        "plays": 0, "users": 0, "new_users": 0, "items": 0, "warmed": 0, "repeated": 2
    }  # fmt: skip
    same = tmp_path / "renamed.csv"
    same.write_bytes(file.read_bytes())
    found = CliRunner().invoke(app, ["update", str(folder), str(same)])
    assert "taken in before" in found.stdout
    assert "1 plays were taken in before" in run("--again")  # the row without an event counts
    assert "1 plays were taken in before" in run("--batch-id", "x")
    assert "taken in before: 2 plays" in run("--batch-id", "x")
    with pytest.raises(InvalidArgumentError, match="not both"):
        run("--batch-id", "x", "--again")
    assert played(Recommender.load(folder), "ann") == {"item-1": 2, "item-2": 3}
    file.write_text("user_id,item_id,weight\nann,item-2,7\n")
    with pytest.raises(InvalidArgumentError, match="batch 'x'"):
        run("--batch-id", "x")
    assert "1 plays by 1 users" in run("--mode", "replace")
    assert played(Recommender.load(folder), "ann") == {"item-1": 2, "item-2": 7}
    with pytest.raises(InvalidArgumentError, match="mode must be"):
        run("--mode", "insert")
    assert np.isfinite(Recommender.load(folder).recommend("ann")["score"]).all()
