from .architecture import Architecture as Architecture
from .architecture import LayerReport as LayerReport
from .architecture import parse as parse
from .config import AugmentationConfig as AugmentationConfig
from .config import EncoderConfig as EncoderConfig
from .layers import SongNetwork as SongNetwork
