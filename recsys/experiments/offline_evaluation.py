"""Offline evaluation of a data set: splits, models, comparison, genre accuracy and report."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from datasets.arguments import check_whole
from datasets.columns import ITEM_ID
from datasets.errors import AudioError, DataError, EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.settings import Settings
from datasets.system.files import check_writable
from datasets.tables.frames import FrameLike, embedding_frame
from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
from embedding.encoders.learned_plays import LearnedPlays
from evaluation.arguments import check_fraction, check_sampled, list_lengths
from evaluation.comparison.comparison import Comparison, compare
from evaluation.comparison.learning_curves import learning_curve
from evaluation.conclusions.summary import summarise
from evaluation.conclusions.verdict import Verdict, judge
from evaluation.model import ModelFactory
from evaluation.models.baselines import PopularityOracle, Random
from evaluation.models.controls import GENRE_FOR_AUDIO, MODEL_CONTROLS, POPULARITY_ORACLE, RANDOM
from evaluation.report.write import report_files, write_report
from evaluation.splitting.split import Split
from recsys.audio.embeddings import embed_dataset, learned_plays_of
from recsys.config import RecommenderConfig
from recsys.content.features import align_embeddings
from recsys.experiments.embeddings import (
    EmbedFold,
    FoldEncoders,
    FoldHeads,
    GivenEmbeddings,
    cached_embeddings,
    embedding_map,
    genre_accuracy,
)
from recsys.experiments.models import (
    AUDIO_MODELS,
    OURS,
    control_meanings,
    model_factories,
    model_names,
    refuse_leak,
)
from recsys.experiments.splits import check_split_names, named_splits
from recsys.tracking.comparison import comparison_runs
from recsys.tracking.runs import tracked_run

if TYPE_CHECKING:
    from embedding.encoders.protocol import Encoder
    from evaluation.genre.cross_validation import GenreResult

logger = logging.getLogger("coldtune")


class EvaluationConfig(Settings):
    """What an evaluation measures.

    Raises:
        InvalidArgumentError: names that are not known or given twice, or numbers that cannot work.

    Examples:
        >>> EvaluationConfig(models=("hybrid", "popularity"), splits=("warm", "semi-cold:2")).folds
        1
        >>> EvaluationConfig(fraction=1.5)
        Traceback (most recent call last):
        ...
        datasets.errors.InvalidArgumentError: fraction must lie between 0 and 1, not 1.5
    """

    models: tuple[str, ...] = tuple(OURS)
    """Names of ``recsys.experiments.models.MODELS``; where whole items are held out, controls
    are added."""

    splits: tuple[str, ...] = ("warm", "cold", "mixed")
    """Names of ``recsys.experiments.splits.SPLIT_KINDS``; one that cannot be made of the data
    is left out, and the report says why."""

    folds: int = 1
    """Folds of every split that can be had in folds; 1 for single splits."""

    ks: tuple[int, ...] = (10, 20)
    """Lengths of the lists."""

    fraction: float = 0.2
    """Share held out by each split."""

    sampled: int | None = None
    """Also rank this many items drawn at random."""

    learning_curve: bool = False
    """Also measure with parts of the interactions, on the first split."""

    genre_folds: int = 3
    """Folds of the artist-disjoint cross-validation of the network's genre accuracy; 0 for none."""

    texts: bool = False
    """Give models the artist, album, genre and tags of held-out items, not their recordings
    alone."""

    among: frozenset[str] | None = None
    """Ids of the items that may be held out; by default those with a recording, or with an
    embedding where embeddings are given."""

    controls: tuple[str, ...] = tuple(MODEL_CONTROLS)
    """Controls of the first model that uses audio, where whole items are held out; those of
    ``evaluation.models.controls.MODEL_CONTROLS``."""

    noun: str = "items"
    """What the report calls items."""

    notes: tuple[str, ...] = ()
    """Sentences to add to the report."""

    def __init__(self, **values: Any) -> None:
        # Checked here rather than by pydantic: each of these errors is a sentence of its own.
        given = {name: field.default for name, field in type(self).model_fields.items()} | values
        model_names(given["models"])
        check_split_names(given["splits"])
        check_whole("folds", given["folds"], 1)
        list_lengths(given["ks"])
        check_fraction(given["fraction"])
        check_sampled(given["sampled"])
        for name in given["controls"]:
            if name not in MODEL_CONTROLS:
                there = ", ".join(MODEL_CONTROLS)
                raise InvalidArgumentError(f"no control {name!r}; there are: {there}")
        if given["genre_folds"]:
            check_whole("genre_folds", given["genre_folds"], 2)
        super().__init__(**values)


@dataclass(frozen=True)
class Evaluation:
    """The result of ``evaluate``: a comparison, the report of it, and its summary.

    Examples:
        >>> from evaluation import judge, summarise
        >>> words = tuple(summarise(comparison))
        >>> page = folder / "report.html"
        >>> found = Evaluation(comparison, None, page, words, judge(comparison))
        >>> found.comparison.models
        ['popularity', 'random']
    """

    comparison: Comparison
    """All figures."""
    genre: "GenreResult | None"
    """Genre accuracy of the network; None where it was not measured."""
    path: Path
    """The report, an HTML file."""
    summary: tuple[str, ...]
    """What the comparison shows, in words."""
    verdict: Verdict
    """Whether the first of our models is ready to be released."""


def evaluate(
    dataset: MusicDataset,
    out: Path,
    recommender: RecommenderConfig,
    config: EvaluationConfig | None = None,
    *,
    encoders: EmbedFold | None = None,
    embeddings: FrameLike | None = None,
    encoder: "Encoder | None" = None,
    command: str = "",
    progress: bool = False,
) -> Evaluation:
    """Compare models on splits of a data set and write report.html, .md and .json.

    What is measured is kept beside the report until that is written: an evaluation that was
    interrupted goes on where it was when it is called again.

    Args:
        dataset: the data set; it is split here.
        out: a file that ends in .html, or else a folder.
        recommender: settings of this library's models, and the seed of all random choices.
        config: what is measured.
        encoders: gives the embeddings of each training side; by default a network is trained on
            its recordings.
        embeddings: embeddings of items in place of a network's: index or column item_id, one
            column a dimension. They must come from an encoder that was not trained on the items
            held out. Ids that are not of the data set are passed over.
        encoder: embeds all recordings once, in place of networks trained on the training sides. It
            must not have been trained on the items held out, either. An untrained
            `embedding.FineTunedEncoder` has its heads trained on each training side alone.
        command: the command that the report is of, to be shown in it.
        progress: show progress bars.

    Raises:
        DataError: embeddings that cannot be used.
        AudioError: an encoder was given, and none of the recordings can be used.
        EncoderUnavailableError, EncoderError: the given encoder cannot work.
        EvaluationError: the data is too small to hold anything out.
        InvalidArgumentError: the report cannot be written. In both cases it is raised before
            anything is learned, and nothing is left behind.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> config = EvaluationConfig(models=("popularity",), splits=("warm",), ks=(5,),
        ...                           genre_folds=0)
        >>> found = evaluate(dataset, folder, RecommenderConfig(tracking=False), config)
        >>> found.path.name, found.comparison.models
        ('report.html', ['popularity'])
    """
    config = config or EvaluationConfig()
    path = out if out.suffix.lower() == ".html" else out / "report.html"
    _check_report_writable(path)  # now, and not when everything is read, learned or measured
    given = heads = None
    if embeddings is not None:
        if encoders is not None or encoder is not None:
            raise InvalidArgumentError("give embeddings or encoders, not both")
        given, config = _given_embeddings(embeddings, dataset, config)
        encoders = given
    elif encoder is not None and encoders is not None:
        raise InvalidArgumentError("give an encoder or encoders, not both")
    elif isinstance(encoder, FineTunedEncoder) and not encoder.is_fitted:
        encoders = heads = FoldHeads(encoder, recommender, progress=progress)
        config = config.replace(notes=(*config.notes, heads.note(dataset, config.noun)))
    elif encoder is not None:
        found = _embedded_by(encoder, dataset, recommender.n_threads, progress)
        given, config = _given_embeddings(found, dataset, config, _method(encoder))
        encoders = given
    splits, remarks = named_splits(
        dataset,
        config.splits,
        fraction=config.fraction,
        folds=config.folds,
        seed=recommender.seed,
        among=config.among,
    )
    seen = learned_plays_of(embeddings) if encoder is None else LearnedPlays.of(encoder)
    if any(name in AUDIO_MODELS for name in config.models):
        # Now, and not when models were learned; those with few plays left are found by no model.
        for split in splits:
            refuse_leak(seen, (*split.cold_items, *split.few_shot_items))
        remarks += _remarks_on_plays(seen, encoder, dataset, splits, config.noun)
    holds_out_items = any(split.cold_items or split.few_shot_items for split in splits)
    encoders = encoders or FoldEncoders(recommender, progress=progress)
    models = model_factories(
        config.models,
        recommender,
        encoders=encoders,
        controls=config.controls if holds_out_items else (),
        texts=config.texts,
    )
    if holds_out_items:
        models[POPULARITY_ORACLE] = lambda: PopularityOracle(dataset, recommender.seed)
        models.setdefault(RANDOM, lambda: Random(recommender.seed))
    unfinished = path.with_name(f".{path.stem}.unfinished")
    with (
        tracked_run("evaluation", enabled=recommender.tracking) as run,
        comparison_runs(run, splits) as runs,
    ):
        run.log_params(recommender.model_dump(mode="json"))
        run.log_params({"dataset": {**dataset.summary(), "digest": dataset.digest()}})
        run.log_dataset(dataset, "evaluation")
        shown = song_map = None
        if given is not None:
            shown = given.embeddings(dataset)
            shown.attrs = {}  # which are not for files
        elif any(name in AUDIO_MODELS for name in models):
            learned = heads or recommender.network
            shown = cached_embeddings(dataset, splits, encoders, learned, unfinished)
        comparison = compare(
            models,
            dataset,
            splits,
            ks=config.ks,
            controls=_controls(models, config.models),
            sampled=config.sampled,
            embeddings=shown,
            seed=recommender.seed,
            progress=progress,
            on_run=runs.add,
            resume=unfinished,
        )
        runs.log_results(comparison)
        if shown is not None:
            song_map = embedding_map(dataset, splits, shown, recommender.seed)
        curve = None
        if config.learning_curve:
            curve = _learning_curve(models, comparison, dataset, splits[0], unfinished, progress)
        genre = None
        if config.genre_folds and given is None and heads is None:
            try:
                genre = genre_accuracy(dataset, recommender, config.genre_folds, progress)
            except EvaluationError as error:
                remarks.append(f"Genre accuracy is not measured: {error}")
        try:
            write_report(
                comparison,
                path,
                genre=genre,
                curve=curve,
                song_map=song_map,
                notes=[*config.notes, _texts_note(config, given), *remarks],
                noun=config.noun,
                configuration=recommender.model_dump(mode="json"),
                command=command,
            )
        except OSError as error:
            raise InvalidArgumentError(f"{path}: the report cannot be written: {error}") from error
        summary, verdict = tuple(summarise(comparison, config.noun)), judge(comparison, config.noun)
        run.set_description("\n\n".join(summary))
        if genre is not None:
            run.log_metrics({f"genre/{name}": value for name, value in genre.mean.items()})
        # The pictures of the Markdown as the folder where it looks for them.
        files = (f if f.parent == path.parent else f.parent for f in report_files(path))
        for file in dict.fromkeys(files):
            run.log_artifact(file)
    shutil.rmtree(unfinished, ignore_errors=True)
    return Evaluation(comparison, genre, path, summary, verdict)


def _controls(models: Mapping[str, ModelFactory], named: Sequence[str]) -> dict[str, str]:
    """The controls and their meanings; a named model is none where only controls are compared."""
    controls = control_meanings(models)
    if set(controls) >= set(models):
        controls = {name: meaning for name, meaning in controls.items() if name not in named}
    return controls


def _learning_curve(
    models: Mapping[str, ModelFactory],
    comparison: Comparison,
    dataset: MusicDataset,
    split: Split,
    unfinished: Path,
    progress: bool,
) -> pd.DataFrame:
    """The learning curves of the models that are not controls."""
    return learning_curve(
        {name: make for name, make in models.items() if name not in comparison.controls},
        dataset,
        split,
        k=comparison.ks[0],
        seed=comparison.settings["seed"],
        progress=progress,
        resume=unfinished,
    )


def _check_report_writable(path: Path) -> None:
    try:
        check_writable(path)
    except OSError as error:
        raise InvalidArgumentError(
            f"{path}: the report cannot be written: {error.strerror}"
        ) from None


def _texts_note(config: EvaluationConfig, given: GivenEmbeddings | None) -> str:
    """A sentence on what models get of held-out items."""
    texts = "with artist, album, genre and tags"
    if not config.texts:
        texts = "without artist, album, genre or tags"
    source = "recording" if given is None else "given embedding"
    return f"Held-out {config.noun} reach the models by {source}, {texts}."


def _embedded_by(
    encoder: "Encoder", dataset: MusicDataset, workers: int, progress: bool
) -> pd.DataFrame:
    """Embed all recordings of a data set; those that cannot be used are logged."""
    from embedding.hyperimage.extraction import none_usable

    audio = embed_dataset(dataset, encoder, workers=workers, progress=progress)
    if audio.embeddings.empty:
        raise AudioError(
            none_usable(audio.failures) if audio.failures else "the data set has no recordings"
        )
    for failure in audio.failures:
        logger.warning("recording left out: %s", failure)
    found = audio.embeddings.set_axis([str(name) for name in audio.embeddings.columns], axis=1)
    found.attrs = dict(audio.embeddings.attrs)
    return found


def _remarks_on_plays(
    learned: LearnedPlays,
    encoder: "Encoder | None",
    dataset: MusicDataset,
    splits: Sequence[Split],
    noun: str,
) -> list[str]:
    """Say where what embeds recordings may have learned from plays that are held out."""
    if len(learned):
        items = dataset.interactions[ITEM_ID].to_numpy()
        tested = pd.unique(np.concatenate([items[split.test_rows] for split in splits]))
        seen = learned.contains(tested).sum()
        if seen:
            return [
                f"The encoder has learned from plays of {seen:,} of the {len(tested):,} {noun} "
                "whose plays are held out, perhaps from these: figures of known "
                f"{noun} may be too good."
            ]
    elif getattr(encoder, "taste_dimension_", 0):
        return [
            f"The encoder has learned from plays, and it does not say of which {noun}: figures are "
            "too good if they are among those held out here."
        ]
    return []


def _method(encoder: "Encoder") -> str:
    return str(encoder.summary().get("method", "a given network"))


def _given_embeddings(
    embeddings: FrameLike, dataset: MusicDataset, config: EvaluationConfig, method: str = ""
) -> tuple[GivenEmbeddings, EvaluationConfig]:
    """Check given embeddings, and make the settings of an evaluation with them.

    Args:
        embeddings: the embeddings.
        dataset: the data set.
        config: the settings.
        method: what made them, where an encoder was given in their place.
    """
    frame = embedding_frame(embeddings)
    ids = pd.Index(dataset.items[ITEM_ID], dtype=object)
    # Now, and not by the first model; and with the ids as the data set spells them.
    vectors, known = align_embeddings(frame, ids, ignore_others=True)
    is_zero = known & ~vectors.any(axis=1)  # as models refuse them of new items
    known &= ~is_zero
    if not known.any():
        raise DataError("embeddings: all of them are zero in every dimension")
    given = GivenEmbeddings(pd.DataFrame(vectors[known], index=ids[known], columns=frame.columns))
    given.frame.attrs = dict(getattr(embeddings, "attrs", {}))  # such as whose plays it has seen
    source = f"Recordings were embedded by {method}" if method else "Embeddings were given"
    notes = [
        f"{source}: {known.sum():,} of {len(ids):,} {config.noun} have one of "
        f"{frame.shape[1]:,} dimensions. Figures of new {config.noun} are too good if what made "
        f"them was trained on these {config.noun}."
    ]
    if is_zero.any():
        notes.append(
            f"{is_zero.sum():,} more are zero in every dimension and count as none, such as that "
            f"of {ids[is_zero][0]!r}."
        )
    controls = config.controls
    if GENRE_FOR_AUDIO in controls and len(given(dataset).classes) < 2:
        controls = tuple(name for name in controls if name != GENRE_FOR_AUDIO)
        notes.append(f"Genres in place of audio are no control: the {config.noun} have none.")
    among = config.among
    if among is None:
        among = frozenset(given.frame.index)
    notes = [*config.notes, *notes]
    return given, config.replace(among=among, controls=controls, notes=tuple(notes))
