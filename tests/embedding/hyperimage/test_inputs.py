from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DiskFullError
from embedding.hyperimage import inputs as inputs_module
from embedding.hyperimage.inputs import InputsCollector, InputsOnDisk, folder_for_inputs


@pytest.fixture(autouse=True)
def few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs_module, "MAX_BYTES_IN_MEMORY", 100)  # 25 numbers


def windows(n: int, start: int = 0) -> np.ndarray:
    return np.arange(start, start + n * 6, dtype=np.float32).reshape(n, 2, 3)


def test_few_inputs_stay_in_memory(tmp_path: Path) -> None:
    collector = InputsCollector(tmp_path)
    taken = [collector.add(windows(2)), collector.add(windows(1, 12))]
    np.testing.assert_array_equal(collector.collected(taken), windows(3))
    assert not list(tmp_path.iterdir())


def test_many_are_written_and_read_in_parts(tmp_path: Path) -> None:
    collector = InputsCollector(tmp_path)
    found = collector.collected([collector.add(windows(1, 6 * n)) for n in range(12)])
    assert isinstance(found, InputsOnDisk)
    assert (found.shape, len(found), found.ndim, found.bytes_each) == ((12, 2, 3), 12, 3, 24)
    parts = list(found.parts(5))
    assert [len(part) for part in parts] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate(parts), windows(12))
    found.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("before", [1, 7])
def test_what_was_made_before_a_new_start_is_left_out(tmp_path: Path, before: int) -> None:
    """A file that is shorter than it says is read from the start again."""
    collector = InputsCollector(tmp_path)
    for _ in range(before):
        collector.add(windows(1, 999))
    taken = [collector.add(windows(1, 6 * n)) for n in range(12)]
    found = collector.collected(taken)
    assert isinstance(found, InputsOnDisk)
    np.testing.assert_array_equal(np.concatenate(list(found.parts(100))), windows(12))


def test_a_full_disk_costs_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DiskFullError("full")

    monkeypatch.setattr(inputs_module, "room_for", full)
    collector = InputsCollector(tmp_path)
    taken = [collector.add(windows(1, 6 * n)) for n in range(12)]
    np.testing.assert_array_equal(collector.collected(taken), windows(12))
    monkeypatch.setattr(inputs_module, "temporary_folder", full)
    with folder_for_inputs() as folder:
        assert folder is None
