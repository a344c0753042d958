"""Recording from a microphone, with the package sounddevice (the extra ``microphone``)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from pydantic import Field

from datasets.arrays import Float32Array
from datasets.errors import AudioError, InvalidArgumentError
from datasets.files import atomic_write
from datasets.progress import progress_bar
from datasets.settings import Settings
from embedding.audio.snippets import is_silent

logger = logging.getLogger("coldtune")

BLOCK_SECONDS = 0.5
"""Sound is taken from the device and written in blocks of this length."""

FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG"}
"""Formats that a recording is written in, by the end of the file's name."""


class MicrophoneConfig(Settings):
    """How sound is recorded."""

    seconds: float = Field(default=5.0, ge=0.05, le=86_400.0)
    """Length of the recording."""

    device: int | str | None = None
    """The input device: its number, or a part of its name; None for the system's own choice."""

    sample_rate: int = Field(default=44_100, ge=4000, le=192_000)
    """Samples a second."""

    channels: int = Field(default=1, ge=1, le=2)
    """1 for mono, 2 for stereo."""


def record(config: MicrophoneConfig, *, progress: bool = False) -> Float32Array:
    """Record from a microphone (paragraph 33).

    Args:
        config: length, device and form of the recording.
        progress: show a progress bar.

    Returns:
        float32 [frames, channels], -1 to 1, ``config.sample_rate`` frames a second.

    Raises:
        AudioError: no package sounddevice, no PortAudio library, or no such device; one line says
            which and what helps.
    """
    return np.concatenate(list(_record_blocks(config, progress)))


def record_file(path: Path, config: MicrophoneConfig, *, progress: bool = False) -> None:
    """Record from a microphone to a wav, flac or ogg file, all of it or, if interrupted, nothing.

    Raises:
        AudioError: as :func:`record`.
        InvalidArgumentError: the name ends in no known format, or the folder cannot be written to.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InvalidArgumentError(f"{path}: a recording is written as {', '.join(FORMATS)}")
    if path.is_dir():
        raise InvalidArgumentError(f"{path}: is a folder")
    try:
        with (
            atomic_write(path) as temporary,
            soundfile.SoundFile(
                temporary, "w", config.sample_rate, config.channels, format=kind
            ) as target,
        ):
            for block in _record_blocks(config, progress):
                target.write(block)
    except (OSError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidArgumentError(f"{path}: cannot be written: {reason}") from error


def _record_blocks(config: MicrophoneConfig, progress: bool) -> Iterator[Float32Array]:
    """The sound, block after block; what is odd about it is a warning."""
    sounddevice = _sounddevice()
    frames = round(config.seconds * config.sample_rate)
    size = round(BLOCK_SECONDS * config.sample_rate)
    silent, lost = True, False
    try:
        with (
            sounddevice.InputStream(
                samplerate=config.sample_rate,
                channels=config.channels,
                device=config.device,
                dtype="float32",
            ) as stream,
            progress_bar("recording", frames, shown=progress) as advance,
        ):
            for start in range(0, frames, size):
                block, overflowed = stream.read(min(size, frames - start))
                silent, lost = silent and is_silent(block), lost or overflowed
                advance(len(block))
                yield np.array(block, dtype=np.float32)
    # ValueError is what sounddevice says of a name that no device or more than one has.
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(_no_device(sounddevice, config, error)) from error
    if silent:
        logger.warning("only silence was recorded: the microphone may be muted")
    if lost:
        logger.warning("the machine was too busy: some of the sound was lost")


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise AudioError(
            "recording needs the package sounddevice: pip install 'coldtune[microphone]'"
        ) from None
    except OSError:  # what it raises without the library
        raise AudioError(
            "recording needs the PortAudio library "
            "(Debian and Ubuntu: apt install libportaudio2; macOS: brew install portaudio)"
        ) from None
    return sounddevice


def _no_device(sounddevice: Any, config: MicrophoneConfig, error: Exception) -> str:
    """Why there is no recording, and which devices there are."""
    reason = " ".join(str(error.args[0] if error.args else error).split())
    wanted = "no microphone can be used" if config.device is None else f"device {config.device!r}"
    try:
        inputs = [
            f"{number} {device['name']!r}"
            for number, device in enumerate(sounddevice.query_devices())
            if device["max_input_channels"] > 0
        ]
    except sounddevice.PortAudioError:
        inputs = []
    return f"{wanted}: {reason} (input devices: {', '.join(inputs) or 'none'})"
