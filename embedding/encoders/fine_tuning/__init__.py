"""Fine-tuning: heads for tags and taste on top of any encoder, frozen or thawed.

- `encoder`: `FineTunedEncoder`, an encoder with such heads
- `config`: settings of the heads and of their training (`HeadConfig`)
- `heads`: the heads as PyTorch modules, and their training
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
