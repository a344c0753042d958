"""What players report: which item a track is, and listens that wait until their song comes.

- `names`: what spellings of an artist and a title have in common
- `matching`: which item a track is that a player names
- `unmatched`: listens of tracks that are no items, kept until they are
- `intake`: listens become plays, at once or when their song has come
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
