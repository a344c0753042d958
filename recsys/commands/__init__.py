"""The commands of `coldtune`: each parses its arguments, calls the library and prints the result.

The docstring of a command is its `--help`. Heavy imports stand inside the commands, so that the
command line starts fast.

- `demo`: make a demo catalogue and do everything with it
- `recommend`: recommend, recommend-all, similar, audience and explain
- `playlist`: a playlist of songs like others, or a path between two, as an M3U file
- `serve`: serve, key and listens
- `catalogue`: songs that come, change and go, their tags, their database and map
- `training`: data, encoder, train, fine-tune, info and architecture
- `evaluation`: evaluate, tune and genre-cv
- `audio`: record, picture and compose
- `spark`: batch jobs on a cluster
- `options`: options that several commands share
- `printing`: tables and JSON on the terminal
"""
