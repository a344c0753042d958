"""Commands that measure.

- `evaluate`: evaluate, tune and genre-cv
- `genre_tables`: its tables on the terminal
"""
