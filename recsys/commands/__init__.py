"""The commands of ``coldtune``, one module a subject."""
