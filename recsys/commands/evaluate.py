"""The command that measures models side by side."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from datasets.errors import InvalidArgumentError
from recsys.commands.options import (
    Config,
    JsonFlag,
    Recipe,
    Seed,
    Threads,
    Tracking,
    recommender_config,
)


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Data set: items, audio, interactions.")],
    out: Annotated[Path, typer.Option(help="Report: a file ending in .html, or else a folder.")],
    k: Annotated[str, typer.Option("-k", "--k", help="Lengths of lists, as in 10,20.")] = "10,20",
    models: Annotated[
        str, typer.Option(help="Models, as in hybrid,item-knn; ours by default, ? names all.")
    ] = "",
    splits: Annotated[
        str, typer.Option(help="Splits, as in warm,cold,semi-cold:2; ? names all.")
    ] = "warm,cold",
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
    config: Config = None,
    recipe: Recipe = None,
    seed: Seed = None,
    threads: Threads = None,
    tracking: Tracking = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure models side by side and write a report. Interrupted, it goes on where it was."""
    from datasets.folder import load_folder
    from recsys.experiments.evaluate import check_request, evaluate_dataset
    from recsys.experiments.models import OURS

    try:
        ks = tuple(int(part) for part in k.split(","))
    except ValueError:
        raise InvalidArgumentError(f"--k must be whole numbers, as in 10,20, not {k!r}") from None
    if folds < 1:
        raise InvalidArgumentError(f"--folds must be at least 1, not {folds}")
    if genre_folds < 0 or genre_folds == 1:
        raise InvalidArgumentError(f"--genre-folds must be 0 or at least 2, not {genre_folds}")
    named, asked = _names(models) or list(OURS), _names(splits)
    # Before the data is read, which takes minutes where there is much.
    check_request(
        models=named,
        splits=asked,
        folds=folds,
        ks=ks,
        fraction=fraction,
        sampled=sampled,
        genre_folds=genre_folds,
    )
    evaluation = evaluate_dataset(
        load_folder(folder),
        out,
        recommender_config(config, seed, threads, tracking, recipe),
        models=named,
        splits=asked,
        folds=folds,
        ks=ks,
        fraction=fraction,
        sampled=sampled,
        curve=learning_curve,
        genre_folds=genre_folds,
        texts=texts,
        command=shlex.join(["coldtune", *sys.argv[1:]]),
        progress=True,
    )
    if as_json:
        typer.echo(json.dumps(evaluation.comparison.to_dict(), indent=1))
    else:
        for sentence in evaluation.summary:
            typer.echo(sentence)
        typer.echo(f"report written to {evaluation.path}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
