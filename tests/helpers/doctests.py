"""What examples in docstrings may use by name: ``dataset``, ``recommender``, ``recording``, ..."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import soundfile

from datasets.arrays import Float32Array
from datasets.music import MusicDataset

if TYPE_CHECKING:
    from embedding import SongEncoder
    from evaluation import Comparison, Split
    from evaluation.metrics.beyond_accuracy import ItemFacts
    from evaluation.metrics.hits import HitMatrix
    from recsys import Recommender
    from recsys.data import TrainingData


@pytest.fixture(scope="session")
def example_data() -> tuple[MusicDataset, pd.DataFrame]:
    """60 users and 30 songs of two genres; the last two songs are new."""
    rng = np.random.default_rng(0)
    names = [f"s{n}" for n in range(28)] + ["new-1", "new-2"]
    jazz = np.arange(30) % 2 == 1
    items = pd.DataFrame(
        {
            "item_id": names,
            "title": [f"Song {n}" for n in range(30)],
            "artist": [f"Artist {n // 2 * 2 + n % 2 - n // 4 % 2 * 2}" for n in range(30)],
            "album": "",
            "genre": np.where(jazz, "jazz", "rock"),
        }
    )
    plays = []
    for user in range(60):
        liked = np.flatnonzero(jazz[:28] == user % 2)
        chosen = [*rng.choice(liked, 6, replace=False), *rng.choice(28, 2)]
        plays += [(f"u{user}", names[item], float(rng.integers(1, 9))) for item in chosen]
    frame = pd.DataFrame(plays, columns=["user_id", "item_id", "weight"])
    frame = frame.drop_duplicates(["user_id", "item_id"], ignore_index=True)
    vectors = np.eye(4)[jazz.astype(int)] + 0.1 * rng.standard_normal((30, 4))
    return MusicDataset(items=items, interactions=frame), pd.DataFrame(
        vectors.astype(np.float32), index=names
    )


@pytest.fixture
def example_dataset(example_data: tuple[MusicDataset, pd.DataFrame]) -> MusicDataset:
    return example_data[0]


@pytest.fixture
def example_embeddings(example_data: tuple[MusicDataset, pd.DataFrame]) -> pd.DataFrame:
    """Embeddings [30, 4] of the songs, index item_id."""
    return example_data[1]


@pytest.fixture(scope="session")
def example_training_data(example_data: tuple[MusicDataset, pd.DataFrame]) -> "TrainingData":
    """What sources learn from: the plays and embeddings of the data set."""
    from tests.helpers.recommenders import training_data

    return training_data(*example_data)


@pytest.fixture(scope="session")
def example_model(
    example_data: tuple[MusicDataset, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    from recsys import Recommender
    from tests.helpers.recommenders import QUICK

    folder = tmp_path_factory.mktemp("example") / "model"
    Recommender(QUICK).fit(*example_data).save(folder)
    return folder


@pytest.fixture
def example_recommender(example_model: Path, tmp_path: Path) -> "Recommender":
    """A fitted recommender of ALS, LightFM and content; an example may change it."""
    import shutil

    from recsys import Recommender

    shutil.copytree(example_model, tmp_path / "example-model")
    return Recommender.load(tmp_path / "example-model")


@pytest.fixture
def example_recording(tmp_path: Path) -> Path:
    """A wav file of 6 s at 22,050 Hz: a chord that beats twice a second."""
    time = np.arange(6 * 22050) / 22050
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    beat = 0.2 + 0.8 * (np.modf(2 * time)[0] < 0.25)
    path = tmp_path / "song.wav"
    soundfile.write(path, 0.25 * beat * chord, 22050)
    return path


@pytest.fixture(scope="session")
def example_pictures() -> tuple[Float32Array, list[str]]:
    rng = np.random.default_rng(0)
    labels = ["rock", "jazz"] * 12
    images = rng.normal(size=(24, 1, 24, 24)).astype(np.float32)
    images[::2, :, :8] += 2
    return images, labels


@pytest.fixture
def example_images(example_pictures: tuple[Float32Array, list[str]]) -> Float32Array:
    """24 hyper-images, float32 [24, 1, 24, 24]."""
    return example_pictures[0]


@pytest.fixture
def example_labels(example_pictures: tuple[Float32Array, list[str]]) -> list[str]:
    """The genres of the images."""
    return example_pictures[1]


@pytest.fixture(scope="session")
def example_encoder(example_pictures: tuple[Float32Array, list[str]]) -> "SongEncoder":
    """A small network trained on the images."""
    from embedding import EncoderConfig, HyperImageConfig, SnippetConfig, SongEncoder

    config = EncoderConfig(
        architecture="IC(2,5,4)PF(8)O",
        epochs=2,
        threads=1,
        snippet=SnippetConfig(seconds=1),
        hyperimage=HyperImageConfig(
            sample_rate=8000, height=24, width=24, n_fft=512, hop_length=256, n_mels=32
        ),
    )
    return SongEncoder(config).fit(*example_pictures)


@pytest.fixture
def example_split(example_dataset: MusicDataset) -> "Split":
    """A fifth of the plays held out."""
    from evaluation import warm_split

    return warm_split(example_dataset, seed=0)


@pytest.fixture(scope="session")
def example_comparison(example_data: tuple[MusicDataset, pd.DataFrame]) -> "Comparison":
    """Popularity and random lists, side by side on one split."""
    from evaluation import Popularity, Random, compare, warm_split

    split = warm_split(example_data[0], seed=0)
    return compare({"popularity": Popularity, "random": Random}, example_data[0], [split], ks=(5,))


@pytest.fixture
def example_hits() -> "HitMatrix":
    """The list of two items in the examples of evaluation.metrics.beyond_accuracy."""
    from evaluation.metrics.hits import HitMatrix

    return HitMatrix(
        np.array([[False, True]]),
        n_relevant=np.array([1]),
        n_listed=np.array([2]),
        items=np.array([[1, 2]]),
    )


@pytest.fixture
def example_facts() -> "ItemFacts":
    """The three items in the examples of evaluation.metrics.beyond_accuracy."""
    import scipy.sparse as sp

    from evaluation.metrics.beyond_accuracy import ItemFacts

    return ItemFacts(
        listeners=np.array([4, 2, 1]),
        n_users_training=4,
        artists=np.array([0, 0, 1]),
        genres=np.array([0, 0, 1]),
        genre_names=pd.Index(["rock", "jazz"]),
        history=sp.csr_matrix([[1.0, 0.0, 0.0]]),
        embeddings=np.eye(3, dtype=np.float32),
    )
