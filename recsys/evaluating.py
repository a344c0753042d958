"""An offline evaluation from a data set to a report: splits, line-up, comparison, genre folds."""

import errno
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.files import cache_folder
from datasets.music import MusicDataset
from evaluation.baselines import PopularityOracle
from evaluation.comparison import Comparison, compare
from evaluation.conclusions import summarise
from evaluation.controls import ORACLE
from evaluation.report import write_report
from evaluation.splits import Split
from evaluation.splits_cold import cold_split
from evaluation.splits_warm import warm_split
from recsys import tracking
from recsys.config import RecommenderConfig
from recsys.lineup import lineup, meanings

if TYPE_CHECKING:
    from evaluation.genre import GenreResult


@dataclass(frozen=True)
class Evaluation:
    """A comparison, the report written of it, and its summary in words."""

    comparison: Comparison
    genre: "GenreResult | None"
    path: Path
    summary: tuple[str, ...]


def evaluate_dataset(
    dataset: MusicDataset,
    out: Path,
    config: RecommenderConfig,
    *,
    models: Sequence[str],
    ks: Sequence[int] = (10, 20),
    fraction: float = 0.2,
    genre_folds: int = 3,
    texts: bool = False,
    notes: Sequence[str] = (),
    noun: str = "items",
    command: str = "",
    progress: bool = False,
) -> Evaluation:
    """Compare models on a warm and a cold split and write report.html and report.json.

    out: a folder, or a file that ends in .html. models: names out of ``lineup.MODELS``; beside the
    hybrid stand its controls. texts: give models the artist, album, genre and tags of held-out
    items, and not their recordings alone. genre_folds: folds of the artist-disjoint genre
    cross-validation of the network, 0 for none. noun: what the report calls items.

    Raises EvaluationError where the data is too small to hold anything out, and
    InvalidArgumentError where the report cannot be written.
    """
    path = out if out.suffix.lower() == ".html" else out / "report.html"
    _check_writable(path)  # now, and not when everything is measured
    makers = lineup(models, config, texts=texts, progress=progress)
    makers[ORACLE] = lambda: PopularityOracle(dataset, config.seed)
    controls = meanings(makers)
    splits, remarks = _splits(dataset, fraction, config.seed)
    with tracking.run("evaluation", enabled=config.tracking) as run:
        run.params(config.model_dump(mode="json"))
        run.params({"dataset": {**dataset.summary(), "digest": dataset.digest()}})
        comparison = compare(
            makers,
            dataset,
            splits,
            ks=ks,
            controls=controls,
            seed=config.seed,
            progress=progress,
        )
        genre = None
        if genre_folds:
            try:
                genre = _genre(dataset, config, genre_folds, progress)
            except EvaluationError as error:
                remarks.append(f"Genre accuracy is not measured: {error}")
        try:
            _, as_json = write_report(
                comparison,
                path,
                genre=genre,
                notes=[*notes, _given(texts, noun), *remarks],
                noun=noun,
                configuration=config.model_dump(mode="json"),
                command=command,
            )
        except OSError as error:
            raise InvalidArgumentError(f"{path}: the report cannot be written: {error}") from error
        measured = {}
        for row in comparison.table.to_dict("records"):
            at = "" if pd.isna(row["k"]) else f"_at_{int(row['k'])}"
            name = f"{row['split']}.{row['candidates']}.{row['model']}.{row['metric']}{at}"
            measured[name] = float(row["mean"])
        if genre is not None:
            measured |= {f"genre_{name}": value for name, value in genre.mean.items()}
        run.metrics(measured)
        for file in (path, as_json):
            run.artifact(file)
    return Evaluation(comparison, genre, path, tuple(summarise(comparison, noun)))


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
    except OSError as error:
        raise InvalidArgumentError(
            f"{path}: the report cannot be written: {error.strerror}"
        ) from None


def _given(texts: bool, noun: str) -> str:
    extra = "artist, album, genre and tags" if texts else "without artist, album, genre or tags"
    return f"Held-out {noun} reach the models by recording, {'with ' if texts else ''}{extra}."


def _splits(dataset: MusicDataset, fraction: float, seed: int) -> tuple[list[Split], list[str]]:
    splits, remarks = [], []
    for make in (warm_split, cold_split):
        try:
            splits.append(make(dataset, fraction, seed))
        except EvaluationError as error:
            remarks.append(f"Not measured: {error}")
    if not splits:
        raise EvaluationError(" ".join(remarks))
    return splits, remarks


def _genre(
    dataset: MusicDataset, config: RecommenderConfig, folds: int, progress: bool
) -> "GenreResult | None":
    """Genre accuracy on unseen artists, where there are recordings, labels and artists for it."""
    from embedding import SongEncoder
    from embedding.extraction import extract
    from evaluation.genre import genre_cross_validation

    labels = dataset.recording_labels(config.encoder.tags[0]).to_numpy()
    artists = dataset.recording_artists().to_numpy()
    if not len(labels):
        return None
    extraction = extract(
        dataset.recording_paths(),
        config.encoder.snippet,
        config.encoder.hyperimage,
        workers=config.n_threads,
        cache=cache_folder() / "hyperimages",
        progress=progress,
    )
    return genre_cross_validation(
        extraction.images,
        labels,
        artists,
        lambda: SongEncoder(config.network),
        folds=folds,
        seed=config.seed,
        image_recording=extraction.recording,
        progress=progress,
    )
