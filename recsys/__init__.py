"""coldtune: a music recommender that also recommends songs that nobody has played yet.

recommender: the `Recommender`: fit, recommend, onboard, update, save and load.
config: its settings, `RecommenderConfig`.
ranking: lists, similar items and explanations from a live model.
model: the fitted state, what happened since, and the saved model on the disk.
onboarding: songs from recordings, embeddings and folders.
training: the fit. sources, content, fusion: what it learns and how it is blended.
index: nearest-neighbour search. database: the song database. audio: recordings to embeddings.
experiments, tracking, songmap: evaluation of the models, MLflow, the map of the songs.
commands, cli: the command line.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
