"""coldtune genre-cv: from arrays and from recordings, its files, and one line for an error."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from embedding import EncoderConfig, HyperImageConfig, SnippetConfig, SongEncoder
from recsys import cli
from tests.helpers.recordings import write_song

pytestmark = pytest.mark.usefixtures("decoded_here")

TINY = ["--architecture", "IC(2,3,4)F(6)O", "--epochs", "1", "--threads", "1", "--folds", "2"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, standard output and standard error of ``coldtune genre-cv …``."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["coldtune", "genre-cv", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """Twelve wide images, dark or light by their genre, of six artists."""
    folder = tmp_path / "arrays"
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (12, 12, 40)) + 100 * (np.arange(12) % 2)[:, None, None]
    names = [f"clip {number}" for number in range(12)]
    np.savez(folder / "x.npz", clip=np.array(names, dtype=object), x=images.astype(np.uint8))
    genre = ["jazz", "rock"] * 6
    artist = [f"artist {number // 2}" for number in range(12)]
    frame = pd.DataFrame({"clip": names, "genre": genre, "artist_group": artist, "mood": artist})
    frame.sample(frac=1, random_state=0).to_csv(folder / "clips.csv", index=False)
    return folder


@pytest.mark.slow
def test_arrays_to_tables_and_pages(run: Run, arrays: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed, said = run(arrays, *TINY, "--split", "artist,snippet", "--out", out)
    assert code == 0, said
    assert "images: array 'x' [12, 12, 40] of x.npz" in said
    assert "ids: 'clip' of x.npz, which is 'clip' of clips.csv" in said
    assert "windows: 6 of 12 columns from each image of 40" in said
    assert "artist split, network, seed 0, fold 2: loss" in said
    for expected in ("network, split by artist: IC(2,3,4)F(6)O", "sd of folds", "By label",
                     "The song itself leaks", "56.7%", "other data"):  # fmt: skip
        assert expected in printed, expected
    names = {path.name for path in out.iterdir()}
    assert names == {
        "confusion.csv", "folds", "folds.csv", "genre.html", "genre.json", "genre.md",
        "labels.csv", "predictions.csv", "summary.csv",
    }  # fmt: skip
    first = (out / "predictions.csv").read_bytes()
    code, _, said = run(arrays, *TINY, "--split", "artist,snippet", "--out", out)
    assert code == 0
    assert said.count("kept from before") == 8
    assert (out / "predictions.csv").read_bytes() == first


def test_labels_of_any_kind_are_printed_as_they_are(run: Run, arrays: Path) -> None:
    table = pd.read_csv(arrays / "clips.csv")
    table["genre"] = table["genre"].map({"jazz": "[red]hot[/red]", "rock": "up\x1b[2J"})
    table.to_csv(arrays / "clips.csv", index=False)
    code, printed, said = run(arrays, *TINY)
    assert code == 0, said
    assert printed.count("[red]hot[/red]") == 3  # twice in the confusion matrix, once by label
    assert "\x1b" not in printed
    assert r"up\x1b[2J" in printed


@pytest.mark.slow
def test_json_and_settings_from_a_file(run: Run, arrays: Path, tmp_path: Path) -> None:
    settings = {"epochs": 2, "architecture": "IC(2,3,4)F(6)O", "threads": 1}
    results = []
    for number, document in enumerate((settings, {"encoder": settings, "seed": 3})):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        options = ("--folds", 2, "--config", path, "--no-baseline", "--json", "--window", 12)
        code, printed, said = run(arrays, *options, "--windows", 2, "--seeds", 2)
        assert code == 0, said
        results.append(json.loads(printed))
    assert results[0]["summary"] == results[1]["summary"]
    assert results[0]["configuration"]["epochs"] == 2
    assert [r["seed"] for r in results[0]["runs"]] == [0, 1]
    # A recipe is what the file changes, and options change both.
    code, printed, said = run(
        arrays, *options, "--recipe", "modern", "--epochs", 1, "--window", 16, "--architecture",
        "IC(2,3,4)GF(6)O",
    )  # fmt: skip
    assert code == 0, said
    configuration = json.loads(printed)["configuration"]
    assert configuration["optimiser"] == "adamw"
    assert configuration["epochs"] == 1


@pytest.mark.slow
def test_recordings(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        tone = np.sin(np.arange(16000) * (0.05, 0.5)[number % 2]) * 0.4
        soundfile.write(folder / f"{number}.wav", tone + rng.normal(0, 0.02, 16000), 8000)
    ids = [f"s{number}" for number in range(8)]
    items = pd.DataFrame({"item_id": ids, "title": ids, "artist": ids, "album": ""})
    items["genre"] = ["jazz", "rock"] * 4
    items.to_csv(folder / "items.csv", index=False)
    audio = pd.DataFrame({"item_id": ids, "path": [f"{number}.wav" for number in range(8)]})
    audio.to_csv(folder / "audio.csv", index=False)
    plays = pd.DataFrame({"user_id": ["u"], "item_id": ["s0"], "weight": [1]})
    plays.to_csv(folder / "interactions.csv", index=False)
    settings = {
        "snippet": {"seconds": 1.0},
        "hyperimage": {"sample_rate": 8000, "height": 32, "width": 32},
    }
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    code, printed, said = run(
        folder, *TINY, "--config", path, "--windows", 2, "--split", "song", "--json"
    )
    assert code == 0, said
    result = json.loads(printed)
    assert "2 of 1 s each" in result["taken"]["images"]
    rows = {row["classifier"]: row for row in result["summary"]}
    assert rows["SVM"]["precision@1"] == 1.0  # two tones are easily told apart
    assert rows["network"]["n"] == 8
    code, _, said = run(folder, *TINY, "--window", 8)
    assert (code, said.count("\n")) == (1, 1)
    assert "--window is for arrays" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "title"], "split must be one of artist, song, snippet, not 'title'"),
        (["--folds", "7"], "7 folds need as many artists; there are 6"),
        (["--folds", "1"], "at least 2 folds, not 1"),
        (["--tag", "era"], "no column 'era'"),
        (["--groups", "era"], "no column 'era' for groups; there are: clip"),
        (["--window", "41"], "window must be 1 to 40 columns, not 41"),
        (["--recipe", "new"], "recipe must be one of patent, modern"),
        (["--architecture", "IC(9"], "architecture 'IC(9'"),
        (["--config", "absent.json"], "absent.json: cannot be read as JSON"),
        (["--seeds", "0"], "seeds must be at least 1"),
        (["--jobs", "0"], "jobs must be at least 1"),
        (["--out", "/dev/null/x"], "/dev/null/x: cannot be written to"),
    ],
)
def test_bad_options_are_one_line(run: Run, arrays: Path, options: list[str], message: str) -> None:
    code, printed, said = run(arrays, *TINY, *options)
    assert code == 1
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert said.splitlines()[-1] == errors[0]
    assert not printed


def test_bad_folders_are_one_line(run: Run, tmp_path: Path) -> None:
    for folder, message in (
        (tmp_path, "has neither items.csv (a data set) nor an .npz file (arrays)"),
        (tmp_path / "absent", "does not exist"),
        (tmp_path / "absent.npz", "cannot be read"),
    ):
        code, printed, said = run(folder, *TINY)
        assert (code, printed, said.count("\n")) == (1, "", 1)
        assert message in said


@pytest.mark.slow
def test_real_images_without_any_name(run: Run, gtzan_logmel: Path) -> None:
    code, printed, said = run(
        gtzan_logmel, "--folds", 2, "--epochs", 1, "--threads", 1, "--architecture",
        "IC(8,16,4)F(8)O", "--window", 64, "--windows", 1, "--json",
    )  # fmt: skip
    assert code == 0, said
    rows = {row["classifier"]: row for row in json.loads(printed)["summary"]}
    # With half of the clips to learn from: far above chance (one in ten), below what leaks give.
    assert 0.45 < rows["SVM"]["precision@1"] < 0.65
    assert rows["network"]["n"] == 632


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Eight recordings, low and high ones, each of its own artist."""
    folder = tmp_path / "songs"
    folder.mkdir()
    names = [f"song-{n}" for n in range(8)]
    for number, name in enumerate(names):
        write_song(folder / f"{name}.wav", number)
    items = {"item_id": names, "title": names, "artist": names, "album": ""}
    frame = pd.DataFrame(items).assign(genre=["low", "high"] * 4)
    frame.to_csv(folder / "items.csv", index=False)
    audio = pd.DataFrame({"item_id": names, "path": [f"{name}.wav" for name in names]})
    audio.to_csv(folder / "audio.csv", index=False)
    pd.DataFrame({"user_id": [], "item_id": [], "weight": []}).to_csv(
        folder / "interactions.csv", index=False
    )
    return folder


@pytest.fixture
def network(tmp_path: Path) -> Path:
    config = EncoderConfig(
        architecture="IC(2,5,4)PF(8)O", epochs=1, threads=1, snippet=SnippetConfig(seconds=1.0),
        hyperimage=HyperImageConfig(height=32, width=32, n_fft=1024, tempogram_frames=32),
    )  # fmt: skip
    images = np.random.default_rng(0).normal(size=(8, 1, 32, 32)).astype(np.float32)
    SongEncoder(config).fit(images, ["a", "b"] * 4).save(tmp_path / "network")
    return tmp_path / "network"


@pytest.mark.parametrize("fine_tune", [[], ["--fine-tune", "thawed"]])
def test_heads_on_an_encoder(run: Run, songs: Path, network: Path, fine_tune: list[str]) -> None:
    given = ["--encoder", network, *fine_tune, "--folds", "2", "--threads", "1", "--json"]
    code, printed, said = run(songs, *given, "--epochs", "5", "--no-baseline")
    assert code == 0, said
    study = json.loads(printed)
    assert study["configuration"]["heads"]["epochs"] == 5
    assert study["configuration"]["heads"]["backbone"] == (fine_tune or ["", "frozen"])[1]
    (row,) = study["summary"]
    assert row["n"] == 8
    assert row["architecture"].startswith("heads on ")
    assert "was trained to tell genre: figures are too good if" in said
    assert 0 <= row["neighbours@10"] <= 1


def test_the_baseline_beside_heads(run: Run, songs: Path, network: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"heads": {"dimension": 16, "epochs": 2}}))
    given = ["--encoder", network, "--config", settings, "--folds", "2", "--json"]
    code, printed, said = run(songs, *given)
    assert code == 0, said
    study = json.loads(printed)
    assert [row["classifier"] for row in study["summary"]] == ["network", "SVM"]
    assert study["configuration"]["heads"]["dimension"] == 16


def test_what_heads_cannot_be_trained_on(
    run: Run, arrays: Path, songs: Path, network: Path, tmp_path: Path
) -> None:
    of_network = tmp_path / "settings.json"
    of_network.write_text(json.dumps({"epochs": 3}))
    for arguments, message in (
        ([arrays, "--encoder", network], "--encoder makes vectors of recordings, and"),
        ([songs, "--fine-tune", "frozen"], "--fine-tune needs --encoder"),
        ([songs, "--encoder", network, "--fine-tune", "melted"], "frozen or thawed"),
        ([songs, "--encoder", network, "--recipe", "modern"], "--recipe is for the network that"),
        ([songs, "--encoder", network, "--windows", "3"], "--windows is for the network that"),
        ([songs, "--encoder", network, "--config", of_network], 'has no "heads"'),
        ([songs, "--encoder", "musicn"], "did you mean"),
    ):
        code, _, said = run(*arguments)
        assert code == 1
        assert message in said, said
        assert len(said.strip().splitlines()) == 1, said
