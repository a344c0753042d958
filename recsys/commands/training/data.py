"""The commands `coldtune data list` and `data get`: public data sets."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.commands.options import JsonFlag
from recsys.commands.printing import echo, print_frame, print_json

if TYPE_CHECKING:
    from datasets.public.base import PublicDataset

app = typer.Typer(help="Public data sets.", no_args_is_help=True)


@app.command("list")
def list_sets(as_json: JsonFlag = False) -> None:
    """Name the public data sets: what they are, their licence, how to get them."""
    from datasets.public.registry import NAMES, public_dataset

    rows = [_facts(public_dataset(name)) for name in NAMES]
    if as_json:
        print_json(rows, ascii_only=False)
        return
    import pandas as pd

    print_frame(pd.DataFrame(rows)[["name", "description", "licence", "how"]])


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Which data set; `coldtune data list` names them.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where it goes: a new folder; the cache if not given.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="Folder with the published files, if you have them.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the terms without being asked.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Download a public data set, check it and convert it; a second time it is there."""
    from datasets.public.base import fetch
    from datasets.public.registry import public_dataset

    music = fetch(
        public_dataset(name),
        folder,
        source=source,
        accept_licence=True if accept_licence else _ask,
    )
    if as_json:
        print_json({"folder": str(music.root)} | music.summary())
        return
    echo(
        f"{len(music.items):,} items, {len(music.audio):,} recordings,"
        f" {len(music.interactions):,} interactions in {music.root}"
    )


def _ask(dataset: "PublicDataset") -> bool:
    """Ask at the terminal whether the licence is accepted; without a terminal it is not."""
    return sys.stdin.isatty() and typer.confirm(f"Accept the terms of {dataset.name}?", err=True)


def _facts(dataset: "PublicDataset") -> dict[str, Any]:
    return {
        "name": dataset.name,
        "title": dataset.title,
        "description": dataset.description,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "homepage": dataset.homepage,
        "how": "download" if dataset.files else "on request",
        "by_hand": dataset.by_hand,
        "files": [{"name": file.name, "url": file.url} for file in dataset.files],
    }
