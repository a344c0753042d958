"""The map of the songs: their embeddings in three dimensions, as an HTML page or a picture.

After US 2018/0276540 A1, paragraphs 60 to 63.

- `layout`: choose and project the songs of a model, and group them by colour
- `drawing`: draw a map as an interactive page or as a PNG file
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
