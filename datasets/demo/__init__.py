"""A demo data set made on the spot: composed songs as audio files, and simulated listeners.

- `make`: `make_demo` and `write_new_song`
- `catalogue`: artists, songs, names and release dates
- `planning`: random variations of a genre (an artist) and of an artist (a song)
- `genres`: the nine genres as ranges and lists to draw from
- `patterns`: drum, bass and chord patterns, chord progressions
- `composition`: a song's plan to notes
- `instruments`: notes and drum strokes to samples
- `effects`: filters, distortion, echo, reverberation, noise, mastering
- `rendering`: a song's plan to stereo audio, and recordings written by several processes
- `listeners`: simulated plays

Everything follows from a seed, whatever the number of processes. The plays are made up: they show
whether a model finds what was put in, not how well it works for real listeners.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
