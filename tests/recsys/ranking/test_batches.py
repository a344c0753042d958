"""Lists in batches: the same as in one go, and a Parquet file that a kill only delays."""

import errno
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from datasets.errors import ArtifactError, DataError, InvalidArgumentError, UnknownItemError
from recsys import Recommender
from recsys.cli import app
from recsys.ranking import batch_files
from tests.helpers.recommenders import ALL_USERS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def model(fit_quickly, tmp_path_factory) -> Path:
    """A saved model; not to be changed."""
    folder = tmp_path_factory.mktemp("batches") / "model"
    fit_quickly().save(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(model) -> Recommender:
    return Recommender.load(model)


# ------------------------------------------------------------------ frames


@pytest.mark.slow
@settings(max_examples=30)
@given(
    users=st.lists(st.sampled_from([*ALL_USERS[:20], "nobody", "another"]), max_size=15),
    size=st.integers(1, 20),
    k=st.integers(1, 95),
    exclude_seen=st.booleans(),
)
def test_batches_are_the_whole_in_pieces(loaded, users, size, k, exclude_seen):
    whole = loaded.recommend_many(users, k, exclude_seen=exclude_seen)
    frames = list(
        loaded.recommend_batches(iter(users), k, batch_size=size, exclude_seen=exclude_seen)
    )
    assert len(frames) == -(-len(users) // size)
    if frames:
        found = pd.concat(frames, ignore_index=True)
        pd.testing.assert_frame_equal(found, whole, atol=1e-5)  # rounding differs by batch
    named = [user for frame in frames for user in frame.attrs.get("fallback_users", ())]
    assert named == whole.attrs.get("fallback_users", [])


def test_without_ids_all_users_in_order(loaded):
    frames = list(loaded.recommend_batches(k=2, batch_size=50))
    assert [frame["user_id"].nunique() for frame in frames] == [50, 50, 20]
    users = pd.concat(frames)["user_id"].drop_duplicates().tolist()
    assert sorted(users) == sorted(ALL_USERS)
    pd.testing.assert_frame_equal(
        pd.concat(frames, ignore_index=True), loaded.recommend_many(users, 2), atol=1e-5
    )


def test_ids_are_read_as_far_as_the_batches_are(loaded):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield f"user-{number % 120}"

    batches = loaded.recommend_batches(endless(), 3, batch_size=7)
    assert taken == []
    next(batches)
    next(batches)
    assert len(taken) == 14


def test_filters_of_a_list_count_in_batches(loaded):
    for wishes in ({"where": {"genre": "jazz"}}, {"per_artist": 1}, {"diversity": 0.7}):
        frame = pd.concat(loaded.recommend_batches(ALL_USERS[:5], 6, batch_size=2, **wishes))
        for user in ALL_USERS[:5]:
            own = frame.loc[frame["user_id"] == user, "item_id"].tolist()
            assert own == loaded.recommend(user, 6, **wishes)["item_id"].tolist()


def test_what_is_wrong_is_said_before_the_first_batch(loaded):
    for arguments, error in (
        ({"k": 0}, InvalidArgumentError),
        ({"batch_size": 0}, InvalidArgumentError),
        ({"user_ids": "user-1"}, InvalidArgumentError),
        ({"exclude": ["nowhere"]}, UnknownItemError),
    ):
        with pytest.raises(error):
            loaded.recommend_batches(**arguments)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_a_missing_id_is_no_unknown_user(loaded, missing):
    with pytest.raises(InvalidArgumentError, match="user_ids: id number 2 is missing"):
        loaded.recommend_many(["user-1", missing], 5)


def test_no_users_are_no_rows(loaded):
    frame = loaded.recommend_many([], 5)
    assert frame.empty
    assert list(frame.columns) == ["user_id", "rank", "item_id", "score", "new"]
    assert list(loaded.recommend_batches([], 5)) == []


# ------------------------------------------------------------------ a file


def listed(path):
    return pd.read_parquet(path)


def test_the_file_has_everybodys_list_a_row_group_a_batch(loaded, tmp_path):
    out = tmp_path / "recs.parquet"
    report = loaded.write_recommendations(out, k=4, batch_size=50)
    assert report.to_dict() == {
        "users": 120, "rows": 480, "fallback_users": 0, "resumed": 0,
        "new_rows": int(listed(out)["new"].sum()), "other_places": 0,
    }  # fmt: skip
    users = listed(out)["user_id"].drop_duplicates().tolist()
    expected = loaded.recommend_many(users, 4)
    pd.testing.assert_frame_equal(listed(out), expected, check_dtype=False, atol=1e-5)
    assert pq.ParquetFile(out).num_row_groups == 3
    assert [path.name for path in tmp_path.iterdir()] == ["recs.parquet"]


def test_users_of_a_file_and_those_nobody_knows(loaded, tmp_path):
    names = tmp_path / "users.txt"
    names.write_text("user-3\n\nnobody \nuser-5\n", encoding="utf-8-sig")
    report = loaded.write_recommendations(tmp_path / "recs.parquet", names, k=2)
    assert (report.users, report.rows, report.fallback_users) == (3, 6, 1)
    expected = loaded.recommend_many(["user-3", "nobody", "user-5"], 2)
    found = listed(tmp_path / "recs.parquet")
    assert found["user_id"].tolist() == expected["user_id"].tolist()
    assert found["item_id"].tolist() == expected["item_id"].tolist()


@pytest.fixture
def stopped(loaded, tmp_path, monkeypatch):
    """A run with k=3 that ended, as if by a signal, in its third batch of 30 users."""
    out = tmp_path / "recs.parquet"
    whole, count = sys.modules["recsys.ranking.batch_files"].recommend_for_users, itertools.count()

    def recommend_for_users(*arguments):
        if next(count) == 2:
            raise KeyboardInterrupt
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("recsys.ranking.batch_files.recommend_for_users", recommend_for_users)
        with pytest.raises(KeyboardInterrupt):
            loaded.write_recommendations(out, k=3, batch_size=30)
    assert not out.exists()
    return out


def test_an_interrupted_run_goes_on(loaded, stopped, tmp_path):
    report = loaded.write_recommendations(stopped, k=3, batch_size=30)
    assert (report.resumed, report.users, report.rows) == (60, 120, 360)
    loaded.write_recommendations(tmp_path / "other.parquet", k=3, batch_size=30)
    assert stopped.read_bytes() == (tmp_path / "other.parquet").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"k": 2},
        {"batch_size": 29},
        {"exclude": ["item-1"]},
        {"where": {"genre": "jazz"}},
        {"per_artist": 1},
        {"diversity": 0.5},
        {"popularity_correction": 0.5},
    ],
)
def test_parts_of_other_arguments_are_not_used(loaded, stopped, change):
    options = {"k": 3, "batch_size": 30} | change
    assert loaded.write_recommendations(stopped, **options).resumed == 0
    users = listed(stopped)["user_id"].drop_duplicates().tolist()
    options.pop("batch_size")
    expected = loaded.recommend_many(users, **options)
    assert listed(stopped)["item_id"].tolist() == expected["item_id"].tolist()


def test_parts_of_another_model_are_not_used(fit_quickly, stopped, tmp_path):
    other = fit_quickly(seed=1)
    assert other.write_recommendations(stopped, k=3, batch_size=30).resumed == 0


@pytest.mark.slow
def test_parts_from_before_a_new_song_are_not_used(fit_quickly, tmp_path, monkeypatch):
    model = fit_quickly()
    model.save(tmp_path / "model")
    out = tmp_path / "recs.parquet"
    monkeypatch.setattr("recsys.ranking.batch_files._assemble", _stop)
    with pytest.raises(KeyboardInterrupt):
        model.write_recommendations(out, k=3)
    monkeypatch.undo()
    model.onboard(item_id="new", embedding=[1.0] + 7 * [0.0])
    assert model.write_recommendations(out, k=3).resumed == 0


def _stop(*_):
    raise KeyboardInterrupt


def test_a_damaged_part_is_made_again(loaded, stopped):
    folder = stopped.parent / ".recs.parquet.parts"
    sorted(folder.glob("part-*"))[1].write_bytes(b"PAR1")
    assert loaded.write_recommendations(stopped, k=3, batch_size=30).resumed == 30
    assert len(listed(stopped)) == 360


def test_two_runs_do_not_write_one_file(loaded, stopped):
    from recsys.ranking.batch_files import _held

    with _held(stopped.parent / ".recs.parquet.parts"), pytest.raises(ArtifactError, match="run"):
        loaded.write_recommendations(stopped, k=3)


def test_places_and_files_that_cannot_be(loaded, tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xff")
    good = tmp_path / "recs.parquet"
    for out, users, error, words in (
        (tmp_path / "empty.txt" / "recs.parquet", None, ArtifactError, "cannot be written"),
        (tmp_path / "no" / "recs.parquet", tmp_path / "none.txt", DataError, "none.txt"),
        (tmp_path, None, InvalidArgumentError, "folder"),
        (tmp_path / "recs.csv", None, InvalidArgumentError, r"recs\.csv: must end in \.parquet"),
        (good, tmp_path / "none.txt", DataError, "none.txt"),
        (good, tmp_path / "empty.txt", DataError, "names no user"),
        (good, tmp_path / "latin.txt", DataError, "UTF-8"),
    ):
        with pytest.raises(error, match=words):
            loaded.write_recommendations(out, users)
    assert {path.name for path in tmp_path.iterdir()} == {"empty.txt", "latin.txt"}


def test_folders_are_made_and_taken_away_where_it_fails(loaded, tmp_path, monkeypatch):
    out = tmp_path / "a" / "b" / "recs.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(batch_files, "_existing_parts", full)
        with pytest.raises(ArtifactError, match="No space left"):
            loaded.write_recommendations(out, k=3)
    assert not out.parent.parent.exists()
    assert loaded.write_recommendations(out, k=3).rows > 0
    assert [path.name for path in out.parent.iterdir()] == ["recs.parquet"]


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
def test_a_killed_command_goes_on(call, model, tmp_path):
    out = tmp_path / "recs.parquet"
    killing = f"""
import os, signal, sys
from recsys import cli
from recsys.ranking import batch_files
whole, made = batch_files.recommend_for_users, []
def recommend_for_users(*arguments):
    if len(made) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    made.append(1)
    return whole(*arguments)
batch_files.recommend_for_users = recommend_for_users
sys.argv = ["coldtune", "recommend-all", {str(model)!r}, "--out", {str(out)!r},
            "-k", "3", "--batch", "40"]
cli.main()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", killing], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    command = ["recommend-all", model, "--out", out, "-k", "3", "--batch", "40", "--json"]
    again = call(*command)
    assert again.code == 0, again.err
    assert '"resumed": 80' in again.out
    users = listed(out)["user_id"].drop_duplicates().tolist()
    expected = Recommender.load(model).recommend_many(users, 3)
    assert listed(out)["item_id"].tolist() == expected["item_id"].tolist()
    assert len(users) == 120


@pytest.mark.slow
def test_the_command_has_the_wishes_of_a_list(model, loaded, tmp_path):
    out = tmp_path / "recs.parquet"
    command = ["recommend-all", str(model), "--out", str(out), "-k", "4", "--json"]
    command += ["--where", "genre=jazz", "--where", "genre=Rock ", "--per-artist", "1"]
    command += ["--diversity", "0.3", "--popularity-correction", "0.2"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    expected = loaded.recommend_many(
        listed(out)["user_id"].drop_duplicates(), 4, where={"genre": ["jazz", "rock"]},
        per_artist=1, diversity=0.3, popularity_correction=0.2,
    )  # fmt: skip
    assert listed(out)["item_id"].tolist() == expected["item_id"].tolist()
    for wrong, words in (
        (["--where", "jazz"], "genre=jazz"),
        (["--where", "mood=calm"], "mood"),
        (["--diversity", "2"], "diversity"),
        (["--popularity-correction", "-1"], "popularity_correction"),
        (["--per-artist", "0"], "per_artist"),
    ):
        failed = CliRunner().invoke(app, [*command[:6], *wrong])
        assert isinstance(failed.exception, InvalidArgumentError)
        assert words in str(failed.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["recs.parquet"]


@pytest.mark.slow
def test_what_has_changed_since_the_fit_counts_in_batches(fit_quickly):
    model = fit_quickly()
    model.onboard(item_id="cold-80", embedding=[1.0] + 7 * [0.0])  # moves: its old row is retired
    model.remove("item-0")
    plays = [("user-4", "cold-81", 2.0), ("newcomer", "item-3", 1.0), ("newcomer", "item-6", 5.0)]
    model.update(pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]))
    users = ["user-4", "user-5", "newcomer"]
    for wanted in (users, users[1:2]):
        many = pd.concat(model.recommend_batches(wanted, 90, batch_size=3))
        for user in wanted:
            own = many.loc[many["user_id"] == user, "item_id"].tolist()
            assert own == model.recommend(user, 90)["item_id"].tolist()
            assert "item-0" not in own
    assert "cold-81" not in model.recommend_many(["user-4"], 90)["item_id"].tolist()
    everybody = pd.concat(model.recommend_batches(k=1, batch_size=100))["user_id"].tolist()
    assert sorted(everybody) == sorted([*ALL_USERS, "newcomer"])
