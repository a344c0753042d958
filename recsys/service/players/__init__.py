"""What players and scrobblers speak: OpenSubsonic, and ListenBrainz' way to submit listens.

- `names`: what spellings of an artist and a title have in common
- `matching`: which item a track is that a player names
- `unmatched`: listens of tracks that are no items, kept until they are
- `intake`: listens become plays, at once or when their song has come
- `submissions`: reads and checks what a scrobbler submits
- `listens`: the routes of ListenBrainz, and the list of what did not match
- `subsonic`: the routes of OpenSubsonic
- `subsonic_answers`: their answers as XML, JSON and JSONP
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
