"""Models whose recordings are embedded by an encoder of one's own."""

import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.errors import (
    AudioError,
    ColdtuneError,
    EncoderError,
    EncoderUnavailableError,
    EvaluationError,
    InvalidArgumentError,
)
from datasets.folder import save_folder
from datasets.music import MusicDataset
from embedding import CallableEncoder, FineTunedEncoder, OnnxEncoder, SongEncoder
from embedding.encoders.learned_plays import LearnedPlays
from embedding.encoders.own import onnx as onnx_encoder
from recsys import Recommender, cli
from recsys.audio import embed_dataset, learned_plays_of
from recsys.experiments import offline_evaluation
from recsys.experiments.offline_evaluation import EvaluationConfig, evaluate
from recsys.training import relearning
from recsys.training.fit import fit_state
from tests.helpers.eight_songs import bands, eight_songs
from tests.helpers.models import QUICK
from tests.helpers.onnx_models import onnx_file
from tests.helpers.recordings import write_song

pytestmark = pytest.mark.usefixtures("decoded_here")

RATE = 4000


def own(function=bands, **settings) -> CallableEncoder:
    return CallableEncoder(function, **{"sample_rate": RATE, "window": 0.5, **settings})


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> MusicDataset:
    """Eight recordings, low and high ones, and six listeners; two songs have none."""
    return eight_songs(tmp_path_factory.mktemp("music"))


TEXTS = ("item_id", "title", "artist", "album", "genre")


@pytest.fixture(scope="module")
def saved(music: MusicDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model made with a function; a test copies what it changes."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    Recommender(QUICK).fit(music, encoder=own()).save(folder)
    return folder


@pytest.fixture
def new_song(tmp_path: Path) -> Path:
    return write_song(tmp_path / "new.wav", 3)


def test_a_function_embeds_the_songs(music: MusicDataset, caplog, new_song: Path) -> None:
    model = Recommender(QUICK).fit(music, encoder=own())
    assert model.info["encoder"]["method"] == "the function bands"
    assert model.info["encoder"]["dimension"] == 8
    assert model.info["network"] == ""
    similar = model.similar("song-7", 3, by="sound")["item_id"].tolist()
    assert {"song-3", "song-5"} < set(similar)
    with caplog.at_level(logging.WARNING):
        result = model.onboard(new_song, item_id="new")
        model.onboard(write_song(new_song.with_name("other.wav"), 5), item_id="other")
    assert (result.predicted, result.probability) == (None, None)
    assert not caplog.records  # the rate of these recordings is above the encoder's
    assert model.similar("new", 1, by="sound")["item_id"].tolist() == ["song-3"]


def test_tags_of_an_encoder_are_predicted(music: MusicDataset, new_song: Path) -> None:
    def with_tags(windows: np.ndarray) -> tuple:
        high = 1 / (1 + np.exp(bands(windows)[:, :1] - bands(windows)[:, 3:4]))
        return bands(windows), {"pitch": np.concatenate([1 - high, high], axis=1)}

    model = Recommender(QUICK).fit(music, encoder=own(with_tags, tags={"pitch": ["low", "high"]}))
    result = model.onboard(new_song, item_id="new")
    assert result.predicted == "high"
    assert result.probability > 0.5


def test_a_lower_rate_is_said_once(music: MusicDataset, caplog, new_song: Path) -> None:
    encoder = own(sample_rate=48000)
    with caplog.at_level(logging.WARNING):
        model = Recommender(QUICK).fit(music, encoder=encoder)
        said = [one.message for one in caplog.records if "samples a second" in one.message]
        assert len(said) == 1
        assert "there is nothing above 5,512 Hz in it (so it is with 7 more)" in said[0]
        caplog.clear()
        for number in range(2):
            model.onboard(new_song, item_id=f"new-{number}")
        assert sum("samples a second" in one.message for one in caplog.records) == 1


class TestSaved:
    def test_without_its_function_it_knows_its_songs(
        self, saved: Path, tmp_path: Path, new_song: Path
    ) -> None:
        model = Recommender.load(shutil.copytree(saved, tmp_path / "model"))
        assert len(model.recommend("user-0", 3)) == 3
        assert len(model.similar("song-7", 3, by="sound")) == 3
        assert len(model.audience("song-7", 3)) == 3
        assert model.info["encoder"]["method"] == "the function bands"
        model.update(pd.DataFrame({"user_id": ["user-0"], "item_id": ["song-7"], "weight": [1.0]}))
        model.onboard(item_id="vector", embedding=np.arange(1.0, 9.0))
        model.rebuild()
        for use in (
            lambda: model.onboard(new_song, item_id="new"),
            lambda: model.audience(new_song, 3),
            lambda: model.similar(new_song, 3),
            lambda: model.onboard_folder(tmp_path),
            lambda: model.onboard_many(
                MusicDataset(
                    pd.DataFrame([dict.fromkeys(TEXTS, "")]).assign(item_id="x"),
                    pd.DataFrame({"item_id": ["x"], "path": [str(new_song)]}),
                    pd.DataFrame({"user_id": [], "item_id": [], "weight": []}),
                )
            ),
        ):
            with pytest.raises(EncoderUnavailableError, match=r"encoder=CallableEncoder\(bands"):
                use()
        assert Recommender.load(tmp_path / "model").info["onboarded"] == 0

    def test_with_its_function_it_hears(self, saved: Path, tmp_path: Path, new_song: Path) -> None:
        folder = shutil.copytree(saved, tmp_path / "model")
        model = Recommender.load(folder, encoder=own())
        model.onboard(new_song, item_id="new")
        report = model.onboard_folder(tmp_path, duplicates="skip")
        assert not set(report["status"]) & {"failed", "added"}
        assert model.similar(new_song, 1)["item_id"].tolist() == ["new"]
        # It keeps it when another process has put a new model there, and when it is rebuilt.
        Recommender.load(folder).rebuild()
        assert model.refresh()
        model.onboard(write_song(tmp_path / "more.wav", 5), item_id="more")
        model.rebuild()
        model.onboard(write_song(tmp_path / "still.wav", 7), item_id="still")
        assert Recommender.load(folder, encoder=own()).info["now"]["items"] == 11

    @pytest.mark.parametrize(
        ("encoder", "error", "message"),
        [
            (lambda: own(lambda x: -bands(x)), InvalidArgumentError, "something else of the same"),
            (lambda: own(lambda x: x[:, :3]), InvalidArgumentError, "have 3 numbers, and had 8"),
            (lambda: own(sample_rate=8000), InvalidArgumentError, "sample_rate is 8000, and was"),
            (lambda: own(lambda x: 1 / 0), EncoderError, "raised ZeroDivisionError"),
            (lambda: bands, InvalidArgumentError, "CallableEncoder takes a function"),
            (lambda: "bands", InvalidArgumentError, "must be a trained SongEncoder, not 'bands'"),
        ],
    )
    def test_another_encoder(self, saved: Path, encoder, error: type, message: str) -> None:
        with pytest.raises(error, match=message):
            Recommender.load(saved, encoder=encoder())

    def test_a_model_that_hears_otherwise(
        self, saved: Path, hearing_model: Path, example_encoder: SongEncoder
    ) -> None:
        with pytest.raises(InvalidArgumentError, match="cannot stand for a network trained here"):
            Recommender.load(hearing_model, encoder=own())
        with pytest.raises(InvalidArgumentError, match="cannot stand for the function bands"):
            Recommender.load(saved, encoder=example_encoder)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: 1 / 0, "the function <lambda>: raised ZeroDivisionError: division by zero"),
        (lambda x: x.std(axis=1), r"shape \(2,\) for 2 windows"),
        (lambda x: x[:, :3] * np.nan, "returned NaN or infinite values for noise"),
    ],
)
def test_functions_that_are_no_encoders(music: MusicDataset, function, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        Recommender(QUICK).fit(music, encoder=own(function))


def test_nan_for_every_recording(music: MusicDataset) -> None:
    def of_noise_alone(windows: np.ndarray) -> np.ndarray:
        return np.where(windows.max() < 0.42, bands(windows), np.nan)

    with pytest.raises(AudioError, match=r"none of the 8 recordings can be used: .*song-0"):
        Recommender(QUICK).fit(music, encoder=own(of_noise_alone))


def test_a_recording_that_it_has_no_numbers_for(
    music: MusicDataset, tmp_path: Path, caplog
) -> None:
    def picky(windows: np.ndarray) -> np.ndarray:
        found = bands(windows)
        return np.where(found[:, :1] > found[:, 3:4], np.nan, found)

    with caplog.at_level(logging.WARNING):
        model = Recommender(QUICK).fit(music, encoder=own(picky))
    left_out = model.info["recordings_left_out"]
    assert len(left_out) == 4
    assert left_out[0].endswith("song-0.wav: the encoder returned NaN or infinite values for it")
    with pytest.raises(AudioError, match=r"low\.wav: its embedding cannot be used: .* finite"):
        model.onboard(write_song(tmp_path / "low.wav", 2), item_id="low")
    report = model.onboard_folder(tmp_path)
    assert report["status"].tolist() == ["failed"]


def test_an_encoder_that_has_seen_what_is_held_out(
    music: MusicDataset, tmp_path: Path, monkeypatch
) -> None:
    encoder = own()
    encoder.learned_plays_ = LearnedPlays(music.items["item_id"])
    config = EvaluationConfig(
        models=("content",), splits=("cold",), ks=(2,), genre_folds=0, fraction=0.4, controls=()
    )
    said = "learned from the plays of 2 of 2 items held out"
    monkeypatch.setattr(offline_evaluation, "compare", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(EvaluationError, match=said):
        evaluate(music, tmp_path / "report", QUICK, config, encoder=encoder)
    # Songs of which a few plays are left are never onboarded, and are held out all the same.
    thin = config.replace(splits=("semi-cold:1",))
    with pytest.raises(EvaluationError, match="learned from the plays of"):
        evaluate(music, tmp_path / "report", QUICK, thin, encoder=encoder)
    with pytest.raises(EvaluationError, match=said):  # heads of their own change nothing of it
        evaluate(music, tmp_path / "report", QUICK, config, encoder=FineTunedEncoder(encoder))
    table = embed_dataset(music, encoder, workers=1, progress=False).embeddings
    with pytest.raises(EvaluationError, match=said):
        evaluate(music, tmp_path / "report", QUICK, config, embeddings=table)
    assert not list(tmp_path.rglob("*.html"))


def test_plays_that_an_encoder_may_have_seen_are_named_in_the_report(
    music: MusicDataset, tmp_path: Path
) -> None:
    encoder = own()
    encoder.learned_plays_ = LearnedPlays(music.items["item_id"])
    config = EvaluationConfig(
        models=("content",), splits=("warm",), ks=(2,), genre_folds=0, fraction=0.4, controls=()
    )
    evaluate(music, tmp_path / "seen", QUICK, config, encoder=encoder)
    said = "whose plays are held out, perhaps from these"
    assert said in (tmp_path / "seen/report.md").read_text()


def test_what_is_learned_later_still_knows_what_the_encoder_has_seen(
    music: MusicDataset, monkeypatch
) -> None:
    encoder = own()
    encoder.learned_plays_ = LearnedPlays(music.items["item_id"])
    model = Recommender(QUICK).fit(music, encoder=encoder)
    given = []

    def fitted(*arguments, embeddings, **settings):
        given.append(embeddings)
        return fit_state(*arguments, embeddings=embeddings, **settings)

    monkeypatch.setattr(relearning, "fit_state", fitted)
    relearning._learned(model._fitted().state)
    assert learned_plays_of(given[0]) == encoder.learned_plays_


# ------------------------------------------------------------------ ONNX files


@pytest.fixture
def network(tmp_path: Path) -> Path:
    pytest.importorskip("onnx", reason="needs the packages onnx and onnxruntime")
    pytest.importorskip("onnxruntime", reason="needs the packages onnx and onnxruntime")
    return onnx_file(tmp_path / "clap.onnx", shape=("n", 2000))


def test_an_onnx_file_that_is_moved(
    music: MusicDataset, network: Path, tmp_path: Path, new_song: Path, monkeypatch
) -> None:
    encoder = OnnxEncoder(network, sample_rate=RATE)
    Recommender(QUICK).fit(music, encoder=encoder).save(tmp_path / "model")
    model = Recommender.load(tmp_path / "model")
    expected = model.onboard(new_song, item_id="new")
    model.remove("new")
    moved = network.rename(tmp_path / "moved.onnx")
    model = Recommender.load(tmp_path / "model")
    assert len(model.recommend("user-0", 3)) == 3
    with pytest.raises(EncoderUnavailableError, match=r"clap\.onnx: no such file; Recommender"):
        model.onboard(new_song, item_id="new")
    model = Recommender.load(tmp_path / "model", encoder=OnnxEncoder(moved, sample_rate=RATE))
    assert model.onboard(new_song, item_id="new") == expected
    model.rebuild()  # and from now on it knows where the file is
    model = Recommender.load(tmp_path / "model")
    assert model.similar(new_song, 1)["item_id"].tolist() == ["new"]
    monkeypatch.setattr(onnx_encoder, "find_spec", lambda name: None)
    model = Recommender.load(tmp_path / "model")
    assert len(model.recommend("user-0", 3)) == 3
    with pytest.raises(EncoderUnavailableError, match=r"pip install 'coldtune\[onnx\]'"):
        model.similar(new_song, 1)


class TestCommands:
    @pytest.fixture
    def run(self, music: MusicDataset, tmp_path: Path, monkeypatch, capsys):
        """Exit code, standard output and standard error of ``coldtune …``."""
        monkeypatch.chdir(tmp_path)
        save_folder(music, tmp_path / "music")
        (tmp_path / "quick.json").write_text(QUICK.model_dump_json())

        def run(*arguments: object) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["coldtune", *map(str, arguments)])
            with pytest.raises(SystemExit) as end:
                cli.main()
            return int(end.value.code or 0), *capsys.readouterr()

        return run

    def train(self, run, encoder: str, *more: str) -> tuple[int, str, str]:
        return run(
            "train",
            "music",
            "--out",
            "model",
            "--config",
            "quick.json",
            "--encoder",
            encoder,
            *more,
        )

    def test_train_and_onboard(self, run, network: Path, new_song: Path) -> None:
        code, out, _ = self.train(run, f"clap.onnx@{RATE}:0.5")
        assert code == 0
        assert "recordings are embedded by the ONNX file clap.onnx" in out
        assert run("onboard", "model", new_song, "--item-id", "new")[0] == 0
        code, out, _ = self.train(run, "model", "--replace")  # the encoder of the model
        assert (code, "ONNX file" in out) == (0, True)
        network.unlink()
        assert run("recommend", "model", "user-0")[0] == 0
        code, _, error = run("onboard", "model", new_song, "--item-id", "newer")
        assert code == 1
        assert error.count("\n") == 1
        assert "clap.onnx: no such file" in error

    @pytest.mark.slow
    def test_evaluate(self, run, network: Path, tmp_path: Path) -> None:
        code, _, _ = run(
            "evaluate", "music", "--out", "report", "--config", "quick.json", "--encoder",
            f"clap.onnx@{RATE}", "--models", "content,popularity", "--splits", "cold",
            "--fraction", "0.4", "--k", "2",
        )  # fmt: skip
        assert code == 0
        page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
        assert "Recordings were embedded by the ONNX file clap.onnx: 8 of 8 items" in page

    @pytest.mark.parametrize(
        ("encoder", "message"),
        [
            ("nowhere", "--encoder: there is no 'nowhere'; give"),
            ("music", "music: there is no saved encoder and no model here"),
            ("nowhere.onnx@48000:10", "nowhere.onnx: no such file"),
            ("clap.onnx", "its sample rate is not known: give sample_rate=, --encoder clap.onnx@"),
            ("clap.onnx@4000:3", "takes windows of 2,000 samples, which are 0.5 s"),
            ("clap.onnx@fast:3", "as in clap.onnx@48000:10"),
            ("clap.onnx@0:10", "sample_rate"),
            ("clap.onnx@-4000:0.5", "sample_rate"),
            ("clap.onnx@4000:-1", "window"),
            ("quick.json", "is no ONNX file that can be used"),
        ],
    )
    def test_encoders_that_are_none(self, run, network: Path, encoder: str, message: str) -> None:
        for command in ("train", "evaluate"):
            code, out, error = run(
                command, "music", "--out", "o", "--config", "quick.json", "--encoder", encoder
            )
            assert (code, out) == (1, "")
            assert error.count("\n") == 1
            assert message in error
            assert not Path("o").exists()
        code, _, error = run(
            "evaluate", "music", "--out", "o", "--encoder", "a", "--embeddings", "b.csv"
        )
        assert code == 1
        assert "exclude one another" in error

    def test_commands_that_need_a_network(self, run, saved: Path) -> None:
        for arguments in (
            ("fine-tune", saved, "music", "--out", "tuned"),
            ("compose", saved, "--out", "loop.wav", "--genre", "low"),
        ):
            code, _, error = run(*arguments)
            assert code == 1
            assert error.count("\n") == 1
            assert "no network of coldtune's own" in error
            assert "the function bands" in error


def test_errors_are_one_of_the_library() -> None:
    assert issubclass(EncoderError, ColdtuneError)
    assert issubclass(EncoderUnavailableError, ColdtuneError)
