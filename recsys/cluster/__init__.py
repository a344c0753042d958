"""Batch jobs on a cluster, by Apache Spark: embeddings, play counts, factors, lists.

The engine distributes the work, tries again what was lost and moves the data; here is only what it
is to compute. `pip install 'coldtune[spark]'` brings pyspark; nothing else imports it.

- `session`: sessions of Spark for the command line
- `workers`: what runs in the workers' processes: models and encoders, opened once in each
- `embedding`: embeddings of recordings, a row each
- `plays`: play counts from logs, without robots; a sample of users for one machine
- `factors`: the vectors of ALS, where plays do not fit one machine
- `lists`: recommendation lists for everybody
- `problems`: one clear line in the place of the engine's stack traces
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
