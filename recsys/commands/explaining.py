"""The command that says why an item is recommended."""

import json
from pathlib import Path
from typing import Annotated

import typer

from recsys.commands.options import JsonFlag


def explain(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model.")],
    user: Annotated[str, typer.Argument(help="A user of the training data.")],
    item: Annotated[str, typer.Argument(help="Item id.")],
    n: Annotated[int, typer.Option("-n", help="How many played items of each kind.")] = 5,
    as_json: JsonFlag = False,
) -> None:
    """Why a user gets an item: what each source says, and what they played that is like it."""
    from recsys import Recommender

    found = Recommender.load(model).explain(user, item, n=n)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else str(found))
