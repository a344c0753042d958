"""Malformed inputs: does anything crash, hang, show a traceback, or pass for what it is not?

    python -m benchmarks.reliability.fuzz [--inputs 20000] [--kinds audio tables ...] [--seed 0]
    python -m benchmarks.reliability.fuzz --kinds models --first 1234 --inputs 1

Each input is made from its kind, the seed and its number alone, so that any of them can be repeated
(last line). Kinds, in equal parts:

- audio: recordings of all formats at hand with flipped, lost, repeated and mixed bytes, playlists
  and scripts under the suffix of a recording, named pipes
- tables: data sets as CSV and Parquet with damaged bytes and hostile cells
- models: files of a saved model damaged; or its arrays, tables, index and facts replaced and all
  digests computed anew, as somebody with write access could
- archives: image archives (.npz, pickles among them), the zip file of a public data set, encoders,
  stores of hyper-images
- configurations: settings of all kinds with values of wrong types, sizes and names

Allowed are a result that fits (finite numbers, known ids) and an error of the library, one line
long. Counted as failures: the process dies, an exception of another kind, more than LIMIT seconds,
a result that does not fit. Each failure is printed with the command that repeats it.
"""

import argparse
import contextlib
import io
import json
import math
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from datasets.errors import ColdtuneError

LIMIT = 30.0
"""Seconds that one input may take."""

IMPORTS = [
    __name__, "datasets.folder", "embedding.encoders.song_encoder", "recsys.recommender",
    "recsys.training.fit",
]  # fmt: skip
"""What the processes that try inputs need: imported once, by the one that they are forked from."""

HOSTILE_TEXTS = (
    "", " ", "nan", "NaN", "inf", "-inf", "None", "null", "0", "-1", "1e400", "1e-400", "True",
    "\x00", "i1", "i2", "u1", "3.5",
    "\r", "\n", '"', "'", ",", ";", "\t", "=1+1", "é", "e\u0301", "\ud800", "\u202e", "💿" * 50,
    "x" * 5000, "../../etc/passwd", "/dev/zero", "file:///etc/passwd", "item_id", "9" * 400,
)  # fmt: skip

HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**70), 0.5, -0.0, 1e-320, 1e308, math.nan,
    math.inf, -math.inf, "", "nan", "1", "x" * 3000, [], [1], [[]], {}, {"a": 1}, b"x", (1, 2),
    "IC(999999999,9,9)F(10)O", "als", ["als", "als"], {"als": math.nan}, {"als": 1e308}, object(),
)  # fmt: skip


class Kind(NamedTuple):
    """How inputs of a kind are made and used."""

    prepare: Callable[[Path], Any]
    """Makes the sound originals in a folder, once a process."""

    attempt: Callable[[Any, Path, np.random.Generator], str]
    """Makes an input in an empty folder and uses it; returns "accepted" and what it was, or raises;
    `UnfitError` for a result that does not fit."""


class UnfitError(Exception):
    """An input was accepted and the result is wrong."""


class Outcome(NamedTuple):
    """What became of an input."""

    label: str
    """refused, accepted, crash, traceback, hang or accepted wrongly"""

    detail: str


GOOD = ("refused", "accepted")


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, repeat, insert or blank bytes at one to four places."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if not data:
            return bytes(rng.integers(0, 256, 50, dtype=np.uint8))
        # Half of the places are in the head, where the structure is.
        reach = len(data) if rng.random() < 0.5 else min(len(data), 200)
        place, length = int(rng.integers(reach)), int(2 ** rng.integers(0, 12))
        match rng.integers(6):
            case 0:
                data[place] ^= 1 << int(rng.integers(8))
            case 1:
                del data[place:]
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + length]
            case 4:
                data[place : place + length] = bytes(min(length, len(data) - place))
            case 5:
                size = int(2 ** rng.integers(0, 4))
                data[place : place + size] = rng.choice([b"\xff", b"\x7f", b"\x80", b"\0"]) * size
    return bytes(data)


# Audio


def _prepare_audio(folder: Path) -> dict[str, bytes]:
    import subprocess

    import soundfile

    time_ = np.arange(6 * 22050) / 22050
    wave = 0.4 * np.sin(2 * np.pi * 330 * time_) * (1 + np.sin(4 * time_))
    stereo = np.stack([wave, wave[::-1]], axis=1) / 2
    formats = {"a.wav": "PCM_16", "b.wav": "FLOAT", "g.wav": "PCM_U8", "p.wav": "PCM_24"}
    names = ("c.flac", "d.ogg", "e.mp3", "f.aiff", "h.caf", "i.w64")
    for name, subtype in {**formats, **dict.fromkeys(names)}.items():
        soundfile.write(folder / name, stereo, 22050, subtype)
    if shutil.which("ffmpeg"):
        for name in ("j.m4a", "k.mka", "l.aac", "m.webm", "n.wma", "o.opus"):
            command = ["ffmpeg", "-v", "error", "-y", "-i", folder / "a.wav", folder / name]
            subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


_SCRIPTS = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n",
    "ffconcat version 1.0\nfile '{secret}'\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    '<?xml version="1.0"?><MPD><Period><BaseURL>{secret}</BaseURL></Period></MPD>',
    "<!doctype html><title>404</title>",
    "[playlist]\nFile1={secret}\n",
)


def _attempt_audio(originals: dict[str, bytes], folder: Path, rng: np.random.Generator) -> str:
    from embedding.audio.config import SnippetConfig
    from embedding.audio.snippets import load_snippets

    name = str(rng.choice(list(originals)))
    path = folder / name
    chance = rng.random()
    script = chance < 0.08
    if script:
        secret = folder / "secret.wav"
        secret.write_bytes(originals["a.wav"])
        suffix = str(rng.choice([".mp3", ".m4a", ".wav", ".flac", ".aac", ".m3u8", ".mka"]))
        path = folder / f"song{suffix}"
        path.write_text(str(rng.choice(_SCRIPTS)).format(secret=secret))
    elif chance < 0.1:
        os.mkfifo(path)
    elif chance < 0.2:
        other = originals[str(rng.choice(list(originals)))]
        cut = int(rng.integers(1, len(originals[name])))
        path.write_bytes(originals[name][:cut] + damaged(other, rng))
    elif chance < 0.3:
        path = path.with_suffix(str(rng.choice([".mp3", ".m4a", ".flac", ".wav", ".ogg"])))
        path.write_bytes(damaged(originals[name], rng))
    else:
        path.write_bytes(damaged(originals[name], rng))
    seconds = float(rng.choice([0.5, 3.0]))
    snippets = load_snippets(path, SnippetConfig(seconds=seconds), 22050)
    if script:
        raise UnfitError(f"the script {path.name} was taken for a recording")
    for snippet in snippets:
        if len(snippet) != round(22050 * seconds):
            raise UnfitError(f"{len(snippet)} samples in place of {seconds} s")
        if not np.isfinite(snippet).all():
            raise UnfitError("samples that are not finite")
    return "accepted"


# Tables


def _prepare_tables(folder: Path) -> dict[str, dict[str, bytes]]:
    from datasets.tables.read_write import write_table

    rng = np.random.default_rng(0)
    items = pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(12)],
            "title": [f"Song {n}" for n in range(12)],
            "artist": [f"Artist {n // 3}" for n in range(12)],
            "album": "",
            "genre": ["rock", "jazz"] * 6,
            "mood": ["calm", ""] * 6,
        },
        dtype=object,
    )
    plays = pd.DataFrame(
        [
            (f"u{u}", f"i{i}", float(rng.integers(1, 9)))
            for u in range(9)
            for i in range(u % 3, 9, 2)
        ],
        columns=["user_id", "item_id", "weight"],
    ).astype({"user_id": object, "item_id": object})
    audio = pd.DataFrame({"item_id": ["i0", "i1"], "path": ["a.wav", "b.wav"]}, dtype=object)
    found: dict[str, dict[str, bytes]] = {}
    for suffix in (".csv", ".parquet"):
        for name, table in (("items", items), ("interactions", plays), ("audio", audio)):
            write_table(table, folder / f"{name}{suffix}")
        found[suffix] = {
            name: (folder / f"{name}{suffix}").read_bytes()
            for name in ("items", "interactions", "audio")
        }
    return found


def _attempt_tables(
    originals: dict[str, dict[str, bytes]], folder: Path, rng: np.random.Generator
) -> str:
    from datasets.folder import load_folder

    suffix = str(rng.choice([".csv", ".csv", ".parquet"]))
    tables = dict(originals[suffix])
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(b"")
    for _ in range(rng.choice([1, 1, 2])):
        victim = str(rng.choice(list(tables)))
        if suffix == ".csv" and rng.random() < 0.6:
            tables[victim] = _hostile_cells(tables[victim], rng)
        else:
            tables[victim] = damaged(tables[victim], rng)
    for name, content in tables.items():
        (folder / f"{name}{suffix}").write_bytes(content)
    check_dataset(load_folder(folder))
    return "accepted"


def _hostile_cells(content: bytes, rng: np.random.Generator) -> bytes:
    rows = [line.split(b",") for line in content.splitlines()]
    for _ in range(rng.integers(1, 4)):
        row = rows[int(rng.integers(len(rows)))]
        text = str(rng.choice(HOSTILE_TEXTS)).encode("utf-8", "surrogatepass")
        match rng.integers(10):
            case 0:
                row.append(text)
            case 1 if len(row) > 1:
                del row[int(rng.integers(len(row)))]
            case 2:
                rows.insert(int(rng.integers(len(rows))), list(row))
            case _:
                row[int(rng.integers(len(row)))] = text
    return b"\n".join(b",".join(row) for row in rows) + b"\n"


def check_dataset(dataset: Any) -> None:
    """Raise `UnfitError` for ids that are blank, unknown or twice there, and weights below 0."""
    ids = dataset.items["item_id"].tolist()
    if len(set(ids)) != len(ids) or not all(isinstance(i, str) and i.strip() for i in ids):
        raise UnfitError("item ids that are blank, no text, or twice there")
    plays = dataset.interactions
    if not set(plays["item_id"]) <= set(ids) or not set(dataset.audio["item_id"]) <= set(ids):
        raise UnfitError("rows of unknown items")
    weights = plays["weight"].to_numpy(float)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise UnfitError("weights below zero")
    if not all(isinstance(user, str) and user.strip() for user in plays["user_id"]):
        raise UnfitError("users without an id")


# Models


class SavedModels(NamedTuple):
    """Saved models with each index, and the lists that they make."""

    folders: list[Path]
    lists: list[str]


def quick_config(**changes: Any) -> Any:
    """Settings of a fit that takes a fraction of a second."""
    from recsys import RecommenderConfig

    weights = {"als": 0.4, "fm": 0.2, "ease": 0.2, "content": 0.1, "popularity": 0.1}
    settings: dict[str, Any] = {
        "threads": 1, "tracking": False, "als": {"factors": 4, "iterations": 2},
        "fm": {"components": 4, "epochs": 2}, "fusion": {"warm": weights, "cold": weights},
        "sources": tuple(weights),
    }  # fmt: skip
    return RecommenderConfig(**{**settings, **changes})


def small_dataset() -> Any:
    """A data set of 30 users and 20 items, and its embeddings."""
    from datasets.music import MusicDataset

    rng = np.random.default_rng(0)
    ids = [f"i{n}" for n in range(20)]
    items = pd.DataFrame(
        {"item_id": ids, "title": ids, "artist": [f"a{n // 2}" for n in range(20)], "album": "",
         "genre": ["rock", "jazz"] * 10}
    )  # fmt: skip
    rows = [(f"u{u}", ids[i], 1.0) for u in range(30) for i in rng.choice(18, 6, replace=False)]
    dataset = MusicDataset(
        items, None, pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])
    )
    return dataset, pd.DataFrame(rng.normal(size=(20, 3)), index=ids)


def _prepare_models(folder: Path) -> SavedModels:
    from recsys import Recommender

    dataset, embeddings = small_dataset()
    folders, lists = [], []
    for method in ("exact", "screened", "pruned", "annoy"):
        config = quick_config(retrieval={"method": method})
        model = Recommender(config).fit(dataset, embeddings)
        model.onboard(item_id="late", embedding=np.ones(3), title="Late")
        model.update(pd.DataFrame([("u1", "late", 2.0)], columns=["user_id", "item_id", "weight"]))
        model.save(folder / method)
        folders.append(folder / method)
        lists.append(_lists(Recommender.load(folder / method)))
    return SavedModels(folders, lists)


def _lists(model: Any) -> str:
    """Use a model in all ways, check that the answers fit, and return them."""
    answers = [
        model.recommend_many([f"u{n}" for n in range(0, 30, 3)], 5),
        model.recommend("nobody", 4),
        model.recommend(history=["i1", "i2"], k=4, diversity=0.3, per_artist=1),
        model.similar("i3", 4),
    ]
    ids = {f"i{n}" for n in range(20)} | {"late"}
    for frame in answers:
        if not set(frame["item_id"]) <= ids or frame.duplicated().any():
            raise UnfitError("lists with items that do not exist or are twice there")
        numbers = frame.select_dtypes("number")
        if (
            np.isinf(numbers.to_numpy(float)).any()
            or numbers.get("score", pd.Series()).isna().any()
        ):
            raise UnfitError("scores that are not finite")
    model.explain("u1", "i3")
    return "\n".join(frame.to_csv(index=False) for frame in answers)


def _attempt_models(saved: SavedModels, folder: Path, rng: np.random.Generator) -> str:
    from recsys import Recommender

    number = int(rng.integers(len(saved.folders)))
    copy = folder / "model"
    shutil.copytree(saved.folders[number], copy)
    files = [path for path in sorted(copy.rglob("*")) if path.is_file() and path.name != ".lock"]
    victim = files[int(rng.integers(len(files)))]
    sealed = rng.random() < 0.6
    if sealed:
        _edit_file(victim, rng)
        _seal(copy, rng)
    else:
        victim.write_bytes(damaged(victim.read_bytes(), rng))
    original = saved.folders[number]
    same = all(path.read_bytes() == (original / path.relative_to(copy)).read_bytes()
               for path in files)  # fmt: skip
    model = Recommender.load(copy)
    found = _lists(model)
    if not sealed and not same and found != saved.lists[number]:
        raise UnfitError(f"{victim.name} was damaged, and the lists are others")
    model.onboard(item_id="later", embedding=np.ones(3))
    model.remove("i5")
    return "accepted"


def _edit_file(path: Path, rng: np.random.Generator) -> None:
    """Replace what a file says by something hostile of the same format."""
    if path.suffix == ".npy":
        np.save(path, hostile_array(np.load(path), rng))
    elif path.suffix == ".json":
        document = json.loads(path.read_text(encoding="utf-8"))
        _edit_json(document, rng)
        path.write_text(json.dumps(document), encoding="utf-8")
    else:
        path.write_bytes(damaged(path.read_bytes(), rng))


def hostile_array(array: Any, rng: np.random.Generator) -> Any:
    """An array with other values, another shape or another type."""
    array = np.array(array)
    match rng.integers(6):
        case 0 if array.size:
            flat = array.reshape(-1)
            values: list[Any] = [np.nan, np.inf, 1e30, 0]
            if array.dtype.kind in "iu":
                values = [np.iinfo(array.dtype).min, np.iinfo(array.dtype).max, 0, len(flat)]
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                flat[rng.integers(len(flat), size=3)] = values[int(rng.integers(4))]
            return array
        case 1:
            return array[: len(array) // 2] if array.ndim else np.zeros(3)
        case 2:
            return array.astype(str(rng.choice(["f8", "i4", "U5", "?", "c8", "i1"])))
        case 3:
            return array[..., None]
        case 4:
            return np.zeros((0, *array.shape[1:]), array.dtype)
        case _:
            return np.concatenate([array, array]) if array.ndim else array.reshape(1)


def _edit_json(document: Any, rng: np.random.Generator) -> None:
    """Replace, remove or add one value somewhere in a document."""
    place = document
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[int(rng.integers(len(keys)))]
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
            place = place[key]
            continue
        values = [v for v in HOSTILE_VALUES if not isinstance(v, bytes) and type(v) is not object]
        value = values[int(rng.integers(len(values)))]
        if rng.random() < 0.2:
            del place[key]
        else:
            place[key] = value
        return


def _seal(folder: Path, rng: np.random.Generator) -> None:
    """Edit the manifest now and then, and compute all digests anew."""
    from recsys.model import artifact

    path = folder / artifact.MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        generation = folder / manifest["generation"]
        for name, facts in manifest["files"].items():
            if (generation / name).is_file():
                facts["bytes"] = (generation / name).stat().st_size
                facts["sha256"] = artifact.digest_files([generation / name])[0]
        if rng.random() < 0.3:
            _edit_json(manifest, rng)
        manifest.pop("sha256", None)
        manifest["sha256"] = artifact._digest(manifest)
        path.write_text(json.dumps(manifest), encoding="utf-8")
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # the manifest itself is no document of this kind any more


# Archives, encoders and stores


class Archives(NamedTuple):
    """Sound archives by name, and a folder with an encoder and a store."""

    files: dict[str, bytes]
    folder: Path


class _Bomb:
    """What runs a command where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def _prepare_archives(folder: Path) -> Archives:
    from embedding import EncoderConfig, SongEncoder
    from embedding.hyperimage.store import ImageStore

    rng = np.random.default_rng(0)
    images = rng.normal(size=(12, 1, 8, 8)).astype(np.float32)
    genres, tracks = np.array(["rock", "jazz"] * 6), np.array([f"t{n}" for n in range(12)])
    np.savez(folder / "images.npz", images=images, genre=genres, track=tracks)
    np.savez_compressed(
        folder / "packed.npz", images=images, genre=genres.astype(object), track=tracks
    )
    files = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
    config = EncoderConfig(architecture="IC(2,3,4)F(6)O", epochs=1, threads=1)
    SongEncoder(config).fit(images, {"genre": genres.tolist()}).save(folder / "encoder")
    with ImageStore(folder / "store", "fuzz", (1, 4, 4)) as store:
        for name in ("one", "two"):
            store.add(name * 16, images[:2, :, :4, :4])
    return Archives(files, folder)


def _attempt_archives(originals: Archives, folder: Path, rng: np.random.Generator) -> str:
    match rng.integers(4):
        case 0:
            return _attempt_images(originals, folder, rng)
        case 1:
            return _attempt_encoder(originals, folder, rng)
        case 2:
            return _attempt_store(originals, folder, rng)
        case _:
            return _attempt_public(folder, rng)


def _attempt_images(originals: Archives, folder: Path, rng: np.random.Generator) -> str:
    from datasets.image_arrays import read_image_arrays

    name = str(rng.choice(list(originals.files)))
    path, bomb = folder / name, folder / "exploded"
    if rng.random() < 0.5:
        path.write_bytes(damaged(originals.files[name], rng))
    else:
        with np.load(io.BytesIO(originals.files[name]), allow_pickle=True) as stored:
            arrays = {key: np.array(stored[key]) for key in stored.files}
        key = str(rng.choice(list(arrays)))
        if rng.random() < 0.3:
            arrays[key] = np.array([_Bomb(bomb)] * 12, dtype=object)
        else:
            arrays[key] = hostile_array(arrays[key], rng) if key == "images" else arrays[key][:5]
        np.savez(path, **arrays)
    try:
        images = read_image_arrays(path)
    finally:
        if bomb.exists():
            raise UnfitError("a pickle was executed")
    if not np.isfinite(np.asarray(images.images, dtype=float)).all():
        raise UnfitError("images that are not finite")
    return "accepted"


def _attempt_encoder(originals: Archives, folder: Path, rng: np.random.Generator) -> str:
    from embedding import SongEncoder
    from embedding.network import storage

    copy = folder / "encoder"
    shutil.copytree(originals.folder / "encoder", copy)
    files = sorted(copy.iterdir())
    victim = files[int(rng.integers(len(files)))]
    before = victim.read_bytes()
    manifest_path = copy / storage.ENCODER_MANIFEST
    sealed = rng.random() < 0.6
    if sealed:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        weights = copy / manifest["weights"]["file"]
        if rng.random() < 0.5:
            weights.write_bytes(damaged(weights.read_bytes(), rng))
            manifest["weights"]["sha256"] = storage.file_digest(weights)
        else:
            _edit_json(manifest, rng)
        manifest["sha256"] = storage._digest_of(manifest)
        manifest_path.write_text(json.dumps(manifest), encoding="utf-8")
    else:
        victim.write_bytes(damaged(before, rng))
    encoder = SongEncoder.load(copy)
    if not sealed and victim.read_bytes() != before:
        raise UnfitError(f"{victim.name} was damaged and is taken")
    found = encoder.embed(np.zeros((2, 1, 8, 8), np.float32))
    if not np.isfinite(found).all():
        raise UnfitError("embeddings that are not finite")
    return "accepted"


def _attempt_store(originals: Archives, folder: Path, rng: np.random.Generator) -> str:
    from embedding.hyperimage.store import ImageStore

    copy = folder / "store"
    shutil.copytree(originals.folder / "store", copy)
    files = [path for path in sorted(copy.rglob("*")) if path.is_file()]
    victim = files[int(rng.integers(len(files)))]
    victim.write_bytes(damaged(victim.read_bytes(), rng))
    with ImageStore(copy, "fuzz", (1, 4, 4)) as store:
        for rows in store.find(["one" * 16, "two" * 16]).values():
            images = store.images(rows)
            if images.shape != (len(rows), 1, 4, 4):
                raise UnfitError("images of another shape")
        store.add("new" * 16, np.zeros((1, 1, 4, 4), np.float32))
    return "accepted"


_PUBLISHED = {
    "artists.dat": "id\tname\turl\tpictureURL\n"
    + "".join(f"{n}\tArtist {n}\thttp://x/{n}\t\n" for n in range(8)),
    "user_artists.dat": "userID\tartistID\tweight\n"
    + "".join(f"{u}\t{a}\t{u + a + 1}\n" for u in range(5) for a in range(u, 8)),
    "tags.dat": "tagID\ttagValue\n1\tmetal\n2\tjazz\n",
    "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\n1\t2\t1\t1\t4\t2009\n",
}
"""A few lines of each table of HetRec's Last.fm."""


def _attempt_public(folder: Path, rng: np.random.Generator) -> str:
    from datasets.public.base import fetch
    from datasets.public.loaders.hetrec_lastfm import ARCHIVE, HETREC_LASTFM

    source = folder / "source"
    source.mkdir()
    tables = {name: text.encode() for name, text in _PUBLISHED.items()}
    if rng.random() < 0.6:
        name = str(rng.choice(list(tables)))
        tables[name] = damaged(tables[name], rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tables.items():
            archive.writestr(f"../{name}" if rng.random() < 0.1 else name, content)
    content = packed.getvalue()
    (source / ARCHIVE).write_bytes(damaged(content, rng) if rng.random() < 0.6 else content)
    music = fetch(HETREC_LASTFM, folder / "out", source=source, accept_licence=True, progress=False)
    check_dataset(music)
    return "accepted"


# Configurations


def _prepare_configurations(_folder: Path) -> list[Any]:
    import recsys  # noqa: F401  (the classes of settings are found where they are imported)
    from datasets.settings import Settings
    from embedding.audio.config import SnippetConfig  # noqa: F401
    from evaluation.genre.study import GenreStudyConfig  # noqa: F401
    from recsys.experiments.offline_evaluation import EvaluationConfig  # noqa: F401
    from recsys.ranking.options import ListOptions  # noqa: F401

    def below(base: type) -> Iterator[type]:
        for one in base.__subclasses__():
            yield one
            yield from below(one)

    return [one for one in below(Settings) if not one.__name__.startswith("_")]


def _attempt_configurations(classes: list[Any], folder: Path, rng: np.random.Generator) -> str:
    from recsys import Recommender

    own = rng.random() < 0.5
    kind = quick_config().__class__ if own else classes[int(rng.integers(len(classes)))]
    names = [*kind.model_fields, "unknown"]
    values: dict[str, Any] = {}
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        name = names[int(rng.integers(len(names)))]
        value: Any = HOSTILE_VALUES[int(rng.integers(len(HOSTILE_VALUES)))]
        if rng.random() < 0.5:
            value = float(rng.choice([0.01, 0.5, 0.99, 1, 2, 5, 30, 200, 1e4]))
            value = int(value) if value >= 1 else value
        field = kind.model_fields.get(name)
        inner = getattr(field.annotation, "model_fields", None) if field is not None else None
        if inner and rng.random() < 0.8:
            value = {str(rng.choice(list(inner))): value}
        if isinstance(values.get(name), dict) and isinstance(value, dict):
            value = values[name] | value
        values[name] = value
    settings = kind.from_json(values) if rng.random() < 0.5 else kind(**values)
    document = settings.model_dump(mode="json")
    check_finite(document)
    if kind.from_json(json.loads(json.dumps(document))) != settings:
        raise UnfitError(f"{kind.__name__} is another after it was written and read")
    if own and rng.random() < 0.25 and _is_cheap(settings):
        dataset, embeddings = small_dataset()
        settings = settings.replace(tracking=False, threads=1)
        model = Recommender(settings).fit(dataset, embeddings)
        if len(model.recommend_many(["u1", "u2"], 3)) != 6:
            raise UnfitError(f"lists that are too short, with {values}")
    return "accepted"


def check_finite(value: Any) -> None:
    """Raise `UnfitError` for a number in a document that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UnfitError("a setting that is not finite")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            check_finite(inner)


def _is_cheap(settings: Any) -> bool:
    sizes = (
        settings.als.factors, settings.als.iterations, settings.fm.components, settings.fm.epochs,
        settings.fm.tuning_epochs, settings.fusion.validation_users,
    )  # fmt: skip
    return all(size is None or size <= 200 for size in sizes)


KINDS: dict[str, Kind] = {
    "audio": Kind(_prepare_audio, _attempt_audio),
    "tables": Kind(_prepare_tables, _attempt_tables),
    "models": Kind(_prepare_models, _attempt_models),
    "archives": Kind(_prepare_archives, _attempt_archives),
    "configurations": Kind(_prepare_configurations, _attempt_configurations),
}


# Running


def attempt(kind: str, originals: Any, seed: int, number: int, folder: Path) -> Outcome:
    """Make and use one input in this process."""
    rng = np.random.default_rng([seed, number, sorted(KINDS).index(kind)])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Outcome(KINDS[kind].attempt(originals, folder, rng), "")
    except ColdtuneError as error:
        message = str(error)
        if "\n" in message or not message.strip():
            return Outcome("traceback", f"an error of more than one line: {message!r}")
        return Outcome("refused", message)
    except UnfitError as error:
        return Outcome("accepted wrongly", str(error))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return Outcome("traceback", f"{type(error).__name__}: {str(error)[:150]} ({place})")


def _work(kind: str, seed: int, say: Connection, folder: Path) -> None:
    """A process that tries the inputs whose numbers it is sent."""
    os.environ["COLDTUNE_CACHE"] = str(folder / "cache")
    made = folder / "originals"
    made.mkdir(parents=True)
    originals = KINDS[kind].prepare(made)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # decoders write to it
    say.send("ready")
    while (number := say.recv()) is not None:
        say.send(attempt(kind, originals, seed, number, folder / "input"))


class Worker:
    """A process that tries inputs, and is replaced where one ends it."""

    def __init__(self, kind: str, seed: int, folder: Path) -> None:
        self.kind, self.seed, self.folder = kind, seed, folder
        self._start()

    def _start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.say, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTS)
        self.process = context.Process(
            target=_work, args=(self.kind, self.seed, theirs, self.folder), daemon=False
        )
        self.process.start()
        theirs.close()
        if self.say.recv() != "ready":
            raise RuntimeError("the process of the inputs did not start")

    def attempt(self, number: int) -> Outcome:
        """Try an input; a process that dies or takes too long is a failure."""
        try:
            self.say.send(number)
            if self.say.poll(LIMIT):
                outcome: Outcome = self.say.recv()
                return outcome
            outcome = Outcome("hang", f"more than {LIMIT:g} s")
        except (EOFError, OSError):
            self.process.join()
            outcome = Outcome("crash", f"exit code {self.process.exitcode}")
        self.process.kill()
        self.process.join()
        self._start()
        return outcome

    def stop(self) -> None:
        """End the process and remove its files."""
        with contextlib.suppress(OSError):
            self.say.send(None)
        self.process.join(LIMIT)
        self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def run(
    kinds: list[str],
    inputs: int,
    seed: int,
    first: int = 0,
    *,
    report: Callable[[str], None] = print,
) -> dict[str, Counter[str]]:
    """Try inputs of all kinds; report the failures.

    Args:
        kinds: which of `KINDS`.
        inputs: how many of each.
        seed: seed of all of them.
        first: number of the first.
        report: takes a line for each failure.

    Returns:
        {kind: {outcome: how many}}.
    """
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="coldtune-fuzz-") as folder:
        for kind in kinds:
            counts[kind] = Counter()
            worker = Worker(kind, seed, Path(folder) / kind)
            try:
                for number in range(first, first + inputs):
                    label, detail = worker.attempt(number)
                    counts[kind][label] += 1
                    if label not in GOOD:
                        report(
                            f"{kind}: {label}: {detail}\n  python -m benchmarks.reliability.fuzz "
                            f"--kinds {kind} --seed {seed} --first {number} --inputs 1"
                        )
            finally:
                worker.stop()
    return counts


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="of all kinds together")
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of a kind")
    arguments: argparse.Namespace = parser.parse_args()
    each = -(-arguments.inputs // len(arguments.kinds))
    started = time.monotonic()
    counts = run(arguments.kinds, each, arguments.seed, arguments.first)
    labels = (*GOOD, "accepted wrongly", "traceback", "crash", "hang")
    print(f"{'':16}" + "".join(f"{label:>18}" for label in labels))
    for kind, found in counts.items():
        print(f"{kind:16}" + "".join(f"{found[label]:18,}" for label in labels))
    total = sum(sum(found.values()) for found in counts.values())
    failed = sum(n for found in counts.values() for label, n in found.items() if label not in GOOD)
    print(f"{total:,} inputs in {time.monotonic() - started:.0f} s, {failed:,} failures")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
