"""Processes that are killed, and processes that meet: nothing acknowledged is lost or half there.

Each victim is a process of its own that says what it has finished, and is killed by SIGKILL: at
random moments, or in the middle of the step of a save that a test chooses.
"""

import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from datasets.errors import ArtifactError
from datasets.folder import load_folder
from datasets.music import MusicDataset
from embedding import EncoderConfig, SongEncoder
from embedding.config import HyperImageConfig, SnippetConfig
from recsys import Recommender, RecommenderConfig
from recsys.config import ALSConfig, FMConfig

Tastes = tuple[MusicDataset, pd.DataFrame]

SMALL = RecommenderConfig(
    threads=1,
    tracking=False,
    als=ALSConfig(factors=8, iterations=3),
    fm=FMConfig(components=8, epochs=3),
    encoder=EncoderConfig(
        architecture="IC(2,5,8)PF(16)O",
        epochs=60,
        patience=60,
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


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Makes processes from one that has imported everything, so that each starts at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["recsys.recommender", "datasets.folder", "embedding.training", "embedding.extraction"]
    )
    return context


@contextmanager
def process(
    context: ForkServerContext, work: Callable[..., None], *arguments: Any
) -> Iterator[tuple[Any, Connection]]:
    """A process that runs ``work(say, *arguments)``, and what it says; killed in the end."""
    hear, say = context.Pipe(duplex=False)
    running = context.Process(target=_live, args=(say, work, *arguments))
    running.start()
    say.close()
    try:
        yield running, hear
    finally:
        running.kill()
        running.join()


def _live(say: Connection, work: Callable[..., None], *arguments: Any) -> None:
    os.fsync = lambda _handle: None  # what a process that is killed has written is not lost
    try:
        work(say, *arguments)
    except BaseException as error:
        say.send(error)
        raise


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


def until_the_end(hear: Connection) -> list[Any]:
    """Everything that a process says until it ends."""
    messages: list[Any] = []
    while more := said(hear, 60):
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
        models[turn % 2].save(target)
        say.send(turn % 2)
        turn += 1


@pytest.mark.parametrize("attempt", range(6))
def test_killed_while_saving_at_any_moment(
    processes: ForkServerContext,
    two: dict[str, tuple[Path, str]],
    tmp_path: Path,
    attempt: int,
) -> None:
    target = tmp_path / "model"
    sources = [two["new"][0], two["old"][0]]
    right = [two["new"][1], two["old"][1]]
    shutil.copytree(two["old"][0], target)
    with process(processes, save_by_turns, sources, target) as (victim, hear):
        assert said(hear, 60) == ["ready"]
        time.sleep(float(np.random.default_rng(attempt).uniform(0, 0.6)))
        victim.kill()
        victim.join()
        done = said(hear)
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
    steps = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        if event not in STEPS or not str(arguments[0]).startswith((str(target), f"file:{target}")):
            return
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    sys.addaudithook(count)
    model.save(target)
    say.send(steps)


def test_killed_before_any_step_of_a_save(
    processes: ForkServerContext, two: dict[str, tuple[Path, str]], tmp_path: Path
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


def load_over_and_over(say: Connection, target: Path, right: list[str]) -> None:
    while True:
        say.send(answers(Recommender.load(target)) in right)


def test_loading_while_another_process_saves(
    processes: ForkServerContext, two: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    target = tmp_path / "model"
    shutil.copytree(two["old"][0], target)
    right = [two["old"][1], two["new"][1]]
    with process(processes, load_over_and_over, target, right) as (_, hear):
        heard = said(hear, 60)
        models = [Recommender.load(two["new"][0]), Recommender.load(two["old"][0])]
        for turn in range(12):
            models[turn % 2].save(target)
        heard += said(hear)
    assert set(heard) == {True}
    assert len(heard) > 3


# ---------------------------------------------------------------------- onboard


def vector(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal(8).astype(np.float32)


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
    processes: ForkServerContext,
    two: dict[str, tuple[Path, str]],
    tmp_path: Path,
    attempt: int,
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    acknowledged: list[str] = []
    for life in range(2):  # the second process starts from what the first one left
        with process(processes, onboard_forever, folder, f"life{life}") as (victim, hear):
            assert said(hear, 60) == ["ready"]
            time.sleep(float(np.random.default_rng([attempt, life]).uniform(0.0, 0.25)))
            victim.kill()
            victim.join()
            acknowledged += said(hear)
    recommender = Recommender.load(folder)
    names = [song.item_id for song in recommender._library.catalog.onboarded()]  # type: ignore
    # All that was acknowledged, in order; of each life at most one that was not yet.
    assert [name for name in names if name in set(acknowledged)] == acknowledged
    assert len(names) - len(acknowledged) in (0, 1, 2)
    for name in names:
        number = int(name.split("-")[1])
        song = recommender.recommend("user-1", k=1, only=[name])
        assert song["title"].tolist() == [f"{number} " * 5_000]
    assert recommender.info["onboarded"] == len(names)


def test_a_killed_batch_is_there_as_a_whole_or_not_at_all(
    processes: ForkServerContext, two: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    counts = []
    for attempt in range(5):
        with process(processes, onboard_batches, folder, attempt) as (victim, hear):
            assert said(hear, 60) == ["ready"]
            time.sleep(0.03 * attempt)
            victim.kill()
            victim.join()
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
    processes: ForkServerContext, two: dict[str, tuple[Path, str]], tmp_path: Path
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
    processes: ForkServerContext, two: dict[str, tuple[Path, str]], tmp_path: Path
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
    Recommender.load(source).save(target)
    say.send("saved")


# ---------------------------------------------------------------------- fit


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 24 short recordings, two genres that differ in pitch, and 12 listeners."""
    folder = tmp_path_factory.mktemp("songs")
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    items, audio, plays = [], [], []
    for number in range(24):
        genre = ("rock", "jazz")[number % 2]
        pitch = (220, 880)[number % 2] * 2 ** (number / 24)
        t = np.arange(11025) / 11025
        wave = np.sin(2 * np.pi * pitch * t) * (1 + np.sin(8 * np.pi * t)) / 2
        wave += 0.05 * rng.standard_normal(len(t))
        soundfile.write(folder / "audio" / f"{number}.wav", 0.5 * wave, 11025)
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


def test_killed_while_fitting(
    processes: ForkServerContext, songs: Path, tmp_path: Path, two: dict[str, tuple[Path, str]]
) -> None:
    """Killed again and again, a fit that is run again gets further, and ends the same."""
    cache, folder = tmp_path / "cache", tmp_path / "model"
    started = time.perf_counter()
    with process(processes, fit_and_save, songs, tmp_path / "other", tmp_path / "whole") as (
        _,
        hear,
    ):
        *_, wanted = until_the_end(hear)
    whole = time.perf_counter() - started

    shutil.copytree(two["old"][0], folder)
    before: dict[Path, bytes] = {}
    progressed = 0
    for attempt in range(3):
        with process(processes, fit_and_save, songs, cache, folder) as (victim, hear):
            assert said(hear, 60) == ["ready"]
            time.sleep(whole * (0.35 + 0.2 * attempt))
            victim.kill()
            victim.join()
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
    assert isinstance(loaded._library.state.encoder, SongEncoder)  # type: ignore[union-attr]
    assert loaded.info["encoder"]["history"][-1]["epoch"] == 60


# ---------------------------------------------------------------------- at random moments

PLAYED = ["item-1", "item-2", "cold-80", "cold-81"]


def change_forever(say: Connection, folder: Path, life: int, kinds: str) -> None:
    """Onboard, update, save and rebuild by turns; say what is done, and only then."""
    recommender = Recommender.load(folder)
    say.send(("ready", -1))
    number = 0
    while True:
        kind = kinds[number % len(kinds)]
        name = f"{life}-{number}"
        if kind == "o":
            recommender.onboard(embedding=vector(number), item_id=f"late-{name}", title="x" * 9_000)
        elif kind == "u":
            # A batch of several plays, of which none may be there alone.
            rows = [(f"new-{name}", item, 1.0) for item in PLAYED]
            recommender.update(pd.DataFrame(rows, columns=["user_id", "item_id", "weight"]))
        elif kind == "s":
            recommender.save(folder)
        else:
            recommender.rebuild()
        say.send((kind, number))
        number += 1


@pytest.mark.parametrize("kinds", ["o", "u", "ous", "our"])
def test_killed_at_any_moment_of_a_change(
    processes: ForkServerContext, two: dict[str, tuple[Path, str]], tmp_path: Path, kinds: str
) -> None:
    folder = Path(shutil.copytree(two["old"][0], tmp_path / "model"))
    onboarded: set[str] = set()
    updated: set[str] = set()
    rng = np.random.default_rng(len(kinds) + ord(kinds[-1]))
    for life in range(50):  # 200 with all kinds
        with process(processes, change_forever, folder, life, kinds) as (victim, hear):
            assert said(hear, 60) != []
            time.sleep(float(rng.uniform(0, 0.05)))
            victim.kill()
            victim.join()
            done = said(hear)
        last = max((number for _, number in done), default=-1)
        onboarded |= {f"late-{life}-{n}" for n in range(last + 1) if kinds[n % len(kinds)] == "o"}
        updated |= {f"new-{life}-{n}" for n in range(last + 1) if kinds[n % len(kinds)] == "u"}
        if life % 10 < 9:  # each process opens what the one before it left behind
            continue
        library = Recommender.load(folder)._library
        assert library is not None
        assert (library.rows(sorted(onboarded)) >= 0).all()
        users = [str(user) for user in library.user_ids if str(user).startswith("new-")]
        assert updated <= set(users)
        assert len(set(users) - updated) <= life + 1
        played = set(library.rows(PLAYED).tolist())
        for row in library.user_rows(users).tolist():
            assert set(library.seen(row).tolist()) == played
    if "o" in kinds:
        assert onboarded
    if "u" in kinds:
        assert updated


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
    processes: ForkServerContext, two: dict[str, tuple[Path, str]], tmp_path: Path, kind: str
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
    processes: ForkServerContext, two: dict[str, tuple[Path, str]], tmp_path: Path
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
    library = reader._library
    assert library is not None
    users = [f"{name}-{number}" for name in ("one", "two") for number in range(count)]
    assert (library.user_rows(users) >= 0).all()
    (row,) = library.user_rows(["shared"])
    assert len(library.seen(int(row))) == count
    assert answers(reader) == answers(Recommender.load(folder))
