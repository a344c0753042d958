from .intake import ListenIntake as ListenIntake
from .matching import Track as Track
from .matching import find_items as find_items
from .unmatched import UnmatchedListens as UnmatchedListens
from .unmatched import listens_file as listens_file
