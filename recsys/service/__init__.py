"""The service: programs over HTTP, and a page for people (`coldtune serve`).

- `app`: `create_app` puts everything together
- `server`: the processes that listen
- `settings`: where it listens, what it serves, and its limits
- `serving`: the model: loaded in the background, kept up to date, changed in turns
- `problems`: errors as problem details (RFC 9457)
- `reference`: the page of routes in the documentation

What is around a request and in it:

- `requests`: who may ask, what all routes share, limits, logs and figures
- `bodies`: what requests bring and answers hold: JSON, uploads, recordings

What answers:

- `routes`: the routes under /v1, one module a resource
- `players`: what players and scrobblers speak: OpenSubsonic and ListenBrainz
- `listens`: what players report: which items it is, and what waits for its song
- `page`: the page for people
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
