from .listenbrainz import LISTENBRAINZ as LISTENBRAINZ
from .listenbrainz import LISTENS as LISTENS
from .submissions import read_submission as read_submission
from .subsonic import SUBSONIC as SUBSONIC
