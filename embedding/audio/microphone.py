"""Record from a microphone by the package sounddevice (extra ``microphone``)."""

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
from datasets.progress import progress_bar
from datasets.settings import Settings
from datasets.system.files import atomic_write
from embedding.audio.snippets import is_silent

logger = logging.getLogger("coldtune")

BLOCK_SECONDS = 0.5
"""Length of the blocks in which sound is read from the device."""

RECORDING_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG"}
"""Formats of sound files by suffix."""


class MicrophoneConfig(Settings):
    """Length, device and format of a recording.

    Examples:
        >>> from embedding.audio import MicrophoneConfig
        >>> MicrophoneConfig(seconds=10, channels=2).sample_rate
        44100
    """

    seconds: float = Field(default=5.0, ge=0.05, le=86_400.0)
    """Length of the recording."""

    device: int | str | None = None
    """Number or part of the name of the input device; None for the default of the system."""

    sample_rate: int = Field(default=44_100, ge=4000, le=192_000)
    """Sample rate in Hz."""

    channels: int = Field(default=1, ge=1, le=2)
    """1 for mono, 2 for stereo."""


def record(config: MicrophoneConfig, *, progress: bool = False) -> Float32Array:
    """Record from a microphone (paragraph 33).

    Args:
        config: length, device and format of the recording.
        progress: show a progress bar.

    Returns:
        float32 [frames, channels], -1 to 1, at ``config.sample_rate`` Hz.

    Raises:
        AudioError: the package sounddevice, the PortAudio library or the device is missing; the
            message says which one and how to fix it.

    Examples:
        >>> from embedding.audio import MicrophoneConfig, record
        >>> y = record(MicrophoneConfig(seconds=3))  # doctest: +SKIP
    """
    return np.concatenate(list(_record_blocks(config, progress)))


def record_file(path: Path, config: MicrophoneConfig, *, progress: bool = False) -> None:
    """Record from a microphone to a wav, flac or ogg file; if interrupted, no file is written.

    Args:
        path: the file; its suffix decides the format.
        config: length, device and format of the recording.
        progress: show a progress bar.

    Raises:
        AudioError: as `record`.
        InvalidArgumentError: unknown suffix, or the file cannot be written.

    Examples:
        >>> from embedding.audio import MicrophoneConfig, record_file
        >>> record_file(folder / "song.ogg", MicrophoneConfig())  # doctest: +SKIP
        >>> record_file(folder / "song.txt", MicrophoneConfig())
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: ...song.txt: a recording is written as .wav, ...
    """
    kind = RECORDING_FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InvalidArgumentError(
            f"{path}: a recording is written as {', '.join(RECORDING_FORMATS)}"
        )
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
    """Record block by block; log a warning about silence and about lost sound."""
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
    # sounddevice raises ValueError if no device, or more than one, has that name.
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(_device_message(sounddevice, config, error)) from error
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
    except OSError:  # raised if the PortAudio library is missing
        raise AudioError(
            "recording needs the PortAudio library "
            "(Debian and Ubuntu: apt install libportaudio2; macOS: brew install portaudio)"
        ) from None
    return sounddevice


def _device_message(sounddevice: Any, config: MicrophoneConfig, error: Exception) -> str:
    """Error message: the reason, and the available input devices."""
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
