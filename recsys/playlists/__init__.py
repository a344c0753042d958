"""Playlists: songs like others, or a path between two songs, in a smooth order, as M3U files.

- `playlist`: choose songs near the seeds or between them, order and describe them.
- `seeds`: the songs a playlist starts from: items, or recordings that are not in the catalogue.
- `path`: a path between two songs of a wanted length, over a graph of nearest neighbours.
- `ordering`: a short way through chosen songs, no artist twice in a row.
- `files`: where the recordings of songs are now.
- `m3u`: playlists as M3U files in UTF-8.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
