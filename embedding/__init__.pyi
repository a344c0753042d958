from .audio.config import SnippetConfig as SnippetConfig
from .encoder import SongEncoder as SongEncoder
from .hyperimage.config import HyperImageConfig as HyperImageConfig
from .network.config import AugmentationConfig as AugmentationConfig
from .network.config import EncoderConfig as EncoderConfig
from .sound_statistics import SoundStatistics as SoundStatistics
