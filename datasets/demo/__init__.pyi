from .make import DemoSettings as DemoSettings
from .make import make_demo as make_demo
from .make import write_new_song as write_new_song
from .rendering import SongTags as SongTags
from .rendering import compose_song as compose_song
from .rendering import read_tags as read_tags
