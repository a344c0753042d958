"""One thread of BLAS inside, and as many as before for everything else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from datasets.system.blas_threads import OneThread
from tests.helpers.forks import in_child


def counts() -> list[int]:
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return [library.get_num_threads() for library in libraries]


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    import scipy.linalg  # noqa: F401  brings a library of its own

    with threadpool_limits(3, user_api="blas"):
        yield


@contextmanager
def another_thread_inside(one: OneThread) -> Iterator[Callable[[], None]]:
    """Another thread is inside until what is yielded is called, or until the end of the block."""
    inside, go = threading.Event(), threading.Event()

    def stay() -> None:
        with one:
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=stay)

    def leave() -> None:
        go.set()
        thread.join()

    thread.start()
    try:
        assert inside.wait(10)
        yield leave
    finally:
        leave()


def test_one_thread_inside_and_as_many_as_before_after_the_last_has_left() -> None:
    one = OneThread()
    assert counts()
    assert set(counts()) == {3}
    with one:
        assert set(counts()) == {1}
        with one:
            assert set(counts()) == {1}
        assert set(counts()) == {1}
    assert set(counts()) == {3}
    with pytest.raises(ZeroDivisionError), one:
        _ = 1 / 0
    assert set(counts()) == {3}


def test_threads_that_overlap_leave_the_number_as_it_was() -> None:
    one = OneThread()
    one.__enter__()
    with another_thread_inside(one) as leave:
        one.__exit__(None, None, None)
        assert set(counts()) == {1}  # the other one is still there
        leave()
        assert set(counts()) == {3}


def test_a_child_has_the_number_of_its_parent_though_others_were_inside() -> None:
    one = OneThread()

    def child() -> None:
        assert set(counts()) == {3}
        with one:
            assert set(counts()) == {1}
        assert set(counts()) == {3}

    with another_thread_inside(one):
        assert in_child(child) == 0
