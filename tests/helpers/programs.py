"""Programs and wheels that some tests need.

A test is skipped where one is missing, and fails in CI.
"""

import os
import shutil

import pytest

REQUIRED = "COLDTUNE_TEST_PROGRAMS"
"""Environment variable: with the value ``required`` a test that lacks its program fails."""


NAMES = {"chromium": ("chromium", "chromium-browser")}
"""Names of programs that are not called the same everywhere."""


def find_program(program: str) -> str | None:
    """Return the path of a program, whatever its name on this system; None if it is missing."""
    found = (shutil.which(name) for name in NAMES.get(program, (program,)))
    return next((path for path in found if path), None)


def needs(*programs: str) -> pytest.MarkDecorator:
    """Mark a test that runs these programs, by the names that they have on the PATH."""
    missing = [program for program in programs if find_program(program) is None]
    return pytest.mark.skipif(bool(missing), reason=missing_reason(*missing))


def missing_reason(*programs: str) -> str:
    """Say that a test needs programs; `is_missing_program` knows the sentence again."""
    return f"needs a program that is not installed: {', '.join(programs)}"


def no_wheel_reason(why: str) -> str:
    """Say that a test needs a wheel; `is_missing_program` knows the sentence again."""
    return f"needs a wheel that cannot be had: {why}"


def is_missing_program(reason: str) -> bool:
    """Return whether a test was skipped for want of something that may not be missing."""
    sentences = (missing_reason(), no_wheel_reason(""))
    return os.environ.get(REQUIRED) == "required" and any(
        sentence.strip() in reason for sentence in sentences
    )
