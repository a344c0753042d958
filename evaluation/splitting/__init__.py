"""Splits of a data set into training and test sides that cannot leak into each other.

- `split`: ``Split``, and the checks that nothing is on both sides.
- `warm`: known users and items, some of their interactions held out; k-fold too.
- `cold`: items, or users, without or with hardly any training interactions.
- `mixed`: new items among known ones, the same share of everybody's plays tested.
- `temporal`: splits by the time of plays.
- `interactions`: interactions as integer (user, item) pairs, which the splits are computed on.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
