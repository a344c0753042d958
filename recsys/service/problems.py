"""Errors as problem details (RFC 9457): what is wrong, with which field, id or file.

A problem never tells a path of the machine, or where in the code it arose. What the service itself
cannot help (a damaged model, an error in the code) is told by the id of the request alone; the log
has the rest under that id.
"""

import errno
import json
import logging
import re
import tempfile
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from datasets.errors import (
    ArtifactError,
    AudioError,
    BusyError,
    ColdtuneError,
    DataError,
    DiskFullError,
    EncoderError,
    EncoderUnavailableError,
    InvalidArgumentError,
    NotFittedError,
    UnknownItemError,
    UnknownUserError,
)
from datasets.texts.safe_text import printable

logger = logging.getLogger("coldtune.service")

MEDIA_TYPE = "application/problem+json"

_TYPE = "urn:coldtune:problem:"

_LONGEST = 2000
"""Characters of a detail."""

RETRY = {"Retry-After": "1"}

_MOST_ERRORS = 20
"""Wrong fields that one problem lists."""

_ROW = re.compile(r"interactions[:,] row (\d+), column '([a-z_]+)'")
_BRANCH = re.compile(r"(list|dict|literal|union)\[.*\]|(constrained|function)-.*", re.DOTALL)
"""Parts of pydantic's places that say which of several kinds of value it tried."""

_FIELD = re.compile(r"([a-z_]+)[: ]")

_BEGINNINGS = {
    "items have no column": "where",
    "batch ": "batch_id",
    "event ": "event_id",
    "this song has no": "by",
}
"""Fields that messages of the library are about, by how these begin."""

FIELDS = frozenset({
    "user_id", "item_id", "k", "n", "history", "exclude_seen", "exclude", "only", "where",
    "per_artist", "diversity", "popularity_correction", "discovery", "new", "by", "users", "seeds",
    "length", "path", "include_seeds", "playable", "embedding", "title", "artist", "album", "genre",
    "tags", "batch_id", "mode", "text",
})  # fmt: skip
"""Names of fields of requests, with which messages of the library begin."""


class Problem(HTTPException):
    """Ends a request with a problem.

    Args:
        status: HTTP status.
        kind: short name of the kind of problem, part of its type.
        detail: what is wrong with this request, in a sentence.
        headers: further headers of the answer.
        **members: further members, such as ``field``, ``item_id`` or ``user_id``.

    Examples:
        >>> problem = Problem(404, "unknown-item", "no item 's99'", item_id="s99")
        >>> problem.document()["type"], problem.document()["title"]
        ('urn:coldtune:problem:unknown-item', 'Unknown item')
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.kind = kind
        self.members = {name: value for name, value in members.items() if value is not None}

    def document(self) -> dict[str, Any]:
        """Return the problem as values that JSON can hold."""
        return {
            "type": _TYPE + self.kind,
            "title": self.kind.replace("-", " ").capitalize(),
            "status": self.status_code,
            "detail": self.detail[:_LONGEST],
            **self.members,
        }

    def response(self, request_id: str) -> Response:
        """Return the answer of the service."""
        content = json.dumps({**self.document(), "request_id": request_id})
        return Response(content, self.status_code, self.headers, media_type=MEDIA_TYPE)


class Scrubber:
    """Takes the folders of the machine out of messages.

    Args:
        folders: folders of the model, the recordings and so on. Those for temporary files, of the
            user and of the program are known.

    Examples:
        >>> Scrubber([Path("/srv/music")]).scrub("/srv/music/a/b.mp3: is silent")
        'a/b.mp3: is silent'
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        given = [Path(tempfile.gettempdir()), Path.home(), Path.cwd(), *folders]
        names = {str(form) for one in given for form in (one, one.absolute(), one.resolve())}
        names -= {"/", ".", ""}
        longest_first = sorted(names, key=len, reverse=True)
        self._folders = re.compile(
            "|".join(f"{re.escape(name)}(?=[/:'\", ]|$)/?" for name in longest_first)
        )

    def scrub(self, message: str) -> str:
        """Return a message without the folders in it."""
        return self._folders.sub("", printable(message))


def problem_of(error: Exception, scrubber: Scrubber) -> Problem:
    """Return the problem that an error is to whoever asked.

    Args:
        error: what was raised.
        scrubber: takes folders out of the message.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem(507, "disk-full", _FULL)
    if not isinstance(error, ColdtuneError):
        return Problem(500, "internal-error", _OURS)
    detail = scrubber.scrub(str(error))
    for kinds, status, kind, said in _KINDS:
        if isinstance(error, kinds):
            members = _place(detail) if kind == "invalid-request" else {}
            headers = RETRY if status == 503 else {}
            return Problem(status, kind, said or detail, headers=headers, **members)
    return Problem(500, "internal-error", _OURS)


_FULL = "there is no room to store it; nothing was changed"
_OURS = "something went wrong here; the log of the service has it under this request_id"

_KINDS: tuple[tuple[type[ColdtuneError] | tuple[type[ColdtuneError], ...], int, str, str], ...] = (
    (UnknownItemError, 422, "unknown-item", ""),
    (UnknownUserError, 422, "unknown-user", ""),
    (AudioError, 422, "unusable-recording", ""),
    ((InvalidArgumentError, DataError), 422, "invalid-request", ""),
    (BusyError, 503, "busy", "others are changing the model; try again"),
    (NotFittedError, 503, "not-ready", "there is no model yet"),
    (DiskFullError, 507, "disk-full", _FULL),
    (EncoderUnavailableError, 501, "cannot-hear",
     "what the model hears recordings with is not on this machine"),
    (EncoderError, 422, "unusable-recording", "the encoder of the model cannot use this recording"),
    (ArtifactError, 503, "model-unusable",
     "the model cannot be read or written now; the log of the service says why"),
)  # fmt: skip
"""Errors of the library, the special ones first: status, kind, and what is said in place of their
own message, which names what is on the machine."""


def _place(detail: str) -> dict[str, Any]:
    """Which field a message of the library is about, as far as it begins with its name."""
    if found := _ROW.match(detail):
        return {"field": f"plays.{int(found[1]) - 1}.{found[2]}"}
    for beginning, field in _BEGINNINGS.items():
        if detail.startswith(beginning):
            return {"field": field}
    found = _FIELD.match(detail)
    return {"field": found[1]} if found and found[1] in FIELDS else {}


def _of_validation(error: RequestValidationError) -> Problem:
    """Every field that is wrong, with what is wrong with it; values are not repeated."""
    errors = []
    malformed = False
    for one in error.errors()[:_MOST_ERRORS]:
        place = [str(part) for part in one["loc"] if not _BRANCH.fullmatch(str(part))]
        source, *inner = place or ["request"]
        malformed = malformed or one["type"] == "json_invalid"
        name = ".".join(inner) if inner and one["type"] != "json_invalid" else source
        reason = str(one["msg"]).removeprefix("Value error, ")
        errors.append(
            {"field": printable(name)[:200], "in": source, "detail": printable(reason)[:500]}
        )
    detail = "; ".join(f"{one['field']}: {one['detail']}" for one in errors)
    status = 400 if malformed else 422
    field = errors[0]["field"] if errors else None
    deeper = [one["field"] for one in errors if one["field"].startswith(f"{field}.")]
    field = deeper[0] if deeper else field  # of several kinds of value, the one that was meant
    return Problem(status, "invalid-request", detail, field=field, errors=errors)


def _of_http(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    details = {
        404: "there is no such address here",
        405: "this address does not take this method",
    }
    detail = details.get(error.status_code, printable(str(error.detail or phrase)))
    kind = re.sub(r"[^a-z]+", "-", phrase.lower()).strip("-")
    return Problem(error.status_code, kind, detail, headers=error.headers)


def log_error(error: Exception, request_id: str, problem: Problem) -> None:
    """Write to the log what a client is not told."""
    if problem.status_code < 500:
        return
    known = isinstance(error, ColdtuneError | Problem)
    logger.log(
        logging.WARNING if known else logging.ERROR,
        "%s",
        error if known else f"{type(error).__name__}: {error}",
        exc_info=None if known else error,
        extra={"request_id": request_id},
    )
