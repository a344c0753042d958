"""The evaluation report: one HTML page, and the same as Markdown with pictures and as JSON.

- `write`: writes all files of a report.
- `content`: everything that a report shows, as rows of text and plots.
- `whole_lists`: the section on new items in whole lists.
- `tables`: tables of models against metrics.
- `slices`: tables of slices, folds and learning curves.
- `facts`: data set, splits, genre accuracy, costs and settings.
- `charts`: which plots a report has, with titles and descriptions.
- `plots`: the plots as Plotly figures.
- `static_plots`: the same plots as .png files.
- `render`: HTML from templates, and Markdown.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
