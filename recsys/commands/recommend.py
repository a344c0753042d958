"""Commands from a data set to recommendations and their evaluation."""

import json
from pathlib import Path
from typing import Annotated

import typer

from datasets.errors import InvalidArgumentError
from recsys.commands.options import (
    Config,
    Diversity,
    JsonFlag,
    K,
    PerArtist,
    PopularityCorrection,
    Recipe,
    Seed,
    Threads,
    Tracking,
    WhereFlag,
    recommender_config,
    where_of,
)
from recsys.commands.printing import print_frame, print_info, records


def demo(
    out: Annotated[Path, typer.Option(help="Folder for catalogue, model and report.")] = Path(
        "demo"
    ),
    seed: Seed = None,
    threads: Threads = None,
    tracking: Tracking = None,
) -> None:
    """Make a demo catalogue and do everything with it, from audio to the evaluation report."""
    from recsys.commands.demo import demonstrate

    demonstrate(out, recommender_config(None, seed, threads, tracking))


def train(
    folder: Annotated[Path, typer.Argument(help="Data set: items, audio, interactions.")],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    encoder: Annotated[
        Path | None, typer.Option(help="Network to use: a saved encoder, or the one of a model.")
    ] = None,
    config: Config = None,
    recipe: Recipe = None,
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
    from datasets.folder import load_folder
    from recsys import Recommender
    from recsys.model.replacing import check_place
    from recsys.model.storage import load_encoder

    settings = recommender_config(config, seed, threads, tracking, recipe)
    goes = check_place(out, replace=replace)  # now, and not when everything is learned
    if goes:
        typer.echo(goes, err=True)
    network = None if encoder is None else load_encoder(encoder)
    recommender = Recommender(settings).fit(load_folder(folder), encoder=network, progress=True)
    recommender.save(out)
    print_info(recommender.info, as_json)
    if not as_json:
        typer.echo(f"model written to {out}")
    if register is not None:
        from recsys.tracking.model import log_model

        typer.echo(f"registered as {log_model(out, register=register)}", err=as_json)


def recommend(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model.")],
    user: Annotated[str | None, typer.Argument(help="A user of the training data.")] = None,
    k: K = 10,
    history: Annotated[
        list[str] | None, typer.Option(help="Item played by somebody else; repeat for more.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Item to leave out; repeat.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Item to choose from; repeat.")] = None,
    where: WhereFlag = None,
    per_artist: PerArtist = None,
    diversity: Diversity = 0.0,
    popularity_correction: PopularityCorrection = 0.0,
    seen: Annotated[bool, typer.Option(help="Also recommend what was played.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """The items that a user will like best."""
    from recsys import Recommender

    frame = Recommender.load(model).recommend(
        user,
        k,
        history=history,
        exclude_seen=not seen,
        exclude=exclude or (),
        only=only,
        where=where_of(where),
        per_artist=per_artist,
        diversity=diversity,
        popularity_correction=popularity_correction,
    )
    fallback = frame.attrs.get("fallback")
    if as_json:
        typer.echo(json.dumps({"fallback": fallback, "items": records(frame)}, indent=1))
        return
    if frame.empty:
        having = f" that has {' and '.join(where)}" if where else ""
        typer.echo(f"No item{having} is left to recommend.")
        return
    if fallback:
        who = "these listeners" if user is None else repr(user)
        typer.echo(f"Nothing is known of {who}: these are the {fallback} items.")
    print_frame(frame)


def similar(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model.")],
    item: Annotated[str, typer.Argument(help="Item id.")],
    k: K = 10,
    by: Annotated[str, typer.Option(help="sound, taste or fused.")] = "fused",
    as_json: JsonFlag = False,
) -> None:
    """The items most like an item."""
    from recsys import Recommender

    if by not in ("sound", "taste", "fused"):
        raise InvalidArgumentError(f"--by must be sound, taste or fused, not {by!r}")
    frame = Recommender.load(model).similar(item, k, by=by)  # type: ignore[arg-type]
    if as_json:
        typer.echo(json.dumps(records(frame), indent=1))
    else:
        print_frame(frame)


def info(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model.")],
    as_json: JsonFlag = False,
) -> None:
    """What a saved model was learned from and how it blends its sources."""
    from recsys import Recommender

    print_info(Recommender.load(model).info, as_json)
