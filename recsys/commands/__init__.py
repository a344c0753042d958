"""The commands of `coldtune`: each parses its arguments, calls the library and prints the result.

The docstring of a command is its `--help`. Heavy imports stand inside the commands, so that the
command line starts fast.

- `demo`: make a demo catalogue and do everything with it
- `data`: list and download public data sets
- `train`: train, info, fine-tune and architecture
- `recommend`: recommend, recommend-all, similar and explain
- `playlist`: a playlist of songs like others, or a path between two, as an M3U file
- `onboard`: onboard, update, remove and rebuild
- `evaluate`: evaluate, tune and genre-cv
- `songs`: the song database and the map of the songs
- `audio`: record, picture and compose
- `composition_goals`: what compose can be directed towards by a model
- `options`: options that several commands share
- `printing`, `genre_tables`: tables on the terminal
"""
