"""An offline evaluation from a data set to a report: splits, line-up, comparison, and the rest."""

import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from datasets.arguments import check_whole
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.files import check_writable
from datasets.music import MusicDataset
from evaluation.arguments import check_fraction, check_sampled, list_lengths
from evaluation.comparison.comparison import Comparison, compare
from evaluation.comparison.learning_curves import learning_curve
from evaluation.conclusions.summary import summarise
from evaluation.model import ModelFactory
from evaluation.models.baselines import PopularityOracle, Random
from evaluation.models.controls import POPULARITY_ORACLE, RANDOM
from evaluation.report.write import report_files, write_report
from evaluation.splitting.split import Split
from recsys.config import RecommenderConfig
from recsys.experiments.embeddings import (
    Ears,
    embeddings_of,
    genre_accuracy,
    network_ears,
    song_map,
)
from recsys.experiments.models import HEARING, lineup, meanings, model_names
from recsys.experiments.splits import check_split_names, named_splits
from recsys.tracking.comparison import comparison_runs
from recsys.tracking.runs import tracked_run

if TYPE_CHECKING:
    from evaluation.genre.cross_validation import GenreResult


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
    splits: Sequence[str] = ("warm", "cold"),
    folds: int = 1,
    ks: Sequence[int] = (10, 20),
    fraction: float = 0.2,
    sampled: int | None = None,
    curve: bool = False,
    genre_folds: int = 3,
    texts: bool = False,
    ears: Ears | None = None,
    among: Collection[str] | None = None,
    notes: Sequence[str] = (),
    noun: str = "items",
    command: str = "",
    progress: bool = False,
) -> Evaluation:
    """Compare models on splits of a data set and write report.html, .md and .json.

    out: a file that ends in .html, or else a folder. models: names out of ``lineup.MODELS``; where
    whole items are held out, controls stand beside them. splits: names out of
    ``evaluating_splits.KINDS``; what cannot be made of this data is left out, and the report says
    why. folds: of every split that can be had in folds, 1 for none. fraction: what a split holds
    out. sampled: rank so many items drawn at random as well. curve: also measure with parts of the
    plays, on the first split. genre_folds: folds of the artist-disjoint genre cross-validation of
    the network, 0 for none. texts: give models the artist, album, genre and tags of held-out items,
    and not their recordings alone. ears: who hears, by default a network trained on each training
    side. among: the items that may be held out, by default those with a recording. noun: what the
    report calls items.

    What is measured is kept beside the report until that is written: interrupted and called again,
    an evaluation goes on where it was.

    Raises EvaluationError where the data is too small to hold anything out, and
    InvalidArgumentError for an argument that cannot work (:func:`check_request`) or where the
    report cannot be written; in both cases before anything is learned, and nothing is left behind.
    """
    path = out if out.suffix.lower() == ".html" else out / "report.html"
    # Now, and not when everything is read, learned or measured.
    check_request(
        models=models,
        splits=splits,
        folds=folds,
        ks=ks,
        fraction=fraction,
        sampled=sampled,
        genre_folds=genre_folds,
    )
    _check_writable(path)
    parts, remarks = named_splits(
        dataset, splits, fraction=fraction, folds=folds, seed=config.seed, among=among
    )
    ears = ears or network_ears(config, progress=progress)
    held_out = any(split.cold_items or split.few_shot_items for split in parts)
    makers = lineup(models, config, ears=ears, controls=held_out, texts=texts)
    if held_out:
        makers[POPULARITY_ORACLE] = lambda: PopularityOracle(dataset, config.seed)
        makers.setdefault(RANDOM, lambda: Random(config.seed))
    unfinished = path.with_name(f".{path.stem}.unfinished")
    with (
        tracked_run("evaluation", enabled=config.tracking) as run,
        comparison_runs(run, parts) as runs,
    ):
        run.params(config.model_dump(mode="json"))
        run.params({"dataset": {**dataset.summary(), "digest": dataset.digest()}})
        run.dataset(dataset, "evaluation")
        embeddings = places = None
        if any(name in HEARING for name in makers):
            embeddings = embeddings_of(dataset, parts, ears, config.network, unfinished)
        comparison = compare(
            makers,
            dataset,
            parts,
            ks=ks,
            controls=_controls(makers, models),
            sampled=sampled,
            embeddings=embeddings,
            seed=config.seed,
            progress=progress,
            on_run=runs.add,
            resume=unfinished,
        )
        runs.log_results(comparison)
        if embeddings is not None:
            places = song_map(dataset, parts, embeddings, config.seed)
        plays = None
        if curve:
            plays = _curve(makers, comparison, dataset, parts[0], unfinished, progress)
        genre = None
        if genre_folds:
            try:
                genre = genre_accuracy(dataset, config, genre_folds, progress)
            except EvaluationError as error:
                remarks.append(f"Genre accuracy is not measured: {error}")
        try:
            write_report(
                comparison,
                path,
                genre=genre,
                curve=plays,
                song_map=places,
                notes=[*notes, _given(texts, noun), *remarks],
                noun=noun,
                configuration=config.model_dump(mode="json"),
                command=command,
            )
        except OSError as error:
            raise InvalidArgumentError(f"{path}: the report cannot be written: {error}") from error
        summary = tuple(summarise(comparison, noun))
        run.note("\n\n".join(summary))
        if genre is not None:
            run.metrics({f"genre/{name}": value for name, value in genre.mean.items()})
        # The pictures of the Markdown as the folder where it looks for them.
        files = (f if f.parent == path.parent else f.parent for f in report_files(path))
        for file in dict.fromkeys(files):
            run.artifact(file)
    shutil.rmtree(unfinished, ignore_errors=True)
    return Evaluation(comparison, genre, path, summary)


def check_request(
    *,
    models: Sequence[str],
    splits: Sequence[str],
    folds: int,
    ks: Sequence[int],
    fraction: float,
    sampled: int | None,
    genre_folds: int,
) -> None:
    """Look at the arguments of :func:`evaluate_dataset` that need no data set.

    Raises InvalidArgumentError for names that are not known or given twice, and for numbers that
    make no sense.
    """
    model_names(models)
    check_split_names(splits)
    check_whole("folds", folds, 1)
    list_lengths(ks)
    check_fraction(fraction)
    check_sampled(sampled)
    if genre_folds:
        check_whole("genre_folds", genre_folds, 2)


def _controls(makers: Iterable[str], named: Sequence[str]) -> dict[str, str]:
    """The controls and their meanings; one that is all there is to compare is none."""
    controls = meanings(makers)
    if set(controls) >= set(makers):
        controls = {name: words for name, words in controls.items() if name not in named}
    return controls


def _curve(
    makers: Mapping[str, ModelFactory],
    comparison: Comparison,
    dataset: MusicDataset,
    split: Split,
    unfinished: Path,
    progress: bool,
) -> pd.DataFrame:
    """Models that are no controls with parts of the plays."""
    models = {name: make for name, make in makers.items() if name not in comparison.controls}
    return learning_curve(
        models,
        dataset,
        split,
        k=comparison.ks[0],
        seed=comparison.settings["seed"],
        progress=progress,
        resume=unfinished,
    )


def _check_writable(path: Path) -> None:
    """Try whether the report can be written."""
    try:
        check_writable(path)
    except OSError as error:
        raise InvalidArgumentError(
            f"{path}: the report cannot be written: {error.strerror}"
        ) from None


def _given(texts: bool, noun: str) -> str:
    extra = "artist, album, genre and tags" if texts else "without artist, album, genre or tags"
    return f"Held-out {noun} reach the models by recording, {'with ' if texts else ''}{extra}."
