"""What requests bring and answers hold.

- `schemas`: the JSON of requests and answers, described
- `answers`: lists with their ids and generations as JSON
- `uploads`: recordings that are sent here
- `recordings`: recordings of items that may be listened to
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
