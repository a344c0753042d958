from .drawing import write_map_html as write_map_html
from .drawing import write_map_png as write_map_png
from .layout import SongMap as SongMap
from .layout import song_map as song_map
