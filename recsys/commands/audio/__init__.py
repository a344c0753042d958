"""Commands that deal in sound.

- `recording`: record and picture
- `compose`: compose
- `composition_goals`: what compose can be directed towards by a model
"""
