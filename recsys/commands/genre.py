"""The command that cross-validates genre recognition."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import DataError, InvalidArgumentError
from recsys.commands.options import JsonFlag, read_object

if TYPE_CHECKING:
    from embedding.network.config import EncoderConfig
    from evaluation.genre.data import GenreMaterial


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
    baseline: Annotated[bool, typer.Option(help="Also an SVM on the same folds.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables and report, and to go on in.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="An EncoderConfig as a JSON file, or a RecommenderConfig."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell how well genres are heard, by cross-validation."""
    from datasets.files import cache_folder
    from evaluation.genre.genre_running import affordable_jobs, run_study
    from evaluation.genre.splits import check_split
    from evaluation.genre_report.write import check_folder, write_study

    settings = encoder_config(config, recipe, architecture, epochs, tag, threads)
    splits = [check_split(name.strip()).name for name in split.split(",")]
    if out is not None:
        check_folder(out)  # now, and not when everything is measured
    named = {"images": images, "ids": ids, "labels": labels, "groups": groups}
    cut = {"window": window, "windows": windows}
    material = _material(folder, settings, tag, named, cut, baseline=baseline, progress=not as_json)
    for what, found in material.taken.items():
        typer.echo(f"{what}: {found}", err=True)
    _, fewer = affordable_jobs(min(jobs, folds), material.images.nbytes)
    if fewer:
        typer.echo(fewer, err=True)
    store = (cache_folder() / "genre-cv") if out is None else out / "folds"
    study = run_study(
        material,
        settings,
        splits=splits,
        folds=folds,
        seeds=seeds,
        seed=seed,
        jobs=jobs,
        baseline=baseline,
        store=store,
        progress=not as_json,
        on_fold=_say,
    )
    document = study.to_dict()
    if out is not None:
        report = write_study(study, out, command=shlex.join(["coldtune", *sys.argv[1:]]))
    if as_json:
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    from recsys.commands.genre_printing import print_study

    print_study(study)
    if out is not None:
        typer.echo(f"report written to {report}")


def encoder_config(
    path: Path | None,
    recipe: str | None,
    architecture: str | None,
    epochs: int | None,
    tag: str,
    threads: int | None,
) -> "EncoderConfig":
    """The network's settings: the recipe, changed by the file, changed by what was given.

    Raises InvalidArgumentError where the file is no JSON object or a setting is wrong.
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


def _material(
    folder: Path,
    config: "EncoderConfig",
    tag: str,
    named: dict[str, str | None],
    cut: dict[str, int | None],
    *,
    baseline: bool,
    progress: bool,
) -> "GenreMaterial":
    from datasets.files import cache_folder
    from datasets.folder import load_folder
    from datasets.image_arrays import is_arrays, read_image_arrays
    from datasets.tables.recordings import recordings_in
    from evaluation.genre.data import from_arrays, from_dataset

    if is_arrays(folder):
        arrays = read_image_arrays(folder, tag=tag, **named)
        return from_arrays(arrays, config, tag=tag, baseline=baseline, **cut)
    given = [f"--{name}" for name, value in {**named, "window": cut["window"]}.items() if value]
    if given:
        raise InvalidArgumentError(
            f"{given[0]} is for arrays, and {folder} is no .npz file nor a folder with one"
        )
    if folder.is_dir() and not any(folder.glob("items.*")) and not recordings_in(folder):
        raise DataError(
            f"{folder} has neither items.csv (a data set) nor an .npz file (arrays) nor recordings"
        )
    return from_dataset(
        load_folder(folder),
        config,
        tag=tag,
        windows=cut["windows"],
        workers=config.threads or None,
        cache=cache_folder() / "hyperimages",
        baseline=baseline,
        progress=progress,
    )


def _say(split: str, classifier: str, seed: int, row: dict[str, float]) -> None:
    """One line on the error stream for every fold that is done."""
    loss = "" if row["loss"] != row["loss"] else f"loss {row['loss']:.3f}, "
    typer.echo(
        f"{split} split, {classifier}, seed {seed}, fold {row['fold']:.0f}: {loss}"
        f"precision@1 {row['precision@1']:.1%}, @3 {row['precision@3']:.1%}"
        f" ({'kept from before' if row['kept'] else format(row['seconds'], '.0f') + ' s'})",
        err=True,
    )
