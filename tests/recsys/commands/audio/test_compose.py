"""Composing towards a listener's taste and a song, and the command that composes."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from datasets.errors import InvalidArgumentError, UnknownItemError, UnknownUserError
from datasets.folder import load_folder
from embedding import EncoderConfig, SongEncoder
from recsys import Recommender, cli
from recsys.commands.audio.composition_goals import likeness_goal, taste_goal
from recsys.config import RecommenderConfig
from recsys.database.catalog import Song
from recsys.model.items import song_content
from recsys.model.live import LiveModel

pytestmark = pytest.mark.usefixtures("decoded_here")

GENRES = ("low", "high")
ENCODER = {
    "architecture": "IC(2,5,8)PF(16)O",
    "epochs": 10,
    "batch_size": 8,
    "accelerator": "cpu",
    "snippet": {"seconds": 1.0},
    "hyperimage": {
        "sample_rate": 8000, "height": 32, "width": 24, "n_fft": 512, "hop_length": 256,
        "n_mels": 32, "tempogram_frames": 32,
    },
}  # fmt: skip
SETTINGS = RecommenderConfig(
    threads=1,
    tracking=False,
    sources=("als", "fm", "content"),
    als={"factors": 4, "iterations": 3},
    fm={"components": 4, "epochs": 3},
    encoder=ENCODER,
    fusion={
        "warm": {"als": 0.4, "fm": 0.4, "content": 0.2},
        "cold": {"als": 0.3, "fm": 0.3, "content": 0.4},
    },
)
FAST = ["--seconds", "1.5", "--steps", "50"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 24 songs, low and high ones, and of listeners who play one kind."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    time = np.arange(8000) / 8000
    items, audio, plays = [], [], []
    for number in range(24):
        pitch = (100, 1000)[number % 2] * 2 ** rng.uniform(0, 1)
        wave = np.sin(2 * np.pi * pitch * time) * np.exp(-3 * np.modf(2 * time)[0])
        soundfile.write(folder / f"{number}.wav", 0.5 * wave + 0.02 * rng.normal(size=8000), 8000)
        items.append((f"song-{number}", "", f"artist-{number // 2}", "", GENRES[number % 2]))
        audio.append((f"song-{number}", f"{number}.wav"))
    for user in range(16):
        own = [number for number in range(24) if number % 2 == user % 2]
        plays += [(f"user-{user}", f"song-{n}", 1) for n in rng.choice(own, 6, replace=False)]
    names = ["item_id", "title", "artist", "album", "genre"]
    pd.DataFrame(items, columns=names).to_csv(folder / "items.csv", index=False)
    pd.DataFrame(audio, columns=["item_id", "path"]).to_csv(folder / "audio.csv", index=False)
    pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]).to_csv(
        folder / "interactions.csv", index=False
    )
    Recommender(SETTINGS).fit(load_folder(folder)).save(folder / "model")
    return folder / "model"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    sys.argv = ["coldtune", *map(str, arguments)]
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def library_of(recommender: Recommender) -> LiveModel:
    library = recommender._model
    assert library is not None
    return library


@pytest.mark.slow
def test_taste_scores_songs_as_the_recommender_does(fitted: Recommender) -> None:
    """Apart from a constant: the score of songs of which only the embedding is known."""
    library = library_of(fitted)
    embeddings = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    songs = [Song(item_id=f"new-{n}", embedding=e) for n, e in enumerate(embeddings)]
    for user in ("user-0", "user-7"):
        vector = library.state.user_vectors[library.users.row(user)]
        expected = library.state.fuse_content(song_content(library.state, songs)) @ vector
        scores = taste_goal(library, user).score(embeddings)
        np.testing.assert_allclose(scores - scores[0], expected - expected[0], atol=1e-4)


class Echo:
    """A listener whose embeddings are the pictures' points, and an encoder just so."""

    def embeddings(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)

    def embed_and_predict(self, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return images.reshape(len(images), -1), {}


@pytest.mark.slow
def test_going_down_the_loss_of_taste_goes_up_the_listeners_scores(fitted: Recommender) -> None:
    goal = taste_goal(library_of(fitted), "user-1")
    images = torch.zeros(1, 1, 1, 8, requires_grad=True)
    assert 0 < goal.match(Echo(), images.detach().numpy()) < 1
    for _ in range(300):
        loss = goal.loss(Echo(), images)
        (gradient,) = torch.autograd.grad(loss.sum(), images)
        with torch.no_grad():
            images -= 0.02 * gradient
    assert loss.item() == pytest.approx(0, abs=0.05)
    assert goal.match(Echo(), images.detach().numpy()) == 1
    # Beyond the best song of the catalogue nothing draws it on.
    assert goal.score(images.detach().numpy().reshape(1, 8))[0] < goal.catalogue.max() + (
        0.5 * goal.catalogue.std()
    )


def test_users_of_whom_nothing_is_known(fitted: Recommender) -> None:
    with pytest.raises(UnknownUserError, match="no user 'nobody'"):
        taste_goal(library_of(fitted), "nobody")


@pytest.mark.slow
def test_a_song_to_sound_like(model: Path) -> None:
    library = library_of(Recommender.load(model))
    encoder = SongEncoder(EncoderConfig.from_json(ENCODER))
    goal = likeness_goal(library, encoder, "song-3")
    np.testing.assert_array_equal(goal.wanted, library.state.embeddings[3])
    np.testing.assert_allclose(goal.center, library.state.embeddings.mean(axis=0), atol=1e-6)
    with pytest.raises(UnknownItemError):
        likeness_goal(library, encoder, "song-99")
    library = library.with_songs([Song(item_id="unheard")])
    with pytest.raises(InvalidArgumentError, match="'unheard' has no recording"):
        likeness_goal(library, encoder, "unheard")


@pytest.mark.slow
def test_compose_towards_a_genre(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "high.wav", tmp_path / "high.png"
    code, printed, _ = run(
        capsys, "compose", model, "--genre", "high", "--out", out, "--picture", picture, *FAST
    )
    assert code == 0
    assert "it sounds\nto the network like high" in printed
    samples, rate = soundfile.read(out)
    assert (len(samples), rate) == (12000, 8000)
    assert 0.85 < np.abs(samples).max() < 1
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(
    "goal",
    [
        ["--genre", "low=3", "--genre", "high=1"],
        ["--like", "song-0"],
        ["--user", "user-0"],
        ["--genre", "low", "--method", "picture"],
    ],
    ids=["mix", "like", "user", "picture"],
)
def test_compose_towards_all_kinds_of_goals(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], goal: list[str]
) -> None:
    out = tmp_path / "song.flac"
    code, printed, _ = run(capsys, "compose", model, *goal, "--out", out, "--json", *FAST)
    assert code == 0
    result = json.loads(printed)
    assert result["reached_by_picture"] > 0.8
    assert 0 <= result["reached_by_sound"] <= 1
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=0.01)
    assert soundfile.info(out).frames == 12000


@pytest.mark.slow
def test_compose_with_an_encoder_alone(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (encoder,) = model.glob("g-*/encoder")
    out = tmp_path / "low.ogg"
    code, _, _ = run(capsys, "compose", encoder, "--genre", "low", "--out", out, "--steps", 2)
    assert code == 0
    assert soundfile.info(out).format == "OGG"
    code, _, error = run(capsys, "compose", encoder, "--user", "user-0", "--out", out)
    assert code == 1
    assert "an encoder alone" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --genre, --like or --user, one of them"),
        (["--genre", "low", "--like", "song-1"], "give --genre, --like or --user, one of them"),
        (["--genre", "polka"], "knows no 'polka'; it tells high, low"),
        (["--genre", "low=0"], "weight of 'low' must be above 0"),
        (["--genre", "low=much"], "the weight in 'low=much' must be a number"),
        (["--genre", "low", "--genre", "low=2"], "'low' is given twice"),
        (["--user", "nobody"], "no user 'nobody'"),
        (["--like", "nothing"], "no item 'nothing'"),
        (["--genre", "low", "--method", "magic"], "--method must be notes or picture"),
        (["--genre", "low", "--seconds", "0"], "seconds"),
        (["--genre", "low", "--steps", "0"], "steps"),
        (["--genre", "low", "--seed", "-1"], "seed"),
        (["--genre", "low", "--picture", "low.doc"], "low.doc: a picture is written as"),
        (["--genre", "low", "--out", "low.txt"], "low.txt: a composition is written as"),
    ],
)
def test_what_cannot_be_composed(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = run(capsys, "compose", model, "--out", "song.wav", *arguments)
    assert code == 1
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_network(
    fitted: Recommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted.save(tmp_path / "model")
    code, _, error = run(
        capsys, "compose", tmp_path / "model", "--user", "user-0", "--out", tmp_path / "x.wav"
    )
    assert code == 1
    assert "no network of its own" in error
