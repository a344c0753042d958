from .m3u import write_m3u as write_m3u
from .playlist import PlaylistOptions as PlaylistOptions
from .playlist import make_playlist as make_playlist
