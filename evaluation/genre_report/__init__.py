"""The report of a genre study: an HTML page, Markdown, JSON and tables.

- `write`: writes all files to a folder.
- `page`: the HTML page and the Markdown.
- `plots`: folds and labels as Plotly figures.
- `conclusions`: results and cautions in sentences.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
