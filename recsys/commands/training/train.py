"""The commands `coldtune train`, `info`, `fine-tune` and `architecture`."""

import itertools
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import ArtifactError, BusyError, InvalidArgumentError
from datasets.progress import stage_bar
from recsys.commands.options import (
    Config,
    Embeddings,
    EncoderOption,
    FineTune,
    JsonFlag,
    Model,
    Recipe,
    Seed,
    Sequence,
    Threads,
    Tracking,
    check_encoder_options,
    open_encoder_option,
    recommender_config,
)
from recsys.commands.printing import echo, print_frame, print_info, print_json

if TYPE_CHECKING:
    from recsys import Recommender


def train(
    folder: Annotated[Path, typer.Argument(help="Data set: items, audio, interactions.")],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    encoder: EncoderOption = None,
    heads: FineTune = None,
    embeddings: Embeddings = None,
    factors: Annotated[
        Path | None,
        typer.Option(
            help="Vectors of ALS in place of learning them: folder of coldtune spark als."
        ),
    ] = None,
    config: Config = None,
    recipe: Recipe = None,
    sequence: Sequence = None,
    seed: Seed = None,
    threads: Threads = None,
    tracking: Tracking = None,
    register: Annotated[
        str | None, typer.Option(help="Also log the model to MLflow, registered by this name.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also over a model that took in songs or plays since.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Learn from a data set and save the model."""
    from datasets.embedding_files import read_embedding_file
    from datasets.folder import load_folder
    from recsys import Recommender
    from recsys.model.storage import check_overwrite

    check_encoder_options(encoder, embeddings, sequence)
    settings = recommender_config(config, seed, threads, tracking, recipe, sequence)
    goes = check_overwrite(out, replace=replace)  # now, and not when everything is learned
    if goes:
        echo(goes, err=True)
    network = open_encoder_option(encoder, heads, settings.heads)
    given = None if embeddings is None else read_embedding_file(embeddings)
    with stage_bar("data set", shown=True):
        dataset = load_folder(folder)
    recommender = Recommender(settings).fit(
        dataset, given, encoder=network, factors=factors, progress=True
    )
    with stage_bar("saving", shown=True):
        _save(recommender, out, replace, goes)
    print_info(recommender.info, as_json)
    if not as_json:
        echo(f"model written to {out}")
    if register is not None:
        from recsys.tracking.model import log_model

        echo(f"registered as {log_model(out, register=register)}", err=as_json)


def _save(recommender: "Recommender", out: Path, replace: bool, said: str) -> None:
    """Save what was learned; where that would lose something, beside `out`.

    Learning takes long, and meanwhile songs and plays may have come to the model there.
    """
    from recsys.model.storage import check_overwrite

    try:
        if (goes := check_overwrite(out, replace=replace)) not in ("", said):
            echo(goes, err=True)
        recommender.save(out, replace=replace)
    except (InvalidArgumentError, BusyError) as error:
        wanted = out.absolute()
        names = (f"{wanted.name}-new{number or ''}" for number in itertools.count())
        place = next(path for path in map(wanted.with_name, names) if not path.exists())
        recommender.save(place)
        reason = str(error).replace("replace=True", "--replace")
        raise ArtifactError(f"{reason}; what was learned is in {place}") from None


def info(
    model: Model,
    as_json: JsonFlag = False,
) -> None:
    """What a saved model was learned from and how it blends its sources."""
    from recsys import Recommender

    print_info(Recommender.load(model).info, as_json)


def fine_tune(
    encoder: Annotated[Path, typer.Argument(help="A saved encoder, or a model that has one.")],
    folder: Annotated[Path, typer.Argument(help="Data set with further recordings.")],
    out: Annotated[Path, typer.Option(help="Folder to write the new encoder to.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the recordings.")] = 10,
    learning_rate: Annotated[
        float | None, typer.Option(help="Step size; a tenth of the first training's.")
    ] = None,
    keep: Annotated[
        float, typer.Option(min=0.0, help="Weight of staying with what is known.")
    ] = 1.0,
    as_json: JsonFlag = False,
) -> None:
    """Go on learning from further recordings; known classes stay, new ones are added."""
    from datasets.folder import load_folder
    from embedding.parallel import available_cores
    from recsys.audio.training import fine_tune_encoder
    from recsys.model.storage import open_network

    network = open_network(encoder)
    before = {tag: names.tolist() for tag, names in network.heads_.items()}
    fine_tune_encoder(
        network,
        load_folder(folder),
        epochs=epochs,
        learning_rate=learning_rate,
        keep=keep,
        workers=available_cores(),
        progress=True,
    )
    network.save(out)
    added = {
        tag: [name for name in names.tolist() if name not in before[tag]]
        for tag, names in network.heads_.items()
    }
    last = network.history_[-1]
    if as_json:
        print_json({"classes_added": added, "last_epoch": last})
        return
    for tag, names in added.items():
        echo(f"{tag}: {len(before[tag])} classes kept, added: {', '.join(names) or 'none'}")
    echo(f"loss {last['loss']:.3f} after {len(network.history_)} epochs in all")
    echo(f"encoder written to {out}")


def architecture(
    notation: Annotated[
        str, typer.Argument(help="As in IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O, patent or modern.")
    ] = "patent",
    image: Annotated[
        str, typer.Option(help="Channels, height and width of the hyper-image.")
    ] = "1x128x128",
    classes: Annotated[int, typer.Option(min=1, help="Outputs.")] = 10,
    as_json: JsonFlag = False,
) -> None:
    """Sizes, parameters and multiply-adds of every layer of a network."""
    import pandas as pd

    from embedding.network.architecture import parse
    from embedding.network.config import MODERN_ARCHITECTURE, PATENT_ARCHITECTURE

    try:
        channels, height, width = (int(part) for part in image.split("x"))
    except ValueError:
        channels = height = width = 0
    if min(channels, height, width) < 1:
        raise InvalidArgumentError(f"--image must be three numbers, as in 1x128x128, not {image!r}")
    named = {"patent": PATENT_ARCHITECTURE, "modern": MODERN_ARCHITECTURE}
    network = parse(named.get(notation, notation))
    report = network.report(channels, height, width, classes)
    total = {
        "parameters": sum(row.parameters for row in report),
        "multiply_adds": sum(row.multiply_adds for row in report),
    }
    if as_json:
        document = {
            "architecture": str(network),
            "embedding": network.dimension,
            "layers": [asdict(row) for row in report],
            **total,
        }
        print_json(document)
        return
    rows: list[tuple[str, tuple[int, ...], int, int]] = [("input", (channels, height, width), 0, 0)]
    rows += [(row.layer, row.shape, row.parameters, row.multiply_adds) for row in report]
    rows.append(("all", (), total["parameters"], total["multiply_adds"]))
    echo(str(network))
    print_frame(
        pd.DataFrame(
            [
                (layer, " x ".join(map(str, shape)), f"{parameters:>11,}", f"{operations:>15,}")
                for layer, shape, parameters, operations in rows
            ],
            columns=["layer", "size", "parameters", "multiply-adds"],
        )
    )
