"""Text of unknown origin: spellings, suggestions, names of files, and how it is shown safely.

- `unicode_forms`: Unicode forms, case and width
- `safe_text`: text in terminals, JSON, spreadsheets and Markdown
- `suggestions`: names like one that is not known
- `file_names`: file names of any bytes as text
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
