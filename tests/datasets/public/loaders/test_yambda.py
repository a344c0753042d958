"""Yambda: Parquet files as published, with embeddings for a part of the tracks."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets.errors import DataError
from datasets.public.base import fetch
from datasets.public.loaders.yambda import YAMBDA_50M
from datasets.public.parquet import read_embeddings
from recsys import Recommender, RecommenderConfig

LISTENS = {
    "uid": pa.array([100, 100, 100, 100, 200, 200, 200], pa.uint32()),
    "timestamp": pa.array([50, 10, 15, 20, 5, 0, 25], pa.uint32()),
    "item_id": pa.array([7, 7, 9_390_000, 7, 9_390_000, 8, 3], pa.uint32()),
    "is_organic": pa.array([1, 1, 0, 1, 0, 1, 1], pa.uint8()),
    "played_ratio_pct": pa.array([100, 50, 130, 49, 99, 3, None], pa.uint16()),
    "track_length_seconds": pa.array([200, 200, 180, 200, 180, 170, 90], pa.uint32()),
}
EMBEDDINGS = {
    "item_id": pa.array([9_390_000, 1, 8, 3], pa.uint32()),
    "embed": pa.array([[3.0, 4.0], [1.0, 1.0], [2.0, 0.0], [1.0, 0.0]], pa.list_(pa.float64())),
    "normalized_embed": pa.array(
        [[0.6, 0.8], [0.7, 0.7], [1.0, 0.0], [1.0, 0.0]], pa.list_(pa.float64())
    ),
}
ARTISTS = {
    "artist_id": pa.array([12, 11, 5, 6], pa.uint32()),
    "item_id": pa.array([7, 7, 8, 9_999_999], pa.uint32()),
}
ALBUMS = {
    "album_id": pa.array([31, 32], pa.uint32()),
    "item_id": pa.array([9_390_000, 9_390_000], pa.uint32()),
}


def publish(folder: Path, **changed: dict[str, Any]) -> Path:
    folder.mkdir()
    tables = {
        "listens": LISTENS, "embeddings": EMBEDDINGS, "artist_item_mapping": ARTISTS,
        "album_item_mapping": ALBUMS,
    } | changed  # fmt: skip
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=3)
    return folder


def test_converted(tmp_path: Path) -> None:
    music = fetch(YAMBDA_50M, tmp_path / "out", source=publish(tmp_path / "p"), progress=False)
    assert music.items.values.tolist() == [
        ["7", "", "artist 11", "", ""], ["9390000", "", "", "album 31", ""],
    ]  # fmt: skip
    assert music.interactions.values.tolist() == [
        ["100", "7", 2.0, pd.Timestamp(10, unit="s")],
        ["100", "9390000", 1.0, pd.Timestamp(15, unit="s")],
        ["200", "9390000", 1.0, pd.Timestamp(5, unit="s")],
    ]
    embeddings = read_embeddings(tmp_path / "out")
    assert embeddings.index.tolist() == ["9390000"]
    np.testing.assert_array_equal(embeddings.to_numpy(), np.array([[0.6, 0.8]], np.float32))
    assert (tmp_path / "out" / "left-out.csv").read_text().splitlines()[1:] == [
        "listens.parquet,2 listens of less than half the track",
        "listens.parquet,1 listens without played_ratio_pct",
        "embeddings.parquet,1 tracks have no embedding",
    ]


def test_the_embeddings_serve_a_recommender(tmp_path: Path) -> None:
    """What the page says: without recordings, in place of the network's."""
    users, tracks, rng = 12, 8, np.random.default_rng(0)
    pairs = [
        (u, t) for u in range(users) for t in range(tracks) if (u + t) % 2 and (u, t) != (0, 7)
    ]
    vectors = rng.normal(size=(tracks, 4))
    listens = {
        "uid": pa.array([u for u, _ in pairs], pa.uint32()),
        "timestamp": pa.array(range(0, 5 * len(pairs), 5), pa.uint32()),
        "item_id": pa.array([t for _, t in pairs], pa.uint32()),
        "played_ratio_pct": pa.array([100] * len(pairs), pa.uint16()),
    }
    embeddings = {
        "item_id": pa.array(range(tracks - 1), pa.uint32()),  # the last has none
        "normalized_embed": pa.array(vectors[:-1].tolist(), pa.list_(pa.float64())),
    }
    source = publish(tmp_path / "p", listens=listens, embeddings=embeddings)
    music = fetch(YAMBDA_50M, tmp_path / "out", source=source, progress=False)
    config = RecommenderConfig(threads=1, tracking=False, sources=("als", "content"))
    assert music.root is not None
    recommender = Recommender(config).fit(music, embeddings=read_embeddings(music.root))
    assert "7" in recommender.recommend("0", k=8)["item_id"].tolist()


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"listens": ALBUMS}, "listens.parquet: no column uid, timestamp, played_ratio_pct"),
        (
            {"listens": LISTENS | {"played_ratio_pct": pa.array([1] * 7, pa.uint16())}},
            "no listen of half a track or more",
        ),
        ({"embeddings": {name: v[1:3] for name, v in EMBEDDINGS.items()}}, "no embedding of any"),
        (
            {"embeddings": {
                "item_id": pa.array([7, 9_390_000], pa.uint32()),
                "normalized_embed": pa.array([[1.0], [1.0, 2.0]]),
            }},
            "embeddings of \\[1, 2\\] numbers",
        ),
    ],
)  # fmt: skip
def test_another_format(tmp_path: Path, changed: dict[str, Any], problem: str) -> None:
    source = publish(tmp_path / "p", **changed)
    with pytest.raises(DataError, match=problem):
        fetch(YAMBDA_50M, tmp_path / "out", source=source, progress=False)


def test_missing_or_damaged(tmp_path: Path) -> None:
    source = publish(tmp_path / "p")
    (source / "album_item_mapping.parquet").unlink()
    (source / "embeddings.parquet").unlink()
    music = fetch(YAMBDA_50M, tmp_path / "plays", source=source, progress=False)
    assert set(music.items["album"]) == {""}
    assert len(music.interactions)
    assert not (tmp_path / "plays" / "embeddings.parquet").exists()
    (source / "listens.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match=r"listens\.parquet is not a Parquet file that can be"):
        fetch(YAMBDA_50M, tmp_path / "out", source=source, progress=False)
