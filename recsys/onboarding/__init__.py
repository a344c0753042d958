"""Onboarding: turn new recordings, embeddings or metadata into songs of a fitted model.

- `recordings`: build songs from single recordings, embeddings or whole data sets
- `prediction`: what a recording sounds like, without onboarding it
- `folder`: onboard all recordings of a folder, in batches that survive interruption
- `folder_entries`: the recordings of a folder with their texts from a metadata table
- `watching`: follow a folder: what arrives, and what is renamed, changed or deleted
- `folder_changes`: wake-ups when something in a folder may have changed
- `settling`: which files are complete, and which are still being written
- `known_files`: which item of the model a file is the recording of, by path, content and sound
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
