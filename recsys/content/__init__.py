"""Content of items: what is known without plays, and the vectors predicted from it.

- `features`: metadata as one-hot columns, embeddings in item order, artist codes.
- `embedding_range`: lengths of embeddings, by which wild ones are told.
- `familiarity`: how much a recording sounds like what a model has learned from.
- `regression`: regressions from embeddings to vectors, chosen by cross-validation.
- `mapping`: the content map, from embeddings and metadata to a source's item vectors.
- `shrinkage`: learned vectors shrunk towards the predicted ones.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
