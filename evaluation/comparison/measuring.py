"""Seconds and peak memory of a stage of work."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def measured(facts: dict[str, Any], stage: str) -> Iterator[None]:
    """Record the seconds of a stage and, on Linux, the most memory the process held in it.

    They are added to ``facts`` as ``STAGE_seconds`` and ``STAGE_peak_mb`` (MiB, None elsewhere).
    """
    reset_peak_memory()
    started = time.perf_counter()
    yield
    facts[f"{stage}_seconds"] = time.perf_counter() - started
    facts[f"{stage}_peak_mb"] = peak_memory_mb()


def reset_peak_memory() -> None:
    """Let the peak begin again from what the process holds now, where the system can."""
    if sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:  # not permitted in some containers: the peak is then the process's own
            return


def peak_memory_mb() -> float | None:
    """Most resident memory of this process since it was reset, in MiB; None where unknown."""
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None
