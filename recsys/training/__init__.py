"""Fitting a recommender: from a data set to the fitted state.

- `fit`: the fit itself, top to bottom.
- `fine_tuning`: heads on top of a given encoder, trained on the catalogue.
- `usable_sources`: which sources can learn from the plays there are.
- `relearning`: rebuild a model, and learn from its first plays once they are enough.
- `taste`: collaborative vectors that the network learns to predict beside the tags.
- `validation`: the split inside the training data, and the regularization chosen on it.
- `blending`: the weights of the sources, chosen on the same split.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
