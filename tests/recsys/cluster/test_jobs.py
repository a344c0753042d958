"""Jobs on a real cluster: a master and two workers, one of which is killed in the middle."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.embedding_files import read_embedding_file
from datasets.errors import ClusterError, DataError, InvalidArgumentError, UnknownItemError
from datasets.folder import load_folder
from embedding.encoders import SoundStatistics, embed_files
from recsys import Recommender
from recsys.cluster import (
    RobotRule,
    count_plays,
    embed_on_cluster,
    learn_factors,
    recommend_on_cluster,
    sample_plays,
)
from recsys.cluster import embedding as embedding_job
from recsys.model.storage import open_encoder
from recsys.sources.given_factors import read_factors
from tests.helpers.programs import find_program
from tests.helpers.recommenders import ALL_USERS, IDS, QUICK, taste_of
from tests.helpers.spark_cluster import Gate, meanwhile, needs_spark, wait_until

pytestmark = [needs_spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def model(tmp_path_factory, tastes) -> Path:
    dataset, embeddings = tastes
    folder = tmp_path_factory.mktemp("lists") / "model"
    Recommender(QUICK).fit(dataset, embeddings).save(folder)
    return folder


@pytest.fixture(scope="module")
def songs(hearing_model) -> list[tuple[str, str]]:
    """Ids and paths: eight recordings, a text that is none, and one that is not there."""
    folder = hearing_model.parent
    (folder / "text [1].wav").write_bytes(b"no sound")
    names = [*(f"song-{n}.wav" for n in range(8)), "text [1].wav", "none.wav"]
    return [(name.partition(".")[0], str(folder / name)) for name in names]


def lists_in(folder: Path) -> pd.DataFrame:
    frame = pd.read_parquet(folder).astype({"user_id": object, "item_id": object})
    return frame.sort_values(["user_id", "rank"], ignore_index=True)


def assert_same_lists(found: pd.DataFrame, one_machine: pd.DataFrame) -> None:
    wanted = one_machine.sort_values(["user_id", "rank"], ignore_index=True)
    assert found["item_id"].tolist() == wanted["item_id"].tolist()
    assert found["user_id"].tolist() == wanted["user_id"].tolist()
    assert found["new"].tolist() == wanted["new"].tolist()
    assert np.array_equal(found["score"].to_numpy(np.float32), wanted["score"].to_numpy(np.float32))


def test_embeddings_are_those_of_one_machine_and_a_restart_goes_on(
    spark, songs, hearing_model, tmp_path
):
    out, encoder = str(tmp_path / "embedded"), open_encoder(hearing_model)
    table = spark.createDataFrame(songs, ["item_id", "path"])
    first = embed_on_cluster(
        spark,
        table.where("item_id between 'song-0' and 'song-2'"),
        hearing_model,
        out,
        slice_size=2,
    )
    assert (first.recordings, first.resumed) == (3, 0)
    parts = set(Path(out).glob("*.parquet"))
    whole = embed_on_cluster(spark, table, hearing_model, out, slice_size=3)
    assert whole.to_dict() == {
        "recordings": 10, "embedded": 8, "failed": 2, "resumed": 3, "dimension": 16,
    }  # fmt: skip
    assert parts < set(Path(out).glob("*.parquet"))
    one = embed_files([path for _, path in songs], encoder, workers=0)
    found = pd.read_parquet(out).set_index("item_id")
    for (item, _), vector in zip(songs[:8], one.embeddings, strict=False):
        assert np.array_equal(np.float32(found["embedding"][item]), vector)
    assert sorted(found["problem"].dropna()) == sorted(one.message for one in one.failures)
    table_of_one = read_embedding_file(out)
    assert np.array_equal(table_of_one.loc["song-2"].to_numpy(np.float32), one.embeddings[2])
    images = np.random.default_rng(0).random((4, *encoder.front_end.input_shape), np.float32)
    SoundStatistics(encoder.config).fit(images).save(tmp_path / "other")
    with pytest.raises(InvalidArgumentError, match="by another encoder"):
        embed_on_cluster(spark, table, tmp_path / "other", out)


def test_a_stopped_embedding_keeps_what_it_has_and_a_killed_worker_costs_nothing(
    spark, complete_cluster, songs, hearing_model, tmp_path, monkeypatch
):
    rows = [(item, path, Path(path).read_bytes()) for item, path in songs[:9]]
    data = spark.createDataFrame(rows, ["item_id", "path", "content"]).repartition(4, "item_id")
    out, last_before = tmp_path / "embedded", embedding_job._common_folder
    first, second = Gate(tmp_path / "first"), Gate(tmp_path / "second")
    gates = iter([first, second])

    def armed(left):
        found = last_before(left)
        next(gates).arm()
        return found

    monkeypatch.setattr(embedding_job, "_common_folder", armed)

    def stop() -> None:
        first.held()
        wait_until(lambda: len(list(out.glob("*.parquet"))) > 1)  # the other slices go by
        spark.sparkContext.cancelAllJobs()
        first.open()

    with meanwhile(stop), pytest.raises(ClusterError, match=r"cancel"):
        embed_on_cluster(spark, first.in_front_of(data), hearing_model, str(out))
    kept = sum(len(pd.read_parquet(part)) for part in out.glob("*.parquet"))
    assert 0 < kept < 9

    with meanwhile(lambda: complete_cluster.kill_worker_of(second.held())):
        report = embed_on_cluster(spark, second.in_front_of(data), hearing_model, str(out))
    assert (report.recordings, report.failed, report.resumed) == (9, 1, kept)
    one = embed_files([path for _, path in songs[:8]], open_encoder(hearing_model), workers=0)
    found = pd.read_parquet(out).set_index("item_id")
    assert len(found) == 9
    for (item, _), vector in zip(songs, one.embeddings, strict=False):
        assert np.array_equal(np.float32(found["embedding"][item]), vector)


def test_lists_are_those_of_one_machine_although_a_worker_is_killed(
    spark, complete_cluster, model, tmp_path
):
    here = Recommender.load(model)
    options = {"exclude": ["item-3"], "per_artist": 1, "new": 1}
    gate = Gate(tmp_path / "gate")
    gate.arm()
    users = spark.createDataFrame([(user,) for user in ALL_USERS], ["user_id"]).coalesce(1)
    with meanwhile(lambda: complete_cluster.kill_worker_of(gate.held())):
        report = recommend_on_cluster(
            spark, model, str(tmp_path / "some"), gate.in_front_of(users), k=4, batch_size=50,
            **options,
        )  # fmt: skip
    one = pd.concat(here.recommend_batches(ALL_USERS, 4, batch_size=50, **options))
    assert report.to_dict() == {"users": 120, "rows": 480, "new_rows": int(one["new"].sum())}
    assert_same_lists(lists_in(tmp_path / "some"), one)
    # All users of the model, which the engine copies to the workers.
    recommend_on_cluster(spark, model, str(tmp_path / "all"), k=3, batch_size=40, ship=True)
    one = pd.concat(here.recommend_batches(None, 3, batch_size=40))
    assert_same_lists(lists_in(tmp_path / "all"), one)


def test_users_whom_the_model_does_not_know_are_folded_in(spark, model, tmp_path):
    plays = [("stranger", "item-3", 2.0), ("stranger", "item-6", 1.0), ("stranger", "gone", 5.0),
             ("user-1", "item-9", 7.0), ("nobody", "gone", 1.0)]  # fmt: skip
    table = spark.createDataFrame(plays, ["user_id", "item_id", "weight"])
    recommend_on_cluster(spark, model, str(tmp_path / "lists"), plays=table.coalesce(1), k=5)
    found = lists_in(tmp_path / "lists").set_index("user_id")
    here = Recommender.load(model)
    own = here.recommend(history={"item-3": 2.0, "item-6": 1.0}, k=5)
    assert found.loc["stranger", "item_id"].tolist() == own["item_id"].tolist()
    assert (
        found.loc["user-1", "item_id"].tolist() == here.recommend("user-1", 5)["item_id"].tolist()
    )
    assert found.loc["nobody", "item_id"].tolist() == here.recommend("x", 5)["item_id"].tolist()
    assert (taste_of(found.loc["stranger", "item_id"]) == 0).all()


def test_plays_are_summed_without_robots_although_a_worker_is_killed(
    spark, complete_cluster, tmp_path
):
    rng = np.random.default_rng(5)
    log = pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in rng.integers(0, 30, 900)],
            "item_id": [f"s{n}" for n in rng.integers(0, 20, 900)],
            "timestamp": 1.7e9 + rng.integers(0, 20 * 86_400, 900),
        }
    )
    robot = pd.DataFrame({"user_id": "robot", "item_id": "s1", "timestamp": [1.7e9] * 51})
    rows = pd.concat([log, robot], ignore_index=True)
    table = spark.createDataFrame(list(rows.itertuples(index=False, name=None)), list(rows.columns))
    gate = Gate(tmp_path / "gate")
    gate.arm()
    out = tmp_path / "sample" / "all.parquet"
    with meanwhile(lambda: complete_cluster.kill_worker_of(gate.held())):
        report = count_plays(
            spark, gate.in_front_of(table.repartition(3)), str(out), robots=RobotRule(50)
        )
    wanted = log.groupby(["user_id", "item_id"])["timestamp"].agg(["size", "min", "max"])
    assert (report.interactions, report.plays) == (len(wanted), 951)
    assert (report.robots, report.robot_plays, report.counted) == (1, 51, 900)
    found = pd.read_parquet(out).set_index(["user_id", "item_id"]).loc[wanted.index]
    assert found["weight"].tolist() == wanted["size"].tolist()
    for name, column in (("timestamp", "max"), ("first_timestamp", "min")):
        times = pd.to_datetime(wanted[column], unit="s")
        assert (found[name].to_numpy() == times.to_numpy()).all()
    # A sample is a data set of whole histories, the same each time.
    drawn = sample_plays(spark, str(out), str(tmp_path / "drawn"), 200)
    dataset = load_folder(tmp_path / "drawn")
    users = set(dataset.interactions["user_id"])
    assert len(dataset.interactions) == drawn["interactions"] == wanted.loc[list(users)].shape[0]
    assert 0 < len(users) < 30
    again = sample_plays(spark, str(out), str(tmp_path / "again"), 400)
    more = set(load_folder(tmp_path / "again").interactions["user_id"])
    assert users < more
    assert again["of_users"] == 30


def test_lines_of_json_that_cannot_be_used_are_counted(spark, tmp_path):
    lines = [
        '{"listener": "a", "song": 7, "at": "2024-01-31T18:30:00+01:00"}',
        '{"listener": "a", "song": "7", "at": 1706722200}',
        '{"listener": "a", "song": "7", "at": "2024-01-31 18:30:00", "times": 3}',
        '{"listener": "a", "song": "8", "at": "2024-02-01"}',
        '{"listener": " ", "song": "8", "at": 1}', "{broken", '{"listener": "b", "at": 1}',
        '{"listener": "b", "song": "8", "at": "yesterday"}',
        '{"listener": "b", "song": "8", "at": 1706722200000}',
        '{"listener": "b", "song": "8", "at": 1, "times": -1}',
        '{"listener": "b", "song": "8", "at": 1, "times": 0}',
    ]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    names = {"user_id": "listener", "item_id": "song", "timestamp": "at", "weight": "times"}
    from recsys.cluster.plays import read_plays

    out = tmp_path / "out"
    report = count_plays(spark, read_plays(spark, str(tmp_path / "log.jsonl"), names), str(out))
    assert report.left_out == {"user_id": 1, "item_id": 1, "weight": 1, "timestamp": 2, "line": 1}
    rows = pd.read_parquet(out).sort_values("item_id").astype(str).to_numpy().tolist()
    assert rows == [
        ["a", "7", "5.0", "2024-01-31 18:30:00", "2024-01-31 17:30:00"],
        ["a", "8", "1.0", "2024-02-01 00:00:00", "2024-02-01 00:00:00"],
    ]
    with pytest.raises(InvalidArgumentError, match="exists already"):
        count_plays(spark, read_plays(spark, str(tmp_path / "log.jsonl"), names), str(out))


def test_factors_make_a_model_although_a_worker_is_killed(
    spark, complete_cluster, tastes, tmp_path, monkeypatch
):
    dataset, embeddings = tastes
    table = spark.createDataFrame(
        list(dataset.interactions[["user_id", "item_id", "weight"]].itertuples(False, None)),
        ["user_id", "item_id", "weight"],
    )
    out, work = tmp_path / "factors", tmp_path / "checkpoints"

    def kill() -> None:
        # The second iteration's checkpoint is there: the solves go on.
        wait_until(lambda: len(list(work.glob("*/rdd-*"))) > 3)
        assert not (out / "items.parquet").exists()
        name = next(name for name in complete_cluster.processes if name != "master")
        complete_cluster.kill_worker(name)

    with meanwhile(kill):
        report = learn_factors(
            spark, table, str(out), factors=8, blocks=2, checkpoints=str(work), regularization=0.1
        )
    assert report.to_dict() == {"users": 120, "items": 80, "interactions": 1680, "rank": 8}
    given = read_factors(out, pd.Index(IDS), pd.Index(ALL_USERS))
    played = dataset.interactions.groupby("item_id")["user_id"].nunique()
    assert dict(zip(given.item_ids, given.listeners, strict=True)) == played.to_dict()
    config = QUICK.replace(sources=("als",), fusion={})
    model = Recommender(config).fit(dataset, embeddings, factors=out)
    assert model.live.state.config.als.factors == 8
    for only, k in ((None, 10), (IDS[80:], 3)):
        lists = model.recommend_many(ALL_USERS, k, only=only)
        assert (taste_of(lists["user_id"]) == taste_of(lists["item_id"])).mean() > 0.8


def test_what_is_wrong_is_one_clear_line(spark, model, songs, hearing_model, tmp_path, monkeypatch):
    out = str(tmp_path / "out")
    table = spark.createDataFrame(songs[:2], ["item_id", "path"])
    plays = spark.createDataFrame([("u", "s", 1.0)], ["user_id", "item_id", "weight"])

    def says(kind, words, job, *arguments, **options):
        with pytest.raises(kind, match=words) as caught:
            job(spark, *arguments, **options)
        assert "\n" not in str(caught.value)
        assert "Traceback" not in str(caught.value)

    says(UnknownItemError, "'none'", recommend_on_cluster, model, out, only=["none"])
    says(
        InvalidArgumentError,
        "'user_id' missing",
        recommend_on_cluster,
        model,
        out,
        plays.select("item_id"),
    )
    says(ClusterError, "localhost:1 does not answer", count_plays, "hdfs://127.0.0.1:1/log", out)
    says(ClusterError, "no machine nowhere.invalid", count_plays, plays, "hdfs://nowhere.invalid/x")
    says(ClusterError, "lacks the class .*S3AFileSystem", count_plays, "s3a://bucket/log", out)
    says(ClusterError, "no file system nosuch://", count_plays, plays, "nosuch://x/y")
    says(DataError, "log: does not exist", count_plays, str(tmp_path / "log"), out)

    gone = spark.createDataFrame([("a", "/not/mounted/a.mp3")], ["item_id", "path"])
    says(
        ClusterError,
        "/not/mounted: the folder of the recordings",
        embed_on_cluster,
        gone,
        hearing_model,
        out,
    )
    twice = table.union(table.limit(1))
    says(DataError, "is given twice", embed_on_cluster, twice, hearing_model, out)

    embed_on_cluster(spark, table, hearing_model, str(tmp_path / "embedded"), slice_size=1)
    damaged = next((tmp_path / "embedded").glob("*.parquet"))
    content = damaged.read_bytes()
    shutil.rmtree(tmp_path / "embedded" / "_temporary", ignore_errors=True)
    (damaged.parent / f".{damaged.name}.crc").unlink()
    damaged.write_bytes(content[: len(content) // 2])
    says(DataError, f"{damaged.name}: .*damaged", embed_on_cluster,
         spark.createDataFrame(songs[:3], ["item_id", "path"]), hearing_model,
         str(tmp_path / "embedded"))  # fmt: skip

    # A model on the workers that is another one than here.
    own = tmp_path / "model"
    shutil.copytree(model, own)
    here = Recommender.load(own)
    Recommender.load(own).remove("item-1")
    monkeypatch.setattr(Recommender, "load", lambda folder: here)
    says(
        ClusterError,
        "not in the state in which the job was started",
        recommend_on_cluster,
        own,
        out,
    )
    monkeypatch.undo()

    monkeypatch.setattr(spark.sparkContext, "pythonVer", "3.9")
    says(ClusterError, r"Python 3\.\d+ on a worker and 3\.9 here", recommend_on_cluster, model, out)
    monkeypatch.undo()
    monkeypatch.setattr(spark.sparkContext, "pythonExec", "/no/such/python")
    says(ClusterError, "no program /no/such/python", recommend_on_cluster, model, out)
    monkeypatch.undo()
    assert not Path(out).exists()


def test_a_full_disk_is_said_and_nothing_is_left(spark, model, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if find_program("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with pytest.raises(ClusterError, match="a disk is full: No space left on device"):
            recommend_on_cluster(spark, model, str(disk / "lists"), k=50)
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_guide(spark, tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "scale.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names = {"spark": spark}
    exec(block.replace("hdfs:///music", str(tmp_path)), names)
    assert names["counts"].users == names["factors"].users == 40
    assert names["drawn"]["of_interactions"] == names["counts"].interactions
