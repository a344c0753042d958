"""A short run of the malformed inputs of `python -m benchmarks.reliability.fuzz`."""

import pytest

from benchmarks.reliability import fuzz

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_malformed_inputs_are_refused_or_taken_for_what_they_are(kind: str) -> None:
    failures: list[str] = []
    counts = fuzz.run([kind], 25, seed=0, report=failures.append)
    assert not failures, "\n".join(failures)
    assert sum(counts[kind].values()) == 25
    assert counts[kind]["refused"]


def test_a_crash_a_hang_a_traceback_and_a_wrong_result_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    def raises(error: Exception):
        def attempt(*_: object) -> str:
            raise error

        return fuzz.Kind(lambda _: None, attempt)

    for error, label in (
        (fuzz.UnfitError("x"), "accepted wrongly"),
        (KeyError("x"), "traceback"),
        (fuzz.ColdtuneError(""), "traceback"),
        (fuzz.ColdtuneError("x"), "refused"),
    ):
        monkeypatch.setitem(fuzz.KINDS, "tables", raises(error))
        assert fuzz.attempt("tables", None, 0, 0, tmp_path / "in").label == label


def test_a_process_that_dies_is_a_crash_and_is_replaced(tmp_path) -> None:
    worker = fuzz.Worker("tables", 0, tmp_path / "worker")
    try:
        worker.process.kill()
        assert worker.attempt(0).label == "crash"
        assert worker.attempt(0).label in fuzz.GOOD
    finally:
        worker.stop()
