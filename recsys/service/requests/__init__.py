"""What stands around every request: who may ask, what routes share, limits, logs and figures.

- `context`: what the routes of one application share, and how a request finds it
- `keys`: API keys and their file
- `access`: who may do what: keys, roles, origins
- `middleware`: limits of requests, ids, headers, log and metrics
- `running`: computations in threads, with limits of number and time
- `logs`: logs as lines of JSON
- `metrics`: figures for Prometheus
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
