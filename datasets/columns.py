"""Names of all columns that the library reads or writes."""

from typing import Final

USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
WEIGHT: Final = "weight"
TIMESTAMP: Final = "timestamp"
EVENT_ID: Final = "event_id"

TITLE: Final = "title"
ARTIST: Final = "artist"
ALBUM: Final = "album"
GENRE: Final = "genre"
PATH: Final = "path"

RANK: Final = "rank"
SCORE: Final = "score"
COLD: Final = "cold"
NEW: Final = "new"
SHARE_PREFIX: Final = "share_"

ITEM_TEXT: Final = (TITLE, ARTIST, ALBUM, GENRE)
"""Text columns of every item; a missing value is the empty string."""
