"""Decoding by ffmpeg: the right part, nothing but the recording, and nothing in silence."""

import os
import socket
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.errors import AudioError
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import load_snippets, snippets_ahead
from embedding.audio.source import RecordingFile
from embedding.decoding import ffmpeg
from embedding.decoding.containers import kind_for_ffmpeg, read_header
from embedding.decoding.ffmpeg import decode_with_ffmpeg, measure, probe
from embedding.decoding.readers import FfmpegReader, ShorterError, open_recording
from tests.helpers.programs import needs
from tests.helpers.recordings import box, install_ffmpeg, m4a_header

RATE = 44100

SECONDS = 40


def convert(source: Path, target: Path, *options: str) -> Path:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", source, *options, target]
    subprocess.run([*map(str, command)], check=True)
    return target


@pytest.fixture(scope="module")
def melody(tmp_path_factory) -> Path:
    """Another tone every quarter of a second over a little noise, so that each place is known."""
    rng = np.random.default_rng(0)
    t = np.arange(RATE // 4) / RATE
    pitches = 220 * 2 ** (rng.integers(0, 24, 4 * SECONDS) / 12)
    tones = np.concatenate(
        [0.4 * np.sin(2 * np.pi * pitch * t) * np.exp(-4 * t) for pitch in pitches]
    )
    path = tmp_path_factory.mktemp("melody") / "melody.wav"
    soundfile.write(path, tones + 0.01 * rng.normal(size=len(tones)), RATE)
    return path


def lag(one: np.ndarray, other: np.ndarray) -> tuple[int, float]:
    """By how many samples `other` is later, and how alike they then are."""
    n = 2 * len(one)
    product = np.fft.irfft(np.fft.rfft(one, n).conj() * np.fft.rfft(other, n))
    late = int(np.argmax(product))
    return late - n if late > n // 2 else late, float(
        product.max() / np.linalg.norm(one) / np.linalg.norm(other)
    )


FORMATS: dict[str, tuple[str, ...]] = {
    "lossless.m4a": ("-c:a", "alac"),
    "song.m4a": ("-c:a", "aac", "-b:a", "128k"),
    "faststart.mp4": ("-c:a", "aac", "-movflags", "+faststart"),
    "song.aac": ("-c:a", "aac", "-b:a", "128k"),
    "song.webm": ("-c:a", "libopus"),
    "song.wma": ("-c:a", "wmav2"),
    "song.wv": (),
}


@needs("ffmpeg", "ffprobe")
class TestPlace:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("position", ["start", "middle", "end"])
    def test_a_snippet_is_that_of_the_wav(self, melody, tmp_path, name, position) -> None:
        path = convert(melody, tmp_path / name, *FORMATS[name])
        snippet = SnippetConfig(position=position, seconds=3)
        (expected,) = load_snippets(melody, snippet, RATE)
        (y,) = load_snippets(path, snippet, RATE)
        late, alike = lag(expected, y)
        assert len(y) == len(expected)
        assert alike > 0.9
        # aac without a container does not say how much its encoder put before the sound, and
        # Windows Media counts in milliseconds and in blocks.
        exact = name.endswith(("m4a", "mp4", "wv"))
        assert abs(late) <= (1 if exact else 0.05 * RATE)

    def test_lossless_is_the_same_to_the_sample(self, melody, tmp_path) -> None:
        path = convert(melody, tmp_path / "a.m4a", "-c:a", "alac")
        for snippet in (
            SnippetConfig(count=4), SnippetConfig(position="at", at=7.5),
            SnippetConfig(position="whole", seconds=4, hop=3),
        ):  # fmt: skip
            for y, expected in zip(
                load_snippets(path, snippet, RATE),
                load_snippets(melody, snippet, RATE), strict=True,
            ):  # fmt: skip
                np.testing.assert_allclose(y, expected, atol=1e-4)

    def test_the_header_tells_the_length_as_ffprobe_does(self, melody, tmp_path) -> None:
        path = convert(melody, tmp_path / "a.m4a", "-c:a", "aac")
        known, found = read_header(path), probe(path)
        assert known == found
        assert known.seconds == SECONDS
        assert measure(path).seconds == pytest.approx(SECONDS, abs=0.05)

    def test_parts_far_apart_and_near_are_those_of_the_whole(self, melody, tmp_path) -> None:
        path = convert(melody, tmp_path / "a.wv")
        whole = decode_with_ffmpeg(path).samples
        reader = FfmpegReader(path)
        starts = [0, 1000, 5 * RATE, 5 * RATE + 7, 35 * RATE]
        parts = list(reader.read_parts(starts, 2 * RATE))
        for start, part in zip(starts, parts, strict=True):
            np.testing.assert_array_equal(part, whole[start : start + 2 * RATE])
        blocks = list(reader.read_blocks(10_000))
        assert {len(block) for block in blocks[:-1]} == {10_000}
        np.testing.assert_array_equal(np.concatenate(blocks), whole)

    def test_a_fragmented_file_has_its_real_length(self, melody, tmp_path) -> None:
        path = convert(
            melody, tmp_path / "a.mp4", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"
        )  # fmt: skip
        assert read_header(path) is None
        with open_recording(path) as reader:
            assert reader.frames / reader.rate == pytest.approx(SECONDS, abs=0.05)

    @pytest.mark.slow
    def test_a_cut_file_is_used_as_far_as_it_goes(self, melody, tmp_path) -> None:
        path = convert(melody, tmp_path / "a.m4a", "-c:a", "aac", "-movflags", "+faststart")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with open_recording(path) as reader, pytest.raises(ShorterError):
            list(reader.read_parts([30 * RATE], RATE))
        assert 15 < reader.frames / reader.rate < 25
        (y,) = load_snippets(path, SnippetConfig(position="end"), RATE)
        assert len(y) == 5 * RATE
        assert np.abs(y[-RATE:]).max() > 0.1

    def test_without_ffprobe_the_length_is_measured(self, melody, tmp_path, monkeypatch) -> None:
        path = convert(melody, tmp_path / "a.webm", "-c:a", "libopus")
        (tmp_path / "bin").mkdir()
        program = subprocess.run(["which", "ffmpeg"], capture_output=True, text=True).stdout.strip()
        (tmp_path / "bin" / "ffmpeg").symlink_to(program)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        assert probe(path).seconds == pytest.approx(SECONDS, abs=0.1)


@needs("ffmpeg", "ffprobe")
class TestNothingElseIsRead:
    @pytest.fixture
    def secret(self, melody, tmp_path) -> Path:
        return convert(melody, tmp_path / "secret.aac", "-c:a", "aac", "-t", "8")

    @pytest.mark.parametrize("name", ["a.m4a", "a.mp3", "a.wav", "a.flac", "a.ogg", "a", "a.m3u8"])
    @pytest.mark.parametrize(
        "script",
        [
            "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\n{secret}\n#EXT-X-ENDLIST\n",
            "ffconcat version 1.0\nfile '{secret}'\n",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
            "m=audio 5004 RTP/AVP 0\n",
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet>'
            '<Representation mimeType="audio/mp4"><BaseURL>{secret}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>",
            "[playlist]\nFile1={secret}\nNumberOfEntries=1\n",
        ],
        ids=["HLS", "ffconcat", "SDP", "DASH", "PLS"],
    )
    def test_a_script_under_the_name_of_a_recording(
        self, secret: Path, tmp_path: Path, name: str, script: str
    ) -> None:
        path = tmp_path / name
        path.write_text(script.format(secret=secret))
        with pytest.raises(
            AudioError,
            match=r"cannot be decoded: it is |is not a recording|damaged, or not|not by ffmpeg",
        ):
            load_snippets(path, SnippetConfig(), RATE)

    @pytest.mark.parametrize("kind", [b"url ", b"alis"])
    def test_an_m4a_whose_sound_lies_in_another_file(
        self, melody, tmp_path: Path, kind: bytes
    ) -> None:
        convert(melody, tmp_path / "a.mov", "-c:a", "pcm_s16be", "-t", "8")
        content = (tmp_path / "a.mov").read_bytes()
        own = struct.pack(">I4sI", 12, b"alis", 1)
        at = content.find(own) if own in content else content.find(b"url \0\0\0\1") - 4
        assert at > 0
        # The reference names the file itself under another name, and there is no other data.
        name = str(tmp_path / "a.mov").encode()
        moov = content[content.find(b"moov") - 4 :]
        reference = box(kind, bytes(4), name, b"\0")
        assert moov.count(content[at : at + 12]) == 1
        moov = moov.replace(content[at : at + 12], reference)
        for parent in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
            begin = [i for i in _places(moov, parent) if i < moov.find(reference)][-1] - 4
            (size,) = struct.unpack(">I", moov[begin : begin + 4])
            longer = struct.pack(">I", size + len(reference) - 12)
            moov = moov[:begin] + longer + moov[begin + 4 :]
        path = tmp_path / "evil.m4a"
        path.write_bytes(content[:32] + moov)
        with pytest.raises(AudioError):
            load_snippets(path, SnippetConfig(), RATE)

    @pytest.mark.parametrize(
        "name", ["-i.m4a", "concat:a|b.m4a", "http:x.m4a", "a%03d.m4a", "pipe:0", "[x]'\".m4a"]
    )
    def test_names_are_no_options_and_no_addresses(
        self, melody, tmp_path: Path, monkeypatch, name: str
    ) -> None:
        content = convert(melody, tmp_path / "a.m4a", "-c:a", "alac", "-t", "6").read_bytes()
        monkeypatch.chdir(tmp_path)
        Path(name).write_bytes(content)
        (y,) = load_snippets(name, SnippetConfig(), RATE)
        np.testing.assert_allclose(y, load_snippets("a.m4a", SnippetConfig(), RATE)[0])

    def test_what_is_allowed_is_no_list_of_files(self) -> None:
        allowed = set(ffmpeg.CONTAINERS.split(","))
        assert not allowed & {
            "hls", "concat", "dash", "sdp", "rtsp", "rtp", "image2", "imf", "lavfi",
            "webm_dash_manifest",
        }  # fmt: skip


def _places(content: bytes, name: bytes) -> list[int]:
    return [at for at in range(len(content)) if content.startswith(name, at)]


class TestNotAFile:
    """What would wait, or do something, when it is opened."""

    @pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a"])
    def test_a_pipe(self, tmp_path: Path, name: str) -> None:
        os.mkfifo(tmp_path / name)
        with pytest.raises(AudioError, match="is a pipe, not a recording"):
            load_snippets(tmp_path / name, SnippetConfig(), RATE)

    def test_a_link_to_a_device(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").symlink_to("/dev/zero")
        with pytest.raises(AudioError, match="is a device, not a recording"):
            load_snippets(tmp_path / "a.wav", SnippetConfig(), RATE)

    def test_a_socket(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)  # addresses of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("a.wav")
            with pytest.raises(AudioError, match="is a socket, not a recording"):
                load_snippets("a.wav", SnippetConfig(), RATE)

    def test_a_pipe_that_takes_the_place_of_the_file(self, recording, monkeypatch) -> None:
        path = recording("a.wav")
        status = path.stat()
        path.unlink()
        os.mkfifo(path)
        monkeypatch.setattr(Path, "stat", lambda self, **_: status)
        with pytest.raises(AudioError, match="is a pipe, not a recording"):
            load_snippets(path, SnippetConfig(), RATE)


AU = (
    r'printf ".snd\000\000\000\030\377\377\377\377\000\000\000\006\000\000\126\042\000\000\000\001"'
)
"""Writes the header of a recording of one channel of 22,050 samples a second."""


class TestTheProgramFails:
    """With a stand-in that does what ffmpeg rarely does."""

    def reason(self, tmp_path: Path, monkeypatch, script: str, name: str = "song.m4a") -> str:
        install_ffmpeg(tmp_path, monkeypatch, script)
        path = tmp_path / name
        path.write_bytes(m4a_header(22050, 9))
        with pytest.raises(AudioError) as caught:
            load_snippets(path, SnippetConfig(), 22050)
        return str(caught.value).removeprefix(f"{path}: ")

    @pytest.mark.parametrize("code", [1, 69, 255])
    def test_half_of_the_sound_and_an_exit_code(self, tmp_path, monkeypatch, code: int) -> None:
        script = f"{AU}; /usr/bin/head -c 400000 /dev/zero; echo why >&2; exit {code}"
        said = self.reason(tmp_path, monkeypatch, script)
        assert said == "cannot be decoded, not by ffmpeg either: why"

    def test_it_is_killed(self, tmp_path, monkeypatch) -> None:
        said = self.reason(tmp_path, monkeypatch, f"{AU}; kill -9 $$")
        assert said == "cannot be decoded: ffmpeg was ended by signal 9"

    def test_it_says_nothing_for_long(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(ffmpeg, "SILENT_SECONDS", 0.2)
        assert "decoded nothing of it for 0.2 s" in self.reason(tmp_path, monkeypatch, "sleep 600")

    def test_it_never_ends(self, tmp_path, monkeypatch) -> None:
        said = self.reason(tmp_path, monkeypatch, f"{AU}; cat /dev/zero")
        assert said == "cannot be decoded: ffmpeg wrote more than was asked for"

    def test_it_writes_something_else(self, tmp_path, monkeypatch) -> None:
        said = self.reason(tmp_path, monkeypatch, "cat /dev/zero")
        assert said == "cannot be decoded: ffmpeg wrote something that is not sound"

    def test_it_talks_without_end(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(ffmpeg, "SILENT_SECONDS", 0.5)
        assert "decoded nothing" in self.reason(tmp_path, monkeypatch, "cat /dev/zero >&2")

    def test_its_reason_is_one_line_of_plain_text(self, tmp_path, monkeypatch) -> None:
        script = r"printf 'first\n[mov @ 0x55d0c8c0] \033[31mred\r\n' >&2; exit 1"
        said = self.reason(tmp_path, monkeypatch, script)
        assert said.isprintable()
        assert "0x55d0c8c0" not in said

    def test_nothing_is_written_to_the_temporary_folder(self, tmp_path, monkeypatch) -> None:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
        self.reason(tmp_path, monkeypatch, f"{AU}; exit 1")
        assert list((tmp_path / "temporary").iterdir()) == []


class TestMessages:
    @needs("ffmpeg", "ffprobe")
    def test_a_video_without_sound(self, tmp_path: Path) -> None:
        path = tmp_path / "film.mp4"
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=0.2:s=32x32", str(path)]
        subprocess.run(command, check=True)
        with pytest.raises(AudioError, match=r"film\.mp4: has no sound: .* no audio stream in it$"):
            load_snippets(path, SnippetConfig(), RATE)

    @pytest.mark.parametrize("name", ["song.m4a", "song.mp3", "song.wav"])
    def test_a_good_file_without_ffmpeg(self, tmp_path: Path, monkeypatch, name: str) -> None:
        monkeypatch.setenv("PATH", "")
        path = tmp_path / name
        path.write_bytes(m4a_header(RATE, 9))
        with pytest.raises(AudioError, match=r"ffmpeg is needed .* not installed: it is MPEG-4"):
            load_snippets(path, SnippetConfig(), RATE)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read(self, recording) -> None:
        path = recording("a.wav")
        path.chmod(0)
        with pytest.raises(AudioError, match=r"a\.wav: cannot be read: Permission denied"):
            load_snippets(path, SnippetConfig(), RATE)

    def test_what_the_system_says_of_a_file_that_may_not_be_read(
        self, recording, monkeypatch
    ) -> None:
        def refuse(*_args, **_options) -> int:
            raise PermissionError(13, "Permission denied")

        path = recording("a.wav")
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(AudioError, match=r"a\.wav: cannot be read: Permission denied"):
            load_snippets(path, SnippetConfig(), RATE)


class TestHeaders:
    def test_an_m4a(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(m4a_header(RATE, 12.5, priming=1024))
        info = read_header(path)
        assert (info.rate, info.seconds) == (RATE, 12.5)
        assert kind_for_ffmpeg(path) == "MPEG-4 (m4a, mp4)"

    def test_the_edit_list_may_show_less(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        header = m4a_header(RATE, 10, priming=0)
        shown = struct.pack(">4xIIii", 1, 10_000, 0, 1 << 16)
        assert header.count(shown) == 1
        path.write_bytes(header.replace(shown, struct.pack(">4xIIii", 1, 4000, RATE, 1 << 16)))
        assert read_header(path).seconds == 4

    def test_adts(self, tmp_path: Path) -> None:
        path = tmp_path / "a.aac"
        # 44,100 Hz, two channels, frames of 9 bytes: 7 of them head.
        frame = bytes([0xFF, 0xF1, 0x50, 0x80, 9 >> 3, (9 & 7) << 5 | 0x1F, 0xFC, 0, 0])
        path.write_bytes(b"ID3\4\0\0\0\0\0\5hello" + frame * 441 + b"TAG" + bytes(125))
        info = read_header(path)
        assert info.rate == 44100
        assert info.seconds == pytest.approx(441 * 1024 / 44100)
        path.write_bytes(frame * 10 + bytes(50_000) + frame * 10)
        assert read_header(path) is None

    @pytest.mark.parametrize("seed", range(3))
    def test_damage_is_never_an_error(self, tmp_path: Path, seed: int) -> None:
        rng = np.random.default_rng(seed)
        whole = np.frombuffer(m4a_header(RATE, 9), dtype=np.uint8)
        path = tmp_path / "a.m4a"
        for _ in range(300):
            content = whole.copy()
            places = rng.integers(0, len(content), rng.integers(1, 6))
            content[places] = rng.choice([0, 1, 127, 128, 255], len(places))
            path.write_bytes(content.tobytes()[: rng.integers(1, len(content) + 1)])
            info = read_header(path)
            assert info is None or 0 < info.seconds < 2**48


class TestTogether:
    """Several recordings by one run of ffmpeg."""

    @pytest.fixture
    def songs(self, melody, tmp_path) -> list[Path]:
        formats = (("a.m4a", "aac"), ("b.m4a", "alac"), ("c.aac", "aac"))
        return [convert(melody, tmp_path / name, "-c:a", codec) for name, codec in formats]

    @needs("ffmpeg", "ffprobe")
    def test_the_sound_is_the_same_and_ffmpeg_runs_once(self, songs, monkeypatch) -> None:
        snippet = SnippetConfig(count=3, seconds=2)
        alone = [load_snippets(song, snippet, RATE) for song in songs]
        runs: list[int] = []
        run = ffmpeg.running_program

        def counted(*args, **kwargs):
            runs.append(1)
            return run(*args, **kwargs)

        monkeypatch.setattr(ffmpeg, "running_program", counted)
        with snippets_ahead([RecordingFile(song, song.name) for song in songs], snippet):
            together = [load_snippets(song, snippet, RATE) for song in songs]
        assert len(runs) == 1
        for some, others in zip(alone, together, strict=True):
            for y, same in zip(some, others, strict=True):
                assert lag(y, same)[0] == 0
                np.testing.assert_allclose(y, same, atol=0.01)  # aac has noise of its own

    @needs("ffmpeg", "ffprobe")
    def test_a_bad_one_costs_the_others_nothing(self, songs) -> None:
        from embedding.hyperimage import HyperImageConfig, extract

        broken = songs[0].with_name("broken.m4a")
        broken.write_bytes(m4a_header(RATE, 30))
        missing = songs[0].with_name("missing.m4a")
        found = extract([*songs, broken, missing], SnippetConfig(), HyperImageConfig(), workers=0)
        assert found.recording.tolist() == [0, 1, 2]
        assert [failure.path for failure in found.failures] == [broken, missing]
        alone = extract(songs[:1], SnippetConfig(), HyperImageConfig(), workers=0)
        np.testing.assert_allclose(found.images[0], alone.images[0], atol=0.05)

    def test_without_ffmpeg_each_says_what_it_is(self, tmp_path, monkeypatch) -> None:
        from embedding.hyperimage import HyperImageConfig, extract

        monkeypatch.setenv("PATH", "")
        songs = [tmp_path / "a.m4a", tmp_path / "b.m4a"]
        for song in songs:
            song.write_bytes(m4a_header(RATE, 30))
        found = extract(songs, SnippetConfig(), HyperImageConfig(), workers=0)
        assert len(found.failures) == 2
        assert all("not installed: it is MPEG-4" in failure.message for failure in found.failures)
