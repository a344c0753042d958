from .answers import as_json as as_json
from .answers import has_tag as has_tag
from .recordings import is_within as is_within
