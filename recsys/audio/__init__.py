"""From recordings to embeddings and predicted tags: whole data sets, and single new recordings.

- `training`: networks trained, and trained further, on the recordings of a data set
- `embeddings`: embeddings and predicted tags of a data set's items (`embed_dataset`)
- `recordings`: new recordings embedded one by one (`RecordingEmbedder`), and what the song database
  keeps of a recording
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
