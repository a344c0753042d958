"""Commands on sound itself: record it."""

from pathlib import Path
from typing import Annotated

import typer


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
    from embedding.microphone import MicrophoneConfig, record_file

    config = MicrophoneConfig(
        seconds=seconds,
        device=int(device) if device is not None and device.isdecimal() else device,
        sample_rate=sample_rate,
        channels=2 if stereo else 1,
    )
    record_file(out, config, progress=True)
    typer.echo(f"{seconds:g} s written to {out}")
