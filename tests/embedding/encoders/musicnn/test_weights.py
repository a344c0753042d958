import os
import stat
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from datasets.errors import ArtifactError, DataError, EncoderUnavailableError
from datasets.system.files import file_digest
from embedding.encoders.musicnn import weights
from embedding.encoders.musicnn.weights import get_musicnn, has_weights, load_weights, weights_file


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """pip looks for packages in an empty folder alone."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    return tmp_path / "empty"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A wheel of another, tiny checkpoint in the place of the real one."""
    from tests.helpers.tensor_bundles import bundle

    index, data = bundle({"dense/bias": np.arange(3, dtype=np.float32)})
    path = tmp_path / "musicnn-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("musicnn/MSD_musicnn/.index", index)
        archive.writestr("musicnn/MSD_musicnn/.data-00000-of-00001", data)
        archive.writestr("musicnn-0.1.0.dist-info/LICENSE.md", "free for all")
        archive.writestr("musicnn-0.1.0.dist-info/METADATA", "Name: musicnn\nVersion: 0.1.0\n")
        archive.writestr("musicnn-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    monkeypatch.setattr(weights, "tensor_names", lambda: ["dense/bias"])
    monkeypatch.setattr(weights, "WHEEL_DIGEST", file_digest(path))
    known = weights.weights_digest({"dense/bias": np.arange(3, dtype=np.float32)})
    monkeypatch.setattr(weights, "WEIGHTS_DIGEST", known)
    return path


def test_a_wheel_at_hand_is_converted_once(cache, stand_in):
    assert not has_weights()
    path, is_new = get_musicnn(stand_in)
    assert (path, is_new) == (weights_file(), True)
    assert load_weights()["dense/bias"].tolist() == [0, 1, 2]
    assert path.with_name("LICENSE.md").read_text() == "free for all"
    assert get_musicnn(stand_in) == (path, False)
    stand_in.unlink()
    assert get_musicnn() == (path, False)
    assert {file.name for file in path.parent.iterdir()} == {
        ".lock", "LICENSE.md", "weights.safetensors"
    }  # fmt: skip


@pytest.mark.slow
def test_pip_finds_it_as_it_is_configured(cache, stand_in, offline):
    stand_in.rename(offline / stand_in.name)
    assert get_musicnn().is_new


@pytest.mark.slow
def test_what_pip_cannot_find_is_an_error_of_one_line(cache, offline):
    with pytest.raises(DataError) as error:
        get_musicnn()
    assert "pip cannot download musicnn==0.1.0: " in str(error.value)
    assert "coldtune encoder get musicnn --wheel FILE" in str(error.value)
    assert "\n" not in str(error.value)
    assert not weights_file().exists()


@pytest.mark.slow
def test_without_a_network_the_error_says_so(cache, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(DataError, match="its index of packages cannot be reached"):
        get_musicnn()


def test_a_cache_that_has_it_need_not_be_written(cache, stand_in, monkeypatch):
    get_musicnn(stand_in)
    monkeypatch.setattr(weights, "check_writable", None)
    assert not get_musicnn().is_new


@pytest.mark.slow
def test_another_wheel_from_pip_is_refused(cache, stand_in, offline, monkeypatch):
    stand_in.rename(offline / stand_in.name)
    monkeypatch.setattr(weights, "WHEEL_DIGEST", "0" * 64)
    with pytest.raises(
        DataError, match=r"what pip downloaded: is not the wheel musicnn==0\.1\.0: "
    ):
        get_musicnn()
    assert not weights_file().exists()


def test_another_wheel_is_refused(cache, tmp_path):
    other = tmp_path / "musicnn-0.1.0-py3-none-any.whl"
    other.write_bytes(b"something else")
    with pytest.raises(DataError, match=r"any\.whl: is not the wheel .* SHA-256 is [0-9a-f]{64}"):
        get_musicnn(other)
    with pytest.raises(DataError, match=r"none\.whl: No such file"):
        get_musicnn(tmp_path / "none.whl")
    with pytest.raises(DataError, match="is a folder"):
        get_musicnn(tmp_path)
    assert not weights_file().exists()


def test_a_python_without_pip_is_told_what_to_do(cache, monkeypatch):
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip, .* is not installed .* --wheel FILE"):
        get_musicnn()


def test_damaged_weights_are_an_error_and_fetched_anew(cache, stand_in):
    path = get_musicnn(stand_in).path
    content = path.read_bytes()
    for damaged in (content[:-1], content[:-4] + b"\x00\x00\x00\x00", b"", b"{}" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="is damaged; fetch it again: coldtune encoder get"):
            load_weights()
    assert get_musicnn(stand_in).is_new
    assert path.read_bytes() == content


def test_where_it_was_not_fetched_the_message_names_the_command(cache):
    with pytest.raises(EncoderUnavailableError, match="once: coldtune encoder get musicnn"):
        load_weights()


@pytest.mark.parametrize("obstacle", ["file", "read-only"])
def test_a_cache_that_cannot_be_written_is_an_error(tmp_path, monkeypatch, stand_in, obstacle):
    if obstacle == "file":
        (tmp_path / "place").write_text("no folder")
    else:
        (tmp_path / "place").mkdir()
        (tmp_path / "place").chmod(stat.S_IREAD | stat.S_IEXEC)
        if os.access(tmp_path / "place", os.W_OK):
            pytest.skip("whoever runs this may write everywhere")
    monkeypatch.setenv("COLDTUNE_CACHE", str(tmp_path / "place" / "cache"))
    with pytest.raises(ArtifactError, match=r"weights\.safetensors: cannot be written: "):
        get_musicnn(stand_in)


def test_several_at_once_are_safe(cache, stand_in):
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: get_musicnn(stand_in), range(4)))
    assert sorted(one.is_new for one in found) == [False, False, False, True]
    assert len({one.path for one in found}) == 1


@pytest.mark.slow
def test_the_real_wheel_from_two_processes_at_once(musicnn_fetched, tmp_path):
    """Needs the wheel twice: pip keeps what it has downloaded."""
    code = "from embedding.encoders.musicnn.weights import get_musicnn; print(get_musicnn().is_new)"
    environment = os.environ | {"COLDTUNE_CACHE": str(tmp_path / "other")}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(said) == ["False", "True"]
    files = (tmp_path / "other" / "encoders" / "musicnn-0.1.0").iterdir()
    assert {path.name for path in files} == {".lock", "LICENSE.md", "weights.safetensors"}
