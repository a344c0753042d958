from .fields import TagField as TagField
from .files import AudioTags as AudioTags
from .files import open_tags as open_tags
from .folder import TaggingOptions as TaggingOptions
from .folder import tag_folder as tag_folder
from .undo import undo_tags as undo_tags
