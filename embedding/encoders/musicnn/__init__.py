"""MusiCNN: a network pretrained on the tags of 200,000 songs, without TensorFlow.

- `encoder`: `MusiCNN`, recordings to embeddings and 50 tags
- `front_end`: `MusiCNNFrontEnd`, patches of a mel spectrogram
- `network`: the network in PyTorch
- `weights`: `get_musicnn`, the wheel that holds the weights, fetched once and kept in the cache
- `tensor_bundle`: reader of TensorFlow's checkpoints
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
