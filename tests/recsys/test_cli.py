"""The command line: exit codes, one line for an error, JSON for programs, names of any kind."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from datasets.errors import InvalidArgumentError, UnknownItemError
from datasets.folder import load_folder
from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig
from tests.helpers.commands import Call, Said
from tests.helpers.folders import file_contents
from tests.helpers.fork_server import ForkServer
from tests.helpers.recordings import write_song

ROOT = Path(__file__).resolve().parents[2]
NASTY = 'it\'s 음악 "x"'
DASHED = "-song"
MARKUP = "[bold]not markup[/bold]"
CONFIG: dict[str, Any] = {
    "als": {"factors": 8, "iterations": 3},
    "fm": {"components": 8, "epochs": 3},
    "encoder": {
        "architecture": "IC(2,5,8)PF(16)O",
        "epochs": 6,
        "batch_size": 8,
        "snippet": {"seconds": 1.0},
        "hyperimage": {"height": 32, "width": 32, "n_fft": 1024, "tempogram_frames": 32},
    },
}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 24 short recordings and 16 listeners, in a folder with a difficult name."""
    folder = tmp_path_factory.mktemp("data") / "my 'data' 음악"
    (folder / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    ids = [NASTY, DASHED, MARKUP, *(f"song-{n}" for n in range(3, 24))]
    items, audio, plays = [], [], []
    for number, item_id in enumerate(ids):
        write_song(folder / "audio" / f"nº {number}.wav", number)
        title = "x" * 300 if number == 3 else f"Song \N{SNOWMAN} {number}"
        genre = ("rock", "jazz")[number % 2]
        items.append((item_id, title, f"Artist {number // 2}", "", genre))
        audio.append((item_id, f"audio/nº {number}.wav"))
    for user in range(16):
        own = [n for n in range(20) if n % 2 == user % 2]
        name = {0: NASTY, 1: "-user"}.get(user, f"user-{user}")
        plays += [(name, ids[n], 1 + n) for n in rng.choice(own, 6, replace=False)]
    names = ["item_id", "title", "artist", "album", "genre"]
    pd.DataFrame(items, columns=names).to_csv(folder / "items.csv", index=False)
    pd.DataFrame(audio, columns=["item_id", "path"]).to_csv(folder / "audio.csv", index=False)
    pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]).to_csv(
        folder / "interactions.csv", index=False
    )
    return folder


@pytest.fixture(scope="module")
def config(songs: Path) -> Path:
    path = songs.parent / "my config.json"
    path.write_text(json.dumps(CONFIG))
    return path


def environment(**changes: str | None) -> dict[str, str]:
    merged = {**os.environ, "OMP_NUM_THREADS": "1", **changes}
    return {name: value for name, value in merged.items() if value is not None}


def run(*arguments: str | Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    kwargs.setdefault("env", environment())
    return subprocess.run(
        [sys.executable, "-m", "recsys.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=kwargs.pop("cwd", ROOT),
        **{**kwargs, "env": {**kwargs["env"], "PYTHONPATH": str(ROOT)}},
    )


class Trained(NamedTuple):
    model: Path
    """Not to be changed."""
    store: Path
    process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def trained(
    songs: Path, config: Path, tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer
) -> Trained:
    """A model made by the command itself, tracked in the default store of an empty folder."""
    folder = tmp_path_factory.mktemp("work")
    process = fork_server.run(
        ["train", str(songs), "--out", "my model", "--config", str(config), "--threads", "1",
         "--json"],
        cwd=folder,
        env=environment(COLDTUNE_TRACKING=None, MLFLOW_TRACKING_URI=None),
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return Trained(folder / "my model", folder / "mlflow.db", process)


@pytest.fixture(scope="module")
def deaf(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same songs without their recordings: a process opens it without PyTorch."""
    dataset = load_folder(songs)
    config = RecommenderConfig(
        threads=1,
        tracking=False,
        sources=("als",),
        als={"factors": 8, "iterations": 3},
        fusion={"warm": {"als": 1.0}, "cold": {"als": 1.0}},
    )
    silent = MusicDataset(items=dataset.items, interactions=dataset.interactions)
    folder = tmp_path_factory.mktemp("deaf") / "model"
    Recommender(config).fit(silent).save(folder)
    return folder


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.model, tmp_path / "my 'model' 음악"))


# ---------------------------------------------------------------------- train


@pytest.mark.slow
def test_train_prints_facts_as_json_and_progress_elsewhere(trained: Trained) -> None:
    facts = json.loads(trained.process.stdout)
    assert facts == Recommender.load(trained.model).info
    assert {"dataset", "items", "blend", "encoder", "seconds", "libraries", "onboarded"} <= set(
        facts
    )
    assert facts["dataset"]["n_items"] == 24
    assert facts["items"]["with_embedding"] == 24
    assert len(facts["encoder"]["history"]) == 6
    assert "reading recordings" in trained.process.stderr
    assert "training the network" in trained.process.stderr
    assert "\x1b" not in trained.process.stdout + trained.process.stderr


@pytest.mark.slow
def test_train_is_tracked_with_every_epoch(trained: Trained) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{trained.store}")
    experiment = client.get_experiment_by_name("coldtune")
    assert experiment is not None
    (logged,) = client.search_runs([experiment.experiment_id])
    facts = json.loads(trained.process.stdout)
    assert logged.info.status == "FINISHED"
    assert logged.data.params["dataset.digest"] == facts["dataset"]["digest"]
    for name in ("loss", "accuracy"):
        points = client.get_metric_history(logged.info.run_id, f"encoder_{name}")
        found = [(point.step, point.value) for point in points]
        assert found == [(e["epoch"], pytest.approx(e[name])) for e in facts["encoder"]["history"]]


@pytest.mark.slow
def test_train_again_uses_what_is_cached(
    call: Call, songs: Path, config: Path, tmp_path: Path, trained: Trained
) -> None:
    said = call(
        "train", songs, "--out", tmp_path / "again", "--config", config, "--threads", "1",
        "--no-tracking",
    )  # fmt: skip
    assert said.code == 0
    assert f"model written to {tmp_path / 'again'}" in said.out
    assert "16 users, 24 items (20 with listeners, 24 heard, 0 onboarded since)" in said.out
    assert "network IC(2,5,8)PF(16)O: 6 epochs" in said.out
    first, again = Recommender.load(trained.model), Recommender.load(tmp_path / "again")
    pd.testing.assert_frame_equal(first.recommend("user-2", k=20), again.recommend("user-2", k=20))


@pytest.mark.parametrize(
    ("arguments", "seed", "threads", "tracking"),
    [
        ([], 3, 2, False),
        (["--seed", "5"], 5, 2, False),
        (["--threads", "1"], 3, 1, False),
        (["--tracking"], 3, 2, True),
        (["--no-tracking"], 3, 2, False),
    ],
)
def test_what_is_given_wins_over_what_is_configured(
    call: Call,
    songs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    seed: int,
    threads: int,
    tracking: bool,
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"seed": 3, "threads": 2, "tracking": False}))
    seen: list[RecommenderConfig] = []

    def fit(self: Recommender, *_: object, **__: object) -> None:
        seen.append(self.config)
        raise KeyboardInterrupt

    monkeypatch.setattr(Recommender, "fit", fit)
    said = call("train", songs, "--out", tmp_path / "model", "--config", path, *arguments)
    assert said.code == 130
    (used,) = seen
    assert (used.seed, used.threads, used.tracking) == (seed, threads, tracking)
    assert (used.network.seed, used.network.threads) == (seed, threads)
    assert not (tmp_path / "model").exists()


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> list[RecommenderConfig]:
    """Instead of learning, a run that got so far is interrupted; the configurations of those."""
    seen: list[RecommenderConfig] = []

    def fit(self: Recommender, *_: object, **__: object) -> None:
        seen.append(self.config)
        raise KeyboardInterrupt

    monkeypatch.setattr(Recommender, "fit", fit)
    return seen


@pytest.mark.slow
def test_a_model_that_took_nothing_in_is_replaced_and_it_is_said(
    call: Call, songs: Path, model: Path, untrained: list[RecommenderConfig]
) -> None:
    before = file_contents(model)
    said = call("train", songs, "--out", model, "--no-tracking")
    assert said == Said(130, "", f"{model}: the model there is replaced\nerror: interrupted\n")
    assert file_contents(model) == before
    assert len(untrained) == 1


@pytest.mark.slow
@pytest.mark.parametrize("rebuilt", [False, True])
def test_what_a_model_took_in_goes_only_where_that_is_asked_for(
    call: Call, songs: Path, model: Path, untrained: list[RecommenderConfig], rebuilt: bool
) -> None:
    recommender = Recommender.load(model)
    recommender.onboard(songs / "audio" / "nº 4.wav", item_id="new")
    plays = [("somebody", "new", 1.0), ("user-2", "song-4", 2.0)]
    recommender.update(pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]))
    recommender.remove("song-5")
    if rebuilt:
        recommender.rebuild()
    held = "rebuilds: 1" if rebuilt else "onboarded songs: 1, plays: 2, removed songs: 1"
    before = file_contents(model)
    arguments = ("train", songs, "--out", model, "--no-tracking")
    error = one_error(call(*arguments), 1)
    assert error == (
        f"{model}: the new model would not have what came to this one after its fit ({held}); "
        "--replace lets it go"
    )
    assert untrained == []
    assert file_contents(model) == before
    said = call(*arguments, "--replace")
    line = f"{model}: the model there is replaced, with what came to it after its fit ({held})"
    assert said == Said(130, "", f"{line}\nerror: interrupted\n")
    assert len(untrained) == 1
    assert file_contents(model) == before


@pytest.mark.slow
@pytest.mark.parametrize("replace", [False, True])
def test_what_a_model_takes_in_while_another_is_learned_goes_only_where_that_is_asked_for(
    call: Call, songs: Path, model: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    """Neither the songs that came meanwhile are lost nor what was learned for hours."""
    learned = Path(shutil.copytree(model, model.with_name("learned")))
    model.with_name(f"{model.name}-new").mkdir()  # somebody's own

    def meanwhile(*_: object, **__: object) -> Recommender:
        opened = Recommender.load(model)
        opened.update(pd.DataFrame({"user_id": ["x"], "item_id": ["song-4"], "weight": [1.0]}))
        return Recommender.load(learned)

    monkeypatch.setattr(Recommender, "fit", meanwhile)
    options = ["--replace"] if replace else []
    said = call("train", songs, "--out", model, "--no-tracking", *options)
    began = f"{model}: the model there is replaced"
    if replace:
        assert said.code == 0
        assert said.err == f"{began}\n{began}, with what came to it after its fit (plays: 1)\n"
        assert Recommender.load(model).recommend("x", k=1).attrs["fallback"] == "popular"
        return
    assert said.code == 1
    place = model.with_name(f"{model.name}-new1")
    assert said.err == (
        f"{began}\nerror: {model}: the new model would not have what came to this one after its "
        f"fit (plays: 1); --replace lets it go; what was learned is in {place}\n"
    )
    assert "fallback" not in Recommender.load(model).recommend("x", k=1).attrs
    assert Recommender.load(place).info["dataset"] == Recommender.load(learned).info["dataset"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["remove", "rebuild"])
def test_a_command_starts_again_where_another_process_has_just_replaced_the_model(
    call: Call, model: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Between the opening of the model and its change, another one rebuilds it."""
    load, rebuilds = Recommender.load, iter(range(2))

    def then_replaced(folder: Path) -> Recommender:
        opened = load(folder)
        if next(rebuilds, None) is not None:
            load(folder).rebuild()
        return opened

    monkeypatch.setattr(Recommender, "load", then_replaced)
    said = call(command, model, *(["song-4"] if command == "remove" else []))
    assert (said.code, said.err) == (0, "")
    assert next(rebuilds, None) is None
    found = load(model).info
    assert found["rebuilt"] == (2 if command == "remove" else 3)
    with pytest.raises(UnknownItemError) if command == "remove" else nullcontext():
        load(model).similar("song-4")


@pytest.mark.slow
def test_a_model_that_cannot_be_read_is_replaced_only_where_that_is_asked_for(
    call: Call, songs: Path, model: Path, untrained: list[RecommenderConfig]
) -> None:
    (path,) = model.glob("g-*/catalog.sqlite")
    path.unlink()
    arguments = ("train", songs, "--out", model, "--no-tracking")
    error = one_error(call(*arguments), 1)
    assert error == (
        f"{path}: the song database is missing; what came to the model after its fit is not "
        "known, --replace lets it go"
    )
    said = call(*arguments, "--replace")
    assert "replaced, with what came to it after its fit (it cannot be read)" in said.err
    assert len(untrained) == 1


# ---------------------------------------------------------------------- recommend, similar, info


RECOMMENDED = [
    "rank", "item_id", "score", "title", "artist", "genre", "cold", "new",
    "share_als", "share_fm", "share_ease", "share_content", "share_popularity",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("user", ["user-2", "nobody"])
def test_an_empty_list_is_a_sentence(call: Call, trained: Trained, user: str) -> None:
    arguments = ("recommend", trained.model, user, "--where", "genre=polka")
    said = call(*arguments, "--where", "artist=Artist 1")
    assert said == Said(
        0,
        "No item that has genre=polka and artist=Artist 1 is left to recommend: "
        "no item has genre 'polka'\n",
        "",
    )
    assert json.loads(call(*arguments, "--json").out)["items"] == []
    said = call("recommend", trained.model, user, "--only", "song-4", "--exclude", "song-4")
    assert said == Said(0, "No item is left to recommend.\n", "")


@pytest.mark.slow
def test_recommend_as_json(call: Call, trained: Trained) -> None:
    said = call("recommend", trained.model, "user-2", "-k", "5", "--json")
    assert said.code == 0
    answer = json.loads(said.out)
    assert set(answer) == {"fallback", "items"}
    assert answer["fallback"] is None
    frame = Recommender.load(trained.model).recommend("user-2", k=5)
    assert [list(item) for item in answer["items"]] == [RECOMMENDED] * 5
    assert [item["item_id"] for item in answer["items"]] == frame["item_id"].tolist()
    scores = [item["score"] for item in answer["items"]]
    assert scores == pytest.approx(frame["score"].tolist(), abs=1e-6)
    assert {type(item[name]) for item in answer["items"] for name in ("cold", "new")} == {bool}


@pytest.mark.slow
def test_recommend_with_wishes(call: Call, trained: Trained) -> None:
    wishes = (
        "--where", "genre=Jazz", "--where", "artist=ARTIST 1", "--where", "artist=Artist 2",
        "--where", "artist=a=b", "--per-artist", "1", "--diversity", "0.5",
        "--popularity-correction", "0.25",
    )  # fmt: skip
    said = call("recommend", trained.model, "user-2", "-k", "5", "--json", "--seen", *wishes)
    assert said.code == 0, said
    frame = Recommender.load(trained.model).recommend(
        "user-2",
        k=5,
        exclude_seen=False,
        where={"genre": "jazz", "artist": ["artist 1", "artist 2", "a=b"]},
        per_artist=1,
        diversity=0.5,
        popularity_correction=0.25,
    )
    items = json.loads(said.out)["items"]
    assert sorted(item["artist"] for item in items) == ["Artist 1", "Artist 2"]
    assert [item["item_id"] for item in items] == frame["item_id"].tolist()


@pytest.mark.slow
def test_recommend_to_somebody_new(call: Call, trained: Trained) -> None:
    popular = json.loads(call("recommend", trained.model, "nobody", "-k", "3", "--json").out)
    assert popular["fallback"] == "popular"
    assert [item["share_als"] for item in popular["items"]] == [None] * 3
    said = call("recommend", trained.model, "nobody", "-k", "3")
    assert "Nothing is known of 'nobody': these are the popular items." in said.out
    by_history = json.loads(
        call(
            "recommend", trained.model, "--history", "song-4", "--history", "song-6",
            "--exclude", "song-8", "-k", "21", "--json",
        ).out
    )  # fmt: skip
    found = [item["item_id"] for item in by_history["items"]]
    assert by_history["fallback"] is None
    assert len(found) == 21
    assert {"song-4", "song-6", "song-8"}.isdisjoint(found)


@pytest.mark.slow
def test_ids_that_look_like_options_or_code(call: Call, trained: Trained) -> None:
    for user in (NASTY, "-user"):
        said = call("recommend", trained.model, "--json", "-k", "2", "--", user)
        assert json.loads(said.out)["fallback"] is None
    for item in (NASTY, DASHED, MARKUP):
        said = call("similar", trained.model, "--json", "-k", "2", "--", item)
        assert len(json.loads(said.out)) == 2
    said = call(
        "recommend", trained.model, "nobody", "--only", DASHED, "--only", NASTY, "--only", MARKUP
    )
    assert said.code == 0
    for item in (NASTY, DASHED, MARKUP):
        assert f"\t{item}\t" in said.out


@pytest.mark.slow
def test_similar_as_json(call: Call, trained: Trained) -> None:
    for by in ("sound", "taste", "fused"):
        rows = json.loads(call("similar", trained.model, "song-4", "--by", by, "--json").out)
        assert [list(row) for row in rows] == [RECOMMENDED[:7]] * 10
        assert [row["rank"] for row in rows] == list(range(1, 11))
        assert all(-1.000001 <= row["score"] <= 1.000001 for row in rows)


@pytest.mark.slow
def test_a_table_in_a_pipe_has_every_row_on_one_line_and_nothing_cut(
    trained: Trained, fork_server: ForkServer
) -> None:
    process = fork_server.run(
        ["recommend", str(trained.model), "user-2", "-k", "24", "--seen"],
        env=environment(COLUMNS="80", TERM="xterm-256color"),
    )  # fmt: skip
    assert process.returncode == 0
    assert process.stderr == ""
    assert "\x1b" not in process.stdout
    header, *lines = process.stdout.splitlines()
    assert header.split() == RECOMMENDED
    assert len(lines) == 24
    assert any("x" * 300 in line for line in lines)
    assert any(NASTY in line for line in lines)
    assert [int(line.split()[0]) for line in lines] == list(range(1, 25))


@pytest.mark.slow
def test_an_encoding_that_lacks_the_letters(deaf: Path) -> None:
    process = run(
        "recommend", deaf, NASTY, "-k", "3", "--only", NASTY, "--seen",
        env=environment(PYTHONIOENCODING="ascii"),
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert r"it's \uc74c\uc545" in process.stdout


@pytest.mark.slow
def test_titles_cannot_steer_the_terminal(call: Call, model: Path) -> None:
    item = "two\nlines \x1b[31mred\x07\u2028"
    recommender = Recommender.load(model)
    recommender.onboard(model.parents[0] / write_new(model), item_id=item, title="t")
    said = call("recommend", model, "user-2", "--only", item)
    assert "\x1b" not in said.out
    assert r"two\nlines \x1b[31mred\x07\u2028" in said.out
    assert len(said.out.splitlines()) == 2
    rows = json.loads(call("recommend", model, "user-2", "--only", item, "--json").out)["items"]
    assert rows[0]["item_id"] == item


def write_new(model: Path) -> str:
    write_song(model.parent / "new one.wav", 7)
    return "new one.wav"


@pytest.mark.slow
def test_info(call: Call, trained: Trained) -> None:
    said = call("info", trained.model)
    assert "16 users, 24 items" in said.out
    assert re.search(r"^warm items: (\w+ -?\d\.\d\d(, )?){5} \(", said.out, re.M)
    assert re.search(r"^cold items: ", said.out, re.M)
    facts = json.loads(call("info", trained.model, "--json").out)
    assert facts == Recommender.load(trained.model).info


# ---------------------------------------------------------------------- onboard


@pytest.mark.slow
def test_onboard_and_find_again(call: Call, model: Path) -> None:
    recording = model.parent / write_new(model)
    said = call("onboard", model, recording, "--item-id", "new", "--title", "Neu", "--json")
    assert said.code == 0, said.err
    added = json.loads(said.out)
    assert set(added) == {"item_id", "predicted", "probability", "familiarity"}
    assert added["item_id"] == "new"
    assert added["predicted"] in ("rock", "jazz")
    assert 0.5 <= added["probability"] <= 1
    rows = json.loads(call("similar", model, "new", "--by", "sound", "--json").out)
    assert len(rows) == 10
    only = json.loads(call("recommend", model, "user-2", "--only", "new", "--json").out)
    assert only["items"][0]["title"] == "Neu"
    assert only["items"][0]["cold"] is True
    assert json.loads(call("info", model, "--json").out)["onboarded"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("item", [f"new {NASTY}", "-dashed", f"{MARKUP} 2", "x" * 1000, " padded "])
def test_onboard_under_any_name(call: Call, model: Path, item: str) -> None:
    recording = model.parent / write_new(model)
    said = call("onboard", model, recording, "--item-id", item, "--title", item, "--artist=-x")
    assert said.code == 0, said.err
    assert said.out.startswith(f"{item} is in the catalogue; it sounds like ")
    assert json.loads(call("similar", model, "--json", "--", item).out)


@pytest.mark.slow
def test_onboard_what_is_no_recording(call: Call, model: Path) -> None:
    folder = model.parent
    (folder / "empty.mp3").write_bytes(b"")
    (folder / "text.mp3").write_text("no sound")
    for name in ("empty.mp3", "text.mp3", "missing.wav", "my 'model' 음악"):
        said = call("onboard", model, folder / name, "--item-id", "new")
        assert one_error(said, 1).startswith(f"{folder / name}: ")
    assert Recommender.load(model).info["onboarded"] == 0
    said = call("onboard", model, folder / write_new(model), "--item-id", "song-4")
    assert "has listeners already" in one_error(said, 1)


# ---------------------------------------------------------------------- errors


def one_error(said: Said | subprocess.CompletedProcess[str], code: int) -> str:
    """The text of the error, after it was made sure that it is the only thing that was printed."""
    if isinstance(said, subprocess.CompletedProcess):
        said = Said(said.returncode, said.stdout, said.stderr)
    assert said.code == code, said
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.endswith("\n")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("bogus", "No such command 'bogus'"),
        ("recommend", "Missing argument"),
        ("recommend MODEL user-2 --bogus", "No such option: --bogus"),
        ("recommend MODEL user-2 -k many", "Invalid value for '-k' / '--k'"),
        ("recommend MODEL user-2 -k", "requires an argument"),
        ("recommend MODEL one two three", "unexpected extra argument"),
        ("onboard MODEL file.wav", "Missing option '--item-id'"),
        ("train FOLDER", "Missing option '--out'"),
        ("train FOLDER --out x --seed none", "Invalid value for '--seed'"),
        ("evaluate FOLDER --out x --fraction most", "Invalid value for '--fraction'"),
    ],
)
def test_wrong_usage_exits_with_2(call: Call, arguments: str, message: str) -> None:
    assert message.lower() in one_error(call(*arguments.split()), 2).lower()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommend", "none", "u"], "none: there is no model here (no manifest.json)"),
        (["similar", "none", "i"], "none: there is no model here"),
        (["info", "none"], "none: there is no model here"),
        (["onboard", "none", "x.wav", "--item-id", "i"], "none: there is no model here"),
        (["info", "SONGS/items.csv"], "items.csv: is no folder; a model is one"),
        (["songs", "SONGS/items.csv"], "items.csv: is no folder; a model is one"),
        (["recommend", "MODEL", "user-2", "-k", "0"], "k must be a whole number of at least 1"),
        (["recommend", "MODEL", "user-2", "--k=-3"], "k must be a whole number of at least 1"),
        (["recommend", "MODEL"], "give a user id or a history"),
        (["recommend", "MODEL", "user-2", "--history", "song-4"], "not both"),
        (["recommend", "MODEL", "--history", "none"], "no item 'none'"),
        (["recommend", "MODEL", "user-2", "--only", "none"], "no item 'none'"),
        (["recommend", "MODEL", "user-2", "--exclude", "none"], "no item 'none'"),
        (["recommend", "MODEL", "user-2", "--where", "jazz"], "as in genre=jazz, not 'jazz'"),
        (["recommend", "MODEL", "user-2", "--where", "colour=red"], "no column 'colour'"),
        (["recommend", "MODEL", "user-2", "--per-artist", "0"], "per_artist must be a whole"),
        (["recommend", "MODEL", "user-2", "--diversity", "2"], "diversity must be a number from"),
        (["similar", "MODEL", "none"], "no item 'none' in the catalogue"),
        (["similar", "MODEL", "two\nlines"], r"no item 'two\nlines' in the catalogue"),
        (["similar", "MODEL", "song-4", "--by", "smell"], "must be sound, taste or fused"),
        (["train", "none", "--out", "OUT"], "none"),
        (["train", "SONGS", "--out", "SONGS"], "is not empty and holds no model"),
        (["train", "SONGS", "--out", "SONGS/items.csv"], "items.csv: a model cannot be saved"),
        (["train", "SONGS", "--out", "/proc/m2"], "/proc/m2: a model cannot be saved there: "),
        (["train", "SONGS", "--out", "/proc/a/b"], "/proc/a/b: a model cannot be saved there: "),
        (["train", "SONGS", "--out", "OUT", "--threads", "0"], "threads: "),
        (["train", "SONGS", "--out", "OUT", "--seed", "-1"], "seed: "),
        (["train", "SONGS", "--out", "OUT", "--config", "none.json"], "none.json: cannot be read"),
        (["evaluate", "none", "--out", "OUT"], "none"),
        (["evaluate", "SONGS", "--out", "OUT", "-k", "ten"], "--k must be whole numbers"),
        (["evaluate", "SONGS", "--out", "OUT", "-k", "0"], "ks must be list lengths"),
        (["evaluate", "SONGS", "--out", "OUT", "--sampled", "0"], "sampled must be a whole"),
        (["evaluate", "SONGS", "--out", "OUT", "--models", "als,als"], "a model is named twice"),
        (["evaluate", "SONGS", "--out", "OUT", "--models", "magic"], "no model 'magic'"),
        (["evaluate", "SONGS", "--out", "OUT", "--fraction", "2"], "fraction"),
        (["evaluate", "SONGS", "--out", "OUT", "--folds", "0"], "--folds must be at least 1"),
        (["evaluate", "SONGS", "--out", "OUT", "--genre-folds", "1"], "--genre-folds"),
        (["evaluate", "SONGS", "--out", "OUT", "--splits", "warmest"], "no split 'warmest'"),
        (["evaluate", "SONGS", "--out", "SONGS/items.csv"], "report cannot be written"),
        (["evaluate", "SONGS", "--out", "/proc/x/report.html"], "report cannot be written"),
    ],
)
def test_what_cannot_work_exits_with_1_and_says_why(
    call: Call,
    trained: Trained,
    songs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(songs.rglob("*"))
    places = {"MODEL": trained.model, "SONGS": songs, "OUT": tmp_path / "out"}
    filled = []
    for argument in arguments:
        first, _, rest = argument.partition("/")
        filled.append(str(places[first] / rest) if first in places else argument)
    assert message in one_error(call(*filled), 1)
    assert sorted(songs.rglob("*")) == before
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON"),
        (b"{", "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"[1]", "must hold a JSON object"),
        (b'{"seed": 1, "seed": 2}', "cannot be read as JSON: 'seed' is given twice"),
        (b'{"als": {"factors": 4, "factors": 8}}', "'factors' is given twice"),
        (b'\xef\xbb\xbf{"als": {"factors": -1}}', "als.factors: "),
        (b'"text"', "must hold a JSON object"),
        (b'{"colour": "blue"}', "colour: there is no such setting"),
        (b'{"als": {"factors": -1}}', "als.factors: "),
        (b'{"als": {"factors": "many"}}', "als.factors: "),
        (b'{"encoder": {"hyperimage": {"height": 1}}}', "encoder.hyperimage.height: "),
        (b'{"sources": ["als", "magic"]}', "sources.1: "),
        (b'{"fusion": {"warm": {"als": 1}}}', "fusion.warm weighs ['als']"),
    ],
)
def test_a_configuration_that_cannot_be_used(
    call: Call, songs: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad config.json"
    path.write_bytes(content)
    error = one_error(call("train", songs, "--out", tmp_path / "out", "--config", path), 1)
    assert message in error
    assert str(path) in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["{}", '{"seed": 3}'])
@pytest.mark.parametrize(("option", "value"), [("--seed", "-1"), ("--threads", "0")])
def test_a_file_does_not_answer_for_an_option(
    call: Call, songs: Path, tmp_path: Path, content: str, option: str, value: str
) -> None:
    path = tmp_path / "s.json"
    path.write_text(content)
    arguments = ("train", songs, "--out", tmp_path / "out", "--config", path, option, value)
    assert one_error(call(*arguments), 1).startswith(f"{option}: Input should be greater")


@pytest.mark.slow
def test_a_damaged_model(call: Call, model: Path) -> None:
    (path,) = model.glob("g-*/item_vectors.npy")
    path.write_bytes(path.read_bytes()[:-1])
    error = one_error(call("recommend", model, "user-2"), 1)
    assert error.startswith(f"{path}: has ")


def test_what_nobody_foresaw_is_one_line_and_exits_with_70(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(Recommender, "load", broken)
    monkeypatch.delenv("COLDTUNE_DEBUG", raising=False)
    error = one_error(call("info", "model"), 70)
    assert error == "unexpected RuntimeError: first line (COLDTUNE_DEBUG=1 shows where)"
    monkeypatch.setenv("COLDTUNE_DEBUG", "1")
    with pytest.raises(RuntimeError, match="second line"):
        call("info", "model")


@pytest.mark.slow
def test_help(call: Call) -> None:
    said = call("--help")
    assert said.code == 0
    for command in ("demo", "train", "recommend", "similar", "onboard", "evaluate", "info"):
        assert f" {command} " in said.out
        assert call(command, "--help").code == 0
    said = call()
    assert said.code == 2
    assert " recommend " in said.out
    assert said.err == ""


@pytest.mark.slow
def test_an_error_in_a_process_of_its_own(deaf: Path) -> None:
    error = one_error(run("similar", deaf, "none"), 1)
    assert error == "no item 'none' in the catalogue"


@pytest.mark.slow
def test_a_reader_that_leaves_early_gets_no_traceback(deaf: Path) -> None:
    command = [sys.executable, "-m", "recsys.cli", "info", str(deaf), "--json"]
    line = f"{shlex.join(command)} | head -c 5"
    process = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=600,
    )  # fmt: skip
    assert process.stdout == '{\n "d'
    assert "Traceback" not in process.stderr
    assert "Exception" not in process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["reading recordings", "training the network"])
def test_ctrl_c(
    songs: Path, config: Path, tmp_path: Path, moment: str, fork_server: ForkServer
) -> None:
    """The terminal sends SIGINT to all processes of the command, decoders included."""
    slow = tmp_path / "slow.json"
    encoder = {**CONFIG["encoder"], "epochs": 100_000, "patience": 100_000}
    slow.write_text(json.dumps({**CONFIG, "encoder": encoder}))
    process = fork_server.start(
        ["train", str(songs), "--out", str(tmp_path / "out"), "--config", str(slow),
         "--threads", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=environment(COLDTUNE_CACHE=str(tmp_path / "cache")),
    )  # fmt: skip
    cache = tmp_path / "cache"
    sign = {"reading recordings": "hyperimages/*/images.f32", "training the network": "training/*"}
    deadline = time.monotonic() + 600
    while not list(cache.glob(sign[moment])):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert out == ""
    assert err.endswith("error: interrupted\n")
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "manifest.json").exists()


# ---------------------------------------------------------------------- evaluate


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "file"])
def test_evaluate_end_to_end(
    call: Call, songs: Path, config: Path, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "my 'report'" / ("page.html" if form == "file" else "")
    page = out if form == "file" else out / "report.html"
    said = call(
        "evaluate", songs, "--out", out, "--config", config, "-k", "3,5", "--threads", "1",
        "--models", "hybrid,popularity", "--genre-folds", "2" if form == "folder" else "0",
        "--fraction", "0.25",
    )  # fmt: skip
    assert said.code == 0, said.err
    *_, written, verdict = said.out.splitlines()
    assert written == f"report written to {page}"
    assert sorted(path.name for path in page.parent.iterdir()) == [
        page.name.replace(".html", suffix) for suffix in ("-pictures", ".html", ".json", ".md")
    ]
    facts = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    models = {row["model"] for row in facts["table"]}
    assert {"hybrid", "popularity", "hybrid, shuffled audio"} <= models
    assert {row["k"] for row in facts["table"]} <= {3, 5, None}
    assert {row["split"] for row in facts["table"]} == {"warm", "cold", "mixed"}
    own = [row for row in facts["frontier"] if row["model"] == "hybrid"]
    assert 0.01 in {row["discovery"] for row in own}
    assert verdict == f"verdict: {facts['verdict']}"
    assert facts["verdict"] == "cannot tell"  # from so few songs
    assert facts["verdict_reason"] in said.out
    assert (facts["genre"] is None) == (form == "file")
    assert facts["command"].startswith("coldtune evaluate ")
    assert shlex.split(facts["command"])[2:5] == [str(songs), "--out", str(out)]
    html = page.read_text(encoding="utf-8")
    assert html.count("</html>") == 1
    assert "hybrid, shuffled audio" in html


@pytest.mark.slow
def test_evaluate_as_json(call: Call, songs: Path, config: Path, tmp_path: Path) -> None:
    said = call(
        "evaluate", songs, "--out", tmp_path, "--config", config, "-k", "3", "--threads", "1",
        "--models", "als,random", "--genre-folds", "0", "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    answer = json.loads(said.out)
    facts = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert answer["table"] == facts["table"]
    assert {"als", "random"} <= {row["model"] for row in answer["table"]}


# ---------------------------------------------------------------------- the network


def test_architecture_reports_every_layer(call: Call) -> None:
    said = call("architecture", "IC(5,15,64)LPF(192)O", "--classes", "9", "--json")
    report = json.loads(said.out)
    assert [layer["layer"] for layer in report["layers"]] == [
        "C(5,15,64)", "L", "P", "F(192)", "O"
    ]  # fmt: skip
    assert report["embedding"] == 192
    # 15² · 64 + 64 weights; 13 · 13 · 64 · 192 + 192; 192 · 9 + 9
    assert report["parameters"] == 14_464 + 2_076_864 + 1_737
    assert "26 x 26" in call("architecture").out
    assert call("architecture", "IC(5,15)O").err == (
        "error: architecture 'IC(5,15)O', character 8: expected ',' and the depth; found ')'\n"
    )
    assert "three numbers" in call("architecture", "--image", "128").err


@pytest.mark.slow
def test_fine_tune_and_train_with_the_new_network(
    call: Call, songs: Path, config: Path, trained: Trained, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    shutil.copytree(songs, more)
    items = pd.read_csv(more / "items.csv", dtype=str, keep_default_na=False)
    items.loc[items.index % 3 == 0, "genre"] = "ska"
    items.to_csv(more / "items.csv", index=False)
    said = call("fine-tune", trained.model, more, "--out", tmp_path / "new", "--epochs", "2")
    assert said.code == 0, said.err
    assert "genre: 2 classes kept, added: ska" in said.out
    said = call(
        "train", songs, "--out", tmp_path / "model", "--encoder", tmp_path / "new",
        "--config", config, "--threads", "1", "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert json.loads(said.out)["encoder"]["classes"] == ["jazz", "rock", "ska"]
    assert call("fine-tune", songs, more, "--out", tmp_path / "other").code == 1


def test_train_with_a_recipe_takes_it_for_the_encoder(songs: Path, config: Path) -> None:
    from embedding import EncoderConfig
    from recsys.commands.options import recommender_config

    settings = recommender_config(None, None, None, None, "modern")
    assert settings.encoder == EncoderConfig.recipe("modern")
    own = recommender_config(config, None, None, None, "modern").encoder
    assert own.epochs == CONFIG["encoder"]["epochs"]
    assert own.label_smoothing == EncoderConfig.recipe("modern").label_smoothing
    with pytest.raises(InvalidArgumentError, match="recipe must be one of patent, modern"):
        recommender_config(None, None, None, None, "baroque")


def test_how_windows_become_one_embedding_is_an_option(
    call: Call, songs: Path, config: Path, tmp_path: Path
) -> None:
    from embedding import EncoderConfig
    from recsys.commands.options import recommender_config

    settings = recommender_config(None, None, None, None, "modern", "recurrent").encoder
    assert settings == EncoderConfig.recipe("modern", sequence="recurrent")
    own = recommender_config(config, None, None, None, None, "attention").encoder
    assert (own.sequence, own.epochs) == ("attention", CONFIG["encoder"]["epochs"])
    out = tmp_path / "model"
    said = call("train", songs, "--out", out, "--sequence", "attntion")
    assert said.code == 1
    assert "--sequence must be mean, attention or recurrent, not 'attntion'" in said.err
    said = call("train", songs, "--out", out, "--sequence", "attention", "--encoder", "musicnn")
    assert said.code == 1
    assert "--sequence is for the network that is trained on the catalogue" in said.err


def test_settings_of_heads_are_in_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from embedding import EncoderConfig, FineTunedEncoder, SongEncoder
    from recsys.commands.options import open_encoder_option, recommender_config

    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"heads": {"hidden": 32, "epochs": 3, "backbone": "thawed"}}))
    heads = recommender_config(path, None, None, None).heads
    assert (heads.hidden, heads.epochs, heads.learning_rate) == (32, 3, 1e-3)
    images = np.random.default_rng(0).normal(size=(8, 1, 32, 32)).astype(np.float32)
    network = CONFIG["encoder"] | {"epochs": 1}
    SongEncoder(EncoderConfig.from_json(network)).fit(images, list("ab" * 4)).save(tmp_path / "e")
    encoder = open_encoder_option(str(tmp_path / "e"), "frozen", heads)
    assert isinstance(encoder, FineTunedEncoder)
    assert encoder.config == heads.replace(backbone="frozen")
    assert capsys.readouterr().err == ""
    assert open_encoder_option(None, None, heads) is None
    unused = '--config: its "heads" are not used, as --fine-tune frozen or thawed is not given\n'
    assert capsys.readouterr().err == unused
    assert open_encoder_option(None, None, RecommenderConfig().heads) is None
    assert capsys.readouterr().err == ""
    path.write_text(json.dumps({"heads": {"epoch": 3}}))
    with pytest.raises(InvalidArgumentError, match=r"settings.json: .*heads\.epoch"):
        recommender_config(path, None, None, None)


ENDED = """
import sys
from recsys import cli
from datasets.system.temporary import temporary_folder
def wait(**_):
    with temporary_folder() as folder:
        print(folder, flush=True)
        sys.stdin.readline()
cli.app.registered_commands.clear()
cli.app.command("wait")(lambda: wait())
cli.app.command("other")(lambda: None)
sys.argv = ["coldtune", "wait"]
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_asked_to_end_leaves_nothing(tmp_path, number):
    with subprocess.Popen(
        [sys.executable, "-c", ENDED],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == tmp_path
        process.send_signal(number)
        _, said = process.communicate()
    assert list(tmp_path.iterdir()) == []
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert said == ("error: interrupted\n" if number == signal.SIGINT else "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("RLIMIT_AS", 200 * 2**20, "error: there is not enough memory for this: .* 200 MiB .*"),
        # Here OpenBLAS asks for memory without end, and nothing would ever be said.
        ("RLIMIT_AS", 500 * 2**20, "error: there is not enough memory for this: .* 500 MiB .*"),
        # Here a thread cannot be started, or a C++ library aborts.
        ("RLIMIT_AS", 1466 * 2**20, "error: there is not enough memory for this: .*1466 MiB .*"),
        ("RLIMIT_NOFILE", 12, "error: .*: Too many open files|.*Too many open files"),
    ],
)
def test_too_little_memory_and_too_few_files_are_one_line(
    model: Path, limit: str, value: int, message: str
) -> None:
    code = (
        f"import resource; resource.setrlimit(resource.{limit}, ({value}, {value}));"
        f"import sys; sys.argv[1:] = ['recommend', {str(model)!r}, 'user-1'];"
        "from recsys.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 1
    assert re.fullmatch(f"(?:{message})\n", ended.stderr), ended.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory for this"),
        (ImportError("lib.so: failed to map segment"), "there is not enough memory for this"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory"),
        (RuntimeError("can't start new thread"), "there is not enough memory for this"),
        (OSError(24, "Too many open files", "a.npy"), "a.npy: Too many open files"),
        (OSError(13, "Permission denied", "a\x1b.npy"), "a\\x1b.npy: Permission denied"),
    ],
)
def test_what_the_machine_lacks_is_said_in_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("recsys.Recommender.load", fail)
    assert said in one_error(call("info", "model"), 1)
