"""Processes that are killed, and processes that meet: nothing acknowledged is lost or half there.

Each victim is a process of its own that says what it has finished, and is killed by SIGKILL: at
random moments, or in the middle of the step of a save that a test chooses.
"""

import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from datasets.errors import ArtifactError, BusyError
from datasets.folder import load_folder
from datasets.music import MusicDataset
from embedding import EncoderConfig, SongEncoder
from embedding.audio.config import SnippetConfig
from embedding.hyperimage.config import HyperImageConfig
from recsys import Recommender, RecommenderConfig
from recsys.config import ALSConfig, FMConfig, FusionConfig
from recsys.content.familiarity import trust_of
from recsys.data import ItemContent
from tests.helpers.recordings import write_song
from tests.helpers.thorough import times

pytestmark = pytest.mark.slow

Tastes = tuple[MusicDataset, pd.DataFrame]

EPOCHS = 20
WEIGHTS = {"als": 0.4, "fm": 0.3, "content": 0.3}
SMALL = RecommenderConfig(
    threads=1,
    tracking=False,
    sources=("als", "fm", "content"),
    fusion=FusionConfig(warm=WEIGHTS, cold=WEIGHTS),
    als=ALSConfig(factors=8, iterations=3),
    fm=FMConfig(components=8, epochs=3),
    encoder=EncoderConfig(
        architecture="IC(2,5,8)PF(16)O",
        epochs=EPOCHS,
        patience=EPOCHS,
        batch_size=8,
        threads=1,
        snippet=SnippetConfig(seconds=1.0),
        hyperimage=HyperImageConfig(height=32, width=32, n_fft=1024, tempogram_frames=32),
    ),
)
USERS = [f"user-{n}" for n in range(5)]


def answers(recommender: Recommender) -> str:
    return recommender.recommend_many(USERS, k=12).to_csv()


# ---------------------------------------------------------------------- processes


class Template:
    """A process that has imported everything and forks others: each is there within milliseconds.

    It has one thread, so that a fork is safe, and is asked through a socket. A process that has
    ended keeps its number until it is joined, so that a late kill meets nobody else.
    """

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        code = f"import sys; sys.path[:0] = {sys.path!r}; "
        code += "import tests.integration.test_faults as own; "
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{code}own.serve({other.fileno()})"],
                pass_fds=[other.fileno()],
                env=environment,
            )

    def start(self, work: Callable[..., None], *arguments: Any) -> tuple["Victim", Connection]:
        """A process that runs ``work(say, *arguments)``, and where it says things."""
        hear, say = multiprocessing.Pipe(duplex=False)
        with say:
            ask(self._socket, (work.__name__, arguments), [say.fileno()])
        return Victim(answer(self._socket)[0], self), hear

    def warm_up(self, folder: Path) -> None:
        """Let it change a model once, so that no process after it has to import or compile."""
        ask(self._socket, ("warm up", folder))
        answer(self._socket)

    def join(self, pid: int) -> None:
        """Wait until a process has ended."""
        ask(self._socket, ("join", pid))
        answer(self._socket)

    def close(self) -> None:
        """End the template itself."""
        self._socket.close()
        self._process.wait()


class Victim:
    """A forked process."""

    def __init__(self, pid: int, template: Template) -> None:
        self._pid: int | None = pid
        self._template = template

    def kill(self) -> None:
        """SIGKILL, and wait until it has ended; nothing a second time."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._template.join(self._pid)
            self._pid = None


def ask(to: socket.socket, message: Any, descriptors: Sequence[int] = ()) -> None:
    content = pickle.dumps(message)
    socket.send_fds(to, [struct.pack("!I", len(content))], descriptors)
    to.sendall(content)


def answer(of: socket.socket) -> tuple[Any, list[int]]:
    """A message and its descriptors. Raises EOFError at the end."""
    head, descriptors, _, _ = socket.recv_fds(of, 4, 1, socket.MSG_WAITALL)
    if not head:
        raise EOFError
    (length,) = struct.unpack("!I", head)
    return pickle.loads(of.recv(length, socket.MSG_WAITALL)), descriptors


def serve(descriptor: int) -> None:
    """The template's life: fork who is asked for, and wait for who is to be joined."""
    with socket.socket(fileno=descriptor) as asked:
        while True:
            try:
                (name, arguments), descriptors = answer(asked)
            except EOFError:
                return
            if name == "join":
                os.waitpid(arguments, 0)
                ask(asked, None)
                continue
            if name == "warm up":
                import lightning_fabric  # noqa: F401  (with PyTorch: a fit would import it each time)

                change_once(arguments)
                ask(asked, None)
                continue
            pid = os.fork()
            if pid == 0:
                asked.close()
                _live(Connection(descriptors[0]), globals()[name], *arguments)
            os.close(descriptors[0])
            ask(asked, pid)


def _live(say: Connection, work: Callable[..., None], *arguments: Any) -> NoReturn:
    os.fsync = lambda _handle: None  # what a process that is killed has written is not lost
    try:
        work(say, *arguments)
    except BaseException as error:
        say.send(error)
        os._exit(1)
    os._exit(0)


@pytest.fixture(scope="module")
def processes(indexed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    template = Template()
    template.warm_up(Path(shutil.copytree(indexed, tmp_path_factory.mktemp("template") / "model")))
    yield template
    template.close()


@contextmanager
def process(
    template: Template, work: Callable[..., None], *arguments: Any
) -> Iterator[tuple[Victim, Connection]]:
    """A process that runs ``work(say, *arguments)``, and what it says; killed in the end."""
    victim, hear = template.start(work, *arguments)
    try:
        with hear:
            yield victim, hear
    finally:
        victim.kill()


def said(hear: Connection, seconds: float = 0) -> list[Any]:
    """Everything that a process has said until now; wait for the first word."""
    messages = []
    try:
        while hear.poll(seconds):
            messages.append(hear.recv())
            seconds = 0
    except EOFError:
        pass
    errors = [message for message in messages if isinstance(message, BaseException)]
    assert not errors, errors
    return messages


def after_ready(hear: Connection) -> list[Any]:
    """Wait until a process is ready; return what it may have said already after that."""
    first, *more = said(hear, 600)
    assert first == "ready"
    return more


def until_the_end(hear: Connection) -> list[Any]:
    """Everything that a process says until it ends."""
    messages: list[Any] = []
    while more := said(hear, 600):
        messages += more
    return messages


# ---------------------------------------------------------------------- save


@pytest.fixture(scope="module")
def two(tastes: Tastes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Two saved models that answer differently, and what they answer."""
    dataset, embeddings = tastes
    folder = tmp_path_factory.mktemp("two")
    models = {}
    for name, seed in (("old", 0), ("new", 1)):
        recommender = Recommender(SMALL.replace(seed=seed)).fit(dataset, embeddings=embeddings)
        recommender.save(folder / name)
        models[name] = folder / name, answers(recommender)
    assert models["old"][1] != models["new"][1]
    return models


def save_by_turns(say: Connection, sources: list[Path], target: Path) -> None:
    models = [Recommender.load(source) for source in sources]
    say.send("ready")
    turn = 0
    while True:
        models[turn % 2].save(target, replace=True)  # over what the other one put there
        say.send(turn % 2)
        turn += 1


@pytest.mark.parametrize("attempt", range(6))
def test_killed_while_saving_at_any_moment(
    processes: Template,
    two: dict[str, tuple[Path, str]],
    tmp_path: Path,
    attempt: int,
) -> None:
    target = tmp_path / "model"
    sources = [two["new"][0], two["old"][0]]
    right = [two["new"][1], two["old"][1]]
    shutil.copytree(two["old"][0], target)
    with process(processes, save_by_turns, sources, target) as (victim, hear):
        early = after_ready(hear)
        time.sleep(float(np.random.default_rng(attempt).uniform(0, 0.6)))
        victim.kill()
        done = early + said(hear)
    last = done[-1] if done else 1
    # What was acknowledged last, or what was to come next.
    assert answers(Recommender.load(target)) in (right[last], right[1 - last])
    # The next save clears what was left behind.
    Recommender.load(two["new"][0]).save(target)
    assert len([path for path in target.iterdir() if path.name != ".lock"]) == 2
    assert answers(Recommender.load(target)) == two["new"][1]


STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "sqlite3.connect")


def save_and_die(say: Connection, source: Path, target: Path, step: int) -> None:
    """Save, but be killed before the step with this number that changes or opens a file."""
    model = Recommender.load(source)
    steps = die_before(step, target)
    model.save(target)
    say.send(steps())


def die_before(step: int, target: Path) -> Callable[[], int]:
    """Be killed before a step that changes or opens a file; returns what counts the steps."""
    steps = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        if event not in STEPS or not str(arguments[0]).startswith((str(target), f"file:{target}")):
            return
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    sys.addaudithook(count)
    return lambda: steps


def test_killed_before_any_step_of_a_save(
    processes: Template, two: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    def attempt(step: int) -> tuple[str, list[Any]]:
        target = tmp_path / f"step-{step}"
        shutil.copytree(two["old"][0], target)
        with process(processes, save_and_die, two["new"][0], target, step) as (_, hear):
            finished = until_the_end(hear)
        found = answers(Recommender.load(target))
        assert found in (two["old"][1], two["new"][1]), step
        return "old" if found == two["old"][1] else "new", finished

    state, (total,) = attempt(10**9)
    assert state == "new"
    assert total > 60  # every file is opened to be written, to be synced and for its digest
    # A few while the files are written, then every single one around the last rename.
    steps = sorted({*np.linspace(0, total - 30, 4, dtype=int).tolist(), *range(total - 14, total)})
    states = []
    for step in steps:
        state, finished = attempt(step)
        assert finished == [], step
        states.append(state)
    # There is one moment at which the new model takes over.
    assert states == sorted(states, reverse=True)
    assert set(states) == {"old", "new"}


def rebuild_and_die(say: Connection, folder: Path, step: int) -> None:
    """Rebuild, but be killed before the step with this number that changes or opens a file."""
    model = Recommender.load(folder)
    steps = die_before(step, folder)
    model.rebuild()
    say.send(steps())


def test_killed_before_any_step_of_a_rebuild_while_another_has_the_model_open(
    processes: Template, two: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    """Whoever has the model open goes on, or is told to load it again; nothing is lost or left."""
    source = Path(shutil.copytree(two["old"][0], tmp_path / "source"))
    Recommender.load(source).onboard(embedding=vector(0), item_id="acknowledged")

    def attempt(step: int) -> tuple[bool, list[Any]]:
        folder = Path(shutil.copytree(source, tmp_path / f"step-{step}"))
        opened = Recommender.load(folder)
        before = opened._fitted().generation
        with process(processes, rebuild_and_die, folder, step) as (_, hear):
            finished = until_the_end(hear)
        loaded = Recommender.load(folder)
        replaced = loaded._fitted().generation != before
        if replaced:
            with pytest.raises(ArtifactError, match="was replaced since it was opened"):
                opened.onboard(embedding=vector(1), item_id="later")
            assert opened.refresh()
        opened.onboard(embedding=vector(1), item_id="later")
        assert len(list(folder.glob("g-*"))) == 1
        found = Recommender.load(folder).recommend("user-1", k=2, only=["acknowledged", "later"])
        assert set(found["item_id"]) == {"acknowledged", "later"}
        shutil.rmtree(folder)
        return replaced, finished

    replaced, (total,) = attempt(10**9)
    assert replaced
    states = []
    for step in (total // 3, *range(total - 12, total, 2)):
        replaced, finished = attempt(step)
        assert finished == [], step
        states.append(replaced)
    assert states == sorted(states)
    assert set(states) == {False, True}


def hold_forever(say: Connection, folder: Path) -> None:
    from recsys.model import artifact

    with artifact.writing(folder, "rebuilding the model"):
        say.send("ready")
        signal.pause()


def test_a_writer_that_is_stopped_is_named_to_those_who_wait(
    processes: Template,
    two: dict[str, tuple[Path, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    opened = Recommender.load(folder)
    monkeypatch.setenv("COLDTUNE_LOCK_SECONDS", "0.01")
    with process(processes, hold_forever, folder) as (victim, hear):
        assert said(hear, 600) == ["ready"]
        assert victim._pid is not None
        os.kill(victim._pid, signal.SIGSTOP)
        name = f"{folder}: process {victim._pid} has been rebuilding the model since"
        for change_it in (
            lambda: opened.onboard(embedding=vector(0), item_id="late"),
            lambda: opened.remove("item-1"),
            opened.rebuild,
            lambda: opened.save(folder),
        ):
            with pytest.raises(BusyError) as error:
                change_it()
            assert str(error.value).startswith(name)
        assert answers(opened) == answers(Recommender.load(folder)) == two["old"][1]
        victim.kill()
        opened.onboard(embedding=vector(0), item_id="late")
    assert Recommender.load(folder).info["onboarded"] == 1


def load_over_and_over(say: Connection, target: Path, right: list[str]) -> None:
    while True:
        say.send(answers(Recommender.load(target)) in right)


def test_loading_while_another_process_saves(
    processes: Template, two: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    target = tmp_path / "model"
    shutil.copytree(two["old"][0], target)
    right = [two["old"][1], two["new"][1]]
    with process(processes, load_over_and_over, target, right) as (_, hear):
        heard = said(hear, 600)
        models = [Recommender.load(two["new"][0]), Recommender.load(two["old"][0])]
        turn = 0
        while turn < 12 or len(heard) < 4:
            models[turn % 2].save(target, replace=True)  # over what the other one put there
            heard += said(hear)
            turn += 1
    assert set(heard) == {True}


# ---------------------------------------------------------------------- onboard


def vector(number: int) -> np.ndarray:
    drawn = np.random.default_rng(number).standard_normal(8)
    # As long as those of the fit: longer ones are shortened before anything is made of them.
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def onboard_forever(say: Connection, folder: Path, name: str) -> None:
    recommender = Recommender.load(folder)
    say.send("ready")
    number = 0
    while True:
        # A long text makes the transaction touch many pages.
        recommender.onboard(
            embedding=vector(number), item_id=f"{name}-{number}", title=f"{number} " * 5_000
        )
        say.send(f"{name}-{number}")
        number += 1


@pytest.mark.parametrize("attempt", range(6))
def test_killed_while_onboarding(
    processes: Template,
    two: dict[str, tuple[Path, str]],
    tmp_path: Path,
    attempt: int,
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    acknowledged: list[str] = []
    for life in range(2):  # the second process starts from what the first one left
        with process(processes, onboard_forever, folder, f"life{life}") as (victim, hear):
            acknowledged += after_ready(hear)
            time.sleep(float(np.random.default_rng([attempt, life]).uniform(0.0, 0.25)))
            victim.kill()
            acknowledged += said(hear)
    recommender = Recommender.load(folder)
    names = [song.item_id for song in recommender._model.catalog.onboarded()]  # type: ignore
    # All that was acknowledged, in order; of each life at most one that was not yet.
    assert [name for name in names if name in set(acknowledged)] == acknowledged
    assert len(names) - len(acknowledged) in (0, 1, 2)
    for name in names:
        number = int(name.split("-")[1])
        song = recommender.recommend("user-1", k=1, only=[name])
        assert song["title"].tolist() == [f"{number} " * 5_000]
    assert recommender.info["onboarded"] == len(names)


def test_a_killed_batch_is_there_as_a_whole_or_not_at_all(
    processes: Template, two: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    counts = []
    for attempt in range(5):
        with process(processes, onboard_batches, folder, attempt) as (victim, hear):
            counts += after_ready(hear)
            time.sleep(0.03 * attempt)
            victim.kill()
            counts += said(hear)
        onboarded = Recommender.load(folder).info["onboarded"]
        assert onboarded % 40 == 0
        assert onboarded >= 40 * len(counts)


def onboard_batches(say: Connection, folder: Path, attempt: int) -> None:
    recommender = Recommender.load(folder)
    say.send("ready")
    for number in range(1_000):
        ids = [f"{attempt}-{number}-{n}" for n in range(40)]
        items = pd.DataFrame({"item_id": ids, "title": "x" * 2_000, "artist": "", "album": ""})
        items["genre"] = "jazz"
        recommender.onboard_many(MusicDataset(items=items))
        say.send(1)


def onboard_some(say: Connection, folder: Path, name: str, count: int) -> None:
    recommender = Recommender.load(folder)
    say.send("ready")
    for number in range(count):
        recommender.onboard(embedding=vector(number), item_id=f"{name}-{number}")
        recommender.onboard(embedding=vector(number), item_id=f"shared-{number}", title=name)
        say.send(number)
    say.send(sorted(set(recommender.recommend("user-1", k=200)["item_id"])))


def test_two_processes_onboarding_at_once(
    processes: Template, two: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    count = 12
    with (
        process(processes, onboard_some, folder, "one", count) as (_, hear_one),
        process(processes, onboard_some, folder, "two", count) as (_, hear_two),
    ):
        for name, hear in (("one", hear_one), ("two", hear_two)):
            messages = until_the_end(hear)
            assert messages[:-1] == ["ready", *range(count)]
            own = {f"{kind}-{number}" for kind in (name, "shared") for number in range(count)}
            assert own <= set(messages[-1])
    recommender = Recommender.load(folder)
    wanted = {f"{kind}-{n}" for kind in ("one", "two", "shared") for n in range(count)}
    assert recommender.info["onboarded"] == len(wanted)
    found = recommender.recommend("user-1", k=200, only=sorted(wanted))
    assert set(found["item_id"]) == wanted
    assert found["item_id"].is_unique


def test_onboarding_into_a_model_that_was_replaced(
    processes: Template, two: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    opened = Recommender.load(folder)
    opened.onboard(embedding=vector(0), item_id="early")
    before = answers(opened)
    with process(processes, save_once, two["new"][0], folder) as (_, hear):
        assert until_the_end(hear) == ["saved"]
    with pytest.raises(ArtifactError, match="was replaced since it was opened; load it again"):
        opened.onboard(embedding=vector(1), item_id="late")
    assert answers(opened) == before
    again = Recommender.load(folder)
    assert answers(again) == two["new"][1]
    again.onboard(embedding=vector(1), item_id="late")
    assert Recommender.load(folder).info["onboarded"] == 1


def save_once(say: Connection, source: Path, target: Path) -> None:
    Recommender.load(source).save(target, replace=True)
    say.send("saved")


# ---------------------------------------------------------------------- fit


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 24 short recordings, two genres that differ in pitch, and 12 listeners."""
    folder = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    items, audio, plays = [], [], []
    for number in range(24):
        genre = ("rock", "jazz")[number % 2]
        write_song(folder / "audio" / f"{number}.wav", number)
        items.append((f"song-{number}", f"Song {number}", f"Artist {number // 2}", "", genre))
        audio.append((f"song-{number}", f"audio/{number}.wav"))
    for user in range(12):
        own = [n for n in range(20) if n % 2 == user % 2]
        plays += [(f"user-{user}", f"song-{n}", 1) for n in rng.choice(own, 6, replace=False)]
    names = ["item_id", "title", "artist", "album", "genre"]
    pd.DataFrame(items, columns=names).to_csv(folder / "items.csv", index=False)
    pd.DataFrame(audio, columns=["item_id", "path"]).to_csv(folder / "audio.csv", index=False)
    pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]).to_csv(
        folder / "interactions.csv", index=False
    )
    return folder


def fit_and_save(say: Connection, songs: Path, cache: Path, folder: Path) -> None:
    os.environ["COLDTUNE_CACHE"] = str(cache)
    say.send("ready")
    recommender = Recommender(SMALL).fit(load_folder(songs))
    say.send("fitted")
    recommender.save(folder)
    say.send(answers(recommender))


def settled(cache: Path) -> dict[Path, bytes]:
    """What the cache keeps, all of it whole: hyper-images by recording, and checkpoints."""
    from safetensors import safe_open

    found = {}
    for index in cache.glob("hyperimages/*/index.sqlite"):
        with closing(sqlite3.connect(index)) as connection:
            rows = connection.execute("SELECT digest, first, checksum FROM recordings").fetchall()
        images = np.memmap(index.with_name("images.f32"), "<f4", "r").reshape(-1, 32 * 32)
        for digest, row, checksum in rows:
            assert zlib.crc32(images[row].tobytes()) == checksum
            found[index.with_name(digest)] = images[row].tobytes()
    for path in cache.glob("training/*"):
        if path.name.startswith("."):
            continue
        with safe_open(path, "np") as checkpoint:
            assert checkpoint.metadata()["history"]
        found[path] = path.read_bytes()
    return found


def kept(cache: Path) -> int:
    """How many recordings and checkpoints the cache holds while another process writes to it."""
    count = len([path for path in cache.glob("training/*") if not path.name.startswith(".")])
    for index in cache.glob("hyperimages/*/index.sqlite"):
        with closing(sqlite3.connect(index, timeout=600)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
            if ("recordings",) in tables:
                count += connection.execute("SELECT COUNT(*) FROM recordings").fetchone()[0]
    return count


def test_killed_while_fitting(
    processes: Template, songs: Path, tmp_path: Path, two: dict[str, tuple[Path, str]]
) -> None:
    """Killed again and again, a fit that is run again gets further, and ends the same."""
    cache, folder = tmp_path / "cache", tmp_path / "model"
    with process(processes, fit_and_save, songs, tmp_path / "other", tmp_path / "whole") as (
        _,
        hear,
    ):
        *_, wanted = until_the_end(hear)

    shutil.copytree(two["old"][0], folder)
    before: dict[Path, bytes] = {}
    progressed = 0
    for moment in (2, 12, 25):  # recordings that were read, and then a checkpoint
        with process(processes, fit_and_save, songs, cache, folder) as (victim, hear):
            assert said(hear, 600) == ["ready"]
            while kept(cache) < moment:
                time.sleep(0.005)
            victim.kill()
            finished = wanted in said(hear)
        after = settled(cache)
        assert before.keys() <= after.keys()
        progressed += after != before
        before = after
        right = (wanted,) if finished else (two["old"][1], wanted)
        assert answers(Recommender.load(folder)) in right
    assert progressed >= 1
    with process(processes, fit_and_save, songs, cache, folder) as (_, hear):
        assert until_the_end(hear) == ["ready", "fitted", wanted]
    assert len(settled(cache)) == 24 + 1
    # What was there was used, not made again: the file has grown to 24 images and no more.
    (images,) = cache.glob("hyperimages/*/images.f32")
    assert images.stat().st_size == 24 * 32 * 32 * 4
    loaded = Recommender.load(folder)
    assert answers(loaded) == wanted
    assert isinstance(loaded._model.state.encoder, SongEncoder)  # type: ignore[union-attr]
    assert loaded.info["encoder"]["history"][-1]["epoch"] == EPOCHS


# ---------------------------------------------------------------------- at random moments

PLAYED = ["item-1", "item-2", "cold-80", "cold-81"]
KINDS = dict.fromkeys(("o", "u", "ous", "our"), times(25, 50))
"""What processes do by turns (onboard, update, save, rebuild), and how many of them are killed."""


@pytest.fixture(scope="module")
def indexed(tastes: Tastes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with an index on the disk, which rebuilding builds anew, and else few files.

    It is opened hundreds of times.
    """
    dataset, embeddings = tastes
    weights = {"als": 0.5, "content": 0.5}
    config = SMALL.replace(
        sources=("als", "content"),
        fusion=FusionConfig(warm=weights, cold=weights),
        retrieval={"method": "annoy", "n_trees": 4, "search_k": 1000},
    )
    folder = tmp_path_factory.mktemp("indexed") / "model"
    Recommender(config).fit(dataset, embeddings=embeddings).save(folder)
    return folder


@pytest.fixture
def quick_disk() -> Iterator[Path]:
    """A folder in memory where there is one: a killed process loses nothing there either."""
    shared = Path("/dev/shm")
    place = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="coldtune-test-", dir=place) as folder:
        yield Path(folder)


def late_song(name: str) -> dict[str, Any]:
    """What is onboarded under a name: a long text, so that a transaction touches many pages."""
    return {
        "embedding": vector(zlib.crc32(name.encode())),
        "item_id": name,
        "title": f"{name} " * 900,
        "tags": {"mood": name},
    }


def change_forever(say: Connection, folder: Path, life: int, kinds: str) -> None:
    """Onboard, update, save and rebuild by turns; say what is done, and only then."""
    recommender = Recommender.load(folder)
    say.send(("ready", -1))
    number = life % len(kinds)  # so that each kind is at times the first one
    while True:
        kind = kinds[number % len(kinds)]
        change(recommender, folder, kind, f"{life}-{number}")
        say.send((kind, number))
        number += 1


def change(recommender: Recommender, folder: Path, kind: str, name: str) -> None:
    """One change: o onboards, u updates, s saves, r rebuilds."""
    if kind == "o":
        recommender.onboard(**late_song(f"late-{name}"))
    elif kind == "u":
        # A batch of several plays, of which none may be there alone.
        rows = [(f"new-{name}", item, 1.0) for item in PLAYED]
        recommender.update(pd.DataFrame(rows, columns=["user_id", "item_id", "weight"]))
    elif kind == "s":
        recommender.save(folder)
    else:
        recommender.rebuild()


def change_once(folder: Path) -> None:
    """Every kind of change."""
    recommender = Recommender.load(folder)
    for kind in "oursou":
        change(recommender, folder, kind, f"first-{kind}")


def late_items(recommender: Recommender) -> set[str]:
    """Items that were onboarded, each of them whole: in its row, in the database, in searches."""
    library = recommender._fitted()
    rows = np.setdiff1d(np.arange(len(library.items)), library.items.retired)
    ids = {str(name): int(row) for name, row in zip(library.items.ids(rows), rows, strict=True)}
    assert len(ids) == len(rows)
    late = {name: row for name, row in ids.items() if name.startswith("late-")}
    stored = {song.item_id: song for song in library.catalog.songs()}
    assert set(stored) == set(ids)
    names, at = list(late), np.array(list(late.values()), np.intp)
    songs = [late_song(name) for name in names]
    wanted = np.array([song["embedding"] for song in songs]).reshape(len(names), 8)
    embeddings, known = library.items.embeddings(at)
    assert known.all()
    np.testing.assert_array_equal(embeddings, wanted)
    assert library.items.texts("title", at).tolist() == [song["title"] for song in songs]
    for name, song in zip(names, songs, strict=True):
        assert stored[name].title == song["title"]
        assert stored[name].tags == song["tags"]
        np.testing.assert_array_equal(stored[name].embedding, song["embedding"])
    # The vector of an item that nobody has played is what the sources make of its content, as far
    # as that is believed: late songs sound unlike the others.
    content = ItemContent(
        embeddings,
        np.ones(len(names), bool),
        sp.csr_matrix((len(names), len(library.state.vocabulary.values)), dtype=np.float32),
        trust_of(library.items.familiarity(at)),
    )
    fused = library.state.fuse_content(content)
    np.testing.assert_allclose(library.index.vectors(at), fused, rtol=1e-4, atol=1e-5)
    if names:
        found = recommender.recommend("user-1", len(names), only=names)
        assert set(found["item_id"]) == set(names)
        assert found["cold"].all()
    return set(names)


def late_users(recommender: Recommender) -> set[str]:
    """Users who came by an update, each with all of its plays."""
    library = recommender._fitted()
    users = [str(user) for user in library.users.ids if str(user).startswith("new-")]
    assert len(set(users)) == len(users)
    played = set(library.items.rows(PLAYED).tolist())
    rows = library.users.rows(users)
    for row in rows.tolist():
        assert set(library.users.seen(row).tolist()) == played
    assert library.users.vectors(rows).any(axis=1).all()
    return set(users)


@pytest.mark.parametrize("kinds", KINDS)
def test_killed_at_any_moment_of_a_change(
    processes: Template, indexed: Path, quick_disk: Path, kinds: str
) -> None:
    """The model opens after every kill; no acknowledged change is lost, none is half there."""
    folder = Path(shutil.copytree(indexed, quick_disk / "model"))
    items: set[str] = set()
    users: set[str] = set()
    at_work = 0
    rng = np.random.default_rng(len(kinds) + ord(kinds[-1]))
    for life in range(KINDS[kinds]):  # each process opens what the one before it left behind
        with process(processes, change_forever, folder, life, kinds) as (victim, hear):
            # Some changes are done, however slow the machine; then a moment of the next one.
            finished = int(rng.integers(len(kinds) + 1))
            messages: list[Any] = []
            while len(messages) < 1 + finished:
                messages += said(hear, 600)
            time.sleep(float(rng.uniform(0, 0.04)))
            victim.kill()
            done = (messages + said(hear))[1:]
        at_work += not done
        told = {kind: [f"{life}-{n}" for own, n in done if own == kind] for kind in "ou"}
        recommender = Recommender.load(folder)
        items_now, users_now = late_items(recommender), late_users(recommender)
        # All there was, all that was acknowledged, and at most what was being done.
        for before, now, own in (
            (items, items_now, {f"late-{name}" for name in told["o"]}),
            (users, users_now, {f"new-{name}" for name in told["u"]}),
        ):
            assert before | own <= now
            assert len(now - before - own) <= 1
        items, users = items_now, users_now
    assert items or "o" not in kinds
    assert users or "u" not in kinds
    assert at_work  # some were killed in the midst of the first thing they did


# ---------------------------------------------------------------------- a full disk


def fill_the_disk(say: Connection, folder: Path, kind: str, room: int) -> None:
    """Make a change where no file may grow beyond so many bytes."""
    recommender = Recommender.load(folder)
    before = answers(recommender)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        if kind == "onboard":
            recommender.onboard(embedding=vector(0), item_id="late", title="x" * 3_000_000)
        elif kind == "update":
            rows = [(f"new-{number}", "item-1", 1.0) for number in range(9_000)]
            recommender.update(pd.DataFrame(rows, columns=["user_id", "item_id", "weight"]))
        elif kind == "remove":
            recommender.remove("item-1")
        elif kind == "save":
            recommender.save(folder)
        else:
            recommender.rebuild()
    except ArtifactError as error:
        say.send(("refused", str(error), answers(recommender) == before))
        return
    say.send(("done", "", False))


@pytest.mark.parametrize("kind", ["onboard", "update", "remove", "save", "rebuild"])
def test_a_full_disk_refuses_a_change_and_keeps_the_model(
    processes: Template, two: dict[str, tuple[Path, str]], tmp_path: Path, kind: str
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    size = next(folder.glob("g-*/catalog.sqlite")).stat().st_size
    room = size if kind in ("onboard", "update") else 4096
    with process(processes, fill_the_disk, folder, kind, room) as (_, hear):
        ((outcome, message, unchanged),) = until_the_end(hear)
    assert outcome == "refused"
    assert "\n" not in message
    assert unchanged
    assert answers(Recommender.load(folder)) == two["old"][1]
    assert len(list(folder.glob("g-*"))) == 1


# ---------------------------------------------------------------------- two writers


def update_some(say: Connection, folder: Path, name: str, count: int) -> None:
    recommender = Recommender.load(folder)
    say.send("ready")
    for number in range(count):
        rows = [(f"{name}-{number}", "cold-80", 1.0), ("shared", f"item-{number}", 1.0)]
        recommender.update(pd.DataFrame(rows, columns=["user_id", "item_id", "weight"]))
    say.send("done")


def test_two_processes_updating_at_once_and_a_reader(
    processes: Template, two: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    reader, count = Recommender.load(folder), 8
    with (
        process(processes, update_some, folder, "one", count) as (_, hear_one),
        process(processes, update_some, folder, "two", count) as (_, hear_two),
    ):
        for hear in (hear_one, hear_two):
            assert until_the_end(hear) == ["ready", "done"]
    assert reader.refresh()
    library = reader._model
    assert library is not None
    users = [f"{name}-{number}" for name in ("one", "two") for number in range(count)]
    assert (library.users.rows(users) >= 0).all()
    (row,) = library.users.rows(["shared"])
    assert len(library.users.seen(int(row))) == count
    assert answers(reader) == answers(Recommender.load(folder))
