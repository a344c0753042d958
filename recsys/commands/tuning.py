"""The command that searches for better settings."""

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
    K,
    Recipe,
    Seed,
    Threads,
    Tracking,
    recommender_config,
)


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
    from datasets.files import check_writable, write_text
    from datasets.folder import load_folder
    from evaluation import write_report
    from recsys.experiments.search import search
    from recsys.experiments.search_config import SearchConfig

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
    result = search(
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
        typer.echo(json.dumps(result.to_dict(), indent=1))
        return
    states = result.trials["state"].value_counts()
    typer.echo(
        f"{len(result.trials)} trials, {states.get('pruned', 0)} of them cut short; "
        f"best on the validation splits: {result.trials['value'].max():.4f}"
    )
    for name, (before, after) in result.changed.items():
        typer.echo(f"  {name}: {before} -> {after}")
    for sentence in (*result.cautions, *result.verdict):
        typer.echo(sentence)
    whose = "of the best trial" if result.changed else "it started from"
    typer.echo(f"the settings {whose} are written to {out}")
    typer.echo(f"  coldtune train {folder} --config {out} --out MODEL")
