"""The service: `coldtune serve`, its API keys (`key`), and what players report (`listens`)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from datasets.errors import InvalidArgumentError
from recsys.commands.options import JsonFlag, Model, read_object
from recsys.commands.printing import echo, print_frame, print_json

key_app = typer.Typer(no_args_is_help=True, help="API keys of the service (coldtune serve).")

_PACKAGES = (
    "fastapi", "uvicorn", "httptools", "uvloop", "python_multipart", "prometheus_client",
)  # fmt: skip


def serve(
    model: Annotated[
        str,
        typer.Argument(help="Folder of a saved model, or one of MLflow's: models:/NAME/VERSION."),
    ],
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 127.0.0.1 by default.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 8000 by default, 0 for a free one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that answer; 1 by default.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="File of API keys (coldtune key add); needed but on this machine alone."),
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option(
            "--audio",
            "--audio-folder",
            help="Folder whose recordings may be listened to; repeat for more.",
        ),
    ] = None,
    uploads: Annotated[
        Path | None, typer.Option(help="Folder that keeps uploaded recordings; none by default.")
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            "--cors",
            "--cors-origin",
            help="Origin whose pages may ask, as https://music.example; repeat for more.",
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Address by which clients reach it, for playlists.")
    ] = None,
    page: Annotated[
        bool | None, typer.Option("--page/--no-page", help="Whether to serve the page.")
    ] = None,
    max_body: Annotated[
        int | None, typer.Option(help="Largest request that is no upload, in bytes; 1 MiB.")
    ] = None,
    max_upload: Annotated[
        int | None, typer.Option(help="Largest upload, in bytes; 200 MiB.")
    ] = None,
    upload_seconds: Annotated[
        float | None, typer.Option(help="Time within which a request has to arrive; 120 s.")
    ] = None,
    read_seconds: Annotated[
        float | None, typer.Option(help="Time after which a question is given up; 10 s.")
    ] = None,
    decodes: Annotated[
        int | None, typer.Option(help="Recordings that each process hears at once; 1.")
    ] = None,
    max_k: Annotated[int | None, typer.Option(help="Longest list; 1000.")] = None,
    copy: Annotated[
        Path | None,
        typer.Option(help="Folder for the copy of a model of MLflow, which takes in what comes."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Further settings (ServiceSettings) as a JSON file.")
    ] = None,
) -> None:
    """Serve a model: programs ask over HTTP, people in a browser. Ctrl-C or SIGTERM ends it.

    Needs the packages of the extra "service": pip install "coldtune[service]".
    """
    _check_packages()
    from recsys.service.server import serve as serve_model
    from recsys.service.settings import ServiceSettings

    given: dict[str, Any] = {
        "host": host, "port": port, "workers": workers, "keys": keys, "audio_folders": audio,
        "uploads": uploads, "origins": cors, "url": url, "page": page, "max_body": max_body,
        "max_upload": max_upload, "upload_seconds": upload_seconds, "read_seconds": read_seconds,
        "decodes": decodes, "max_k": max_k,
    }  # fmt: skip
    values = {} if config is None else read_object(config)
    values |= {name: value for name, value in given.items() if value is not None}
    settings = ServiceSettings.from_json(values)
    folder = _folder(model, copy)
    if settings.keys is None and not settings.audio_folders and (demo := demo_recordings(folder)):
        settings = settings.replace(audio_folders=(demo,))
    serve_model(
        folder,
        settings,
        listening=lambda at: echo(f"coldtune serves {model} at {at}"),
    )


def _folder(model: str, copy: Path | None) -> Path:
    """The folder of a model, fetched from MLflow if it is there."""
    from recsys.tracking.registry import fetch_model, is_logged

    if not is_logged(model):
        if copy is not None:
            raise InvalidArgumentError(f"--copy is for models of MLflow, and {model} is a folder")
        return Path(model)
    folder = fetch_model(model, copy)
    echo(f"{model} is served from its copy in {folder}", err=True)
    return folder


def demo_recordings(model: Path) -> Path | None:
    """Return the demo catalogue beside a model; None where there is none.

    Its recordings were composed by `coldtune demo`, so that they may be listened to on this machine
    without being named.

    Args:
        model: folder of a model.
    """
    from datasets.demo.make import is_demo

    catalogue = model.absolute().parent / "catalogue"
    return catalogue if is_demo(catalogue) else None


def _check_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise InvalidArgumentError(
            f"coldtune serve needs {', '.join(missing)}: pip install 'coldtune[service]'"
        )


Keys = Annotated[
    Path | None,
    typer.Option("--keys", help="File of the keys; COLDTUNE_KEYS or ~/.config/coldtune/keys.json."),
]


@key_app.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Who will use the key; stands in logs.")],
    role: Annotated[
        Literal["read", "write"], typer.Option(help="read: ask; write: change the model, too.")
    ],
    keys: Keys = None,
) -> None:
    """Make a key and print it. It is shown this once; only its digest is stored."""
    from recsys.service.requests.keys import KeyFile, default_key_file

    path = keys or default_key_file()
    token = KeyFile(path).add(name, role)
    echo(token)
    echo(f"key {name!r} ({role}) is in {path}; it is not shown again", err=True)


@key_app.command("list")
def list_keys(keys: Keys = None, as_json: JsonFlag = False) -> None:
    """List the keys by name, with what they allow and when they were made."""
    from recsys.service.requests.keys import KeyFile, default_key_file

    found = KeyFile(keys or default_key_file()).keys()
    facts = [{"name": key.name, "role": key.role, "created": key.created} for key in found]
    if as_json:
        print_json(facts)
        return
    for fact in facts:
        echo("\t".join(fact.values()))


@key_app.command("remove")
def remove_key(
    name: Annotated[str, typer.Argument(help="Name of the key.")],
    keys: Keys = None,
) -> None:
    """Take a key out. A service that runs refuses it from then on."""
    from recsys.service.requests.keys import KeyFile, default_key_file

    path = keys or default_key_file()
    KeyFile(path).remove(name)
    echo(f"key {name!r} is taken out of {path}", err=True)


def listens(
    model: Model,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many tracks.")] = 50,
    take_in: Annotated[
        bool,
        typer.Option("--take-in", help="First make plays of those whose songs are items by now."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List tracks that players have reported (coldtune serve) and that are no items of the model.

    Their listens are kept, and become plays when their songs are onboarded: at once where a service
    runs, or with --take-in.
    """
    import pandas as pd

    from recsys.model.artifact import read_manifest
    from recsys.service.listens.unmatched import UnmatchedListens, listens_file

    read_manifest(model)  # says if there is no model
    if take_in:
        from recsys import Recommender
        from recsys.service.listens.intake import ListenIntake
        from recsys.service.serving import ServedModel

        served = ServedModel(Recommender.load(model))
        taken = ListenIntake(served, file=listens_file(model)).settle()
        echo(f"{taken:,} listens are plays now", err=True)
    waiting = UnmatchedListens(listens_file(model))
    tracks, count = waiting.counts()
    rows = [
        {
            "listens": one.listens,
            "users": one.users,
            "artist": one.track.artist,
            "title": one.track.title,
            "album": one.track.album,
            "last": datetime.fromtimestamp(one.last, UTC).isoformat(timespec="seconds"),
        }
        for one in waiting.tracks(k)
    ]
    if as_json:
        print_json({"tracks": rows, "n_tracks": tracks, "n_listens": count})
        return
    if rows:
        print_frame(pd.DataFrame(rows))
    echo(f"{count:,} listens of {tracks:,} tracks wait for their songs", err=True)
