"""Hyper-images: several transforms of a snippet stacked into one image.

- `config`: size, bands and presets (`HyperImageConfig`, `Band`)
- `image`: one hyper-image with NumPy
- `front_end`: hyper-images as the input of encoders (`HyperImageFrontEnd`)
- `bands`: each transform scaled to brightness
- `colours`: brightness to red, green and blue
- `differentiable`: batches of hyper-images with PyTorch, with gradients
- `inputs`: what is made of one recording, on disk where that is much
- `extraction`: hyper-images of many recordings, on all cores and with a cache
- `store`: the cache on disk
- `plots`: figures of a recording and its transforms
- `panels`: one transform, waveform or hyper-image drawn into a set of axes
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
