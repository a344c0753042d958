from .features import MetadataVocabulary as MetadataVocabulary
from .features import align_embeddings as align_embeddings
from .features import artist_codes as artist_codes
from .mapping import ContentMap as ContentMap
from .shrinkage import shrink as shrink
