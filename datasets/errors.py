"""The errors this library raises on purpose. Every one derives from ColdtuneError."""


class ColdtuneError(Exception):
    """Base of all errors of this library; its text is one line fit to show a user."""


class DataError(ColdtuneError, ValueError):
    """A data set is wrong; the message names the file, the column and the row or id."""


class AudioError(ColdtuneError, ValueError):
    """A recording cannot be used; the message names the file and says why."""


class InvalidArgumentError(ColdtuneError, ValueError):
    """An argument or a setting has a value that cannot work."""


class UnknownItemError(ColdtuneError, LookupError):
    """An item id that the model or data set does not know."""


class UnknownUserError(ColdtuneError, LookupError):
    """A user id that the model or data set does not know."""


class NotFittedError(ColdtuneError, RuntimeError):
    """Something was asked of a model before ``fit`` or ``load``."""


class ArtifactError(ColdtuneError):
    """A saved model is damaged, incomplete, of a newer format, or cannot be written."""


class EvaluationError(ColdtuneError):
    """An evaluation that would not mean anything: a leak, or an invalid ranking."""
