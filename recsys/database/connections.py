"""Database connections and forks: a child opens its own, and a fork waits for transactions to end.

A connection belongs to the process that opened it: two processes that talk to a server on one
connection mix up their answers, and SQLite in a child believes to hold the locks of the parent. So
a child leaves the connections of its parent alone and opens new ones. A database in memory lives in
its connection, of which the child has a copy. Both need that no transaction is under way in the
moment of the fork.
"""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.pool import Pool, StaticPool

from datasets.errors import ArtifactError
from datasets.system.forking import ForkGate

_gate = ForkGate()
"""Whoever uses a connection of this process is inside."""

_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()

_uses: "weakref.WeakKeyDictionary[Pool, int]" = weakref.WeakKeyDictionary()
"""How many uses of each engine's connections are under way."""

_cut_off: "weakref.WeakSet[Pool]" = weakref.WeakSet()
"""Those of this child that were in use at the fork nevertheless."""

_of_parents: list[Pool] = []
"""Kept for ever: with its last reference gone, a connection would be closed for the parent, too."""


def usable_in_children(engine: Engine) -> Engine:
    """Let a forked child open connections of its own; return the engine.

    Examples:
        >>> from sqlalchemy import create_engine
        >>> engine = usable_in_children(create_engine("sqlite://"))
    """
    _engines.add(engine)
    return engine


@contextmanager
def in_use(engine: Engine, name: str) -> Iterator[None]:
    """Use an engine inside the block; a fork of this process waits for its end, if that is soon.

    Args:
        engine: of the database.
        name: name of the database, for the error message.

    Raises:
        ArtifactError: this process was forked while the engine was in use.

    Examples:
        >>> from sqlalchemy import create_engine, text
        >>> engine = usable_in_children(create_engine("sqlite://"))
        >>> with in_use(engine, "a database in memory"), engine.begin() as connection:
        ...     connection.execute(text("SELECT 1")).scalar()
        1
    """
    pool = engine.pool
    if pool in _cut_off:
        raise ArtifactError(
            f"{name}: was in use when this process was forked; fork while nothing is read or "
            "written, or load the model in a process that is started afresh (spawn)"
        )
    with _gate.inside():
        _uses[pool] = _uses.get(pool, 0) + 1
        try:
            yield
        finally:
            _uses[pool] = max(_uses.get(pool, 0) - 1, 0)  # a child has forgotten its parent's


def _in_child() -> None:
    for engine in list(_engines):
        pool, used = engine.pool, _uses.pop(engine.pool, 0)
        if not isinstance(pool, StaticPool):
            _of_parents.append(pool)
            engine.dispose(close=False)
        if used:
            _cut_off.add(engine.pool)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
