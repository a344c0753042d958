"""What a child may use of the process that it was forked from."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from datasets.system import forking
from datasets.system.forking import ForkGate, gpu_is_lost, openmp_threads
from tests.helpers.forks import in_child


def _search(threads: int) -> None:
    from implicit.cpu.topk import topk

    items = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    topk(items, items, 5, num_threads=threads)


def test_openmp_works_in_children_and_their_children_with_as_many_threads() -> None:
    _search(2)

    def child() -> None:
        assert openmp_threads(2) == 2
        _search(2)
        assert in_child(lambda: _search(2)) == 0

    assert in_child(child) == 0
    _search(2)


def test_where_threads_cannot_be_ended_the_thread_that_forked_goes_on_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forking, "_end_openmp_threads", lambda: False)
    _search(2)

    def child() -> None:
        assert openmp_threads(2) == 1
        _search(openmp_threads(2))
        found = []
        thread = threading.Thread(target=lambda: found.append(openmp_threads(2)))
        thread.start()
        thread.join()
        assert found == [2]

    assert in_child(child) == 0
    assert openmp_threads(2) == 2


def test_a_child_of_a_process_that_used_the_gpu_does_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    from datasets.errors import InvalidArgumentError
    from embedding.network.config import EncoderConfig
    from embedding.network.devices import inference_device, make_fabric

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def child() -> None:
        assert gpu_is_lost()
        assert inference_device(EncoderConfig()).type == "cpu"
        assert make_fabric(EncoderConfig()).device.type == "cpu"
        with pytest.raises(InvalidArgumentError, match=r"when this process was forked.*spawn"):
            make_fabric(EncoderConfig(accelerator="gpu"))

    assert in_child(child) == 0
    assert not gpu_is_lost()


def test_a_fork_waits_until_other_threads_have_left_and_keeps_them_out() -> None:
    script = """
import os, threading
from datasets.system.forking import ForkGate
gate, entered, leave, done = ForkGate(), threading.Event(), threading.Event(), threading.Event()
order = []
def other():
    with gate.inside():
        entered.set()
        leave.wait()
        order.append("left")
thread = threading.Thread(target=other)
thread.start()
entered.wait()
threading.Timer(0.2, leave.set).start()
child = os.fork()
if child == 0:
    with gate.inside():
        os._exit(0 if order == ["left"] and not gate.interrupted else 1)
thread.join()
with gate.inside():
    print(order, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "['left'] 0\n", done.stderr


def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_SECONDS", 0.05)
    gate, entered, leave = ForkGate(), threading.Event(), threading.Event()

    def other() -> None:
        with gate.inside():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait()

    def child() -> None:
        assert gate.interrupted
        with gate.inside():
            pass

    assert in_child(child) == 0
    leave.set()
    thread.join()
