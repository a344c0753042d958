"""How often tests try what may go wrong at any moment or with any input."""

import os

THOROUGH = os.environ.get("COLDTUNE_TEST_THOROUGH", "0") not in ("", "0")
"""Whether as often as the promises of docs/reliability.md say: ``make test-thorough``."""


def times(usually: int, thoroughly: int) -> int:
    """How often something is tried."""
    return thoroughly if THOROUGH else usually
