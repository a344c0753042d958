"""What a model hears of recordings, written into the tags of their files, and taken back.

- `folder`: hear the recordings of a folder, and say or write what their tags are to be
- `fields`: the fields of files that tags of the encoder are written into
- `files`: fields of ID3, Vorbis and MP4 tags read and written, without any change of the sound
- `journal`: what was written into which file, and what was there before
- `undo`: give files back what the journal says was there
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
