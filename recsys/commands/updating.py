"""Commands that change a saved model: new plays, removal, rebuilding."""

import json
from pathlib import Path
from typing import Annotated

import typer

from recsys.commands.options import JsonFlag

Model = Annotated[Path, typer.Argument(help="Folder of a saved model.")]


def update(
    model: Model,
    interactions: Annotated[
        Path, typer.Argument(help="CSV or Parquet: user_id, item_id, weight[, timestamp].")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Take in new plays; lists know them at once."""
    from datasets.tables.checks import INTERACTION_COLUMNS, check_interactions
    from datasets.tables.read_write import read_table
    from recsys import Recommender

    raw = read_table(interactions, INTERACTION_COLUMNS)
    plays = check_interactions(raw.frame, raw.origin, None)
    counts = Recommender.load(model).update(plays)
    if as_json:
        typer.echo(json.dumps(counts._asdict()))
        return
    typer.echo(
        f"{counts.plays:,} plays by {counts.users:,} users ({counts.new_users:,} new) "
        f"of {counts.items:,} items ({counts.warmed:,} for the first time)"
    )


def remove(model: Model, item: Annotated[str, typer.Argument(help="Item id.")]) -> None:
    """Take an item out of the catalogue."""
    from recsys import Recommender

    Recommender.load(model).remove(item)
    typer.echo(f"{item} is no longer in the catalogue")


def rebuild(model: Model) -> None:
    """Make all that happened since the fit part of the model; lists stay the same."""
    from recsys import Recommender

    Recommender.load(model).rebuild()
    typer.echo(f"model rebuilt in {model}")
