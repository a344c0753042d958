"""coldtune: a music recommender that also recommends songs that nobody has played yet.

- `recommender`: the `Recommender`: fit, recommend, onboard, update, save and load
- `config`: its settings, `RecommenderConfig`
- `ranking`: lists, similar items and explanations from a live model
- `playlists`: songs like others or between two, in a smooth order, as M3U files
- `model`: the fitted state, all changes since the fit, and the saved model on the disk
- `onboarding`: songs from recordings, embeddings and folders
- `tagging`: what is heard of recordings, written into the tags of their files
- `training`: the fit
- `sources`, `content`, `fusion`: what a fit learns, and how it is blended
- `index`: nearest-neighbour search
- `database`: the song database
- `audio`: from recordings to embeddings and predicted tags
- `data`: what sources learn from: play counts and item content
- `experiments`: evaluation of the models and search of their settings
- `tracking`: MLflow
- `songmap`: the map of the songs
- `cluster`: batch jobs on a cluster, by Spark
- `commands`, `cli`: the command line
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
