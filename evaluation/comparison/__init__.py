"""Compare models on the same splits: fit, ask for lists, measure, resample, tabulate.

- `comparison`: ``compare`` and its result ``Comparison``.
- `trial`: a split made ready: training side, test users, candidate sets.
- `run`: fit one model on one trial, ask it for lists and measure them.
- `run_cache`: results of runs on disk, to resume an interrupted comparison.
- `folds`: pool the folds of one experiment.
- `frontier`: the table of what new items cost in whole lists, against what is shown of them.
- `tables`: tables of means, intervals and differences.
- `bootstrap`: bootstrap intervals, paired differences and p-values.
- `examples`: users shown in full.
- `learning_curves`: accuracy after learning from parts of the interactions.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
