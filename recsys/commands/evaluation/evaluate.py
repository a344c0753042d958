"""The commands `coldtune evaluate` and `tune`: models side by side, and better settings."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from datasets.errors import InvalidArgumentError
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
    recommender_config,
)
from recsys.commands.printing import echo, print_json


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
