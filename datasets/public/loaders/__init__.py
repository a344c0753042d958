"""One module for each public data set: what it is, citation, licence, files, and its converter.

A new data set: write a module like `homburg`, the shortest, and add it to `registry`.

With audio:

- `fma`: Free Music Archive, mp3 clips of 30 s with genres
- `gtzan`: 1,000 clips of ten genres, with artists and the fault-filtered split
- `homburg`: 1,886 songs of garageband.com of nine genres, 10 s each
- `music4all`: songs, plays with times and clips; Music4All-Onion with computed features

Interactions only:

- `hetrec_lastfm`: artists played by 1,892 users of Last.fm, with tags
- `lastfm_1k`: every track played by 992 users of Last.fm, with times
- `lastfm_360k`: most played artists of 359,347 users of Last.fm
- `movielens`: ratings of films, for comparison with published results
- `msd_taste_profile`: play counts of songs of the Million Song Dataset
- `yambda`: listens of users of Yandex.Music, with embeddings of the audio
"""
