"""Commands that measure.

- `evaluate`: evaluate and tune
- `genre`: genre-cv
- `genre_tables`: its tables on the terminal
"""
