"""The command that serves a model over HTTP: `coldtune serve`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from datasets.errors import InvalidArgumentError
from recsys.commands.options import Model, read_object
from recsys.commands.printing import echo

_PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    model: Model,
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
        typer.Option(help="Folder whose recordings may be listened to; repeat for more."),
    ] = None,
    uploads: Annotated[
        Path | None, typer.Option(help="Folder that keeps uploaded recordings; none by default.")
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="Origin whose pages may ask, as https://music.example; repeat."),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Address by which clients reach it, for playlists.")
    ] = None,
    page: Annotated[
        bool | None, typer.Option("--page/--no-page", help="Whether to serve the page.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Further settings (limits, times) as a JSON file.")
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
        "uploads": uploads, "origins": cors, "url": url, "page": page,
    }  # fmt: skip
    values = {} if config is None else read_object(config)
    values |= {name: value for name, value in given.items() if value is not None}
    settings = ServiceSettings.from_json(values)
    for folder in settings.audio_folders:
        if not folder.is_dir():
            raise InvalidArgumentError(f"--audio: {folder} is no folder")
    serve_model(model, settings, listening=lambda at: echo(f"coldtune serves {model} at {at}"))


def _check_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise InvalidArgumentError(
            f"coldtune serve needs {', '.join(missing)}: pip install 'coldtune[service]'"
        )
