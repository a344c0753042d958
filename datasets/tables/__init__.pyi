from .read_write import read_table as read_table
from .read_write import write_table as write_table
from .recordings import find_recordings as find_recordings
from .times import as_timestamps as as_timestamps
