"""Offline evaluation of any recommender: splits that cannot leak, metrics, comparison, report."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.comparison.comparison import Comparison, compare
    from evaluation.comparison.examples import Example
    from evaluation.conclusions.summary import cautions, findings, summarise
    from evaluation.genre.cross_validation import GenreResult, genre_cross_validation
    from evaluation.genre.study import GenreStudy, run_study
    from evaluation.genre_report.write import write_study
    from evaluation.model import Model
    from evaluation.models.baselines import Popularity, PopularityOracle, Random
    from evaluation.models.controls import SameForEverybody, shuffled
    from evaluation.models.external import PEERS
    from evaluation.neighbours import Retrieval, retrieval_precision
    from evaluation.report.write import write_report
    from evaluation.splitting.cold import cold_folds, cold_split, cold_user_split, semi_cold_split
    from evaluation.splitting.split import Split
    from evaluation.splitting.temporal import leave_last_split, time_split, time_windows
    from evaluation.splitting.warm import user_folds, warm_folds, warm_split

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
    "PEERS": "evaluation.models.external",
    "Comparison": "evaluation.comparison.comparison",
    "Example": "evaluation.comparison.examples",
    "GenreResult": "evaluation.genre.cross_validation",
    "GenreStudy": "evaluation.genre.study",
    "Model": "evaluation.model",
    "Popularity": "evaluation.models.baselines",
    "PopularityOracle": "evaluation.models.baselines",
    "Random": "evaluation.models.baselines",
    "Retrieval": "evaluation.neighbours",
    "SameForEverybody": "evaluation.models.controls",
    "Split": "evaluation.splitting.split",
    "cautions": "evaluation.conclusions.summary",
    "cold_folds": "evaluation.splitting.cold",
    "cold_split": "evaluation.splitting.cold",
    "cold_user_split": "evaluation.splitting.cold",
    "compare": "evaluation.comparison.comparison",
    "findings": "evaluation.conclusions.summary",
    "genre_cross_validation": "evaluation.genre.cross_validation",
    "leave_last_split": "evaluation.splitting.temporal",
    "retrieval_precision": "evaluation.neighbours",
    "run_study": "evaluation.genre.study",
    "semi_cold_split": "evaluation.splitting.cold",
    "shuffled": "evaluation.models.controls",
    "summarise": "evaluation.conclusions.summary",
    "time_split": "evaluation.splitting.temporal",
    "time_windows": "evaluation.splitting.temporal",
    "user_folds": "evaluation.splitting.warm",
    "warm_folds": "evaluation.splitting.warm",
    "warm_split": "evaluation.splitting.warm",
    "write_report": "evaluation.report.write",
    "write_study": "evaluation.genre_report.write",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use (PEP 562), so that importing the package costs next to nothing.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
