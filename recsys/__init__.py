"""coldtune: recommend music, songs that nobody has played yet included."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.config import RecommenderConfig
    from recsys.recommender import Recommender

__all__ = ["Recommender", "RecommenderConfig"]

_MODULES = {
    "Recommender": "recsys.recommender",
    "RecommenderConfig": "recsys.config",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use (PEP 562), so that importing the package costs next to nothing.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
