"""Convolutional networks: notation, layers, training and storage.

- `config`: settings of network and training (`EncoderConfig`, `AugmentationConfig`)
- `architecture`: the notation of networks, with shapes, parameters and costs of the layers
- `layers`: the network as PyTorch modules
- `calibration`: temperatures of the tags' probabilities, and how far these are from shares
- `targets`: labels as training targets; validation split
- `augmentation`: random changes of training images
- `optimisation`: losses, optimisers, learning rate, averaged weights
- `training`: the training loop
- `inference`: a trained network over images, in batches of windows
- `sequence`: heads over the windows of a song, by attention or recurrent, and their training
- `checkpoints`: interrupted trainings on disk
- `storage`: trained networks on disk
- `devices`: CPU, GPU, threads, distributed training
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
