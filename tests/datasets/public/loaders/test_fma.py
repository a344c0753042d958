"""FMA: tracks.csv with its header of three rows, and the folders of clips, as published."""

import csv
import io
import zipfile
from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.music import MusicDataset
from datasets.public.base import PublicDataset, fetch
from datasets.public.loaders.fma import FMA_LARGE, FMA_MEDIUM, FMA_SMALL

# The 52 columns of the published file.
COLUMNS = {
    "album": (
        "comments date_created date_released engineer favorites id information listens producer"
        " tags title tracks type"
    ),
    "artist": (
        "active_year_begin active_year_end associated_labels bio comments date_created favorites"
        " id latitude location longitude members name related_projects tags website"
        " wikipedia_page"
    ),
    "set": "split subset",
    "track": (
        "bit_rate comments composer date_created date_recorded duration favorites genre_top genres"
        " genres_all information interest language_code license listens lyricist number publisher"
        " tags title"
    ),
}
PAIRS = [(group, name) for group, names in COLUMNS.items() for name in names.split()]
GENRES = (
    "genre_id,#tracks,parent,title,top_level\n10,13845,0,Pop,10\n12,32923,0,Rock,12\n"
    '21,12706,0,Hip-Hop,21\n182,1,12,"Punk, the old",12\n'
)
BIO = '<p>He said "no".\r\nThen,\nyes.</p>' + "life " * 30_000  # longer than csv reads by default
TRACKS = {
    2: ("small", "training", "Food", "AWOL", "AWOL - A Way Of Life", "Hip-Hop", "[21]"),
    3: ("medium", "test", 'Electric "Ave"', "AWOL", "", "", "[21, 182]"),
    5: ("large", "training", " This World ", "Café Tacvba", "X", "Rock", "[12, 999]"),
    10: ("small", "validation", "No clip", "Kurt Vile", "Y", "Pop", "[10]"),
    133297: ("small", "training", "Known to be short", "Z", "Z", "Pop", "[]"),
    140: ("small", "training", "Hardly a byte", "Z", "Z", "Pop", "[10]"),
}


def tracks_csv() -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *(group for group, _ in PAIRS)])
    writer.writerow(["", *(name for _, name in PAIRS)])
    writer.writerow(["track_id", *([""] * len(PAIRS))])
    for track, (subset, split, title, artist, album, top, genres) in TRACKS.items():
        values = {
            ("set", "subset"): subset, ("set", "split"): split, ("track", "title"): title,
            ("artist", "name"): artist, ("album", "title"): album, ("track", "genre_top"): top,
            ("track", "genres"): genres, ("artist", "id"): "1", ("artist", "bio"): BIO,
            ("album", "date_released"): "2009-01-05 00:00:00",
            ("track", "license"): "Attribution-NonCommercial-ShareAlike 3.0 International",
        }  # fmt: skip
        writer.writerow([track, *(values.get(pair, "") for pair in PAIRS)])
    return text.getvalue()


def publish(folder: Path, size: str, tracks: str | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "fma_metadata.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("fma_metadata/README.txt", "see the paper")
        archive.writestr("fma_metadata/genres.csv", GENRES)
        archive.writestr("fma_metadata/tracks.csv", tracks_csv() if tracks is None else tracks)
    with zipfile.ZipFile(folder / f"fma_{size}.zip", "w") as archive:
        archive.writestr(f"fma_{size}/", "")
        archive.writestr(f"fma_{size}/checksums", "0000  000/000002.mp3\n")
        for track in (2, 3, 5, 133297, 140):
            name = f"{track:06d}"
            content = b"ID3" + bytes(100 if track == 140 else 5000)
            archive.writestr(f"fma_{size}/{name[:3]}/{name}.mp3", content)
    return folder


def converted(dataset: PublicDataset, source: Path, target: Path) -> MusicDataset:
    return fetch(dataset, target, source=source, progress=False)


def test_small(tmp_path: Path) -> None:
    music = converted(FMA_SMALL, publish(tmp_path / "published", "small"), tmp_path / "out")
    assert music.items.to_dict("records") == [
        {
            "item_id": "2", "title": "Food", "artist": "AWOL", "album": "AWOL - A Way Of Life",
            "genre": "Hip-Hop", "genres": "Hip-Hop", "split": "training", "artist_id": "1",
            "released": "2009-01-05 00:00:00",
            "licence": "Attribution-NonCommercial-ShareAlike 3.0 International",
        }
    ]  # fmt: skip
    assert music.audio["path"].tolist() == ["audio/000/000002.mp3"]
    assert (tmp_path / "out" / "left-out.csv").read_text().splitlines() == [
        "what,why",
        "000010,has no clip in the archive",
        "133297,its clip is shorter than 30 s",
        "000140,its clip has 103 bytes: no sound",
    ]
    assert len(list((tmp_path / "out").rglob("*.mp3"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "size", "ids"),
    [(FMA_MEDIUM, "medium", ["2", "3"]), (FMA_LARGE, "large", ["2", "3", "5"])],
)
def test_larger_sizes_hold_the_smaller(
    tmp_path: Path, dataset: PublicDataset, size: str, ids: list[str]
) -> None:
    music = converted(dataset, publish(tmp_path / "published", size), tmp_path / "out")
    assert music.items["item_id"].tolist() == ids
    rows = music.items.set_index("item_id")
    assert rows.loc["3", ["title", "genre", "genres"]].tolist() == [
        'Electric "Ave"', "", "Hip-Hop; Punk, the old",
    ]  # fmt: skip
    if size == "large":
        assert rows.loc["5", ["title", "artist", "genres"]].tolist() == [
            "This World", "Café Tacvba", "Rock; 999",
        ]  # fmt: skip


def test_unpacked_folders_give_the_same(tmp_path: Path) -> None:
    source = publish(tmp_path / "published", "small")
    zipped = converted(FMA_SMALL, source, tmp_path / "one")
    for name in ("fma_metadata", "fma_small"):
        with zipfile.ZipFile(source / f"{name}.zip") as archive:
            archive.extractall(source)
        (source / f"{name}.zip").unlink()
    assert converted(FMA_SMALL, source, tmp_path / "two").digest() == zipped.digest()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace("track_id,", "id,", 1), "three rows that ends in 'track_id'"),
        (lambda text: text.replace("subset", "part", 1), "no column set.subset"),
        (lambda text: text + "7,short\n", "not a track as the header says"),
        (lambda text: text.replace("\n3,", "\nthree,"), "line 7: not a track"),
        (lambda text: "", "three rows that ends in 'track_id'"),
    ],
)
def test_errors(tmp_path: Path, change: object, problem: str) -> None:
    source = publish(tmp_path / "published", "small", change(tracks_csv()))  # type: ignore[operator]
    limit = csv.field_size_limit()
    with pytest.raises(DataError, match=problem) as caught:
        converted(FMA_SMALL, source, tmp_path / "out")
    assert "tracks.csv" in str(caught.value)
    assert csv.field_size_limit() == limit
