"""The command `coldtune genre-cv`: how well genres are heard."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import DataError, InvalidArgumentError
from recsys.commands.options import (
    EncoderOption,
    FineTune,
    JsonFlag,
    open_encoder_option,
    read_object,
)
from recsys.commands.printing import echo, print_json

if TYPE_CHECKING:
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
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
