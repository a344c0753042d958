"""Models to compare with: baselines, controls, and recommenders of other libraries.

- `baselines`: popularity, popularity that knows the test side, random lists.
- `controls`: models that lack one factor, and the names of such controls.
- `external`: ALS, BPR, LightFM, item-kNN and EASE, with tuned settings.
- `top_k`: the first places of many users' lists at once.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
