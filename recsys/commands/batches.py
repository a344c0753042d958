"""The command that recommends to everybody."""

import json
from pathlib import Path
from typing import Annotated

import typer

from recsys.commands.options import (
    Diversity,
    JsonFlag,
    K,
    PerArtist,
    PopularityCorrection,
    WhereFlag,
    where_of,
)


def recommend_all(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    k: K = 10,
    users: Annotated[
        Path | None, typer.Option(help="Text file of user ids, one a line; all users without.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Users ranked at once.")] = 4096,
    exclude: Annotated[list[str] | None, typer.Option(help="Item to leave out; repeat.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Item to choose from; repeat.")] = None,
    where: WhereFlag = None,
    per_artist: PerArtist = None,
    diversity: Diversity = 0.0,
    popularity_correction: PopularityCorrection = 0.0,
    seen: Annotated[bool, typer.Option(help="Also recommend what was played.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """The best items for every user, as a Parquet file; a killed run goes on where it was."""
    from recsys import Recommender

    report = Recommender.load(model).write_recommendations(
        out, users, k, exclude_seen=not seen, exclude=exclude or (), only=only,
        where=where_of(where), per_artist=per_artist, diversity=diversity,
        popularity_correction=popularity_correction, batch_size=batch, progress=True,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
        return
    if report.resumed:
        typer.echo(f"{report.resumed:,} users had their lists from an earlier run")
    if report.fallback_users:
        typer.echo(
            f"nothing is known of {report.fallback_users:,} users: they got the popular items"
        )
    typer.echo(f"lists of {report.users:,} users, {report.rows:,} rows, written to {out}")
