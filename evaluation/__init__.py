"""Offline evaluation of any recommender: splits that cannot leak, metrics, comparison, report."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.baselines import Popularity, PopularityOracle, Random
    from evaluation.comparison import Comparison, compare
    from evaluation.conclusions import cautions, findings, summarise
    from evaluation.controls import SameForEverybody, shuffled
    from evaluation.examples import Example
    from evaluation.genre import GenreResult, genre_cross_validation
    from evaluation.genre_report import write_study
    from evaluation.genre_running import run_study
    from evaluation.genre_study import GenreStudy
    from evaluation.model import Model
    from evaluation.peers import PEERS
    from evaluation.report import write_report
    from evaluation.retrieval import Retrieval, retrieval_precision
    from evaluation.splits import Split
    from evaluation.splits_cold import cold_folds, cold_split, semi_cold_split
    from evaluation.splits_time import leave_last_split, time_split, time_windows
    from evaluation.splits_users import cold_user_split
    from evaluation.splits_warm import user_folds, warm_folds, warm_split

__all__ = [
    "PEERS",
    "Comparison",
    "Example",
    "GenreResult",
    "GenreStudy",
    "Model",
    "Popularity",
    "PopularityOracle",
    "Random",
    "Retrieval",
    "SameForEverybody",
    "Split",
    "cautions",
    "cold_folds",
    "cold_split",
    "cold_user_split",
    "compare",
    "findings",
    "genre_cross_validation",
    "leave_last_split",
    "retrieval_precision",
    "run_study",
    "semi_cold_split",
    "shuffled",
    "summarise",
    "time_split",
    "time_windows",
    "user_folds",
    "warm_folds",
    "warm_split",
    "write_report",
    "write_study",
]

_MODULES = {
    "PEERS": "evaluation.peers",
    "Comparison": "evaluation.comparison",
    "Example": "evaluation.examples",
    "GenreResult": "evaluation.genre",
    "GenreStudy": "evaluation.genre_study",
    "Model": "evaluation.model",
    "Popularity": "evaluation.baselines",
    "PopularityOracle": "evaluation.baselines",
    "Random": "evaluation.baselines",
    "Retrieval": "evaluation.retrieval",
    "SameForEverybody": "evaluation.controls",
    "Split": "evaluation.splits",
    "cautions": "evaluation.conclusions",
    "cold_folds": "evaluation.splits_cold",
    "cold_split": "evaluation.splits_cold",
    "cold_user_split": "evaluation.splits_users",
    "compare": "evaluation.comparison",
    "findings": "evaluation.conclusions",
    "genre_cross_validation": "evaluation.genre",
    "leave_last_split": "evaluation.splits_time",
    "retrieval_precision": "evaluation.retrieval",
    "run_study": "evaluation.genre_running",
    "semi_cold_split": "evaluation.splits_cold",
    "shuffled": "evaluation.controls",
    "summarise": "evaluation.conclusions",
    "time_split": "evaluation.splits_time",
    "time_windows": "evaluation.splits_time",
    "user_folds": "evaluation.splits_warm",
    "warm_folds": "evaluation.splits_warm",
    "warm_split": "evaluation.splits_warm",
    "write_report": "evaluation.report",
    "write_study": "evaluation.genre_report",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use (PEP 562), so that importing the package costs next to nothing.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
