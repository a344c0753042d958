"""Forked processes with a model: gunicorn --preload, pools of multiprocessing, plain forks."""

import http.client
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.music import MusicDataset
from embedding import SongEncoder
from evaluation import Popularity, Random, compare, warm_split
from recsys import Recommender
from tests.helpers.forks import in_child
from tests.helpers.recommenders import ALL_USERS, QUICK

ROOT = Path(__file__).resolve().parents[2]
TWO = QUICK.replace(threads=2)
"""With two threads, which a child does not have."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture(scope="module")
def model(tastes: tuple[MusicDataset, pd.DataFrame]) -> Recommender:
    """In memory; it has computed with two threads."""
    fitted = Recommender(TWO).fit(*tastes)
    fitted.recommend_many(ALL_USERS, 5)
    return fitted


def _everything(model: Recommender, folder: Path, name: str) -> None:
    """Call all that reads and changes a model."""
    assert len(model.recommend_many(ALL_USERS, 5)) == 5 * len(ALL_USERS)
    assert len(model.recommend("user-1", 5)) == 5
    assert len(model.similar("item-1", 5)) == 5
    assert model.explain("user-1", "item-1").item_id == "item-1"
    assert sum(len(batch) for batch in model.recommend_batches(k=2)) == 2 * len(ALL_USERS)
    assert model.write_recommendations(folder / f"{name}.parquet", k=2).users == len(ALL_USERS)
    model.onboard(item_id=f"new-{name}", embedding=np.ones(8))
    plays = pd.DataFrame({"user_id": ["somebody"], "item_id": [f"new-{name}"], "weight": [1.0]})
    assert model.update(plays).items == 1
    model.remove(f"new-{name}")
    model.refresh()
    assert model.info["now"]["items"] == 90


@pytest.mark.slow
def test_every_call_works_in_a_child_and_in_its_child(
    model: Recommender,
    tastes: tuple[MusicDataset, pd.DataFrame],
    tmp_path: Path,
    example_encoder: SongEncoder,
    example_images: np.ndarray,
    example_labels: list[str],
) -> None:
    lists = model.recommend_many(ALL_USERS, 5)
    encoder = SongEncoder(example_encoder.config.replace(threads=2))
    embedded = encoder.fit(example_images, example_labels).embed(example_images)

    def child() -> None:
        pd.testing.assert_frame_equal(model.recommend_many(ALL_USERS, 5), lists)
        _everything(model, tmp_path, "child")
        model.rebuild()
        model.save(tmp_path / "of-the-child")
        saved = Recommender.load(tmp_path / "of-the-child")
        assert len(saved.recommend_many(ALL_USERS, 5)) == len(lists)
        assert len(Recommender(TWO).fit(*tastes).recommend_many(ALL_USERS, 5)) == len(lists)
        assert np.allclose(encoder.embed(example_images), embedded, atol=1e-5)
        encoder.fit(example_images, example_labels)
        data = tastes[0]
        models = {"popular": Popularity, "random": Random}
        compare(models, data, [warm_split(data, seed=0)], ks=(5,), baseline="random")
        assert in_child(lambda: _everything(saved, tmp_path, "grandchild")) == 0

    assert in_child(child) == 0
    pd.testing.assert_frame_equal(model.recommend_many(ALL_USERS, 5), lists)


def test_children_store_into_the_model_of_their_parent(model: Recommender, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    loaded.recommend_many(ALL_USERS, 5)
    for number in range(2):
        assert (
            in_child(lambda n=number: loaded.onboard(item_id=f"of-{n}", embedding=np.ones(8))) == 0
        )
    loaded.onboard(item_id="of-the-parent", embedding=np.ones(8))
    assert loaded.info["onboarded"] == 3
    assert len(loaded.recommend("user-1", only=["of-0", "of-1", "of-the-parent"])) == 3


def _ask(user: str) -> list[str]:
    return _asked.recommend(user, 3)["item_id"].tolist()


def test_a_pool_of_forked_processes_answers_as_the_parent_does(model: Recommender) -> None:
    global _asked
    _asked = model
    with multiprocessing.get_context("fork").Pool(2) as pool:
        lists = pool.map_async(_ask, ALL_USERS[:6]).get(120)
    assert lists == [_ask(user) for user in ALL_USERS[:6]]


@pytest.mark.slow
def test_a_fork_may_come_while_other_threads_ask_and_store(
    model: Recommender, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    busy = Recommender.load(tmp_path / "model")
    stop, wrong = threading.Event(), []
    numbers = iter(range(10**6))

    def again(work) -> None:
        while not stop.is_set():
            try:
                work()
            except Exception as error:
                wrong.append(error)
                return

    works = [
        lambda: busy.recommend_many(ALL_USERS, 5),
        lambda: busy.onboard(item_id=f"busy-{next(numbers)}", embedding=np.ones(8)),
        lambda: busy.similar("item-1", by="sound"),
        lambda: busy.refresh(),
    ]
    threads = [threading.Thread(target=again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        for number in range(5):

            def child(number: int = number) -> None:
                assert len(busy.recommend_many(ALL_USERS, 5)) == 5 * len(ALL_USERS)
                busy.onboard(item_id=f"forked-{number}", embedding=np.ones(8))

            assert in_child(child) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    busy.refresh()
    assert len(busy.recommend("user-1", only=[f"forked-{n}" for n in range(5)])) == 5


@pytest.mark.slow
def test_a_child_that_ends_in_order_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    script = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np, pandas as pd
from datasets.music import MusicDataset
from recsys import Recommender
from tests.helpers.recommenders import QUICK
ids = [f"i{{n}}" for n in range(30)]
items = pd.DataFrame({{"item_id": ids, "title": ids, "artist": "", "album": "", "genre": ""}})
rng = np.random.default_rng(0)
plays = pd.DataFrame([(f"u{{u}}", ids[i], 1.0) for u in range(40) for i in
                      rng.choice(30, 5, replace=False)], columns=["user_id", "item_id", "weight"])
config = QUICK.replace(threads=2, retrieval={{"method": "pruned"}})
model = Recommender(config).fit(MusicDataset(items, interactions=plays))
before = model.recommend_many(["u1", "u2"], 5)
child = os.fork()
if child == 0:
    model.recommend_many(["u1"], 5)
    sys.exit(0)  # with all that is done at an end
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
pd.testing.assert_frame_equal(model.recommend_many(["u1", "u2"], 5), before)
model.save({str(tmp_path / "model")!r})
pd.testing.assert_frame_equal(Recommender.load({str(tmp_path / "model")!r})
                              .recommend_many(["u1", "u2"], 5), before)
print("well")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout == "well\n", done.stderr


APP = """
import json, os
from urllib.parse import parse_qs
from recsys import Recommender
from recsys.config import RecommenderConfig

model = Recommender.load(os.environ["MODEL"])
model.recommend_many(list(model._model.users.ids), 5)  # warm, with all its threads

def app(environ, start_response):
    asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    if environ["PATH_INFO"] == "/many":
        found = model.recommend_many(list(model._model.users.ids), 5)["item_id"].tolist()
    elif environ["PATH_INFO"] == "/onboard":
        found = [model.onboard(item_id=asked["id"], embedding=[1.0] * 8).item_id]
    elif environ["PATH_INFO"] == "/refresh":
        model.refresh()
        found = [model.info["onboarded"]]
    else:
        found = model.recommend(asked["user"], 5)["item_id"].tolist()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"worker": os.getpid(), "found": found}).encode()]
"""


@pytest.fixture
def served(model: Recommender, tmp_path: Path) -> Iterator[Path]:
    """A model served by gunicorn with --preload and two workers; the path of its socket."""
    pytest.importorskip("gunicorn")
    model.save(tmp_path / "model")
    (tmp_path / "service.py").write_text(APP)
    address = Path("/tmp") / f"coldtune-test-{os.getpid()}.sock"  # socket names are short
    command = [
        sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--timeout", "100",
        "--bind", f"unix:{address}", "--chdir", str(tmp_path), "service:app",
    ]  # fmt: skip
    environment = {**os.environ, "MODEL": str(tmp_path / "model"), "PYTHONPATH": str(ROOT)}
    environment |= {"HOME": str(tmp_path), "COLDTUNE_TRACKING": "0"}
    environment.pop("OMP_NUM_THREADS", None)
    with (tmp_path / "gunicorn.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        finally:
            server.kill()
            address.unlink(missing_ok=True)
            shutil.rmtree(tmp_path / "model", ignore_errors=True)


def _get(address: Path, path: str) -> dict:
    connection = http.client.HTTPConnection("localhost", timeout=100)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(100)
    try:
        connection.sock.connect(str(address))
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.slow
def test_workers_of_gunicorn_answer_and_store_with_a_model_that_was_loaded_before_they_forked(
    model: Recommender, served: Path
) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            _get(served, "/?user=user-1")
            break
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.1)
    expected = model.recommend("user-1", 5)["item_id"].tolist()
    many = model.recommend_many(ALL_USERS, 5)["item_id"].tolist()
    workers = set()
    for number in range(40):
        answer = _get(served, "/?user=user-1")
        assert answer["found"] == expected
        assert _get(served, "/many")["found"] == many
        workers.add(answer["worker"])
        if number >= 10 and len(workers) == 2:
            break
    before = model.info["onboarded"]
    stored = {_get(served, f"/onboard?id=new-{number}")["worker"] for number in range(6)}
    assert stored <= workers
    assert _get(served, "/refresh")["found"] == [before + 6]
