"""Models whose recordings are embedded by heads on top of a given encoder."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.errors import AudioError, EncoderUnavailableError
from datasets.folder import save_folder
from datasets.music import MusicDataset
from embedding import CallableEncoder, EncoderConfig, FineTunedEncoder, HeadConfig, SongEncoder
from embedding.encoders import embed_files
from embedding.encoders.input_vectors import embed_each_input
from embedding.encoders.recordings import embed_by_heads
from recsys import Recommender, cli
from recsys.audio import TooFewLabelsError, embed_dataset
from recsys.commands.printing import print_info
from recsys.config import RecommenderConfig
from recsys.data import TasteVectors
from recsys.experiments.embeddings import FoldHeads
from recsys.training.fine_tuning import fine_tune_on_catalogue
from tests.helpers.eight_songs import bands, eight_songs
from tests.helpers.models import QUICK
from tests.helpers.recordings import write_song

pytestmark = pytest.mark.usefixtures("decoded_here")

RATE = 4000
HEADS = HeadConfig(dimension=4, epochs=10, learning_rate=0.01, threads=1, accelerator="cpu")


class Counting:
    """Loudness of eight bands of frequency, and how many windows it was asked for."""

    def __init__(self) -> None:
        self.windows = 0

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        self.windows += len(windows)
        return bands(windows)


def own(function) -> CallableEncoder:
    return CallableEncoder(function, sample_rate=RATE, window=0.5, name="bands")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> MusicDataset:
    """Eight recordings, low and high ones, and six listeners; two songs have none."""
    return eight_songs(tmp_path_factory.mktemp("music"), mood="calm")


def test_heads_are_trained_on_the_catalogue(
    music: MusicDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    function = Counting()
    untrained = FineTunedEncoder(own(function), HEADS)
    model = Recommender(QUICK).fit(music, encoder=untrained)
    assert not untrained.is_fitted
    info = model.info["encoder"]
    assert info["method"] == "heads for genre on the function bands, frozen"
    assert info["dimension"] == 8 + 4
    target = model.info["target"]
    assert (target["tags"], target["taste"]) == (["genre"], False)
    assert "plays are too few" in target["reason"]
    print_info(model.info, as_json=False)
    assert "it learned genre, and nothing of taste: 18 plays are too few" in capsys.readouterr().out
    # Each window once, beside the noise on which the function is tried: two windows, the same
    # again, and one of them alone.
    n_windows = function.windows - 5
    assert n_windows == len(embed_each_input(music.recording_paths(), own(function)).vectors)
    new = write_song(tmp_path / "new.wav", 3)
    assert model.onboard(new, item_id="new").predicted in ("high", "low")
    model.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    assert again.info["encoder"]["digest"] == info["digest"]
    assert len(again.recommend("user-0", 2)) == 2
    with pytest.raises(EncoderUnavailableError, match="bands"):
        again.onboard(new, item_id="newer")
    heard = Recommender.load(tmp_path / "model", encoder=own(function))
    heard.onboard(new, item_id="newer")
    assert set(heard.similar("newer", 2, by="sound")["item_id"]) == {"new", "song-3"}


def test_the_same_as_embedding_window_by_window(music: MusicDataset) -> None:
    tuned = fine_tune_on_catalogue(
        FineTunedEncoder(own(Counting()), HEADS), music, RecommenderConfig(threads=1)
    )
    by_heads = embed_by_heads(music.recording_paths(), tuned)
    straight = embed_files(music.recording_paths(), tuned, workers=0)
    np.testing.assert_allclose(by_heads.embeddings, straight.embeddings, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        by_heads.probabilities["genre"], straight.probabilities["genre"], rtol=1e-4, atol=1e-5
    )


def test_vectors_are_kept_on_disk_by_the_content_of_files(music: MusicDataset, tmp_path) -> None:
    images = np.random.default_rng(0).normal(size=(8, 1, 128, 128)).astype(np.float32)
    config = EncoderConfig(architecture="IC(8,9,2)PF(4)O", epochs=1, threads=1, accelerator="cpu")
    network = SongEncoder(config).fit(images, list("abababab"))
    paths = [*music.recording_paths(), tmp_path / "none.wav"]
    found = embed_each_input(paths, network, workers=0, cache=tmp_path)
    assert [failure.message for failure in found.failures] == [f"{paths[-1]}: no such file"]
    assert found.recording.tolist() == list(range(8))

    class Deaf:
        front_end, dimension, digest = network.front_end, network.dimension, network.digest

        def embed_and_predict(self, inputs):
            assert not len(inputs)
            return np.empty((0, 4), np.float32), {}

    again = embed_each_input(paths, Deaf(), workers=0, cache=tmp_path)  # type: ignore[arg-type]
    assert (again.vectors == found.vectors).all()
    np.testing.assert_allclose(network.embed_files(paths[:8], workers=0), found.vectors, rtol=1e-5)


def test_a_thawed_network_learns_from_the_catalogue(music: MusicDataset) -> None:
    images = np.random.default_rng(0).normal(size=(8, 1, 128, 128)).astype(np.float32)
    config = EncoderConfig(architecture="IC(8,9,2)PF(4)O", epochs=1, threads=1, accelerator="cpu")
    network = SongEncoder(config).fit(images, list("abababab"))
    before = network.digest()
    settings = HEADS.replace(backbone="thawed", thawed_epochs=1)
    tuned = fine_tune_on_catalogue(
        FineTunedEncoder(network, settings), music, RecommenderConfig(threads=1)
    )
    assert network.digest() == before
    assert tuned.classes_.tolist() == ["high", "low"]
    audio = embed_dataset(music, tuned, workers=0, progress=False)
    assert audio.embeddings.shape == (8, 4 + 4)
    assert audio.scores.columns.tolist() == [("genre", "high"), ("genre", "low")]


def test_taste_of_the_songs_that_were_played(music: MusicDataset) -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    taste = TasteVectors(pd.Index(["song-0", "song-1", "gone"], dtype=object), vectors)
    encoder = FineTunedEncoder(own(Counting()), HEADS)
    tuned = fine_tune_on_catalogue(encoder, music, RecommenderConfig(threads=1), taste=taste)
    assert tuned.taste_dimension_ == 2
    assert list(tuned.heads_) == ["genre"]
    assert tuned.learned_plays_.contains(["song-0", "song-2"]).tolist() == [True, False]
    none = fine_tune_on_catalogue(
        encoder,
        music,
        RecommenderConfig(threads=1),
        taste=TasteVectors(pd.Index(["gone"], dtype=object), vectors[2:]),
    )
    assert none.taste_dimension_ == 0
    assert not len(none.learned_plays_)


def test_nothing_to_learn(music: MusicDataset) -> None:
    encoder = FineTunedEncoder(own(Counting()), HEADS.replace(tags=("mood",)))
    with pytest.raises(TooFewLabelsError, match=r"two values of a tag \(mood\).* 8 usable"):
        fine_tune_on_catalogue(encoder, music, RecommenderConfig(threads=1))
    nothing = MusicDataset(items=music.items, interactions=music.interactions)
    with pytest.raises(AudioError, match="no recordings to train heads on"):
        fine_tune_on_catalogue(encoder, nothing, RecommenderConfig(threads=1))


def test_each_training_side_has_heads_of_its_own(music: MusicDataset) -> None:
    embed_fold = FoldHeads(FineTunedEncoder(own(Counting()), HEADS), RecommenderConfig(threads=1))
    some = music.take_items([f"song-{n}" for n in range(6)])
    whole, part = embed_fold(music), embed_fold(some)
    assert whole is not None
    assert part is not None
    assert embed_fold(some) is part
    assert whole.encoder.digest() != part.encoder.digest()
    # Those held out are embedded by heads that have not seen them.
    relabelled = MusicDataset(
        items=music.items.assign(genre=["low", "high"] * 3 + ["other", "other"]),
        audio=music.audio, interactions=music.interactions, root=music.root,
    )  # fmt: skip
    unseen = embed_fold(relabelled.take_items([f"song-{n}" for n in range(6)]))
    assert unseen is not None
    assert (unseen.embeddings(relabelled) == part.embeddings(music)).all(axis=None)
    assert part.labels(music).columns.tolist() == ["high", "low"]


class TestCommandLine:
    @pytest.fixture
    def run(self, music: MusicDataset, tmp_path: Path, monkeypatch, capsys):
        save_folder(music, tmp_path / "music")
        (tmp_path / "quick.json").write_text(QUICK.model_dump_json())
        images = np.random.default_rng(0).normal(size=(8, 1, 128, 128)).astype(np.float32)
        config = EncoderConfig(
            architecture="IC(8,9,2)PF(4)O", epochs=1, threads=1, accelerator="cpu"
        )
        SongEncoder(config).fit(images, list("abababab")).save(tmp_path / "network")
        monkeypatch.chdir(tmp_path)

        def call(*words: str) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["coldtune", *words])
            with pytest.raises(SystemExit) as end:
                cli.main()
            return int(end.value.code or 0), *capsys.readouterr()

        return call

    def test_what_does_not_go_together(self, run) -> None:
        train = ("train", "music", "--out", "model", "--config", "quick.json")
        for words, message in (
            (("--fine-tune", "frozen"), "--fine-tune needs --encoder"),
            (("--encoder", "network", "--fine-tune", "warm"), "frozen or thawed, not 'warm'"),
        ):
            code, _, err = run(*train, *words)
            assert code == 1
            assert message in err
            assert len(err.strip().splitlines()) == 1
        assert not Path("model").exists()

    @pytest.mark.slow
    def test_train_and_evaluate(self, run) -> None:
        code, out, err = run(
            "train", "music", "--out", "model", "--config", "quick.json", "--encoder", "network",
            "--fine-tune", "thawed",
        )  # fmt: skip
        assert code == 0, err
        assert "heads for genre on" in out
        code, out, err = run(
            "evaluate", "music", "--out", "report", "--config", "quick.json", "--encoder",
            "network", "--fine-tune", "frozen", "--models", "content,popularity", "--splits",
            "cold",
        )  # fmt: skip
        assert code == 0, err
        assert "trained without the" in Path("report/report.md").read_text()
        assert Recommender.load("model").info["encoder"]["dimension"] == 4 + 128
