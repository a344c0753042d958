"""Files of recordings to samples: formats, their quirks, and the decoders.

- `readers`: files to samples, by libsndfile or ffmpeg
- `ffmpeg`: parts of recordings by the ffmpeg program, which opens nothing else
- `containers`: what a file is by its first bytes; the length of m4a and aac
- `spliced`: a file that is read with other bytes in the place of some of its own
- `mp3_frames`: the frames of an mp3 whose header gives a wrong length
- `ogg_links`: the streams that follow one another in an Ogg file
- `wav_chunks`: format and samples of a wav file with a wrong header
- `file_kinds`: what a file is that is no recording, for messages
- `bitstreams`: coded streams that are stored as samples
- `sound_digest`: what stays of a file when its tags are changed
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
