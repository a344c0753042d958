"""A saved model: whatever is changed in its folder is noticed, and a save is all or nothing."""

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xxhash

from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.music import MusicDataset
from embedding import EncoderConfig, SongEncoder
from recsys import Recommender
from recsys.config import RetrievalConfig
from recsys.database.catalog import Catalog
from recsys.model import artifact, storage
from recsys.model.artifact import CHUNK, digest_files
from recsys.model.state import FittedState
from tests.helpers.folders import file_contents, files_of
from tests.helpers.recommenders import QUICK
from tests.helpers.thorough import times

pytestmark = pytest.mark.slow

Tastes = tuple[MusicDataset, pd.DataFrame]
NEW = np.eye(8, dtype=np.float32)[1]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here cuts the power, and a save waits for the disk some forty times."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture(scope="module")
def models(tastes: Tastes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models to be copied by tests: one with an Annoy index, one with a network."""
    dataset, embeddings = tastes
    rng = np.random.default_rng(3)
    images = rng.random((12, 1, 16, 16), np.float32)
    encoder = SongEncoder(
        EncoderConfig(architecture="IC(1,3,4)PF(8)O", epochs=1, threads=1, validation_fraction=0)
    ).fit(images, ["rock", "jazz"] * 6)
    # Small arrays, and few files in the one that is copied: it is opened some thousand times.
    weights = {"als": 0.5, "content": 0.5}
    few = QUICK.replace(
        sources=("als", "content"),
        fusion={"warm": weights, "cold": weights},
        retrieval=RetrievalConfig(method="annoy"),
    )
    recommenders = {
        "index": Recommender(few).fit(dataset, embeddings=embeddings),
        "network": Recommender(QUICK).fit(dataset, encoder=encoder),
    }
    folder = tmp_path_factory.mktemp("models")
    for name, recommender in recommenders.items():
        recommender.save(folder / name)
    return {name: folder / name for name in recommenders}


@pytest.fixture
def model(models: dict[str, Path], tmp_path: Path) -> Path:
    """A saved model of the test's own."""
    return Path(shutil.copytree(models["index"], tmp_path / "model"))


def generation(folder: Path) -> Path:
    return folder / json.loads((folder / "manifest.json").read_text())["generation"]


def answers(recommender: Recommender) -> pd.DataFrame:
    return recommender.recommend_many(["user-0", "user-1", "user-2"], k=12)


def flip(content: bytes, position: int, bits: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= bits
    return bytes(changed)


def damages(content: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Ways to damage a file: each with its name and the new content, None for a deletion."""
    places = [len(content) // 3, 0, len(content) // 2, len(content) - 1]
    for position in sorted(set(places[: times(1, 4)])):
        yield f"bit flipped at {position}", flip(content, position, 0x01)
        yield f"byte turned over at {position}", flip(content, position, 0xFF)
    yield "cut in half", content[: len(content) // 2]
    yield "one byte short", content[:-1]
    yield "emptied", b""
    yield "one byte longer", content + b"\0"
    yield "twice as long", content * 2
    yield "deleted", None


@pytest.mark.parametrize("kind", ["index", "network"])
def test_every_damage_to_every_file_is_an_error_that_names_it(
    models: dict[str, Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(models[kind], tmp_path / "model"))
    names = [name for name in files_of(folder) if name != ".lock"]
    expected = {"index": "index.annoy", "network": "encoder/encoder.json"}[kind]
    assert any(name.endswith(expected) for name in names)
    assert any("weights-" in name for name in names) == (kind == "network")
    used = []
    read = FittedState.read
    monkeypatch.setattr(FittedState, "read", lambda *args: used.append(args) or read(*args))
    for name in names:
        path = folder / name
        original = path.read_bytes()
        for damage, content in damages(original):
            path.unlink() if content is None else path.write_bytes(content)
            with pytest.raises(ArtifactError) as error:
                Recommender.load(folder)
            assert Path(name).name in str(error.value), (name, damage)
            assert "\n" not in str(error.value), (name, damage)
        path.write_bytes(original)
        if not name.endswith("catalog.sqlite"):
            assert not used, f"{name} was used before it was checked"
        used.clear()
    Recommender.load(folder)


def test_no_flipped_bit_of_the_manifest_goes_unnoticed(model: Path) -> None:
    path = model / "manifest.json"
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(original), 200, replace=False):
        path.write_bytes(flip(original, position, 1 << int(rng.integers(8))))
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            artifact.read_manifest(model)


def test_a_flip_in_an_onboarded_song_database_never_gives_wrong_data(model: Path) -> None:
    recommender = Recommender.load(model)
    recommender.onboard(embedding=NEW, item_id="new-1", title="Título", genre="jazz")
    recommender.onboard(embedding=-NEW, item_id="new-2", tags={"mood": "dark"})
    # Free pages, as replacing a song with a long text leaves them.
    recommender.onboard(embedding=NEW, item_id="new-3", title="x" * 20_000)
    recommender.onboard(embedding=NEW, item_id="new-3", title="short")

    def known(loaded: Recommender) -> object:
        catalog = Catalog.open(path)
        songs = [repr(vars(song)) for song in catalog.onboarded()]
        catalog.close()
        return songs, answers(loaded).to_csv(), loaded.info["onboarded"]

    path = generation(model) / "catalog.sqlite"
    original = path.read_bytes()
    right = known(Recommender.load(model))
    rng = np.random.default_rng(1)
    # All of the header and of the first page's structure, and places anywhere.
    places = [*range(0, 100, times(6, 3)), *rng.integers(100, len(original), times(30, 70))]
    noticed = 0
    for place in places:
        path.write_bytes(flip(original, int(place), 1 << int(rng.integers(8))))
        try:
            found = known(Recommender.load(model))
        except ArtifactError:
            noticed += 1
        else:
            assert found == right, f"flip at {place}"
        for leftover in path.parent.glob("catalog.sqlite-*"):
            leftover.unlink()
    assert noticed > len(places) // 5  # the others hit free pages
    for content in (original[:-4096], original[: len(original) // 2], b"", original + b"\0" * 4096):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"catalog\.sqlite"):
            Recommender.load(model)


def test_a_song_database_of_another_model_is_refused(
    models: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(models["network"], tmp_path / "other"))
    catalog = Catalog.open(generation(other) / "catalog.sqlite")
    catalog.put([])
    catalog.close()
    shutil.copy(generation(other) / "catalog.sqlite", generation(model) / "catalog.sqlite")
    with pytest.raises(ArtifactError, match=r"catalog\.sqlite: is the song database of another"):
        Recommender.load(model)


def test_what_a_killed_writer_left_half_written_is_undone(model: Path) -> None:
    before = answers(Recommender.load(model))
    path = generation(model) / "catalog.sqlite"
    original = path.read_bytes()
    child = os.fork()
    if child == 0:
        try:
            database = sqlite3.connect(path, isolation_level=None)
            # A cache of one page, so that pages are written before the commit that never comes.
            database.execute("PRAGMA cache_size = 1")
            database.execute("BEGIN")
            database.execute("UPDATE songs SET title = title || hex(zeroblob(500))")
            database.execute("UPDATE revision SET number = number + 1")
        finally:
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert path.with_name("catalog.sqlite-journal").stat().st_size > 0
    assert path.read_bytes() != original
    pd.testing.assert_frame_equal(answers(Recommender.load(model)), before)
    assert path.read_bytes() == original


def test_a_large_song_database_is_checked_before_the_songs_of_the_fit_are_used(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = Recommender.load(model)
    recommender.save(model)
    wanted = answers(recommender)
    monkeypatch.setattr(storage, "LARGE", 0)
    path = generation(model) / "catalog.sqlite"
    original = path.read_bytes()
    place = original.index(b"Song 17")
    path.write_bytes(flip(original, place, 0x01))
    for use in (
        lambda one: one._fitted().catalog.copy_to(tmp_path / "copy.sqlite"),
        lambda one: one.save(tmp_path / "elsewhere"),
        lambda one: one.save(model),
        lambda one: one._fitted().catalog.transaction().__enter__(),
    ):
        opened = Recommender.load(model)
        pd.testing.assert_frame_equal(answers(opened), wanted)
        for _ in range(2):
            with pytest.raises(
                ArtifactError, match=r"catalog\.sqlite: has been changed or damaged"
            ):
                use(opened)
    assert not (tmp_path / "copy.sqlite").exists()
    path.write_bytes(original)
    Recommender.load(model).save(tmp_path / "elsewhere")
    pd.testing.assert_frame_equal(answers(Recommender.load(tmp_path / "elsewhere")), wanted)


def test_what_is_noticed_at_once_in_a_large_song_database(
    models: dict[str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LARGE", 0)
    monkeypatch.setattr(storage, "LARGE_CHANGED", 0)
    recommender = Recommender.load(model)
    recommender.onboard(embedding=NEW, item_id="new", title="A title of its own")
    path = generation(model) / "catalog.sqlite"
    original = path.read_bytes()
    other = (generation(models["network"]) / "catalog.sqlite").read_bytes()
    index = original.index(b"CREATE INDEX ix_songs_artist")
    for damage, content in {
        "an onboarded row": original.replace(b"A title of its own", b"A title of its oWn"),
        "a longer file": original + b"\0" * 4096,
        "a shorter file": original[:-4096],
        "another model's": other,
        "no database": b"x" * len(original),
        "another index": original[:index]
        + b"CREATE INDEX ix_songs_arTist"
        + original[index + 28 :],
        "none": None,
    }.items():
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(ArtifactError) as error:
            Recommender.load(model)
        assert "song database" in str(error.value) or "sqlite" in str(error.value), damage
    path.write_bytes(original)
    assert Recommender.load(model).info["onboarded"] == 1


def test_a_damaged_row_of_a_large_song_database_that_was_onboarded_to_is_never_copied(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LARGE_CHANGED", 0)
    Recommender.load(model).onboard(embedding=NEW, item_id="new")
    path = generation(model) / "catalog.sqlite"
    content = path.read_bytes()
    path.write_bytes(flip(content, content.index(b"Song 17"), 0x01))
    opened = Recommender.load(model)
    opened.onboard(embedding=NEW, item_id="newer")
    with pytest.raises(ArtifactError, match="damaged"):
        opened.save(tmp_path / "elsewhere")
    assert Recommender.load(model).info["onboarded"] == 2


def test_a_change_anywhere_in_a_file_of_several_chunks_is_noticed(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = Recommender.load(model)
    monkeypatch.setattr(artifact, "CHUNK", 500)
    recommender.save(model)
    path = generation(model) / "item_vectors.npy"
    original = path.read_bytes()
    assert len(original) > 2_000
    for place in (*range(0, len(original), 400), len(original) - 1):
        path.write_bytes(flip(original, place, 0x10))
        with pytest.raises(ArtifactError, match=r"item_vectors\.npy: has been changed"):
            Recommender.load(model)
    path.write_bytes(original)
    Recommender.load(model)


# ---------------------------------------------------------------------- the manifest


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    """Change a manifest and give it the digest that belongs to the new content."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**content, "sha256": digest}))


def test_a_newer_format_says_to_update(model: Path) -> None:
    rewrite(model, lambda manifest: manifest.update(format_version=5))
    with pytest.raises(ArtifactError, match=r"has format 5, this library reads up to 4; update"):
        Recommender.load(model)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\x00" * 100,
        b"\xff\xfe{\x00}\x00",
        b'{"format": "coldtune-model"}',
        b'{"format": "something else"}',
        b'{"format": "coldtune-model", "format_version": "1"}',
        b'{"format": "coldtune-model", "format_version": 1}',
        b"[" * 200_000,
        b'{"format_version": ' + b"1" * 10_000 + b"}",
        "emoji \N{ROCKET} but no JSON".encode(),
    ],
)
def test_a_manifest_that_is_none(model: Path, content: bytes) -> None:
    (model / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"manifest\.json") as error:
        Recommender.load(model)
    assert "\n" not in str(error.value)


def test_a_huge_manifest_is_not_read(model: Path) -> None:
    with (model / "manifest.json").open("r+b") as stream:
        stream.truncate(2**40)  # sparse: it takes no place on the disk
    with pytest.raises(ArtifactError, match=r"manifest\.json: is too large"):
        Recommender.load(model)


def test_a_manifest_that_is_a_folder(model: Path) -> None:
    (model / "manifest.json").unlink()
    (model / "manifest.json").mkdir()
    with pytest.raises(ArtifactError, match=r"manifest\.json: cannot be read"):
        Recommender.load(model)


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp", ".", "", "..", "g-1", None, 5, ["g"]])
def test_a_generation_elsewhere_is_refused(model: Path, name: object) -> None:
    rewrite(model, lambda manifest: manifest.update(generation=name))
    with pytest.raises(ArtifactError, match=r"manifest\.json: names no folder of the model"):
        Recommender.load(model)


@pytest.mark.parametrize(
    "name",
    ["../../secret", "/etc/passwd", "..", "", "a\0b", "x" * 5000, "encoder/../../../secret"],
)
def test_a_file_elsewhere_is_refused(model: Path, name: str) -> None:
    (model.parent / "secret").write_text("x")
    entry = {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest(), "mutable": False}
    rewrite(model, lambda manifest: manifest["files"].update({name: entry}))
    with pytest.raises(ArtifactError, match=r"outside the model|is missing|too long"):
        Recommender.load(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("files"),
        lambda m: m.update(files=[]),
        lambda m: m["files"].update({"embeddings.npy": "x"}),
        lambda m: m["files"]["embeddings.npy"].pop("sha256"),
        lambda m: m["files"]["embeddings.npy"].update(bytes="12"),
        lambda m: m["files"].pop("catalog.sqlite"),
        lambda m: m.pop("config"),
        lambda m: m.update(config=None),
        lambda m: m["config"].update(colour="blue"),
        lambda m: m["config"].update(seed=-1),
        lambda m: m.pop("info"),
        lambda m: m.pop("catalog"),
        lambda m: m.update(catalog={}),
    ],
)
def test_a_manifest_that_does_not_describe_a_model(
    model: Path, change: Callable[[dict], object]
) -> None:
    rewrite(model, change)
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        Recommender.load(model)


@pytest.mark.parametrize("name", ["embeddings.npy", "catalog.sqlite", "items.arrow"])
def test_a_link_out_of_the_folder_is_refused(model: Path, name: str) -> None:
    path = generation(model) / name
    outside = model.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(ArtifactError, match=f"outside the model: '{name}'"):
        Recommender.load(model)
    path.unlink()
    path.symlink_to(path)  # a loop
    with pytest.raises(ArtifactError, match=name):
        Recommender.load(model)
    path.unlink()
    os.mkfifo(path)  # reading it would wait for ever
    with pytest.raises(ArtifactError, match=f"{name}: a file of the model is missing"):
        Recommender.load(model)


def test_a_generation_that_is_a_link_out_of_the_folder_is_refused(model: Path) -> None:
    place = generation(model)
    place.rename(model.parent / "outside")
    place.symlink_to(model.parent / "outside")
    with pytest.raises(ArtifactError, match="is outside the model's folder"):
        Recommender.load(model)


def test_files_that_the_manifest_does_not_name_are_not_used(
    models: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(models["network"], tmp_path / "model"))
    (generation(folder) / "index.annoy").write_bytes(b"nonsense")
    (folder / "README.txt").write_text("notes")
    before = answers(Recommender.load(models["network"]))
    pd.testing.assert_frame_equal(answers(Recommender.load(folder)), before)
    without = Path(shutil.copytree(models["index"], tmp_path / "without"))
    (generation(without) / "encoder").mkdir()
    Recommender.load(without)


def test_loading_changes_nothing(model: Path) -> None:
    shutil.rmtree(model / ".lock", ignore_errors=True)
    (model / ".lock").unlink()
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in model.rglob("*") if p.is_file()}
    for _ in range(2):
        answers(Recommender.load(model))
    after = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in model.rglob("*") if p.is_file()}
    assert after == before


# ---------------------------------------------------------------------- where a model is saved


def foreign_data(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id\n1\n")


def foreign_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"name": "a web page"}')


def foreign_manifest_beside_something_like_ours(folder: Path) -> None:
    foreign_manifest(folder)
    (folder / "g-photos").mkdir()
    (folder / "g-photos" / "1.jpg").write_bytes(b"1")


def foreign_folder(folder: Path) -> None:
    (folder / "g-0123456789abcdef").mkdir()
    (folder / "thesis.tex").write_text("x")


@pytest.mark.parametrize(
    "fill",
    [
        foreign_data,
        foreign_manifest,
        foreign_manifest_beside_something_like_ours,
        foreign_folder,
    ],
)
def test_a_folder_that_holds_something_else_is_left_alone(
    model: Path, tmp_path: Path, fill: Callable[[Path], None]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    fill(folder)
    before = sorted(folder.rglob("*")), file_contents(folder)
    with pytest.raises(ArtifactError, match="is not empty and holds no model; nothing was written"):
        Recommender.load(model).save(folder)
    assert (sorted(folder.rglob("*")), file_contents(folder)) == before


@pytest.mark.parametrize("kind", ["a file", "below a file", "too long", "a dangling link"])
def test_a_place_where_no_folder_can_be(model: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    place = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "model",
        "too long": tmp_path / ("x" * 300),
        "a dangling link": tmp_path / "link",
    }[kind]
    with pytest.raises(ArtifactError) as error:
        Recommender.load(model).save(place)
    assert str(place) in str(error.value)
    assert (tmp_path / "file").read_text() == "x"


def test_what_is_ours_is_saved_over(models: dict[str, Path], model: Path, tmp_path: Path) -> None:
    other = Recommender.load(models["network"])
    wanted = answers(other)

    (tmp_path / "empty").mkdir()
    killed = tmp_path / "killed"  # a first save that was killed
    (killed / "g-0123456789abcdef").mkdir(parents=True)
    (killed / ".manifest.json.abc.json").write_text("{")
    (killed / ".lock").touch()
    broken = Path(shutil.copytree(model, tmp_path / "broken"))
    (broken / "manifest.json").write_bytes(b"\0\0")
    (model / "notes.txt").write_text("kept")
    with pytest.raises(InvalidArgumentError, match=r"cannot be read.*is not known, replace=True"):
        other.save(broken)  # it may hold songs that somebody onboarded
    for folder in (tmp_path / "empty", tmp_path / "new" / "deep", killed, broken, model):
        other.save(folder, replace=folder == broken)
        pd.testing.assert_frame_equal(answers(Recommender.load(folder)), wanted)
        left = {path.name for path in folder.iterdir()} - {"notes.txt"}
        assert left == {".lock", "manifest.json", generation(folder).name}
    assert (model / "notes.txt").read_text() == "kept"


NAMES = [
    "with space",
    'it\'s "quoted"',
    "what?",
    "100%",
    "a#b&c=d",
    "%2e%2e",
    "음악 モデル \N{ROCKET}",
    "new\nline",
    "-rf",
    "file:x?mode=memory",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_may_have_any_name(
    model: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Recommender.load(model).save(name)
    loaded = Recommender.load(name)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the model stays where it is
    loaded.onboard(embedding=NEW, item_id="new")
    assert Recommender.load(tmp_path / name).similar("new", k=1)["rank"].tolist() == [1]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_whose_name_is_no_text_is_refused(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(ArtifactError, match="needs a name in UTF-8"):
        Recommender.load(model).save(folder)
    assert not folder.exists()


def test_a_copied_model_is_a_model(model: Path, tmp_path: Path) -> None:
    Recommender.load(model).onboard(embedding=NEW, item_id="first")
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    (copy / ".lock").unlink()
    Recommender.load(copy).onboard(embedding=NEW, item_id="second")
    assert Recommender.load(copy).info["onboarded"] == 2
    assert Recommender.load(model).info["onboarded"] == 1


def test_saving_again_and_elsewhere(model: Path, tmp_path: Path) -> None:
    recommender = Recommender.load(model)
    recommender.onboard(embedding=NEW, item_id="first")
    recommender.save(model)
    recommender.save(model)
    recommender.onboard(embedding=NEW, item_id="second")
    recommender.save(tmp_path / "elsewhere")
    recommender.onboard(embedding=NEW, item_id="third")
    assert Recommender.load(model).info["onboarded"] == 2
    loaded = Recommender.load(tmp_path / "elsewhere")
    assert loaded.info["onboarded"] == 3
    assert (generation(tmp_path / "elsewhere") / "index.annoy").is_file()
    pd.testing.assert_frame_equal(answers(loaded), answers(recommender))


def test_a_model_that_was_saved_over_still_answers_but_takes_nothing_in(
    models: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    opened = Recommender.load(model)
    before = answers(opened)
    Recommender.load(models["network"]).save(model)
    pd.testing.assert_frame_equal(answers(opened), before)
    with pytest.raises(ArtifactError, match="was replaced since it was opened; load it again"):
        opened.onboard(embedding=NEW, item_id="late")
    assert "late" not in set(answers(opened)["item_id"])
    assert Recommender.load(model).info["onboarded"] == 0
    opened.save(tmp_path / "rescued")
    pd.testing.assert_frame_equal(answers(Recommender.load(tmp_path / "rescued")), before)


def test_a_model_whose_folder_is_gone_takes_nothing_in(model: Path) -> None:
    opened = Recommender.load(model)
    shutil.rmtree(model)
    with pytest.raises(ArtifactError, match="there is no model here"):
        opened.onboard(embedding=NEW, item_id="late")
    assert not model.exists()


def test_a_load_that_meets_a_save_gets_the_new_model(
    models: dict[str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = answers(Recommender.load(models["network"]))
    verify, calls = artifact.verify_files, []

    def while_another_saves(folder: Path, manifest: dict) -> Path:
        calls.append(manifest["generation"])
        if len(calls) == 1:
            shutil.rmtree(model)
            shutil.copytree(models["network"], model)
        return verify(folder, manifest)

    monkeypatch.setattr(artifact, "verify_files", while_another_saves)
    pd.testing.assert_frame_equal(answers(Recommender.load(model)), wanted)
    assert len(calls) == 2


# ---------------------------------------------------------------------- a save that fails


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


STEPS = [
    (artifact, "sync_file"),
    (artifact, "sync_directory"),
    (artifact, "digest_files"),
    (artifact, "write_text"),
    (shutil, "copyfile"),
    (FittedState, "write"),
    (Catalog, "copy_to"),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1])
@pytest.mark.parametrize("problem", [no_space, interrupted])
def test_a_save_that_fails_leaves_the_old_model(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: tuple[object, str],
    problem: Callable[..., None],
) -> None:
    recommender = Recommender.load(model)
    before = file_contents(model)
    with monkeypatch.context() as patch:
        patch.setattr(*step, problem)
        expected = ArtifactError if problem is no_space else KeyboardInterrupt
        with pytest.raises(expected) as error:
            recommender.save(model)
        with pytest.raises(expected):
            recommender.save(tmp_path / "new")
    if problem is no_space:
        assert "No space left" in str(error.value)
    assert file_contents(model) == before
    assert [path.name for path in model.iterdir() if path.is_dir()] == [generation(model).name]
    assert files_of(tmp_path / "new") == [".lock"]
    # And nothing stands in the way of the next one.
    recommender.save(model)
    recommender.onboard(embedding=NEW, item_id="new")
    assert Recommender.load(model).info["onboarded"] == 1


@pytest.mark.parametrize("problem", [no_space, interrupted])
def test_an_interruption_after_the_last_step_keeps_the_new_model(
    models: dict[str, Path],
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    problem: Callable[..., None],
) -> None:
    other = Recommender.load(models["network"])
    write_text = artifact.write_text

    def published_then(path: Path, text: str) -> None:
        write_text(path, text)
        problem()

    with monkeypatch.context() as patch:
        patch.setattr(artifact, "write_text", published_then)
        with pytest.raises((ArtifactError, KeyboardInterrupt)):
            other.save(model)
    pd.testing.assert_frame_equal(answers(Recommender.load(model)), answers(other))


def in_a_child(body: Callable[[], None]) -> str:
    """What an ArtifactError of a body says that runs in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            body()
            message = "nothing was raised"
        except ArtifactError as error:
            message = f"ArtifactError: {error}"
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        os.write(writer, message.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        message = stream.read()
    os.waitpid(child, 0)
    return message


@pytest.mark.parametrize("limit", [0, 100, 1_000, 5_000, 20_000, 40_000, 60_000])
def test_a_disk_that_takes_no_more(model: Path, limit: int) -> None:
    """The system itself refuses to let any file grow beyond a limit."""
    import resource
    import signal

    recommender = Recommender.load(model)
    before = file_contents(model)
    largest = max(len(content) for content in before.values())
    assert limit < largest

    def save() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        recommender.save(model)

    def onboard() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        Recommender.load(model).onboard(embedding=NEW, item_id="new", title="x" * 50_000)

    assert in_a_child(save).startswith(f"ArtifactError: {model}")
    assert file_contents(model) == before
    assert in_a_child(onboard).startswith("ArtifactError")
    loaded = Recommender.load(model)
    assert loaded.info["onboarded"] == 0
    pd.testing.assert_frame_equal(answers(loaded), answers(recommender))


@pytest.fixture
def open_to_all(models: dict[str, Path]) -> Iterator[Path]:
    """A model in a folder that others may enter: pytest closes its own whenever a run starts."""
    with tempfile.TemporaryDirectory(prefix="coldtune-test-") as folder:
        yield Path(shutil.copytree(models["index"], Path(folder) / "model"))


def test_a_folder_that_may_only_be_read(open_to_all: Path) -> None:
    """A model that belongs to somebody else can be used and copied, not changed."""
    model = open_to_all
    before = file_contents(model)
    wanted = answers(Recommender.load(model)).to_csv()
    for folder in (*model.parents, model):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o555)
    for path in (model, *model.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)

    def as_somebody_else(body: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            if os.geteuid() == 0:  # whom no permission stops
                os.setgid(65534)
                os.setuid(65534)
            body()

        return run

    def use() -> None:
        assert answers(Recommender.load(model)).to_csv() == wanted

    def save() -> None:
        Recommender.load(model).save(model)

    def onboard() -> None:
        Recommender.load(model).onboard(embedding=NEW, item_id="new")

    assert in_a_child(as_somebody_else(use)) == "nothing was raised"
    for body in (save, onboard):
        assert in_a_child(as_somebody_else(body)) == (
            f"ArtifactError: {model}: cannot be written: Permission denied"
        )
    for path in (model, *model.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert file_contents(model) == before


def test_arrays_come_back_as_they_were_and_mapped(tmp_path: Path) -> None:
    for number, array in enumerate(
        [
            np.arange(12, dtype=np.float32).reshape(3, 4),
            np.zeros((0, 7), np.float32),
            np.array(2.5),
            np.array([True, False]),
        ]
    ):
        artifact.save_array(tmp_path, f"array-{number}", array)
        loaded = artifact.load_array(tmp_path, f"array-{number}")
        np.testing.assert_array_equal(loaded, array)
        assert loaded.dtype == array.dtype
        if array.size > 1:
            assert isinstance(loaded.base, np.memmap)
            with pytest.raises(ValueError):
                loaded[0] = 0


def test_nothing_is_pickled(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ValueError):
        artifact.save_array(tmp_path, "objects", np.array([{}], dtype=object))
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="pickled objects, which are not read"):
        artifact.load_array(tmp_path, "pickled")
    for name, content in file_contents(model).items():
        assert not content.startswith(b"\x80\x04"), name
        if name.endswith(".npy"):
            assert b"'|O'" not in content[:128], name


# ------------------------------------------------------------------ digests


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def test_a_small_file_has_its_sha256_and_a_large_one_that_of_its_chunks(tmp_path: Path) -> None:
    large = bytes(range(256)) * (CHUNK // 256) * 2 + b"rest"
    contents = {"empty": b"", "small": b"abc", "one": large[:CHUNK], "large": large}
    paths = [tmp_path / name for name in contents]
    for path in paths:
        path.write_bytes(contents[path.name])
    chunks = [large[:CHUNK], large[CHUNK : 2 * CHUNK], b"rest"]
    alone = [sha256(contents[name]).hex() for name in ("empty", "small", "one")]
    hashes = b"".join(xxhash.xxh3_64_digest(chunk) for chunk in chunks)
    assert digest_files(paths) == [*alone, sha256(hashes).hex()]
    # Of older formats: of the CRC-32s or the SHA-256s of chunks, or of the whole.
    checksums = b"".join(struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    assert digest_files(paths, 3) == [*alone, sha256(checksums).hex()]
    assert digest_files(paths, 2) == [*alone, sha256(b"".join(map(sha256, chunks))).hex()]
    assert digest_files(paths, 1) == [*alone, sha256(large).hex()]
    assert digest_files([]) == []


@pytest.mark.parametrize("version", [2, 3])
def test_a_model_of_an_older_format_is_checked_by_its_own_digests(
    model: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    monkeypatch.setattr(artifact, "CHUNK", 1000)

    def as_before(manifest: dict) -> None:
        manifest["format_version"] = version
        for name, entry in manifest["files"].items():
            (entry["sha256"],) = digest_files([model / manifest["generation"] / name], version)

    rewrite(model, as_before)
    assert len(Recommender.load(model).recommend("user-1", k=3)) == 3
    rewrite(model, lambda manifest: manifest.update(format_version=version + 1))
    with pytest.raises(ArtifactError, match="has been changed or damaged"):
        Recommender.load(model)


def test_every_byte_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "CHUNK", 10)
    path = tmp_path / "file"
    content = bytes(range(35))
    found = set()
    for place in range(35):
        path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
        found.update(digest_files([path]))
    path.write_bytes(content[10:20] + content[:10] + content[20:])  # chunks change places
    found.update(digest_files([path]))
    path.write_bytes(content)
    assert len(found | {*digest_files([path])}) == 37


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        digest_files([tmp_path / "gone"])
    assert error.value.filename == str(tmp_path / "gone")
