"""Fine-tuning: heads for tags and taste on top of any encoder, frozen or thawed.

- `encoder`: `FineTunedEncoder`, an encoder with such heads
- `config`: settings of the heads and of their training (`HeadConfig`)
- `targets`: what they are trained on: labels, taste and groups, checked
- `training`: their training on an encoder, frozen or thawed, and of the tags' temperatures
- `heads`: the heads as PyTorch modules, and gradient descent on them and on what is thawed
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
