"""Forked children of a test's process."""

import os
import signal
import traceback
from collections.abc import Callable

SECONDS = 120
"""After so long a child that hangs is ended; it needs a second or two."""


def in_child(work: Callable[[], object]) -> int:
    """Call something in a forked child; return its exit code: 0, or what went wrong is printed.

    A child that hangs is ended by a signal, and its exit code is negative.
    """
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
