from .config import HeadConfig as HeadConfig
from .encoder import FineTunedEncoder as FineTunedEncoder
