"""The command that serves a model over HTTP: `coldtune serve`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from datasets.errors import InvalidArgumentError
from recsys.commands.options import read_object
from recsys.commands.printing import echo

_PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


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
