from .fine_tuned import FineTunedEncoder as FineTunedEncoder
from .head_config import HeadConfig as HeadConfig
from .loading import load_encoder as load_encoder
from .protocol import Encoder as Encoder
from .song_encoder import SongEncoder as SongEncoder
from .sound_statistics import SoundStatistics as SoundStatistics
