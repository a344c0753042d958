"""The command that draws the map of a model's songs."""

from pathlib import Path
from typing import Annotated

import typer

from datasets.errors import InvalidArgumentError


def map(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model.")],
    out: Annotated[Path, typer.Option(help="The page to write, ending in .html.")],
    png: Annotated[Path | None, typer.Option(help="Also write a picture, ending in .png.")] = None,
    method: Annotated[str, typer.Option(help="pca, umap or tsne.")] = "pca",
    by: Annotated[str, typer.Option(help="What is coloured: genre, artist, a tag.")] = "genre",
    embeddings: Annotated[
        str, typer.Option(help="sound: what the network hears. fused: sound and taste.")
    ] = "sound",
    limit: Annotated[int, typer.Option(help="Draw a sample of more songs than this.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the sample, of UMAP and of t-SNE.")] = 0,
) -> None:
    """Draw where the songs lie in the space of their embeddings, as a plot that can be turned."""
    from recsys.model.storage import load
    from recsys.songmap.page import write_html, write_png
    from recsys.songmap.song_map import song_map

    for path, ending in ((out, ".html"), (png, ".png")):
        if path is not None and path.suffix.lower() != ending:
            raise InvalidArgumentError(f"{path}: must end in {ending}")
    drawn = song_map(
        load(model.absolute()),
        method=method,  # type: ignore[arg-type]
        by=by,
        embeddings=embeddings,  # type: ignore[arg-type]
        limit=limit,
        seed=seed,
    )
    write_html(drawn, out)
    if png is not None:
        write_png(drawn, png)
    typer.echo(f"{drawn.title}: {drawn.facts}")
    typer.echo(f"written to {out}" + (f" and {png}" if png else ""))
