"""The routes under /v1, one module a resource.

- `recommendations`: lists for a user or a history, and why a song is in one
- `items`: search, facts, similar songs, audience, new songs, removal
- `plays`: plays, taken in once
- `playlists`: playlists, as JSON or M3U
- `media`: recordings and their hyper-images
- `facts`: the model, health, figures
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
