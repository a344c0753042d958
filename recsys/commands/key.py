"""The commands that make API keys of the service and take them out: `coldtune key`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from recsys.commands.options import JsonFlag
from recsys.commands.printing import echo, print_json

app = typer.Typer(no_args_is_help=True, help="API keys of the service (coldtune serve).")

Keys = Annotated[
    Path | None,
    typer.Option("--keys", help="File of the keys; COLDTUNE_KEYS or ~/.config/coldtune/keys.json."),
]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Who will use the key; stands in logs.")],
    role: Annotated[
        Literal["read", "write"], typer.Option(help="read: ask; write: change the model, too.")
    ],
    keys: Keys = None,
) -> None:
    """Make a key and print it. It is shown this once; only its digest is stored."""
    from recsys.service.keys import KeyFile, default_key_file

    path = keys or default_key_file()
    token = KeyFile(path).add(name, role)
    echo(token)
    echo(f"key {name!r} ({role}) is in {path}; it is not shown again", err=True)


@app.command(name="list")
def list_keys(keys: Keys = None, as_json: JsonFlag = False) -> None:
    """List the keys by name, with what they allow and when they were made."""
    from recsys.service.keys import KeyFile, default_key_file

    found = KeyFile(keys or default_key_file()).keys()
    facts = [{"name": key.name, "role": key.role, "created": key.created} for key in found]
    if as_json:
        print_json(facts)
        return
    for fact in facts:
        echo("\t".join(fact.values()))


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of the key.")],
    keys: Keys = None,
) -> None:
    """Take a key out. A service that runs refuses it from then on."""
    from recsys.service.keys import KeyFile, default_key_file

    path = keys or default_key_file()
    KeyFile(path).remove(name)
    echo(f"key {name!r} is taken out of {path}", err=True)
