"""Genre cross-validation: how well a network tells genres of artists it was not trained on.

- `data`: labelled images of recordings, from arrays or from a data set.
- `splits`: folds that keep artists, songs or only windows apart.
- `folds`: training and testing of folds, in processes, with results kept on disk.
- `scores`: ranks, loss, precision and confusion matrices from class probabilities.
- `cross_validation`: cross-validation of one classifier under one split.
- `baseline`: an SVM on simple statistics of the sound.
- `heads`: heads on top of an encoder, on the vectors of a data set's recordings.
- `study`: splits, seeds, network and baseline side by side.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
