"""The model: what a fit has learned, everything that happened since, and both on the disk.

- `live`: a fitted model with the items, plays and removals since the fit.
- `state`: what the fit has learned, as arrays and tables.
- `items`: the items, by id and by row: texts, embeddings, how many users each has.
- `users`: the users: histories, vectors, fold-in.
- `user_search`: the users who score an item highest.
- `persistent`: mappings and columns whose changed copies share what stays the same.
- `updates`: new vectors for the items that plays since the fit touch.
- `first_plays`: the way of an item from new to known.
- `repair`: what older versions should not have taken in counts as unknown.
- `rebuild`: everything since the fit becomes part of the fitted state.
- `storage`: save, open and replace a model in a folder.
- `artifact`: the files of a saved model: generations, manifest, checksums.
- `checks`: whether the arrays of a saved model fit together.
- `tables`: tables of texts and indexes of ids that stay on the disk.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
