"""Commands about the songs of a model: those that come and go, their tags, their database and map.

- `onboard`: onboard, predict, update, remove and rebuild
- `watch`: follow a folder
- `tag`: write what a model hears into the tags of files
- `songs`: the song database and the map of the songs
"""
