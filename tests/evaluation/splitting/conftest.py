"""A data set that several tests of splits use."""

import pytest


@pytest.fixture
def catalogue(make_dataset):
    """Artists A (a1, a2 with audio, a3 without), B (b1), C (c1), D (d1, unplayed)."""
    plays = [(u, i) for u in ("u1", "u2", "u3") for i in ("a1", "a2", "a3", "b1", "c1")]
    artists = {"a1": "A", "a2": " a ", "a3": "A", "b1": "B", "c1": "C", "d1": "D"}
    audio = [(item, f"{item}.wav") for item in ("a1", "a2", "b1", "c1", "d1")]
    return make_dataset(plays, artists, audio, items=["d1"])
