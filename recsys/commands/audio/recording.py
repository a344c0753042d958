"""The commands `coldtune record` and `picture`: from a microphone, and what is seen of it."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.commands.printing import echo


def record(
    out: Annotated[Path, typer.Argument(help="File to write: .wav, .flac or .ogg.")],
    seconds: Annotated[float, typer.Option(help="Length of the recording.")] = 5.0,
    device: Annotated[
        str | None, typer.Option(help="Input device: its number, or a part of its name.")
    ] = None,
    sample_rate: Annotated[int, typer.Option(help="Samples a second.")] = 44_100,
    stereo: Annotated[bool, typer.Option("--stereo", help="Two channels.")] = False,
) -> None:
    """Record from a microphone (needs the package sounddevice, the extra "microphone")."""
    from embedding.audio.microphone import MicrophoneConfig, record_file

    config = MicrophoneConfig(
        seconds=seconds,
        device=int(device) if device is not None and device.isdecimal() else device,
        sample_rate=sample_rate,
        channels=2 if stereo else 1,
    )
    record_file(out, config, progress=True)
    echo(f"{seconds:g} s written to {out}")


def picture(
    file: Annotated[Path, typer.Argument(help="Recording.")],
    out: Annotated[Path, typer.Option(help="File to write: .png, .pdf or .svg.")] = Path(
        "picture.png"
    ),
    seconds: Annotated[float, typer.Option(help="Length of the snippet that is drawn.")] = 5.0,
    position: Annotated[
        str, typer.Option(help="Where it lies: start, middle, end or random.")
    ] = "middle",
    at: Annotated[
        float | None, typer.Option(help="Second of the recording from which on it is taken.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of a random position.")] = 0,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Part to draw alone, as waveform or mel; repeat for more."),
    ] = None,
) -> None:
    """Draw a snippet of a recording: waveform, all transforms, hyper-images."""
    from embedding.audio.config import SnippetConfig
    from embedding.hyperimage.plots import draw

    place = {"position": "at", "at": at} if at is not None else {"position": position}
    draw(file, out, SnippetConfig(seconds=seconds, seed=seed, **place), only=only or ())
    echo(f"picture written to {out}")
