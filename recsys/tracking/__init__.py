"""MLflow tracking: fits and evaluations as runs, data sets as inputs, models in the registry.

- `runs`: MLflow runs that never cost a result when the tracker fails
- `datasets`: a data set as an MLflow input
- `comparison`: the runs of a comparison, one for each model and each of its fits
- `model`: log a saved model to MLflow and register it
- `registry`: fetch a logged model into a folder of its own
- `model_script`: the program that MLflow keeps with a logged model and runs to load it
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
