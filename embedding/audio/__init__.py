"""Audio files, uploads and microphones to waveforms.

- `config`: which part of a recording is used (`SnippetConfig`)
- `source`: paths, bytes and file objects as files on disk
- `front_end`: what encoders are given of a recording (`FrontEnd`, `WaveformFrontEnd`)
- `snippets`: the wanted parts of a recording at one sample rate
- `waveform`: mono or stereo waveforms, and their outlines for drawing
- `microphone`: recording from a microphone
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
