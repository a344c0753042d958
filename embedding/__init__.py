"""From recordings to embeddings: snippet, hyper-image, convolutional network.

- `audio`: files and microphones to waveforms
- `transforms`: spectrograms, chromagrams, tempograms and other features of a waveform
- `hyperimage`: several transforms stacked into one image; extraction and cache on disk; plots
- `network`: convolutional network, its settings, training and storage
- `encoders`: recordings to embeddings and tag probabilities (`SongEncoder`, `SoundStatistics`)
- `composition`: music composed by gradient descent towards a label or a song
- `projection`: embeddings in two or three dimensions (PCA, t-SNE, UMAP)
- `parallel`: work in other processes that survives native crashes
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
