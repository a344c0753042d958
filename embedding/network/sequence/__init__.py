"""Heads that read all windows of a song: by attention, or recurrent.

- `heads`: the heads as PyTorch modules, over songs of any number of windows
- `training`: their training on the vectors of a network that has learned single windows
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
