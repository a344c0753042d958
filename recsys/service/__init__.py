"""The service: programs over HTTP, and a page for people (`coldtune serve`).

- `app`: `create_app` puts everything together
- `settings`: where it listens, what it serves, and its limits
- `serving`: the model: loaded in the background, kept up to date, changed in turns
- `running`: computations in threads, with limits of number and time
- `keys`: API keys and their file
- `access`: who may do what: keys, roles, origins
- `problems`: errors as problem details (RFC 9457)
- `middleware`: limits of requests, ids, headers, log and metrics
- `logs`: logs as lines of JSON
- `metrics`: figures for Prometheus
- `answers`: lists with their ids and generations as JSON
- `schemas`: what requests and answers hold
- `routes`: the routes under /v1, one module a resource
- `reference`: the page of routes in the documentation
- `page`: the page for people
- `server`: the processes that listen
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
