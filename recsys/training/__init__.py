"""Fitting a recommender: from a data set to the fitted state.

- `fit`: the fit itself, top to bottom.
- `fine_tuning`: heads on top of a given encoder, trained on the catalogue.
- `usable_sources`: which sources can learn from the plays there are.
- `relearning`: rebuild a model, and learn from its first plays once they are enough.
- `taste`: collaborative vectors that the network learns to predict beside the tags.
- `validation`: the split inside the training data, and the regularization chosen on it.
- `blending`: which sources take part, and their weights, chosen on the same split.
- `validation_lists`: what each source would recommend to validation users.
- `weight_search`: the grid of weights.
- `source_gains`: what a source adds; which ones drop out; when LightFM stops.
- `calibration`: what a new song's score is worth beside a known one's.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
