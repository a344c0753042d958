"""The commands `coldtune evaluate`, `tune` and `genre-cv`."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import DataError, InvalidArgumentError
from recsys.commands.options import (
    Config,
    Embeddings,
    EncoderOption,
    FineTune,
    JsonFlag,
    K,
    Recipe,
    Seed,
    Sequence,
    Threads,
    Tracking,
    check_encoder_options,
    open_encoder_option,
    read_object,
    recommender_config,
)
from recsys.commands.printing import echo, print_json

if TYPE_CHECKING:
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
    from embedding.network.config import EncoderConfig
    from evaluation.genre.data import GenreMaterial


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Data set: items, audio, interactions.")],
    out: Annotated[Path, typer.Option(help="Report: a file ending in .html, or else a folder.")],
    k: Annotated[str, typer.Option("-k", "--k", help="Lengths of lists, as in 10,20.")] = "10,20",
    models: Annotated[
        str, typer.Option(help="Models, as in hybrid,item-knn; ours by default, ? names all.")
    ] = "",
    splits: Annotated[
        str, typer.Option(help="Splits, as in warm,cold,semi-cold:2; ? names all.")
    ] = "warm,cold,mixed",
    folds: Annotated[
        int, typer.Option(help="Folds of each split that can be had in folds; 1 for one split.")
    ] = 1,
    fraction: Annotated[float, typer.Option(help="Share held out by each split.")] = 0.2,
    sampled: Annotated[
        int | None, typer.Option(help="Also rank so many items drawn at random; misleading.")
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Also measure with parts of the plays.")
    ] = False,
    genre_folds: Annotated[
        int, typer.Option(help="Folds of the genre cross-validation; 0 leaves it out.")
    ] = 3,
    texts: Annotated[
        bool, typer.Option(help="Also tell models artist, genre and tags of held-out items.")
    ] = False,
    encoder: EncoderOption = None,
    fine_tune: FineTune = None,
    embeddings: Embeddings = None,
    config: Config = None,
    recipe: Recipe = None,
    sequence: Sequence = None,
    seed: Seed = None,
    threads: Threads = None,
    tracking: Tracking = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure models side by side and write a report. Interrupted, it goes on where it was."""
    from datasets.embedding_files import read_embedding_file
    from datasets.folder import load_folder
    from recsys.experiments import offline_evaluation
    from recsys.experiments.models import OURS

    try:
        ks = tuple(int(part) for part in k.split(","))
    except ValueError:
        raise InvalidArgumentError(f"--k must be whole numbers, as in 10,20, not {k!r}") from None
    if folds < 1:
        raise InvalidArgumentError(f"--folds must be at least 1, not {folds}")
    if genre_folds < 0 or genre_folds == 1:
        raise InvalidArgumentError(f"--genre-folds must be 0 or at least 2, not {genre_folds}")
    check_encoder_options(encoder, embeddings, sequence)
    settings = recommender_config(config, seed, threads, tracking, recipe, sequence)
    # Checked before the data is read, which takes minutes where there is much.
    measured = offline_evaluation.EvaluationConfig(
        models=_names(models) or tuple(OURS),
        splits=_names(splits),
        folds=folds,
        ks=ks,
        fraction=fraction,
        sampled=sampled,
        learning_curve=learning_curve,
        genre_folds=genre_folds,
        texts=texts,
    )
    given = None if embeddings is None else read_embedding_file(embeddings)
    heard_by = open_encoder_option(encoder, fine_tune, settings.heads)
    evaluation = offline_evaluation.evaluate(
        load_folder(folder),
        out,
        settings,
        measured,
        embeddings=given,
        encoder=heard_by,
        command=shlex.join(["coldtune", *sys.argv[1:]]),
        progress=True,
    )
    if as_json:
        print_json({**evaluation.verdict.to_dict(), **evaluation.comparison.to_dict()})
    else:
        for sentence in (evaluation.verdict.reason, *evaluation.summary):
            echo(sentence)
        echo(f"report written to {evaluation.path}")
        # Always the last line, for programs.
        echo(f"verdict: {evaluation.verdict.outcome}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def tune(
    folder: Annotated[Path, typer.Argument(help="Data set: items, audio, interactions.")],
    out: Annotated[Path, typer.Option(help="JSON file to write the best settings to.")],
    trials: Annotated[
        int, typer.Option(help="Trials in all, those of an earlier run included.")
    ] = 30,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which no new trial begins.")
    ] = None,
    cold_weight: Annotated[
        float, typer.Option(help="0: only how warm items do counts, 1: only how cold ones do.")
    ] = 0.5,
    k: K = 10,
    folds: Annotated[int, typer.Option(help="Splits of each kind a trial is measured on.")] = 3,
    fraction: Annotated[float, typer.Option(help="Share held out by each split.")] = 0.2,
    study: Annotated[
        Path | None,
        typer.Option(help="SQLite file to keep trials in, and to go on in; beside --out if none."),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Search the network's settings too: takes long.")
    ] = False,
    texts: Annotated[
        bool, typer.Option(help="Also tell models artist, genre and tags of held-out items.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Report on the test to write, a file ending in .html.")
    ] = None,
    config: Config = None,
    recipe: Recipe = None,
    seed: Seed = None,
    threads: Threads = None,
    tracking: Tracking = None,
    as_json: JsonFlag = False,
) -> None:
    """Search for better settings, and test them on plays and songs the search has not seen."""
    from datasets.folder import load_folder
    from datasets.system.files import check_writable, write_text
    from evaluation import write_report
    from recsys.experiments.search import SearchConfig, search_hyperparameters

    settings = SearchConfig(
        trials=trials, timeout=timeout, cold_weight=cold_weight, k=k, folds=folds,
        fraction=fraction, network=network, texts=texts,
    )  # fmt: skip
    for path in (out, report):
        try:
            if path is not None:
                check_writable(path)  # now, and not when everything is found
        except OSError as error:
            raise InvalidArgumentError(f"{path}: cannot be written: {error.strerror}") from None
    if report is not None and report.suffix.lower() != ".html":
        raise InvalidArgumentError(f"--report must end in .html, not {report}")
    start = recommender_config(config, seed, threads, tracking, recipe)
    result = search_hyperparameters(
        load_folder(folder),
        start,
        settings,
        study_file=study or out.with_name(f"{out.stem}.study.db"),
        progress=True,
    )
    # The whole configuration: `coldtune train --config` needs nothing else.
    write_text(out, json.dumps(result.best.model_dump(mode="json"), indent=1) + "\n")
    if report is not None:
        write_report(
            result.comparison,
            report,
            notes=(*result.cautions, *result.verdict),
            configuration=result.best.model_dump(mode="json"),
            command=shlex.join(["coldtune", *sys.argv[1:]]),
        )
    if as_json:
        print_json(result.to_dict())
        return
    states = result.trials["state"].value_counts()
    echo(
        f"{len(result.trials)} trials, {states.get('pruned', 0)} of them cut short; "
        f"best on the validation splits: {result.trials['value'].max():.4f}"
    )
    for name, (before, after) in result.changed.items():
        echo(f"  {name}: {before} -> {after}")
    for sentence in (*result.cautions, *result.verdict):
        echo(sentence)
    whose = "of the best trial" if result.changed else "it started from"
    echo(f"the settings {whose} are written to {out}")
    echo(f"  coldtune train {folder} --config {out} --out MODEL")


def genre_cv(
    folder: Annotated[
        Path, typer.Argument(help="Data set with audio, or arrays: an .npz file or its folder.")
    ],
    folds: Annotated[int, typer.Option(help="Folds.")] = 10,
    recipe: Annotated[str | None, typer.Option(help="patent or modern.")] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Network, as in IC(5,15,64)LPF(192)O.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    split: Annotated[
        str, typer.Option(help="What is kept apart: artist, song, snippet, or several with commas.")
    ] = "artist",
    tag: Annotated[str, typer.Option(help="The tag to tell.")] = "genre",
    seeds: Annotated[int, typer.Option(help="Repetitions with other folds and weights.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first.")] = 0,
    jobs: Annotated[int, typer.Option(help="Folds at once, each in a process.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads, of all jobs together; all cores by default.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="Arrays: columns of the windows images are cut to.")
    ] = None,
    windows: Annotated[
        int | None, typer.Option(help="Windows of an image, or snippets of a recording.")
    ] = None,
    images: Annotated[str | None, typer.Option(help="Arrays: name of the images.")] = None,
    ids: Annotated[str | None, typer.Option(help="Arrays: name of the recordings' ids.")] = None,
    labels: Annotated[str | None, typer.Option(help="Arrays: name of the labels.")] = None,
    groups: Annotated[str | None, typer.Option(help="Arrays: name of the artists.")] = None,
    encoder: EncoderOption = None,
    fine_tune: FineTune = None,
    baseline: Annotated[bool, typer.Option(help="Also an SVM on the same folds.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables and report, and to go on in.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="An EncoderConfig as a JSON file, or a RecommenderConfig, whose heads are those "
            "of --encoder.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell how well genres are heard, by cross-validation: by a network, or heads on --encoder."""
    from datasets.system.files import cache_folder
    from evaluation.genre.splits import genre_split
    from evaluation.genre.study import GenreStudyConfig, affordable_jobs, run_study
    from evaluation.genre_report.write import check_study_folder, write_study

    settings: EncoderConfig | FineTunedEncoder
    if encoder is None and fine_tune is None:
        settings = encoder_config(config, recipe, architecture, epochs, tag, threads)
    else:
        of_network = {"recipe": recipe, "architecture": architecture, "windows": windows}
        _check_recordings(folder)
        settings = _untrained_heads(encoder, fine_tune, config, epochs, tag, threads, of_network)
    study_config = GenreStudyConfig(
        splits=[genre_split(name.strip()).name for name in split.split(",")],
        folds=folds,
        seeds=seeds,
        seed=seed,
        jobs=jobs,
        baseline=baseline,
    )
    if out is not None:
        check_study_folder(out)  # now, and not when everything is measured
    array_names = {"images": images, "ids": ids, "labels": labels, "groups": groups}
    windows_config = {"window": window, "windows": windows}
    material = _material(
        folder, settings, tag, array_names, windows_config, baseline=baseline, progress=not as_json
    )
    for what, found in material.sources.items():
        echo(f"{what}: {found}", err=True)
    _, fewer = affordable_jobs(min(jobs, folds), material.images.nbytes)
    if fewer:
        echo(fewer, err=True)
    store = (cache_folder() / "genre-cv") if out is None else out / "folds"
    study = run_study(
        material,
        settings,
        study_config,
        store=store,
        progress=not as_json,
        on_fold=_say,
    )
    document = study.to_dict()
    if out is not None:
        report = write_study(study, out, command=shlex.join(["coldtune", *sys.argv[1:]]))
    if as_json:
        print_json(document, ascii_only=False)
        return
    from recsys.commands.evaluation.genre_tables import print_study

    print_study(study)
    if out is not None:
        echo(f"report written to {report}")


def encoder_config(
    path: Path | None,
    recipe: str | None,
    architecture: str | None,
    epochs: int | None,
    tag: str,
    threads: int | None,
) -> "EncoderConfig":
    """Make the network's settings: those of the recipe, overridden by the file, then by options.

    Args:
        path: JSON file of an EncoderConfig or a RecommenderConfig.
        recipe: "patent" or "modern"; "patent" by default.
        architecture: notation of the network.
        epochs: passes over the training images.
        tag: the tag to predict.
        threads: threads of all jobs together.

    Raises:
        InvalidArgumentError: the file is not a JSON object, or a setting is wrong.
    """
    from embedding.network.config import EncoderConfig

    values = {} if path is None else read_object(path)
    values = values.get("encoder", values)
    given = {"architecture": architecture, "epochs": epochs, "threads": threads}
    values = {**values, "tags": (tag,), **{k: v for k, v in given.items() if v is not None}}
    try:
        return EncoderConfig.recipe(recipe or "patent", **values)  # type: ignore[arg-type]
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{path}: {error}" if path else str(error)) from None


def _untrained_heads(
    encoder: str | None,
    fine_tune: str | None,
    path: Path | None,
    epochs: int | None,
    tag: str,
    threads: int | None,
    of_network: Mapping[str, object],
) -> "FineTunedEncoder":
    """Open the encoder that heads are trained on; by default it stays as it is.

    Args:
        encoder: option --encoder.
        fine_tune: option --fine-tune.
        path: JSON file of a RecommenderConfig.
        epochs: passes over the training vectors.
        tag: the tag to tell.
        threads: threads of all jobs together.
        of_network: options of the network that is trained otherwise, which have no meaning here.

    Raises:
        InvalidArgumentError: a setting is wrong, or an option is given that has no meaning.
        EncoderUnavailableError: it is not on this machine; the message says how to get it.
    """
    from embedding.encoders.fine_tuning.config import HeadConfig
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder

    for name, value in of_network.items():
        if value is not None and encoder is not None:
            raise InvalidArgumentError(
                f"--{name} is for the network that is trained here, and --encoder takes its place"
            )
    of_file = {"heads": {}} if path is None else read_object(path)
    if "heads" not in of_file:
        raise InvalidArgumentError(
            f'{path}: has no "heads", which are the settings of what is trained on --encoder'
        )
    given = {"epochs": epochs, "threads": threads}
    values = {k: v for k, v in given.items() if v is not None} | {"tags": (tag,)}
    try:
        heads = HeadConfig.from_json(of_file["heads"]).replace(**values)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{path}: {error}" if path else str(error)) from None
    opened = open_encoder_option(encoder, fine_tune or "frozen", heads)
    assert isinstance(opened, FineTunedEncoder)
    if tag in opened.backbone.heads_:
        echo(
            f"--encoder was trained to tell {tag}: figures are too good if it was trained on these "
            "recordings",
            err=True,
        )
    return opened


def _check_recordings(folder: Path) -> None:
    from datasets.image_arrays import is_image_arrays

    if is_image_arrays(folder):
        raise InvalidArgumentError(
            f"--encoder makes vectors of recordings, and {folder} holds arrays of images"
        )


def _material(
    folder: Path,
    config: "EncoderConfig | FineTunedEncoder",
    tag: str,
    array_names: dict[str, str | None],
    windows: dict[str, int | None],
    *,
    baseline: bool,
    progress: bool,
) -> "GenreMaterial":
    from datasets.folder import load_folder
    from datasets.image_arrays import is_image_arrays, read_image_arrays
    from datasets.system.files import cache_folder
    from datasets.tables.recordings import find_recordings
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
    from evaluation.genre.data import from_arrays, from_dataset
    from evaluation.genre.heads import from_encoder

    if not isinstance(config, FineTunedEncoder) and is_image_arrays(folder):
        arrays = read_image_arrays(folder, tag=tag, **array_names)
        return from_arrays(arrays, config, tag=tag, baseline=baseline, **windows)
    given = [
        f"--{name}" for name, value in {**array_names, "window": windows["window"]}.items() if value
    ]
    if given:
        raise InvalidArgumentError(
            f"{given[0]} is for arrays, and {folder} is no .npz file nor a folder with one"
        )
    if folder.is_dir() and not any(folder.glob("items.*")) and not find_recordings(folder):
        raise DataError(
            f"{folder} has neither items.csv (a data set) nor an .npz file (arrays) nor recordings"
        )
    if isinstance(config, FineTunedEncoder):
        return from_encoder(
            load_folder(folder),
            config,
            tag=tag,
            workers=config.config.threads or None,
            cache=cache_folder() / "hyperimages",
            baseline=baseline,
            progress=progress,
        )
    return from_dataset(
        load_folder(folder),
        config,
        tag=tag,
        windows=windows["windows"],
        workers=config.threads or None,
        cache=cache_folder() / "hyperimages",
        baseline=baseline,
        progress=progress,
    )


def _say(split: str, classifier: str, seed: int, row: dict[str, float]) -> None:
    """Print a line on the error stream for every fold that is done."""
    loss = "" if row["loss"] != row["loss"] else f"loss {row['loss']:.3f}, "
    echo(
        f"{split} split, {classifier}, seed {seed}, fold {row['fold']:.0f}: {loss}"
        f"precision@1 {row['precision@1']:.1%}, @3 {row['precision@3']:.1%}"
        f" ({'kept from before' if row['kept'] else format(row['seconds'], '.0f') + ' s'})",
        err=True,
    )
