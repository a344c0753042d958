"""Lists for users, similar items and explanations, from a live model.

- `ranking`: a list from profile, candidates, search and reranking.
- `options`: the arguments of lists, checked: options, ids, histories.
- `reranking`: popularity correction, a cap on artists, diversity.
- `new_songs`: the songs that nobody has played, and who is shown which of them.
- `budget`: how many new songs lists have for the share of nDCG that they may lose.
- `places`: lists with places for new songs.
- `batches`: lists for many users, a batch at a time.
- `batch_files`: the lists of all users as a Parquet file.
- `variety`: a varied order for those of whom nothing is known, where nothing has been played.
- `similarity`: unit vectors of items by sound, by taste, or by all sources, and the nearest ones.
- `subject`: the song that is asked about: an item, or a recording or an embedding that is none.
- `similar`: the songs most similar to one.
- `explanation`: why a user gets an item.
- `audience`: the users who will like a song best.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
