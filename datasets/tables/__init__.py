"""The three tables of a data set: reading, writing, and the checks that every table passes.

- `checks`: required columns, known ids, existing recordings; errors that name file, line and column
- `values`: columns of text and of weights
- `ids`: ids as arguments
- `spellings`: spellings of one id or label
- `frames`: tables in memory, of pandas and other libraries
- `times`: columns of times, as UTC
- `read_write`: CSV and Parquet files
- `recordings`: audio files in a folder, and checks of their paths
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
