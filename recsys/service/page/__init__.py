"""The page: the model in a browser, to be heard, without a word of explanation.

- `app`: `add_page` gives the page to an application
- `views`: the pages, and the parts of them that change
- `contents`: what the pages show, read from the model
- `media`: pictures of songs, outlines of their sound, and the map as data
- `artwork`: covers drawn from hyper-images or from vectors
- `session`: the key of a browser, in a cookie that no script can read
- `rendering`: templates, and the files that pages load
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
