"""GTZAN: the archive, Sturm's index and the fault-filtered lists, as published."""

import io
import tarfile
from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.music import MusicDataset
from datasets.public.base import fetch
from datasets.public.loaders.gtzan import GTZAN, GTZAN_GENRES

INDEX = (
    "\ufeff# an index of artists and titles\r\n"
    "blues.00000.wav ::: John Lee Hooker ::: One Bourbon, One Scotch, One Beer\r\n"
    'jazz.00001.wav ::: Miles Davis::: "So What"\r\n'
    "\r\n"
    "rock.00001.wav ::: ::: \r\n"
)


def publish(folder: Path, kind: str = "wav", prefix: str = "./genres") -> Path:
    folder.mkdir(exist_ok=True)
    magic = {"wav": b"RIFF\x00\x00", "au": b".snd\x00\x00"}[kind]
    with tarfile.open(folder / "genres.tar.gz", "w:gz") as archive:
        root = tarfile.TarInfo(prefix)
        root.type = tarfile.DIRTYPE
        archive.addfile(root)
        names = [f"{genre}.{number:05d}" for genre in reversed(GTZAN_GENRES) for number in (0, 1)]
        for name in [*names, "jazz.00054", "metal.00007", "bluegrass.00001"]:
            content = b"\x00" * 9 if name == "metal.00007" else magic + name.encode()
            member = tarfile.TarInfo(f"{prefix}/{name.partition('.')[0]}/{name}.{kind}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        # What Macs put into archives, and what must not lead out of the folder.
        for name in (f"{prefix}/rock/._rock.00001.wav", "../../rock.00099.txt"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"junk"))
        link = tarfile.TarInfo(f"{prefix}/rock/rock.00050.{kind}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return folder


def converted(source: Path, target: Path) -> MusicDataset:
    return fetch(GTZAN, target, source=source, progress=False)


@pytest.mark.parametrize(("kind", "prefix"), [("wav", "./genres"), ("au", "genres")])
def test_converted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, prefix: str
) -> None:
    source = publish(tmp_path / "published", kind, prefix)
    (source / "GTZANindex.txt").write_bytes(INDEX.encode())
    (source / "train_filtered.txt").write_bytes(b"blues/blues.00000.wav\r\nrock/rock.00001.wav")
    (source / "valid_filtered.txt").write_text("jazz/jazz.00001.wav\n")
    (source / "test_filtered.txt").write_text("pop/pop.00000.wav\njazz/jazz.00054.wav\n")
    music = converted(source, tmp_path / "out")
    assert music.items["item_id"].tolist() == [f"{g}.0000{n}" for g in GTZAN_GENRES for n in (0, 1)]
    rows = music.items.set_index("item_id")
    assert rows.loc["blues.00000"].tolist() == [
        "One Bourbon, One Scotch, One Beer", "John Lee Hooker", "", "blues", "train",
    ]  # fmt: skip
    assert rows.loc["jazz.00001"].tolist() == ['"So What"', "Miles Davis", "", "jazz", "valid"]
    assert rows.loc["rock.00001"].tolist() == ["rock.00001", "", "", "rock", "train"]
    assert rows.loc["pop.00000", "split"] == "test"
    assert rows.loc["pop.00001", "split"] == ""
    assert music.audio["path"][0] == f"audio/blues/blues.00000.{kind}"
    assert music.recording_paths()[0].read_bytes().endswith(b"blues.00000")
    assert (tmp_path / "out" / "left-out.csv").read_text().splitlines() == [
        "what,why", "jazz.00054,known to be damaged", f"metal.00007,is not a {kind} file",
    ]  # fmt: skip
    assert "left out: jazz.00054" in caplog.text
    assert {path.stem for path in (tmp_path / "out").rglob(f"*.{kind}")} == set(rows.index)


def test_without_artists_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    music = converted(publish(tmp_path / "published"), tmp_path / "out")
    assert set(music.items["artist"]) == set(music.items["split"]) == {""}
    assert "no GTZANindex.txt" in caplog.text


def test_lists_that_number_the_clips(tmp_path: Path) -> None:
    source = publish(tmp_path / "published")
    (source / "train_filtered.txt").write_text("           1\n         102\n        1000\n")
    (source / "valid_filtered.txt").write_text("           2\n")
    (source / "test_filtered.txt").write_text("         901\n")
    splits = converted(source, tmp_path / "out").items.set_index("item_id")["split"]
    assert splits[splits != ""].to_dict() == {
        "blues.00000": "train", "blues.00001": "valid", "classical.00001": "train",
        "rock.00000": "test",
    }  # fmt: skip


def test_an_index_in_latin_1(tmp_path: Path) -> None:
    source = publish(tmp_path / "published")
    (source / "GTZANindex.txt").write_bytes("pop.00000.wav ::: Björk ::: Jóga\n".encode("latin-1"))
    rows = converted(source, tmp_path / "out").items.set_index("item_id")
    assert rows.loc["pop.00000", ["artist", "title"]].tolist() == ["Björk", "Jóga"]


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        (
            "GTZANindex.txt",
            "# x\nblues.00000.wav : Hooker\n",
            "line 2: 'clip ::: artist ::: title'",
        ),
        ("train_filtered.txt", "1001\n", "line 1: neither a clip nor a number"),
        (
            "train_filtered.txt",
            "pop/pop.00000.wav\nfunk/funk.00001.wav\n",
            "line 2: neither a clip",
        ),
        ("train_filtered.txt", "5\n", r"no valid_filtered\.txt"),
    ],
)
def test_errors(tmp_path: Path, file: str, text: str, problem: str) -> None:
    source = publish(tmp_path / "published")
    (source / file).write_text(text)
    with pytest.raises(DataError, match=problem) as caught:
        converted(source, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_clip_on_two_sides(tmp_path: Path) -> None:
    source = publish(tmp_path / "published")
    for split, number in (("train", 7), ("valid", 8), ("test", 7)):
        (source / f"{split}_filtered.txt").write_text(f"{number}\n")
    with pytest.raises(DataError, match=r"test_filtered\.txt, line 1: blues.00006 is in train"):
        converted(source, tmp_path / "out")


@pytest.mark.parametrize("cut", [100, 20])
def test_a_damaged_archive(tmp_path: Path, cut: int) -> None:
    source = publish(tmp_path / "published")
    archive = source / "genres.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"genres\.tar\.gz is damaged"):
        converted(source, tmp_path / "out")
    archive.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"genres\.tar\.gz is damaged or not an archive"):
        converted(source, tmp_path / "out")
