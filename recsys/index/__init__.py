"""Nearest-neighbour indexes: the items with the largest inner product for a query vector.

- `base`: search results, what each query must not find, and the protocol of an index.
- `exact`: compare with every item.
- `screen`: a few coordinates of each item tell most items from a query's best ones.
- `screened`: search in a large catalogue by a screen in files.
- `pruned`: scan items longest first and stop early (LEMP).
- `annoy`: approximate search by random projection trees.
- `growing`: an index over the fitted items plus a buffer of items added since.
- `build`: build, tune, verify and open the index of a large catalogue.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
