"""What players and scrobblers speak: OpenSubsonic, and ListenBrainz' way to submit listens.

- `submissions`: reads and checks what a scrobbler submits
- `listenbrainz`: the routes of ListenBrainz, and the list of what did not match
- `subsonic`: the routes of OpenSubsonic
- `subsonic_answers`: their answers as XML, JSON and JSONP
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
