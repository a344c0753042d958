"""Public music data sets: download, check, convert to a data set's folder, load.

- `base`: what describes a data set (`PublicDataset`), and `fetch`, which gets one
- `registry`: all data sets by name
- `download`: downloads that resume and are checked
- `conversion`: what converters share: reading files and archives, writing items and recordings
- `text_tables`: lines of text tables in archives, and a count of lines that cannot be used
- `parquet`: interactions and embeddings written row by row
- `play_counts`: plays added up for each user and item
- `loaders`: one module for each data set
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
