from .audio.config import SnippetConfig as SnippetConfig
from .encoders.fine_tuned import FineTunedEncoder as FineTunedEncoder
from .encoders.head_config import HeadConfig as HeadConfig
from .encoders.song_encoder import SongEncoder as SongEncoder
from .encoders.sound_statistics import SoundStatistics as SoundStatistics
from .hyperimage.config import HyperImageConfig as HyperImageConfig
from .network.config import AugmentationConfig as AugmentationConfig
from .network.config import EncoderConfig as EncoderConfig
