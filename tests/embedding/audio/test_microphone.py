"""Recording, with a stand-in for the package sounddevice, and with what can be missing."""

import importlib.abc
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio.microphone import MicrophoneConfig, record, record_file
from recsys import cli

MICROPHONE = {"name": "USB\nmicrophone", "max_input_channels": 1}
SPEAKERS = {"name": "Speakers", "max_input_channels": 0}


class Device(types.ModuleType):
    """A module as sounddevice: its one microphone hears 440 Hz on the left, 880 on the right."""

    class PortAudioError(Exception):
        pass

    def __init__(self, level: float = 0.5, overflows: bool = False, fails_at: int = -1) -> None:
        super().__init__("sounddevice")
        self.level, self.overflows, self.fails_at = level, overflows, fails_at
        self.devices = [SPEAKERS, MICROPHONE]
        self.asked: dict[str, object] = {}
        self.open = False

    def query_devices(self) -> list[dict[str, object]]:
        return self.devices

    def InputStream(self, **asked: object) -> "Stream":  # noqa: N802  (the package's own name)
        self.asked = asked
        if asked["device"] not in (None, 1):
            raise ValueError(f"No input device matching {asked['device']!r}")
        if not any(device["max_input_channels"] for device in self.devices):
            raise self.PortAudioError("Error querying device -1", -9996)
        return Stream(self)


class Stream:
    def __init__(self, device: Device) -> None:
        self.device, self.at = device, 0

    def __enter__(self) -> "Stream":
        self.device.open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.device.open = False

    def read(self, frames: int) -> tuple[np.ndarray, bool]:
        if 0 <= self.device.fails_at <= self.at:
            raise KeyboardInterrupt
        t = np.arange(self.at, self.at + frames)[:, None] / self.device.asked["samplerate"]
        self.at += frames
        tones = np.sin(2 * np.pi * np.array([440, 880]) * t)[:, : self.device.asked["channels"]]
        return (self.device.level * tones).astype(np.float32), self.device.overflows


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    module = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


class TestSound:
    def test_as_an_array(self, device: Device) -> None:
        y = record(MicrophoneConfig(seconds=1.3, sample_rate=8000, channels=2))
        t = np.arange(10_400)[:, None] / 8000
        expected = 0.5 * np.sin(2 * np.pi * np.array([440, 880]) * t)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, atol=1e-6)
        assert device.asked["device"] is None
        assert not device.open

    @pytest.mark.parametrize("name", ["new.wav", "new.FLAC", "folder/new.ogg"])
    def test_in_a_file(self, device: Device, tmp_path: Path, name: str) -> None:
        record_file(tmp_path / name, MicrophoneConfig(seconds=0.7, device=1))
        y, rate = soundfile.read(tmp_path / name)
        assert rate == 44_100
        assert y.shape == (30_870,)
        assert np.abs(y).max() == pytest.approx(0.5, abs=0.05)
        assert device.asked["device"] == 1

    def test_by_the_command(self, device: Device, tmp_path: Path, monkeypatch, capsys) -> None:
        path = tmp_path / "my song.wav"
        arguments = ["coldtune", "record", str(path), "--seconds", "0.5", "--device", "1"]
        monkeypatch.setattr(sys, "argv", [*arguments, "--stereo", "--sample-rate", "22050"])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert not caught.value.code
        assert capsys.readouterr().out == f"0.5 s written to {path}\n"
        assert soundfile.info(path).channels == 2
        assert soundfile.info(path).samplerate == 22_050


class TestWarnings:
    def test_silence(self, device: Device, caplog) -> None:
        device.level = 0
        record(MicrophoneConfig(seconds=0.2))
        assert "only silence was recorded" in caplog.text

    def test_lost_sound(self, device: Device, caplog) -> None:
        device.overflows = True
        record(MicrophoneConfig(seconds=2))
        assert caplog.text.count("some of the sound was lost") == 1

    def test_none(self, device: Device, caplog) -> None:
        record(MicrophoneConfig(seconds=0.2))
        assert not caplog.text


class TestWhatIsMissing:
    def message(self, pattern: str, **settings) -> None:
        with pytest.raises(AudioError, match=pattern) as caught:
            record(MicrophoneConfig(**settings))
        assert "\n" not in str(caught.value)

    def test_the_package(self, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "sounddevice", None)
        self.message(r"needs the package sounddevice: pip install 'coldtune\[microphone\]'")

    def test_the_library(self, monkeypatch) -> None:
        class NoPortAudio(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name == "sounddevice":
                    raise OSError("PortAudio library not found")

        monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
        monkeypatch.setattr(sys, "meta_path", [NoPortAudio(), *sys.meta_path])
        self.message(r"needs the PortAudio library \(.*apt install libportaudio2")

    def test_any_device(self, device: Device) -> None:
        device.devices = [SPEAKERS]
        self.message(r"no microphone can be used: .*device -1 \(input devices: none\)")

    def test_the_wanted_device(self, device: Device) -> None:
        self.message(r"device 'tape': No input device .* devices: 1 .*microphone", device="tape")


def test_an_interrupted_recording_leaves_nothing_behind(device: Device, tmp_path: Path) -> None:
    device.fails_at = 44_100
    with pytest.raises(KeyboardInterrupt):
        record_file(tmp_path / "new.wav", MicrophoneConfig(seconds=3))
    assert list(tmp_path.iterdir()) == []
    assert not device.open


@pytest.mark.parametrize(
    ("name", "reason"), [("new.mp4", r"\.wav, \.flac, \.ogg"), ("folder.wav", "is a folder")]
)
def test_a_place_that_cannot_be_written_to(
    device: Device, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(InvalidArgumentError, match=rf"{name}: .*{reason}"):
        record_file(tmp_path / name, MicrophoneConfig())
    assert not device.asked


@pytest.mark.parametrize("settings", [{"seconds": 0}, {"channels": 3}, {"sample_rate": 1}])
def test_settings_out_of_range_are_named(settings: dict) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(settings))):
        MicrophoneConfig(**settings)
