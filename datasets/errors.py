"""Exceptions of this library; all derive from `ColdtuneError`.

Examples:
    >>> from datasets.errors import ColdtuneError, DataError
    >>> try:
    ...     raise DataError("items.csv, line 3, column 'item_id': is blank")
    ... except ColdtuneError as error:
    ...     print(error)
    items.csv, line 3, column 'item_id': is blank
"""

import errno

from datasets.texts.safe_text import hide_password, printable


class ColdtuneError(Exception):
    """Base of all exceptions of this library; the message is one line for users.

    Names in it come from files: control characters are escaped, passwords of addresses hidden.
    """

    def __str__(self) -> str:
        return hide_password(printable(super().__str__()))


class DataError(ColdtuneError, ValueError):
    """A data set is wrong; the message names the file, the column and the row or id."""


class DataWarning(UserWarning):
    """Something in a data set was read as what it plainly means; the message says what and how."""


class AudioError(ColdtuneError, ValueError):
    """A recording cannot be used; the message names the file and the reason."""


class InvalidArgumentError(ColdtuneError, ValueError):
    """An argument or a setting has an invalid value."""


class UnknownItemError(ColdtuneError, LookupError):
    """An item id that the model or data set does not have."""


class UnknownUserError(ColdtuneError, LookupError):
    """A user id that the model or data set does not have."""


class NotFittedError(ColdtuneError, RuntimeError):
    """A model was used before `fit` or `load`."""


class ArtifactError(ColdtuneError):
    """A saved model is damaged, incomplete, of a newer format, or cannot be written."""


class EncoderUnavailableError(ColdtuneError):
    """An encoder, or a part of it, is not on this machine; the message says how to get it.

    A saved model whose encoder is not there opens all the same, and knows its songs.
    """


class EncoderError(ColdtuneError):
    """An encoder of one's own raised an error, or what it returned is no embedding."""


class DiskFullError(ColdtuneError, OSError):
    """A disk is full; the message names the folder, what was to be written, and what is free."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ENOSPC, message)

    def __str__(self) -> str:
        return str(self.strerror)


class ReplacedError(ArtifactError):
    """Another process has put a new model in the place of the opened one; load it again."""


class BusyError(ColdtuneError):
    """A lock was not free within its time limit; the message names who holds it. Try again."""


class ClusterError(ColdtuneError):
    """A job on a cluster failed; the message says what went wrong, and on which machine or file."""


class NotCopiedError(ColdtuneError, TypeError):
    """An object that cannot be pickled or copied; the message says what to do instead."""


class EvaluationError(ColdtuneError):
    """An evaluation that would be meaningless: a leak, or an invalid ranking."""
