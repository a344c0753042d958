"""Experiments with this library's models: offline evaluation and hyper-parameter search.

- `offline_evaluation`: from a data set to a report: splits, models, comparison, genre accuracy.
- `models`: the models that can be compared, by name, and the controls beside them.
- `splits`: the splits that can be made, by name.
- `embeddings`: one encoder for each training side, and the embeddings it gives.
- `search`: hyper-parameter search, from a data set to the best settings.
- `search_space`, `search_study`, `search_objective`: its settings, its trials and their score.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
