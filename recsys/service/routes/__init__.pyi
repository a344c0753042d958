from .facts import FACTS as FACTS
from .items import ASKED_ITEMS as ASKED_ITEMS
from .items import CHANGED_ITEMS as CHANGED_ITEMS
from .media import MEDIA as MEDIA
from .playlists import PLAYLISTS as PLAYLISTS
from .plays import PLAYS as PLAYS
from .recommendations import RECOMMENDATIONS as RECOMMENDATIONS
