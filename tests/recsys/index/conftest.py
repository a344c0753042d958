"""Indexes of each kind, built once."""

import pytest

from recsys.config import RetrievalConfig
from recsys.index.build import build_index, open_index
from recsys.index.exact import ExactIndex
from recsys.index.pruned import PrunedIndex
from recsys.index.screened import ScreenedIndex
from tests.helpers.indexes import FITTED, USERS


@pytest.fixture(scope="package")
def sidecars(tmp_path_factory):
    """An index of `FITTED` of each kind."""
    made = {}
    for method in ("screened", "pruned", "annoy"):
        folder = tmp_path_factory.mktemp(method)
        config = RetrievalConfig(method=method)
        made[method] = build_index(FITTED, USERS, folder, config, seed=0)
    return made


@pytest.fixture(scope="package")
def indexes(sidecars):
    opened = {name: open_index(FITTED, path, 1)[0] for name, path in sidecars.items()}
    exactly = PrunedIndex(sidecars["pruned"].with_name("index"), slack=1.0)
    screened = ScreenedIndex(sidecars["screened"].with_name("index"), FITTED, slack=1.0)
    return opened | {
        "exact": ExactIndex(FITTED),
        "pruned exactly": exactly,
        "screened exactly": screened,
    }
