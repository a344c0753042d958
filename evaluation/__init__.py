"""Offline evaluation of any recommender: splits that cannot leak, metrics, comparison, report.

- `model`: the protocol of a model that can be evaluated.
- `splitting`: warm, cold, temporal and user splits, and folds of them.
- `metrics`: accuracy, AUC, novelty, diversity, coverage, slices.
- `models`: baselines, models of other libraries, and controls.
- `comparison`: models compared on the same splits, with intervals and tests.
- `conclusions`: what a comparison shows, in words.
- `report`: a comparison as HTML, Markdown and JSON.
- `genre`, `genre_report`: cross-validation of genre recognition, and its report.
- `neighbours`: genre precision of nearest neighbours.
- `arguments`, `serialization`: checks of arguments; JSON values and versions.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
