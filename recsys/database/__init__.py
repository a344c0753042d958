"""The song database: texts, embeddings and predicted tags of all songs, in SQLite or PostgreSQL.

After US 2018/0276540 A1, paragraphs 43, 65 and 66.

- `song`: a song and its recordings, and their conversion to rows of the tables
- `heard`: what a listener is told of predicted tags: the genre first, then the mood
- `schema`: the tables of songs, recordings and predicted tags
- `read_write`: read, write and check songs in any database with these tables
- `changes`: tables of plays and removals since the fit
- `sounds`: the table that knows files by their sound
- `requests`: ids of the batches and events of plays that were taken in, so that each counts once
- `catalog`: the song database inside a saved model, in memory or in an SQLite file
- `published`: a database by URL, to which the songs of a model are published for others to query
- `queries`: lists of songs and scores, and their export to CSV and Parquet
- `connections`: connections of forked processes
- `sqlite`: SQLite connections whose transactions see one state of the database
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
