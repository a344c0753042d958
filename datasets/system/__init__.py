"""What the operating system is used for: files, locks, temporary folders, programs, forks.

- `files`: atomic writes, regular files, digests, arrays, the cache folder
- `temporary`: temporary folders that no end of a process leaves behind, and full disks
- `locks`: locks of threads and processes with an order, a time limit and a named holder
- `processes`: programs and workers that end with the process that started them
- `blas_threads`: one thread of BLAS where a second one brings little
- `forking`: forked children of a process that used threads
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
