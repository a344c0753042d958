"""Encoders: from recordings to embeddings and, where they tell any, probabilities of tags.

- `protocol`: what every encoder has and does (`Encoder`)
- `song_encoder`: `SongEncoder`, the network trained here on hyper-images
- `song_training`: its training: stages, artists left out, temperatures of the probabilities
- `sound_statistics`: `SoundStatistics`, embeddings where no network can be trained
- `musicnn`: `MusiCNN`, a network pretrained on the Million Song Dataset
- `own`: encoders of one's own: a Python function (`CallableEncoder`), an ONNX file (`OnnxEncoder`)
- `fine_tuning`: `FineTunedEncoder`, heads for tags and taste on top of any encoder
- `learned_plays`: `LearnedPlays`, the songs whose plays an encoder has learned from
- `songs`: from the windows of a recording to one embedding (`embed_recordings`, `embed_song`)
- `recordings`: many recordings embedded by any encoder (`embed_files`)
- `input_vectors`: vectors of every input of many recordings, kept on disk, and heads on them
- `loading`: saved encoders of every kind (`load_encoder`)
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
