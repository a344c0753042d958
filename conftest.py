"""Examples in docstrings: the data and models that they may use without making them first."""

import ast
import doctest
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from tests.helpers.programs import is_missing_program
from tests.helpers.thorough import times

pytest_plugins = (
    "tests.helpers.commands",
    "tests.helpers.decoding",
    "tests.helpers.recordings",
    "tests.helpers.evaluations",
    "tests.helpers.fork_server",
    "tests.helpers.models",
    "tests.helpers.pretrained",
    "tests.helpers.doctests",
    "tests.helpers.spark_cluster",
)

# To look through a million objects for rubbish, again and again while more of them come, takes
# nearly as long as to import and collect everything.
gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for rubbish once all is collected, and from then on only in what tests make."""
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile(
    "unhurried",
    max_examples=times(40, 100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _names_of_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    """Give an example the names that it mentions; see tests/helpers/doctests.py for all of them."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    tmp_path: Path = request.getfixturevalue("tmp_path")
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("COLDTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLDTUNE_TRACKING", "0")  # nothing is written into the repository
    makers: dict[str, Callable[[], Any]] = {
        "np": lambda: np,
        "pd": lambda: pd,
        "folder": lambda: tmp_path,
    }
    for name in ("dataset", "embeddings", "recommender", "recording", "images", "labels", "encoder",
                 "split", "comparison", "training_data", "hits", "facts", "spark"):  # fmt: skip
        makers[name] = lambda name=name: request.getfixturevalue(f"example_{name}")  # type: ignore[misc]
    names = names_read(request.node.dtest)
    if "encoder" in names:
        request.getfixturevalue("decoded_here")
    for name in names:
        if name in makers:
            doctest_namespace[name] = makers[name]()


def names_read(examples: doctest.DocTest) -> set[str]:
    """The variables that examples read; a word in a text or an argument's name is none."""
    nodes = (node for one in examples.examples for node in ast.walk(ast.parse(one.source)))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Any:
    """Fail tests that lack a program where none may be missing (tests/helpers/programs.py)."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if is_missing_program(reason):
            report.outcome, report.longrepr = "failed", reason
