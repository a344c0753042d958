import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import ArtifactError, InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import load_snippets, map_snippets
from embedding.hyperimage import extraction, front_end
from embedding.hyperimage.config import HyperImageConfig
from embedding.hyperimage.extraction import extract
from embedding.hyperimage.image import hyperimage
from embedding.hyperimage.store import ImageStore
from embedding.parallel import in_processes

SNIPPET = SnippetConfig(seconds=2)
IMAGE = HyperImageConfig()


@pytest.fixture
def songs(recording) -> list[Path]:
    return [
        recording(
            f"{n}.wav", seconds=3, pitch=200.0 + 30 * n, seed=n, rate=22050 if n % 2 else 44100
        )
        for n in range(5)
    ]


def test_images_in_the_order_of_the_paths(songs: list[Path]) -> None:
    found = extract(songs, SNIPPET, IMAGE)
    assert found.images.shape == (5, 1, 128, 128)
    assert found.images.dtype == np.float32
    assert found.recording.tolist() == [0, 1, 2, 3, 4]
    assert found.failures == ()
    assert found.extracted == 5
    (y,) = load_snippets(songs[3], SNIPPET, 22050)
    np.testing.assert_allclose(found.images[3], hyperimage(y, IMAGE), atol=1e-5)


def test_several_snippets_belong_to_one_recording(songs: list[Path], recording) -> None:
    short = recording("short.wav", seconds=1)
    found = extract([songs[0], short, songs[1]], SnippetConfig(seconds=1.5, count=2), IMAGE)
    assert found.recording.tolist() == [0, 0, 1, 2, 2]
    assert len(found.images) == 5


@pytest.mark.slow
def test_processes_give_what_this_process_gives(songs: list[Path]) -> None:
    here = extract(songs, SNIPPET, IMAGE, workers=0)
    there = extract([str(path) for path in songs], SNIPPET, IMAGE, workers=2)
    np.testing.assert_array_equal(here.images, there.images)
    np.testing.assert_array_equal(here.recording, there.recording)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_recording_is_reported_and_the_others_are_used(
    songs: list[Path], tmp_path: Path, workers: int
) -> None:
    bad = tmp_path / "bad.mp3"
    bad.write_text("text")
    missing = tmp_path / "missing.wav"
    found = extract([songs[0], bad, missing, songs[1]], SNIPPET, IMAGE, workers=workers)
    assert found.recording.tolist() == [0, 3]
    assert [failure.path for failure in found.failures] == [bad, missing]
    assert "bad.mp3" in found.failures[0].message
    assert "no such file" in found.failures[1].message
    assert found.extracted == 2


def test_nothing_usable_gives_no_images(tmp_path: Path) -> None:
    found = extract([tmp_path / "missing.wav"], SNIPPET, IMAGE)
    assert found.images.shape == (0, 1, 128, 128)
    assert len(found.failures) == 1
    assert extract([], SNIPPET, IMAGE).images.shape == (0, 1, 128, 128)


def test_an_unexpected_error_costs_one_recording(songs: list[Path], monkeypatch) -> None:
    def failing(make, file, snippet, rate, *, channels):
        if file.path == songs[1]:
            raise MemoryError("too large")
        return map_snippets(make, file, snippet, rate, channels=channels)

    monkeypatch.setattr(extraction, "map_snippets", failing)
    found = extract(songs, SNIPPET, IMAGE)
    assert found.recording.tolist() == [0, 2, 3, 4]
    assert found.failures[0].message == f"{songs[1]}: cannot be used (MemoryError: too large)"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_bytes_and_file_objects_are_as_good_as_paths(
    songs: list[Path], workers: int, tmp_path: Path
) -> None:
    expected = extract(songs[:3], SNIPPET, IMAGE, cache=tmp_path)
    upload = io.BytesIO(b"la la la" * 50)
    upload.name = "upload.mp3"
    with songs[2].open("rb") as stream:
        sources = [songs[0], songs[1].read_bytes(), upload, stream]
        found = extract(sources, SNIPPET, IMAGE, workers=workers)
    np.testing.assert_array_equal(found.images, expected.images)
    assert found.recording.tolist() == [0, 1, 3]
    assert found.failures[0].message.startswith("upload.mp3: cannot be decoded")
    assert extract([songs[1].read_bytes()], SNIPPET, IMAGE, cache=tmp_path).extracted == 0


@pytest.mark.parametrize(
    ("settings", "images"),
    [
        ({"position": "whole", "seconds": 2, "hop": 1}, 4),
        ({"position": "random", "count": 3, "seed": 5}, 3),
        ({"position": "at", "at": 1.5}, 1),
    ],
)
def test_any_snippets_are_kept_with_their_settings(
    recording, tmp_path: Path, settings: dict, images: int
) -> None:
    path = recording(seconds=5)
    snippet = SnippetConfig(**{"seconds": 1, **settings})
    first = extract([path], snippet, IMAGE, cache=tmp_path / "store")
    again = extract([path.read_bytes()], snippet, IMAGE, cache=tmp_path / "store")
    assert len(first.images) == images
    assert again.extracted == 0
    np.testing.assert_array_equal(again.images, first.images)
    other = snippet.replace(seconds=1.5)
    assert extract([path], other, IMAGE, cache=tmp_path / "store").extracted == 1


def test_a_negative_number_of_workers_is_an_error(songs: list[Path]) -> None:
    with pytest.raises(InvalidArgumentError, match="workers"):
        extract(songs, SNIPPET, IMAGE, workers=-1)


def stored(cache: Path) -> int:
    """Recordings in a cache of one kind of picture."""
    # Images are written after the index is set up, which a reader might disturb.
    if not list(cache.glob("*/images.f32")):
        return 0
    kind = front_end.HyperImageFrontEnd(snippet=SNIPPET, hyperimage=IMAGE).stored_as
    with ImageStore(cache, kind, (1, 128, 128)) as store:
        return len(store)


class TestCache:
    def test_a_second_run_extracts_nothing(self, songs: list[Path], tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        first = extract(songs, SNIPPET, IMAGE, cache=cache)
        second = extract(songs, SNIPPET, IMAGE, cache=cache)
        assert (first.extracted, second.extracted) == (5, 0)
        np.testing.assert_array_equal(first.images, second.images)

    def test_it_knows_content_and_not_names(self, songs: list[Path], tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        extract(songs, SNIPPET, IMAGE, cache=cache)
        moved = songs[0].rename(tmp_path / "moved.wav")
        assert extract([moved], SNIPPET, IMAGE, cache=cache).extracted == 0
        songs[1].write_bytes(songs[2].read_bytes()[:-4])
        assert extract([songs[1]], SNIPPET, IMAGE, cache=cache).extracted == 1

    def test_other_settings_are_other_entries(self, songs: list[Path], tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        extract(songs[:1], SNIPPET, IMAGE, cache=cache)
        assert extract(songs[:1], SnippetConfig(seconds=1), IMAGE, cache=cache).extracted == 1
        assert extract(songs[:1], SNIPPET, IMAGE.replace(n_mels=64), cache=cache).extracted == 1

    def test_another_version_of_the_code_is_another_entry(
        self, songs: list[Path], tmp_path: Path, monkeypatch
    ) -> None:
        extract(songs[:1], SNIPPET, IMAGE, cache=tmp_path / "cache")
        monkeypatch.setattr(front_end, "CODE_VERSION", front_end.CODE_VERSION + 1)
        assert extract(songs[:1], SNIPPET, IMAGE, cache=tmp_path / "cache").extracted == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("damage", ["cut", "flip", "empty", "index"])
    def test_what_is_damaged_is_made_again(
        self, songs: list[Path], tmp_path: Path, damage: str
    ) -> None:
        cache = tmp_path / "cache"
        good = extract(songs, SNIPPET, IMAGE, cache=cache)
        expected = good.images.copy()
        (images,) = cache.glob("*/images.f32")
        content = bytearray(images.read_bytes())
        content[len(content) // 2] ^= 1
        lost = {"cut": 5, "flip": 1, "empty": 5, "index": 5}[damage]
        if damage == "index":
            (index,) = cache.glob("*/index.sqlite")
            index.write_bytes(b"no database at all" * 500)
        else:
            images.write_bytes({"cut": content[:100], "flip": content, "empty": b""}[damage])
        again = extract(songs, SNIPPET, IMAGE, cache=cache)
        assert again.extracted == lost
        np.testing.assert_array_equal(expected, again.images)
        assert extract(songs, SNIPPET, IMAGE, cache=cache).extracted == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", [0, 2])
    def test_images_are_mapped_in_the_order_of_the_paths(
        self, songs: list[Path], tmp_path: Path, workers: int
    ) -> None:
        cache = tmp_path / "cache"
        first = extract(songs, SNIPPET, IMAGE, cache=cache, workers=workers)
        second = extract(songs, SNIPPET, IMAGE, cache=cache)
        for found in (first, second):
            assert isinstance(found.images, np.memmap)
        turned = extract(songs[::-1], SNIPPET, IMAGE, cache=cache)
        np.testing.assert_array_equal(turned.images, first.images[::-1])
        # To change them changes no other reader's.
        first.images[:] = 0
        assert second.images.any()

    def test_a_full_disk_costs_the_cache_and_not_the_images(
        self, songs: list[Path], tmp_path: Path, monkeypatch
    ) -> None:
        expected = extract(songs, SNIPPET, IMAGE).images
        extract(songs[1:2], SNIPPET, IMAGE, cache=tmp_path / "cache")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(ImageStore, "_write", full)
        found = extract(songs, SNIPPET, IMAGE, cache=tmp_path / "cache")
        np.testing.assert_array_equal(found.images, expected)
        assert found.recording.tolist() == [0, 1, 2, 3, 4]
        monkeypatch.undo()
        assert extract(songs, SNIPPET, IMAGE, cache=tmp_path / "cache").extracted == 4

    def test_a_folder_that_cannot_be_made_is_an_error(self, songs: list[Path]) -> None:
        with pytest.raises(ArtifactError, match=r"0\.wav"):
            extract(songs, SNIPPET, IMAGE, cache=songs[0] / "cache")

    @pytest.mark.slow
    @pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
    def test_an_interrupted_run_goes_on_where_it_was(
        self, recording, tmp_path: Path, sign: signal.Signals
    ) -> None:
        songs = [recording(f"{n}.flac", seconds=3, seed=n) for n in range(16)]
        cache = tmp_path / "cache"
        code = (
            "import sys; from pathlib import Path\n"
            "from embedding import HyperImageConfig, SnippetConfig\n"
            "from embedding.hyperimage.extraction import extract\n"
            "paths = [Path(p) for p in sys.argv[2:]]\n"
            "while True:\n"
            "    extract(paths, SnippetConfig(seconds=2), HyperImageConfig(), workers=1,"
            " cache=Path(sys.argv[1]))\n"
        )
        # No `if __name__ == '__main__'` in the script, and it works.
        script = tmp_path / "script.py"
        script.write_text(code)
        command = [sys.executable, str(script), str(cache), *map(str, songs)]
        with (tmp_path / "errors.txt").open("w") as errors:
            running = subprocess.Popen(command, stderr=errors, cwd=Path(__file__).parents[3])
        deadline = time.monotonic() + 300
        while stored(cache) < 5:
            assert running.poll() is None, (tmp_path / "errors.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.send_signal(sign)
        assert running.wait(timeout=300) != 0
        done = stored(cache)
        assert done >= 5
        found = extract(songs, SNIPPET, IMAGE, cache=cache)
        assert found.extracted == 16 - done
        assert found.failures == ()


class TestCrash:
    @pytest.mark.slow
    def test_a_recording_that_crashes_the_decoder_is_reported(
        self, songs: list[Path], monkeypatch
    ) -> None:
        original = extraction._images_or_reason
        bad = songs[2]

        def crashing(job):
            if job.file.path == bad:
                os.kill(os.getpid(), signal.SIGSEGV)
            return original(job)

        monkeypatch.setattr(extraction, "_images_or_reason", crashing)
        found = extract(songs, SNIPPET, IMAGE, workers=2)
        assert found.recording.tolist() == [0, 1, 3, 4]
        assert found.failures[0].path == bad
        assert "crashed" in found.failures[0].message


@pytest.mark.slow
def test_workers_do_not_load_torch() -> None:
    def loaded(_job: int) -> set[str]:
        import embedding.hyperimage.extraction  # noqa: F401

        return {"torch", "librosa"} & set(sys.modules)

    assert dict(in_processes(loaded, [0], 1)) == {0: set()}


@pytest.mark.slow
def test_real_recordings(real_recordings, tmp_path: Path) -> None:
    files = real_recordings[::5]
    found = extract(files, SnippetConfig(count=2), IMAGE, workers=2, cache=tmp_path)
    assert found.failures == ()
    assert len(found.images) == 2 * len(files)
    assert np.isfinite(found.images).all()
